//! A small network through `Session` on both backends.

use regraft::backend::gpu::GpuOptions;
use regraft::backend::{Device, Gpu, Session};
use regraft::graph::{Graph, VertexId, rewrite};
use regraft::ops::{
    Add, BatchNorm, Clamp, Clip, Conv2d, Dense, DepthwiseConv2d, Flatten, GlobalAvgPool, Layout, Role, Softmax, Tiles,
    Transpose, Window,
};
use regraft::tensor::{Tensor, TensorType};
use regraft::{Error, Result};

use crate::conformance::{is_halved, rounded};
use crate::{SEED, gpu, gpu_test, worst};

/// Images of a run.
const BATCH: usize = 2;
/// Height and width of the images.
pub(crate) const SIDE: usize = 17;

/// Values in −1..1 from a linear congruential generator (Knuth, MMIX).
pub(crate) fn drawn(len: usize, seed: u64) -> Vec<f32> {
    let mut state = SEED.wrapping_add(seed);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Builds a network layer by layer.
struct Net {
    g: Graph,
    seed: u64,
    /// Whether weights have the digits of 16-bit floats.
    halves: bool,
}

impl Net {
    fn weights(&mut self, name: String, role: Role, shape: &[usize]) -> Result<VertexId> {
        self.seed += 1;
        let values = drawn(shape.iter().product(), self.seed);
        // Variances are positive.
        let values = match role {
            Role::Variance => values.iter().map(|v| v.abs() + 0.5).collect(),
            Role::Weight if self.halves => rounded(&[values]).concat(),
            _ => values,
        };
        self.g.parameter(name, role, Tensor::f32(shape, values)?)
    }

    fn norm(&mut self, x: VertexId, name: &str, channels: usize) -> Result<VertexId> {
        let mut inputs = vec![x];
        for role in [Role::Gamma, Role::Beta, Role::Mean, Role::Variance] {
            inputs.push(self.weights(format!("{name}.{role:?}"), role, &[channels])?);
        }
        self.g.add(
            format!("{name}.norm"),
            BatchNorm { epsilon: 1e-3, momentum: 0.9, layout: Layout::Nchw, clamp: None },
            &inputs,
        )
    }

    fn conv(&mut self, x: VertexId, name: &str, [kernel, c, m, stride]: [usize; 4]) -> Result<VertexId> {
        let w = self.weights(format!("{name}.weight"), Role::Weight, &[kernel, kernel, c, m])?;
        let window = Window { stride: [stride; 2], padding: [kernel / 2; 4], dilation: [1, 1] };
        let conv = Conv2d { window, groups: 1, bias: false, residual: false, clamp: None, layout: Layout::Nchw };
        let y = self.g.add(name, conv, &[x, w])?;
        self.norm(y, name, m)
    }

    fn depthwise(&mut self, x: VertexId, name: &str, channels: usize) -> Result<VertexId> {
        let w = self.weights(format!("{name}.weight"), Role::Weight, &[3, 3, channels])?;
        let window = Window { padding: [1; 4], ..Window::default() };
        let conv = DepthwiseConv2d { window, bias: false, clamp: None, layout: Layout::Nchw };
        let y = self.g.add(name, conv, &[x, w])?;
        self.norm(y, name, channels)
    }

    fn relu6(&mut self, x: VertexId, name: &str) -> Result<VertexId> {
        self.g.add(format!("{name}.relu6"), Clip { clamp: Clamp::RELU6 }, &[x])
    }
}

/// A stem, an inverted residual and a head, as MobileNetV2 has them.
pub(crate) fn network() -> Result<Graph> {
    network_of(false)
}

fn network_of(halves: bool) -> Result<Graph> {
    let mut net = Net { g: Graph::new(), seed: 0, halves };
    let x = net.g.input("image", TensorType::f32([1, 3, SIDE, SIDE]), true)?;
    let x = net.conv(x, "stem", [3, 3, 16, 2])?;
    let stem = net.relu6(x, "stem")?;
    let x = net.conv(stem, "expand", [1, 16, 52, 1])?;
    let x = net.relu6(x, "expand")?;
    let x = net.depthwise(x, "depthwise", 52)?;
    let x = net.relu6(x, "depthwise")?;
    let x = net.conv(x, "project", [1, 52, 16, 1])?;
    let x = net.g.add("residual", Add, &[x, stem])?;
    let x = net.conv(x, "last", [1, 16, 33, 1])?;
    let x = net.relu6(x, "last")?;
    let pooled = net.g.add("pooled", GlobalAvgPool { layout: Layout::Nchw }, &[x])?;
    let x = net.g.add("flat", Flatten { axis: 1 }, &[pooled])?;
    let w = net.weights("head.weight".into(), Role::Weight, &[33, 5])?;
    let b = net.weights("head.bias".into(), Role::Bias, &[5])?;
    let x = net.g.add("head", Dense { bias: true, clamp: None }, &[x, w, b])?;
    let x = net.g.add("predictions", Softmax { axis: 1 }, &[x])?;
    net.g.set_outputs(vec![x, pooled]);
    Ok(net.g)
}

gpu_test!(both_backends_agree, agree);
async fn agree() -> Result<()> {
    for halves in [false, true] {
        let graph = network_of(halves)?;
        let compiled = rewrite::fuse(&rewrite::lower(&graph.for_inference())?)?;
        assert_eq!(is_halved(&compiled)?, halves, "batch norms are folded into weights, which keep their digits");
        agree_on(&graph).await?;
    }
    Ok(())
}

async fn agree_on(graph: &Graph) -> Result<()> {
    let mut cpu = Session::new(graph, BATCH, None)?;
    for options in [GpuOptions::default(), GpuOptions { default_limits: true, ..GpuOptions::default() }] {
        let gpu = gpu(options).await;
        let mut session = Session::on(&Device::Gpu(gpu), graph, BATCH, None)?;
        for run in 0..3 {
            let image = drawn(BATCH * 3 * SIDE * SIDE, 1000 + run);
            let inputs: [(&str, &[f32]); 1] = [("image", &image)];
            cpu.run(&inputs)?;
            session.start(&inputs)?;
            session.arrived().await?;
            for index in 0..2 {
                let (ours, theirs) = (session.output(index)?, cpu.output(index)?);
                assert_eq!(ours.len(), theirs.len());
                let (share, at) = worst(ours, theirs.iter().map(|v| f64::from(*v)));
                assert!(share <= 1.0, "run {run}, output {index}, element {at}: {share} of what is allowed");
            }
        }
    }
    Ok(())
}

gpu_test!(a_run_is_one_submit_and_makes_nothing, counts);
async fn counts() -> Result<()> {
    let gpu = gpu(GpuOptions::default()).await;
    let mut session = Session::on(&Device::Gpu(gpu.clone()), &network()?, BATCH, None)?;
    let image = drawn(BATCH * 3 * SIDE * SIDE, 1);
    session.start(&[("image", &image)])?;
    session.arrived().await?;
    let before = gpu.counters();
    session.start(&[("image", &image)])?;
    session.arrived().await?;
    let after = gpu.counters();
    // The turn of the image to NHWC, five convolutions, pooling, the head and softmax.
    assert_eq!((after.submits - before.submits, after.dispatches - before.dispatches), (1, 9));
    assert_eq!(after.bytes_written - before.bytes_written, image.len() as u64 * 4);
    assert_eq!(after.bytes_read - before.bytes_read, (BATCH * (5 + 33) * 4) as u64);
    assert_eq!(after.buffers_made, before.buffers_made);
    assert_eq!(after.bind_groups, before.bind_groups);
    assert_eq!(after.pipelines, before.pipelines);
    Ok(())
}

gpu_test!(tiles_are_timed, tiles);
async fn tiles() -> Result<()> {
    let gpu = gpu(GpuOptions { lanes: Some(64), ..GpuOptions::default() }).await;
    // Looks at the clock: two for each of a submission, an empty one and the work, three times for each kind of work and way to do it.
    const LOOKS: usize = 2 * 3 * 3;
    let [small, large, wide, _] = Tiles::ALL;
    for (times, tiles, winograd) in [
        ([1.0, 2.0, 2.0, 1.0, 3.0, 3.0, 2.0, 1.0, 1.0, 2.0], [small, large], [true, false]),
        ([2.0, 3.0, 1.0, 3.0, 2.0, 1.0, 3.0, 3.0, 2.0, 1.0], [large, wide], [false, true]),
    ] {
        let (mut looks, mut time) = (0, 0.0);
        let mut now = || {
            // It stands still but for the work.
            let work = times.get(looks / LOOKS).copied().unwrap_or(f64::NAN);
            looks += 1;
            time += if looks % 6 == 0 { work } else { 0.0 };
            time
        };
        let found = gpu.time_tiles(&mut now).await?;
        // A software adapter has three candidates.
        assert_eq!((looks, found), (times.len() * LOOKS, (tiles, winograd)));
        assert_eq!((gpu.limits().tiles, gpu.limits().winograd), found);
    }
    Ok(())
}

gpu_test!(dispose_returns_every_buffer, disposed);
async fn disposed() -> Result<()> {
    let gpu = gpu(GpuOptions::default()).await;
    let device = Device::Gpu(gpu.clone());
    let (graph, image) = (network()?, drawn(BATCH * 3 * SIDE * SIDE, 1));
    let mut plateau = None;
    for _ in 0..3 {
        let mut session = Session::on(&device, &graph, BATCH, None)?;
        session.start(&[("image", &image)])?;
        session.arrived().await?;
        let bytes = gpu.counters().bytes_alive;
        assert_eq!(*plateau.get_or_insert(bytes), bytes, "a second plan takes more memory than the first");
        assert!(bytes > 0);
        // One that is dropped before its values have come.
        session.start(&[("image", &image)])?;
    }
    gpu.dispose();
    let counters = gpu.counters();
    assert_eq!((counters.buffers_alive, counters.bytes_alive), (0, 0));
    Ok(())
}

/// Runs a graph of one input `x` and one output on the CPU, and on a GPU that binds no more than some bytes at a time.
async fn agree_in_parts(g: &Graph, batch: usize, binding_bytes: u64, about: &str) -> Result<()> {
    let gpu: Gpu = gpu(GpuOptions { binding_bytes: Some(binding_bytes), ..GpuOptions::default() }).await;
    let x = drawn(g.get(g.inputs()[0]).ty.shape.len(), 9);
    let mut cpu = Session::new(g, batch, None)?;
    cpu.run(&[("x", &x)])?;
    let mut session = Session::on(&Device::Gpu(gpu.clone()), g, batch, None)?;
    session.start(&[("x", &x)])?;
    session.arrived().await?;
    let (share, at) = worst(session.output(0)?, cpu.output(0)?.iter().map(|v| f64::from(*v)));
    assert!(share <= 1.0, "{about}, element {at}: {share} of what is allowed");
    assert!(gpu.counters().dispatches > 1, "{about} was not split");
    Ok(())
}

gpu_test!(filters_larger_than_a_binding_are_split, split_filters);
async fn split_filters() -> Result<()> {
    let window = |stride, padding, dilation| Window { stride, padding, dilation };
    for (window, groups, x, w) in [
        (window([1, 1], [2, 1, 2, 1], [1, 1]), 1, [1, 6, 6, 4], [5, 3, 4, 16]),
        (window([2, 1], [3, 0, 1, 1], [2, 1]), 1, [2, 9, 5, 4], [4, 3, 4, 16]),
        (window([1, 1], [0; 4], [1, 1]), 2, [1, 7, 4, 8], [5, 2, 4, 24]),
        // A matrix of one row a channel.
        (Window::default(), 1, [1, 2, 5, 52], [1, 1, 52, 16]),
        (window([2, 2], [0; 4], [1, 1]), 1, [1, 5, 5, 8], [2, 2, 8, 24]),
    ] {
        let mut g = Graph::new();
        let input = g.input("x", TensorType::f32(x), false)?;
        let weights = g.constant("w", Tensor::f32(w, drawn(w.iter().product(), 7))?)?;
        let bias = g.constant("b", Tensor::f32([w[3]], drawn(w[3], 8))?)?;
        let layout = Layout::Nhwc;
        let plain = Conv2d { window, groups, bias: true, residual: false, clamp: None, layout };
        let first = g.add("first", plain.clone(), &[input, weights, bias])?;
        // With all that follows a sum.
        let all = Conv2d { residual: true, clamp: Some(Clamp::RELU), ..plain };
        let y = g.add("y", all, &[input, weights, bias, first])?;
        g.set_outputs(vec![y]);
        agree_in_parts(&g, x[0], 2560, &format!("{x:?} and {w:?}")).await?;
    }
    Ok(())
}

gpu_test!(weights_larger_than_a_binding_are_split, split);
async fn split() -> Result<()> {
    for (rows, k, n) in [(1, 250, 24), (5, 200, 32), (4, 301, 17)] {
        let mut g = Graph::new();
        let x = g.input("x", TensorType::f32([rows, k]), false)?;
        let w = g.constant("w", Tensor::f32([k, n], drawn(k * n, 7))?)?;
        let b = g.constant("b", Tensor::f32([n], drawn(n, 8))?)?;
        let y = g.add("y", Dense { bias: true, clamp: Some(Clamp::RELU) }, &[x, w, b])?;
        g.set_outputs(vec![y]);
        agree_in_parts(&g, rows, 8 << 10, &format!("{rows}×{k}×{n}")).await?;
    }
    Ok(())
}

gpu_test!(an_op_without_a_kernel_is_named, unknown);
async fn unknown() -> Result<()> {
    // Strided kernels take six dimensions.
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([2; 7]), true)?;
    let y = g.add("turned", Transpose { perm: (0..7).rev().collect() }, &[x])?;
    g.set_outputs(vec![y]);
    let error = Session::on(&Device::Gpu(gpu(GpuOptions::default()).await), &g, 2, None).err();
    assert_eq!(error, Some(Error::NoKernel { vertex: "turned".into(), op: "transpose" }));
    Ok(())
}
