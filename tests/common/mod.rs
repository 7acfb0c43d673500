//! A small network with every op that has a layout.

use regraft::graph::Graph;
use regraft::ops::{
    Add, AvgPool, BatchNorm, Clamp, Clip, Concat, Conv2d, Dense, DepthwiseConv2d, Dropout, Flatten, GlobalAvgPool,
    Layout, MaxPool, Multiply, Role, Scale, Sigmoid, Softmax, Window,
};
use regraft::tensor::{Tensor, TensorType};

/// Seed of weights and inputs.
const SEED: u64 = 0x0a11;

/// Named inputs with their shapes.
pub(crate) type Inputs = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Values in −1..1 from a linear congruential generator (Knuth, MMIX).
fn drawn(len: usize, seed: u64) -> Vec<f32> {
    let mut state = SEED.wrapping_add(seed);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A network in one layout, with every op that has one, on two images.
pub(crate) fn network(layout: Layout) -> (Graph, Inputs) {
    let mut g = Graph::new();
    let image = |c: usize, side: usize, n: usize| match layout {
        Layout::Nchw => vec![n, c, side, side],
        Layout::Nhwc => vec![n, side, side, c],
    };
    let x = g.input("image", TensorType::f32(image(3, 9, 1)), true).expect("input");
    let mut seed = 0;
    let mut weights = |g: &mut Graph, name: &str, role, shape: &[usize]| {
        seed += 1;
        let values = drawn(shape.iter().product(), seed);
        // Variances are positive.
        let values = if role == Role::Variance { values.iter().map(|v| v.abs() + 0.5).collect() } else { values };
        g.parameter(name, role, Tensor::f32(shape, values).expect("fits")).expect("parameter")
    };
    let w = weights(&mut g, "stem.weight", Role::Weight, &[3, 2, 3, 6]);
    let b = weights(&mut g, "stem.bias", Role::Bias, &[6]);
    let window = Window { stride: [2, 1], padding: [1, 0, 0, 2], dilation: [1, 2] };
    let conv = Conv2d { window, groups: 1, bias: true, residual: false, clamp: None, layout };
    let x = g.add("stem", conv, &[x, w, b]).expect("conv");
    let roles = [Role::Gamma, Role::Beta, Role::Mean, Role::Variance];
    let statistics = roles.map(|role| weights(&mut g, &format!("norm.{role:?}"), role, &[6]));
    let inputs: Vec<_> = [x].into_iter().chain(statistics).collect();
    let x =
        g.add("norm", BatchNorm { epsilon: 1e-3, momentum: 0.9, layout, clamp: None }, &inputs).expect("batch norm");
    let relu = g.add("relu", Clip { clamp: Clamp::RELU }, &[x]).expect("relu");
    let w = weights(&mut g, "depthwise.weight", Role::Weight, &[3, 3, 6]);
    let window = Window { padding: [1; 4], ..Window::default() };
    let conv = DepthwiseConv2d { window: window.clone(), bias: false, clamp: None, layout };
    let x = g.add("depthwise", conv, &[relu, w]).expect("conv");
    let gate = g.add("gate", Sigmoid, &[x]).expect("sigmoid");
    let x = g.add("swish", Multiply, &[x, gate]).expect("multiply");
    let w = weights(&mut g, "grouped.weight", Role::Weight, &[1, 1, 3, 6]);
    let conv = Conv2d { window: Window::default(), groups: 2, bias: false, residual: false, clamp: None, layout };
    let x = g.add("grouped", conv, &[x, w]).expect("conv");
    let x = g.add("residual", Add, &[x, relu]).expect("add");
    let pooling = Window { stride: [2, 2], padding: [1, 1, 0, 1], dilation: [1, 1] };
    let max = MaxPool { kernel: [2, 3], window: pooling.clone(), ceil: true, layout };
    let max = g.add("max", max, &[x]).expect("max");
    let average = AvgPool { kernel: [2, 3], window: pooling, ceil: true, count_include_pad: false, layout };
    let average = g.add("average", average, &[x]).expect("average");
    let x = g.add("joined", Concat { axis: layout.channel_axis() }, &[max, average]).expect("concat");
    let x = g.add("clipped", Clip { clamp: Clamp { min: None, max: Some(0.75) } }, &[x]).expect("clip");
    let pooled = g.add("pooled", GlobalAvgPool { layout }, &[x]).expect("pool");
    let x = g.add("flat", Flatten { axis: 1 }, &[pooled]).expect("flatten");
    let x = g.add("dropout", Dropout { rate: 0.25 }, &[x]).expect("dropout");
    let w = weights(&mut g, "head.weight", Role::Weight, &[12, 5]);
    let b = weights(&mut g, "head.bias", Role::Bias, &[5]);
    let x = g.add("head", Dense { bias: true, clamp: None }, &[x, w, b]).expect("dense");
    let x = g.add("scaled", Scale { factor: -2.0 }, &[x]).expect("scale");
    let softmax = g.add("predictions", Softmax { axis: 1 }, &[x]).expect("softmax");
    // A value of images among the outputs, and one that is there twice.
    g.set_outputs(vec![softmax, relu, pooled, softmax]);
    (g, vec![("image".into(), image(3, 9, 2), drawn(2 * 3 * 81, 99))])
}
