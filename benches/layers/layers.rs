//! A planned network step by step, for `layers.mjs` beside this file, which times it in the browser.
//!
//! Built as a wasm module with plain exports: what wasm-bindgen would fill in is never called here.

use std::cell::RefCell;
use std::fmt::Write as _;

use regraft::backend::CpuBackend;
use regraft::error::{Error, Result};
use regraft::graph::{Graph, rewrite};
use regraft::ops::{Clamp, Conv2d, Layout, Window};
use regraft::plan::Plan;
use regraft::tensor::{Tensor, TensorType};
use regraft::zoo::{Architecture, Weights};

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State { backend: None, text: String::new() }) };
}

struct State {
    backend: Option<CpuBackend>,
    text: String,
}

/// Room for `len` bytes of a name.
#[unsafe(no_mangle)]
pub extern "C" fn text(len: usize) -> *mut u8 {
    STATE.with_borrow_mut(|state| {
        state.text = "\0".repeat(len);
        state.text.as_mut_ptr()
    })
}

/// Bytes of the text that [`text`] gave or [`load`] left.
#[unsafe(no_mangle)]
pub extern "C" fn text_len() -> usize {
    STATE.with_borrow(|state| state.text.len())
}

/// Plans the network named by the text for `batch` images: a zoo architecture, or `conv h w c k stride m`. Leaves a line a step, or why
/// there is none. Returns the number of steps.
#[unsafe(no_mangle)]
pub extern "C" fn load(batch: usize) -> usize {
    STATE.with_borrow_mut(|state| {
        state.backend = None;
        let (backend, text) = match plan(&state.text, batch) {
            Ok((backend, text)) => (Some(backend), text),
            Err(e) => (None, e.to_string()),
        };
        state.text = text;
        state.backend = backend;
        state.backend.as_ref().map_or(0, |b| b.plan().steps.len())
    })
}

/// Where the text lies.
#[unsafe(no_mangle)]
pub extern "C" fn text_at() -> *const u8 {
    STATE.with_borrow(|state| state.text.as_ptr())
}

/// Runs one step.
#[unsafe(no_mangle)]
pub extern "C" fn step(index: usize) {
    STATE.with_borrow_mut(|state| state.backend.as_mut().into_iter().for_each(|b| b.run_step(index)));
}

/// Runs all steps.
#[unsafe(no_mangle)]
pub extern "C" fn run() {
    STATE.with_borrow_mut(|state| state.backend.as_mut().into_iter().for_each(CpuBackend::run));
}

fn plan(name: &str, batch: usize) -> Result<(CpuBackend, String)> {
    let graph = match name.strip_prefix("conv ") {
        Some(sizes) => convolution(sizes)?,
        None => Architecture::from_name(name)?.build(Weights::Random { seed: 1, classes: 1000 })?.graph,
    };
    let graph = rewrite::fuse(&rewrite::lower(&graph.for_inference().with_batch(batch)?)?)?;
    let input = graph.get(graph.inputs()[0]);
    let (name, len) = (input.name.clone(), input.ty.shape.len());
    let plan = Plan::new(&graph, None)?;
    drop(graph);
    let mut backend = CpuBackend::new(plan)?;
    // Values as of a normalised image: neither all zero nor denormal.
    let pixels: Vec<f32> = (0..len).map(|i| (i * 7 % 255) as f32 / 127.0 - 1.0).collect();
    backend.write(&name, &pixels)?;
    let mut text = format!("{}\n", backend.plan().peak_bytes);
    for step in &backend.plan().steps {
        let types = step.types();
        let y = TensorType::f32(step.shape.clone());
        let macs = step.op.macs(&types.iter().collect::<Vec<_>>(), &y);
        let shapes: Vec<String> = types.iter().map(|t| t.shape.to_string()).collect();
        let _ = writeln!(text, "{}\t{}\t{macs}\t{}", step.vertex, step.op.name(), shapes.join(" "));
    }
    Ok((backend, text))
}

fn convolution(sizes: &str) -> Result<Graph> {
    let sizes: Vec<usize> = sizes.split_whitespace().filter_map(|x| x.parse().ok()).collect();
    let [h, w, c, k, stride, m] = sizes[..] else {
        return Err(Error::Internal { vertex: None, reason: "conv H W C K STRIDE M".into() });
    };
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([1, h, w, c]), true)?;
    let fill = |len: usize| (0..len).map(|i| (i * 31 % 64) as f32 / 64.0 - 0.5).collect::<Vec<f32>>();
    let filters = g.constant("w", Tensor::f32([k, k, c, m], fill(k * k * c * m))?)?;
    let bias = g.constant("b", Tensor::f32([m], fill(m))?)?;
    let window = Window { stride: [stride; 2], padding: [k / 2; 4], dilation: [1, 1] };
    let op = Conv2d { window, groups: 1, bias: true, residual: false, clamp: Some(Clamp::RELU6), layout: Layout::Nhwc };
    let y = g.add("y", op, &[x, filters, bias])?;
    g.set_outputs(vec![y]);
    Ok(g)
}
