//! Random networks of every shape that the promises are about.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft::Result;
use regraft::graph::{Graph, VertexId};
use regraft::ops::{
    Add, BatchNorm, Clamp, Clip, Concat, Conv2d, Dense, DepthwiseConv2d, Dim, Flatten, GlobalAvgPool, Layout, MaxPool,
    Multiply, Reshape, Role, Sigmoid, Window,
};
use regraft::tensor::{Tensor, TensorType};
use regraft::transfer::{Edit, Model};
use serde_json::json;

/// Networks of each kind.
pub(crate) const SEEDS: std::ops::Range<u64> = 0..3;
/// Classes of every head.
pub(crate) const CLASSES: usize = 3;

/// A network, where it may be frozen, and what it is called in failures.
pub(crate) struct Network {
    pub(crate) model: Model,
    /// A vertex in the middle: trained layers lie below and above it.
    pub(crate) cut: &'static str,
    /// A layer below the cut whose size may be replaced.
    pub(crate) layer: &'static str,
    /// A layer that others with weights read, and what it reads.
    pub(crate) middle: Option<[&'static str; 2]>,
    pub(crate) name: String,
}

/// Edits from JSON.
pub(crate) fn edits(json: serde_json::Value) -> Vec<Edit> {
    serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{json}: {e}"))
}

/// All kinds, all seeds.
pub(crate) fn networks() -> Vec<Network> {
    type Build = fn(&mut Net) -> Result<()>;
    type Kind = (&'static str, Build, &'static str, &'static str, Option<[&'static str; 2]>);
    let kinds: [Kind; 8] = [
        ("chain", chain, "relu1", "conv1", Some(["conv2", "relu1"])),
        ("two inputs", two_inputs, "merged", "conv_a", Some(["conv2", "merged"])),
        ("two heads", two_heads, "relu1", "conv1", Some(["conv2", "relu1"])),
        ("residual", residual, "sum", "conv1", Some(["conv2", "relu1"])),
        ("dense block", dense_block, "merged2", "conv1", Some(["conv3", "merged1"])),
        ("batch norm", batch_norms, "norm2", "conv1", Some(["conv3", "norm2"])),
        ("flatten", flattened, "pool1", "conv1", None),
        ("squeeze-excite", squeeze_excite, "scaled", "conv1", Some(["squeeze", "squeezed_flat"])),
    ];
    let mut all = Vec::new();
    for (kind, build, cut, layer, middle) in kinds {
        for seed in SEEDS {
            let mut net = Net::new(seed);
            let name = format!("{kind}, seed {seed}, {:?}", net.layout);
            build(&mut net).unwrap_or_else(|e| panic!("{name}: {e}"));
            let model = with_heads(net).unwrap_or_else(|e| panic!("{name}: {e}"));
            all.push(Network { model, cut, layer, middle, name });
        }
    }
    all
}

/// An output layer on each output.
fn with_heads(net: Net) -> Result<Model> {
    let outputs: Vec<String> = net.g.outputs().iter().map(|id| net.g.get(*id).name.clone()).collect();
    let heads: Vec<String> = (1..=outputs.len()).map(|n| format!("head{n}")).collect();
    let layer = json!({ "type": "output", "nOut": CLASSES, "loss": "negativeloglikelihood" });
    let mut all: Vec<_> = outputs
        .iter()
        .zip(&heads)
        .map(|(input, head)| json!({ "type": "addLayer", "name": head, "layer": layer, "inputs": [input] }))
        .collect();
    all.push(json!({ "type": "setOutputs", "names": heads }));
    Model::new(net.g).edited(&edits(json!(all)))
}

/// A graph under construction.
pub(crate) struct Net {
    pub(crate) g: Graph,
    rng: ChaCha8Rng,
    layout: Layout,
    channels: usize,
}

