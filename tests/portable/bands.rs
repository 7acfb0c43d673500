//! Convolutions that run in bands of rows, against the same ones run whole.

use regraft::backend::CpuBackend;
use regraft::data::{Rng, Stream};
use regraft::graph::{Graph, VertexId};
use regraft::ops::{Add, Clamp, Conv2d, DepthwiseConv2d, Layout, Op, Window};
use regraft::plan::Plan;
use regraft::tensor::{Tensor, TensorType};

const SEED: u64 = 0xba2d;
const NETWORKS: u64 = 24;
/// Images have 48 to 71 rows and columns, of up to 128 channels: most are larger than what is held whole.
const SIDE: usize = 48;

fn drawn(rng: &mut Rng, shape: &[usize]) -> Tensor {
    let values = (0..shape.iter().product()).map(|_| rng.uniform() as f32 - 0.5).collect();
    Tensor::f32(shape, values).expect("fits")
}

/// Rows, columns and channels of a value.
fn sizes(g: &Graph, x: VertexId) -> [usize; 3] {
    let shape = &g.get(x).ty.shape;
    [shape[1], shape[2], shape[3]]
}

/// A window that fits, with taps, strides, paddings and dilations of any kind.
fn window(rng: &mut Rng, [h, w, _]: [usize; 3]) -> (Window, [usize; 2]) {
    let kernel = [1 + rng.below(4), 1 + rng.below(4)];
    let stride = std::array::from_fn(|_| 1 + usize::from(rng.below(5) == 0));
    let dilation = [1 + rng.below(2), 1 + rng.below(2)];
    let padding = std::array::from_fn(|_| rng.below(3));
    let window = Window { stride, padding, dilation };
    if window.output([h, w], kernel).is_ok() { (window, kernel) } else { (Window::default(), [1, 1]) }
}

/// Seven convolutions in a row, some of them with a residual, one of whose inputs is read twice.
fn network(rng: &mut Rng, images: usize) -> Graph {
    let (mut g, layout) = (Graph::new(), Layout::Nhwc);
    let side = |rng: &mut Rng| SIDE + rng.below(24);
    let ty = TensorType::f32([images, side(rng), side(rng), 4 + rng.below(9)]);
    let mut x = g.input("x", ty, false).expect("input");
    for at in 0..7 {
        let [h, w, c] = sizes(&g, x);
        let clamp = [None, Some(Clamp::RELU6)][rng.below(2)];
        x = if rng.below(2) == 0 {
            let (window, [kh, kw]) = window(rng, [h, w, c]);
            let weights = g.constant(format!("w{at}"), drawn(rng, &[kh, kw, c])).expect("weights");
            let bias = g.constant(format!("b{at}"), drawn(rng, &[c])).expect("bias");
            let op = DepthwiseConv2d { window, bias: true, clamp, layout };
            g.add(format!("y{at}"), op, &[x, weights, bias]).expect("fits")
        } else {
            let m = 64 + 4 * rng.below(17);
            let (window, [kh, kw]) =
                if rng.below(3) == 0 { window(rng, [h, w, c]) } else { (Window::default(), [1, 1]) };
            let weights = g.constant(format!("w{at}"), drawn(rng, &[kh, kw, c, m])).expect("weights");
            let residual = rng.below(3) == 0;
            let op = Conv2d { window, groups: 1, bias: false, residual, clamp, layout };
            let plain = Conv2d { residual: false, ..op.clone() };
            let y = if residual {
                let [oh, ow] = op.window.output([h, w], [kh, kw]).expect("fits");
                let other = g.constant(format!("r{at}"), drawn(rng, &[images, oh, ow, m])).expect("residual");
                g.add(format!("y{at}"), op, &[x, weights, other])
            } else {
                g.add(format!("y{at}"), plain, &[x, weights])
            };
            y.expect("fits")
        };
    }
    let twice = g.add("twice", Add, &[x, x]).expect("add");
    g.set_outputs(vec![twice]);
    g
}

fn run(plan: Plan, x: &[f32]) -> Vec<f32> {
    let mut backend = CpuBackend::new(plan).expect("backend");
    // Twice: what a run leaves in its buffers must not matter.
    for _ in 0..2 {
        backend.write("x", x).expect("input");
        backend.run();
    }
    let (mut now, mut times) = (0.0, Vec::new());
    times.extend(backend.profile(&mut || {
        now += 1.0;
        now
    }));
    assert!(times.iter().all(|step| step.time > 0.0), "steps without time");
    backend.read("twice").expect("output").to_vec()
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn bands_give_what_whole_images_give() {
    let (mut chains, mut cut) = (0, 0);
    for network_index in 0..NETWORKS {
        let mut rng = Rng::for_item(SEED, Stream::Init, network_index);
        let images = 1 + rng.below(2);
        let graph = network(&mut rng, images);
        let x = drawn(&mut rng, &graph.get(graph.inputs()[0]).ty.shape);
        let x = x.as_f32().expect("f32");
        let (whole, banded) = (Plan::new(&graph, None).expect("plan"), Plan::in_bands(&graph, None).expect("plan"));
        assert!(whole.chains.is_empty());
        chains += banded.chains.len();
        cut += banded.chains.iter().map(|chain| chain.len).sum::<usize>();
        let ops: Vec<&Op> = banded.steps.iter().map(|step| &step.op).collect();
        assert!(run(banded.clone(), x) == run(whole, x), "network {network_index}: {ops:?}");
    }
    assert!(chains > 12 && cut > 36, "{chains} chains of {cut} convolutions");
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn the_first_step_without_numbers_is_found_in_a_band() {
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([1, 48, 48, 4]), false).expect("input");
    let layout = Layout::Nhwc;
    let pointwise = Conv2d { window: Window::default(), groups: 1, bias: false, residual: false, clamp: None, layout };
    let same = Window { padding: [1; 4], ..Window::default() };
    let depthwise = DepthwiseConv2d { window: same, bias: false, clamp: None, layout };
    let constant = |g: &mut Graph, name: &str, shape: &[usize], value: f32| {
        let values = vec![value; shape.iter().product()];
        g.constant(name, Tensor::f32(shape, values).expect("fits")).expect("constant")
    };
    let wide = constant(&mut g, "wide", &[1, 1, 4, 128], 1.0);
    let taps = constant(&mut g, "taps", &[3, 3, 128], f32::MAX);
    let narrow = constant(&mut g, "narrow", &[1, 1, 128, 8], 1.0);
    let y = g.add("expand", pointwise.clone(), &[x, wide]).expect("fits");
    let y = g.add("depthwise", depthwise, &[y, taps]).expect("fits");
    let y = g.add("project", pointwise, &[y, narrow]).expect("fits");
    g.set_outputs(vec![y]);
    let plan = Plan::in_bands(&g, None).expect("plan");
    assert_eq!(plan.chains.iter().map(|chain| chain.len).collect::<Vec<_>>(), [3]);
    // What is handed on is 1.2 MB an image when it is held whole.
    assert!(plan.peak_bytes + (3 << 19) < Plan::new(&g, None).expect("plan").peak_bytes);
    let mut backend = CpuBackend::new(plan).expect("backend");
    backend.write("x", &vec![1e-9; 48 * 48 * 4]).expect("input");
    assert_eq!(backend.run_checked(), None);
    backend.write("x", &vec![1.0; 48 * 48 * 4]).expect("input");
    assert_eq!(backend.run_checked().as_deref(), Some("depthwise"));
}
