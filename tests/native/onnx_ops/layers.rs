//! Layers and vertices of the builder: judged by Keras, and once exported by onnxruntime.

use std::collections::BTreeMap;

use regraft::Result;
use regraft::formats::onnx;
use regraft::graph::Graph;
use regraft::tensor::{Tensor, TensorType};
use regraft::transfer::{Edit, Model};
use serde::Deserialize;
use serde_json::{Value, json};

use super::judge::{self, Case};
use super::writing::{check, put};

/// Sums of a few dozen products of values up to 2, in another order, and Keras's exponentials.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    name: String,
    layer: Option<Value>,
    vertex: Option<Value>,
    inputs: Vec<Values>,
    weights: BTreeMap<String, Values>,
    result: Values,
    turns: bool,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Values {
    /// Images in NCHW, if asked for.
    fn tensor(&self, turned: bool) -> Result<Tensor> {
        let tensor = Tensor::f32(self.shape.clone(), self.data.clone())?;
        if turned && self.shape.len() == 4 { tensor.permute(&[0, 3, 1, 2]) } else { Ok(tensor) }
    }
}

fn goldens() -> Vec<Golden> {
    serde_json::from_str(include_str!("../../reference/layers.json")).expect("a list of cases")
}

/// A network of nothing but inputs.
fn inputs(tensors: &[Tensor]) -> Result<Model> {
    let mut g = Graph::new();
    let mut ids = Vec::new();
    for (at, tensor) in tensors.iter().enumerate() {
        let mut shape = tensor.shape().to_vec();
        shape[0] = 1;
        ids.push(g.input(format!("x{at}"), TensorType::f32(shape), true)?);
    }
    g.set_outputs(ids);
    Ok(Model::new(g))
}

fn edits(edits: Value) -> Vec<Edit> {
    serde_json::from_value(edits.clone()).unwrap_or_else(|e| panic!("{edits}: {e}"))
}

/// The network that a case is about, with its weights.
fn built(golden: &Golden, tensors: &[Tensor]) -> Result<Model> {
    let names: Vec<String> = (0..tensors.len()).map(|at| format!("x{at}")).collect();
    let add = match (&golden.layer, &golden.vertex) {
        (Some(layer), _) => json!({ "type": "addLayer", "name": "y", "layer": layer, "inputs": names }),
        (None, vertex) => json!({ "type": "addVertex", "name": "y", "vertex": vertex, "inputs": names }),
    };
    let mut model = inputs(tensors)?.edited(&edits(json!([add, { "type": "setOutputs", "names": ["y"] }])))?;
    let weights = golden.weights.iter().map(|(name, values)| Ok((format!("y.{name}"), values.tensor(false)?)));
    model.update(weights.collect::<Result<_>>()?)?;
    let stored = model.graph.iter().filter(|(_, v)| v.is_stored()).count();
    assert_eq!(stored, golden.weights.len(), "{}: numbers of weights", golden.name);
    Ok(model)
}

fn judged(golden: &Golden, turned: bool, folder: &std::path::Path) -> Result<Case> {
    let about = format!("{}, {}", golden.name, if turned { "NCHW" } else { "NHWC" });
    let tensors = golden.inputs.iter().map(|x| x.tensor(turned)).collect::<Result<Vec<_>>>()?;
    let model = built(golden, &tensors)?;
    let given: Vec<(String, Tensor)> = tensors.iter().cloned().enumerate().map(|(i, x)| (format!("x{i}"), x)).collect();
    let (found, expected) = (model.run(&given, None)?.remove(0).1, golden.result.tensor(turned)?);
    assert_eq!(found.shape(), expected.shape(), "{about}");
    let error = judge::worst(found.as_f32().unwrap_or_default(), expected.as_f32().unwrap_or_default());
    assert!(error <= TOLERANCE, "{about}: off by {error:e}");
    let bytes = onnx::write(&model.graph, &BTreeMap::new(), None)?;
    put(folder, &about, &model.graph, &bytes, &tensors)
}

#[test]
fn layers_and_vertices_give_what_keras_gives_and_survive_export() {
    let folder = judge::folder("onnx_layers");
    let goldens = goldens();
    assert!(goldens.len() > 70, "only {} cases", goldens.len());
    let mut cases = Vec::new();
    for golden in &goldens {
        for turned in [false, true].into_iter().take(1 + usize::from(golden.turns)) {
            let case = judged(golden, turned, &folder);
            cases.push(case.unwrap_or_else(|e| panic!("{}, NCHW: {turned}: {e}", golden.name)));
        }
    }
    check(&folder, &cases);
}