impl Net {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let layout = if rng.random() { Layout::Nchw } else { Layout::Nhwc };
        let channels = rng.random_range(2..6);
        Self { g: Graph::new(), rng, layout, channels }
    }

    fn parameter(&mut self, name: &str, role: Role, shape: &[usize]) -> Result<VertexId> {
        let low = if role == Role::Variance { 0.5 } else { -0.7 };
        let values = (0..shape.iter().product()).map(|_| self.rng.random_range(low..0.9f32)).collect();
        self.g.parameter(name, role, Tensor::f32(shape, values)?)
    }

    fn input(&mut self, name: &str) -> Result<VertexId> {
        let side = self.rng.random_range(6..9);
        let shape = match self.layout {
            Layout::Nchw => [1, 3, side, side],
            Layout::Nhwc => [1, side, side, 3],
        };
        self.g.input(name, TensorType::f32(shape), true)
    }

    fn channels_of(&self, x: VertexId) -> usize {
        let shape = &self.g.get(x).ty.shape;
        if shape.rank() == 4 { shape[self.layout.channel_axis()] } else { shape[1] }
    }

    fn conv(&mut self, name: &str, x: VertexId, m: usize) -> Result<VertexId> {
        let c = self.channels_of(x);
        let w = self.parameter(&format!("{name}.weight"), Role::Weight, &[3, 3, c, m])?;
        let b = self.parameter(&format!("{name}.bias"), Role::Bias, &[m])?;
        let window = Window { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1] };
        let conv = Conv2d { window, groups: 1, bias: true, residual: false, clamp: None, layout: self.layout };
        self.g.add(name, conv, &[x, w, b])
    }

    fn depthwise(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        let c = self.channels_of(x);
        let w = self.parameter(&format!("{name}.weight"), Role::Weight, &[3, 3, c])?;
        let window = Window { stride: [2, 2], padding: [1, 1, 1, 1], dilation: [1, 1] };
        let conv = DepthwiseConv2d { window, bias: false, clamp: None, layout: self.layout };
        self.g.add(name, conv, &[x, w])
    }

    fn norm(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        let c = self.channels_of(x);
        let roles = [("gamma", Role::Gamma), ("beta", Role::Beta), ("mean", Role::Mean), ("variance", Role::Variance)];
        let mut inputs = vec![x];
        for (part, role) in roles {
            inputs.push(self.parameter(&format!("{name}.{part}"), role, &[c])?);
        }
        self.g.add(name, BatchNorm { epsilon: 1e-3, momentum: 0.9, layout: self.layout, clamp: None }, &inputs)
    }

    fn relu(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        self.g.add(name, Clip { clamp: Clamp::RELU }, &[x])
    }

    fn pool(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        let window = Window { stride: [2, 2], padding: [0; 4], dilation: [1, 1] };
        self.g.add(name, MaxPool { window, kernel: [2, 2], ceil: false, layout: self.layout }, &[x])
    }

    fn average(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        self.g.add(name, GlobalAvgPool { layout: self.layout }, &[x])
    }

    fn dense(&mut self, name: &str, x: VertexId, n: usize) -> Result<VertexId> {
        let k = self.g.get(x).ty.shape[1];
        let w = self.parameter(&format!("{name}.weight"), Role::Weight, &[k, n])?;
        let b = self.parameter(&format!("{name}.bias"), Role::Bias, &[n])?;
        self.g.add(name, Dense { bias: true, clamp: None }, &[x, w, b])
    }

    fn concat(&mut self, name: &str, x: &[VertexId]) -> Result<VertexId> {
        self.g.add(name, Concat { axis: self.layout.channel_axis() }, x)
    }

    fn flatten(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        self.g.add(name, Flatten { axis: 1 }, &[x])
    }

    /// Flat features of the last map.
    fn end(&mut self, x: VertexId) -> Result<()> {
        let pooled = self.average("pooled", x)?;
        let flat = self.flatten("flat", pooled)?;
        let fc = self.dense("fc", flat, self.channels + 1)?;
        // Never 0 as a whole, so that every layer has a gradient.
        let fc = self.g.add("fc_act", Sigmoid {}, &[fc])?;
        self.g.set_outputs(vec![fc]);
        Ok(())
    }
}

fn chain(n: &mut Net) -> Result<()> {
    let x = n.input("x")?;
    let x = n.conv("conv1", x, n.channels)?;
    let x = n.relu("relu1", x)?;
    let x = n.conv("conv2", x, n.channels + 1)?;
    let x = n.relu("relu2", x)?;
    n.end(x)
}

