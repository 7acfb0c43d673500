//! Where networks can be cut, against the definition and against published numbers.

use regraft::graph::{CutPoint, Graph, VertexId};
use regraft::ops::{Layout, Op};
use regraft::zoo::{Architecture, Weights};

/// Whether an output can be reached from an input without passing `without`.
fn reaches(graph: &Graph, without: VertexId) -> bool {
    let mut reached = vec![false; graph.len()];
    for (id, vertex) in graph.iter().filter(|(id, _)| *id != without) {
        let from = vertex.inputs.iter().any(|input| reached[input.index()]);
        reached[id.index()] = from || matches!(vertex.op, Op::Input(_));
    }
    graph.outputs().iter().any(|output| reached[output.index()])
}

/// The definition: each vertex is taken out in turn.
fn by_definition(graph: &Graph) -> Vec<String> {
    let visible = graph.iter().filter(|(id, v)| {
        !v.is_stored() && v.layer.is_none() && !matches!(v.op, Op::Input(_)) && !graph.outputs().contains(id)
    });
    visible.filter(|(id, _)| !reaches(graph, *id)).map(|(_, v)| v.name.clone()).collect()
}

fn names(points: &[CutPoint]) -> Vec<String> {
    points.iter().map(|point| point.name.clone()).collect()
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn cuts_are_articulation_points() {
    for layout in [Layout::Nchw, Layout::Nhwc] {
        let (mut graph, _) = crate::common::network(layout);
        let output = graph.outputs()[0];
        // With an inner value among the outputs, nothing after it is a cut.
        assert_eq!(names(&graph.cut_points().expect("points")), by_definition(&graph));
        graph.set_outputs(vec![output]);
        let points = graph.cut_points().expect("points");
        assert_eq!(names(&points), by_definition(&graph));
        assert!(points.iter().any(|p| p.name == "residual") && points.iter().all(|p| p.name != "gate"), "{points:?}");
    }
    for architecture in ["resnet18", "mobilenet_v2", "squeezenet1_1"] {
        let graph = zoo(architecture);
        assert_eq!(names(&graph.cut_points().expect("points")), by_definition(&graph), "{architecture}");
    }
}

fn zoo(name: &str) -> Graph {
    let architecture = Architecture::from_name(name).expect("a name");
    architecture.build(Weights::Random { seed: 1, classes: 1000 }).expect("builds").graph
}

/// torchvision's ResNet-18: 11 689 512 parameters, 513 000 of them in the last layer, 1.814 billion multiply-accumulates.
#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn costs_of_resnet18_are_the_published_ones() {
    let graph = zoo("resnet18");
    let points = graph.cut_points().expect("points");
    let pooled = points.iter().find(|p| p.feature_shape == [512, 1, 1] || p.feature_shape == [512]).expect("pooled");
    assert_eq!((pooled.feature_bytes_per_image, pooled.head_parameters), (2048, 513_000));
    // 1 814 073 344 with the last layer's 512 × 1000; adds, pools and norms are not multiply-accumulates of that count.
    let convolutions = 1_814_073_344 - 512_000;
    let share = pooled.trunk_macs as f64 / f64::from(convolutions);
    assert!((1.0..1.01).contains(&share), "{} against {convolutions}", pooled.trunk_macs);
    let map = points.iter().rfind(|p| p.feature_shape == [512, 7, 7]).expect("the last map");
    assert_eq!((map.feature_bytes_per_image, map.head_parameters), (512 * 49 * 4, 513_000));
    let first = points.first().expect("the first convolution");
    assert_eq!(first.trunk_macs, 7 * 7 * 3 * 64 * 112 * 112);
    // All but the first convolution's 9 408 weights; running means and variances (9 600 in all) are counted too.
    assert_eq!(first.head_parameters, 11_689_512 - 9_408 + 9_600);
    assert!(
        points.is_sorted_by_key(|p| p.trunk_macs) && points.is_sorted_by_key(|p| std::cmp::Reverse(p.head_parameters))
    );
}