/// Options and inputs that do not fit: refused with the code and the layer's name.
#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let image = || Tensor::zeros([2, 5, 6, 3]);
    let row = || Tensor::zeros([2, 4]);
    let layers = [
        (json!({ "type": "conv2d", "nOut": 2, "kernelSize": 7 }), image(), "shape"),
        (json!({ "type": "conv2d", "nOut": 2, "kernelSize": 3 }), row(), "shape"),
        (json!({ "type": "conv2d", "nOut": 2, "kernelSize": 3, "nIn": 4 }), image(), "shape"),
        (json!({ "type": "conv2d", "nOut": 4, "kernelSize": 3, "groups": 3 }), image(), "shape"),
        (json!({ "type": "conv2d", "nOut": 4, "kernelSize": 3, "groups": 0 }), image(), "bad-option"),
        (json!({ "type": "conv2d", "nOut": 0, "kernelSize": 3 }), image(), "bad-option"),
        (json!({ "type": "conv2d", "nOut": 2, "kernelSize": 0 }), image(), "bad-option"),
        (json!({ "type": "conv2d", "nOut": 2, "kernelSize": 3, "stride": 0 }), image(), "bad-option"),
        (json!({ "type": "conv2d", "nOut": 2, "kernelSize": 3, "padding": usize::MAX / 2 }), image(), "shape"),
        (json!({ "type": "conv2d", "nOut": 1_048_576, "kernelSize": [1_048_576, 1] }), image(), "bad-option"),
        (json!({ "type": "depthwiseConv2d", "nOut": 4, "kernelSize": 3 }), image(), "shape"),
        (json!({ "type": "depthwiseConv2d", "kernelSize": 3, "depthMultiplier": 0 }), image(), "bad-option"),
        (json!({ "type": "separableConv2d", "kernelSize": 3 }), image(), "bad-option"),
        (json!({ "type": "separableConv2d", "kernelSize": 3, "nOut": 2, "nIn": 9 }), image(), "shape"),
        (json!({ "type": "batchNorm", "momentum": 1.5 }), image(), "bad-option"),
        (json!({ "type": "layerNorm", "epsilon": 0 }), image(), "bad-option"),
        (json!({ "type": "maxPool", "kernelSize": 2, "padding": 2 }), image(), "shape"),
        (json!({ "type": "avgPool", "kernelSize": 2 }), row(), "shape"),
        (json!({ "type": "globalPool", "pooling": "max" }), row(), "shape"),
        (json!({ "type": "dense", "nOut": 2, "nIn": 3 }), row(), "shape"),
        (json!({ "type": "dropout" }), row(), "bad-option"),
        (json!({ "type": "batchNorm", "activation": "relu" }), row(), "bad-option"),
    ];
    let vertices = [
        (json!({ "type": "add" }), vec![row()], "conflict"),
        (json!({ "type": "average" }), vec![row()], "conflict"),
        (json!({ "type": "subtract" }), vec![row(), row(), row()], "conflict"),
        (json!({ "type": "scale", "factor": 2 }), vec![row(), row()], "conflict"),
        (json!({ "type": "add" }), vec![row(), Tensor::zeros([2, 3])], "shape"),
        // It would be broadcast along the width, for one image.
        (json!({ "type": "multiply" }), vec![image(), Tensor::zeros([2, 3])], "shape"),
        (json!({ "type": "merge", "axis": 0 }), vec![row(), row()], "bad-option"),
        (json!({ "type": "merge" }), vec![row(), image()], "shape"),
        (json!({ "type": "subset", "from": 2, "to": 1 }), vec![row()], "bad-option"),
        (json!({ "type": "subset", "from": 2, "to": 4 }), vec![row()], "shape"),
        (json!({ "type": "subset", "from": 0, "to": usize::MAX }), vec![row()], "shape"),
        (json!({ "type": "reshape", "shape": [-1, -1] }), vec![row()], "bad-option"),
        (json!({ "type": "reshape", "shape": [0] }), vec![row()], "bad-option"),
        (json!({ "type": "reshape", "shape": [3] }), vec![row()], "shape"),
    ];
    let layers = layers.map(|(spec, x, code)| ("addLayer", "layer", spec, vec![x], code));
    let vertices = vertices.map(|(spec, x, code)| ("addVertex", "vertex", spec, x, code));
    for (add, kind, spec, tensors, code) in layers.into_iter().chain(vertices) {
        let names: Vec<String> = (0..tensors.len()).map(|at| format!("x{at}")).collect();
        let add = json!([{ "type": add, "name": "new one", kind: spec, "inputs": names },
            { "type": "setOutputs", "names": ["new one"] }]);
        let refused = inputs(&tensors)?.edited(&edits(add)).map(drop).expect_err(&format!("{spec} is accepted"));
        assert_eq!(refused.code(), code, "{spec}: {refused}");
        let names_it = code == "bad-option" || refused.to_string().contains("new one");
        assert!(names_it, "{spec}: {refused}");
    }
    Ok(())
}

/// A new layer takes the layout of what it reads, through transposes and elementwise vertices.
#[test]
fn layers_take_the_layout_of_their_input() -> Result<()> {
    let model = inputs(&[Tensor::zeros([1, 3, 8, 8])])?.edited(&edits(json!([
        { "type": "addLayer", "name": "conv", "layer": { "type": "conv2d", "nOut": 6, "kernelSize": 3 }, "inputs": ["x0"] },
        { "type": "addVertex", "name": "shifted", "vertex": { "type": "shift", "by": 1 }, "inputs": ["conv"] },
        { "type": "addLayer", "name": "pool", "layer": { "type": "maxPool", "kernelSize": 2 }, "inputs": ["shifted"] },
        { "type": "addVertex", "name": "sum", "vertex": { "type": "add" }, "inputs": ["pool", "pool"] },
        { "type": "addLayer", "name": "norm", "layer": { "type": "layerNorm" }, "inputs": ["sum"] },
        { "type": "addVertex", "name": "both", "vertex": { "type": "merge" }, "inputs": ["norm", "sum"] },
        { "type": "setOutputs", "names": ["both"] },
    ])))?;
    let shape = |name| -> Result<Vec<usize>> { Ok(model.graph.get(model.graph.require(name)?).ty.shape.to_vec()) };
    assert_eq!([shape("conv")?, shape("pool")?], [vec![1, 6, 6, 6], vec![1, 6, 3, 3]]);
    assert_eq!([shape("norm.gamma")?, shape("both")?], [vec![6], vec![1, 12, 3, 3]]);
    Ok(())
}