fn two_inputs(n: &mut Net) -> Result<()> {
    let (a, b) = (n.input("a")?, n.input("b")?);
    let a = n.conv("conv_a", a, n.channels)?;
    let a = n.average("average_a", a)?;
    let b = n.conv("conv_b", b, n.channels + 1)?;
    let b = n.average("average_b", b)?;
    let merged = n.concat("merged", &[a, b])?;
    let merged = n.conv("conv2", merged, n.channels)?;
    let merged = n.relu("relu2", merged)?;
    n.end(merged)
}

fn two_heads(n: &mut Net) -> Result<()> {
    let x = n.input("x")?;
    let x = n.conv("conv1", x, n.channels)?;
    let x = n.relu("relu1", x)?;
    let y = n.conv("conv2", x, n.channels)?;
    let y = n.relu("relu2", y)?;
    let z = n.average("average_z", x)?;
    let z = n.flatten("flat_z", z)?;
    let z = n.dense("fc_z", z, n.channels)?;
    n.end(y)?;
    let first = n.g.outputs()[0];
    n.g.set_outputs(vec![first, z]);
    Ok(())
}

fn residual(n: &mut Net) -> Result<()> {
    let x = n.input("x")?;
    let x = n.conv("conv1", x, n.channels)?;
    let x = n.norm("norm1", x)?;
    let skip = n.relu("relu1", x)?;
    let y = n.conv("conv2", skip, n.channels)?;
    let y = n.relu("relu2", y)?;
    let sum = n.g.add("sum", Add {}, &[y, skip])?;
    let z = n.conv("conv3", sum, n.channels)?;
    let again = n.g.add("again", Add {}, &[z, skip])?;
    n.end(again)
}

fn dense_block(n: &mut Net) -> Result<()> {
    let x = n.input("x")?;
    let x = n.conv("conv1", x, n.channels)?;
    let y = n.conv("conv2", x, 2)?;
    let y = n.relu("relu2", y)?;
    let merged = n.concat("merged1", &[x, y])?;
    let z = n.conv("conv3", merged, 2)?;
    let z = n.norm("norm3", z)?;
    let all = n.concat("merged2", &[merged, z])?;
    let all = n.conv("conv4", all, n.channels)?;
    n.end(all)
}

fn batch_norms(n: &mut Net) -> Result<()> {
    let x = n.input("x")?;
    let x = n.conv("conv1", x, n.channels)?;
    let x = n.norm("norm1", x)?;
    let x = n.relu("relu1", x)?;
    let x = n.depthwise("depthwise2", x)?;
    let x = n.norm("norm2", x)?;
    let x = n.conv("conv3", x, n.channels + 2)?;
    let x = n.norm("norm3", x)?;
    let x = n.relu("relu3", x)?;
    n.end(x)
}

fn flattened(n: &mut Net) -> Result<()> {
    let x = n.input("x")?;
    let x = n.conv("conv1", x, n.channels)?;
    let x = n.pool("pool1", x)?;
    let x = n.flatten("flat", x)?;
    let x = n.dense("fc", x, n.channels + 3)?;
    let x = n.g.add("fc_act", Sigmoid {}, &[x])?;
    n.g.set_outputs(vec![x]);
    Ok(())
}

fn squeeze_excite(n: &mut Net) -> Result<()> {
    let x = n.input("x")?;
    let x = n.conv("conv1", x, n.channels)?;
    let s = n.average("squeezed", x)?;
    let s = n.flatten("squeezed_flat", s)?;
    let s = n.dense("squeeze", s, 2)?;
    let s = n.relu("squeeze_relu", s)?;
    let s = n.dense("excite", s, n.channels)?;
    let s = n.g.add("gate", Sigmoid {}, &[s])?;
    let one = Dim::Fixed(1);
    let dims = match n.layout {
        Layout::Nchw => vec![Dim::Copy, Dim::Fixed(n.channels), one, one],
        Layout::Nhwc => vec![Dim::Copy, one, one, Dim::Fixed(n.channels)],
    };
    let s = n.g.add("gate_map", Reshape { dims }, &[s])?;
    let x = n.g.add("scaled", Multiply {}, &[x, s])?;
    let x = n.conv("conv2", x, n.channels)?;
    n.end(x)
}
