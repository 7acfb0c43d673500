//! Every case of every op that has a kernel, against its `f64` reference.

use std::collections::HashMap;

use half::f16;
use regraft::backend::gpu::{Gpu, GpuOptions, Recording, record};
use regraft::backend::{Backend, Device};
use regraft::graph::{Graph, VertexId};
use regraft::ops::{Add, Case, GpuLimits, Op, Tiles, all_cases};
use regraft::plan::Plan;
use regraft::tensor::{Floats, Rows, Tensor, TensorType};
use regraft::{Error, Result};

use crate::{SEED, gpu, gpu_test, worst};

/// Where a case's inputs other than the first come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Weights {
    /// They are constants of the plan.
    Fixed,
    /// They are written for the run.
    Written,
}

/// A graph of the case's op alone; its inputs are called `x0`, `x1`…
pub(crate) fn graph_of(case: &Case, x: &[Vec<f32>], weights: Weights) -> Result<Graph> {
    let mut g = Graph::new();
    let mut inputs: Vec<VertexId> = Vec::new();
    for (index, (ty, x)) in case.types().into_iter().zip(x).enumerate() {
        let name = format!("x{index}");
        let written = index <= case.op.updates() || weights == Weights::Written;
        inputs.push(if written {
            g.input(name, ty, false)?
        } else {
            let value = Tensor::f32(ty.shape.clone(), x.clone())?;
            g.constant(name, value)?
        });
    }
    let y = g.add("y", case.op.clone(), &inputs)?;
    g.set_outputs(vec![y]);
    Ok(g)
}

async fn run(case: &Case, x: &[Vec<f32>], weights: Weights, device: &Device) -> Result<Vec<f32>> {
    let mut backend = Backend::new(Plan::new(&graph_of(case, x, weights)?, None)?, device)?;
    for (index, x) in x.iter().enumerate() {
        backend.write(&format!("x{index}"), x)?;
    }
    let request = backend.request(&["y"])?;
    let mut read = backend.run_for(&request)?;
    read.arrived().await?;
    Ok(read.get(0)?.to_vec())
}

gpu_test!(gpu_agrees_with_the_references, agrees);
async fn agrees() -> Result<()> {
    let [small, large, wide, shared] = Tiles::ALL;
    let mut tried = Tried::default();
    for (lanes, tiles) in [
        (GpuLimits::default().lanes, small),
        (FEW_LANES, small),
        (FEW_LANES, large),
        (FEW_LANES, wide),
        (FEW_LANES, shared),
    ] {
        let options = GpuOptions { lanes: Some(lanes), tiles: [tiles; 2], ..GpuOptions::default() };
        let (agreed, refused) = tried.agrees_on(gpu(options).await).await?;
        assert_eq!(refused, 0, "cases were refused");
        assert!(agreed > 0, "tiles of {} for {lanes} lanes change nothing", tiles.name());
        eprintln!("{agreed} on the GPU, in tiles of {} for {lanes} lanes", tiles.name());
    }
    Ok(())
}

gpu_test!(gpu_agrees_with_the_references_where_little_can_be_bound, agrees_in_parts);
async fn agrees_in_parts() -> Result<()> {
    let options = GpuOptions { binding_bytes: Some(LITTLE), ..GpuOptions::default() };
    let (agreed, _) = Tried::default().agrees_on(gpu(options).await).await?;
    assert!(agreed > all_cases().len(), "only {agreed} cases were tried");
    Ok(())
}

gpu_test!(winograds_form_agrees_with_the_references, winograd);
async fn winograd() -> Result<()> {
    let options = GpuOptions { winograd: [true; 2], binding_bytes: Some(SOME_TILES), ..GpuOptions::default() };
    let gpu = gpu(options).await;
    let (limits, device) = (gpu.limits(), Device::Gpu(gpu));
    let mut chunks = Vec::new();
    for (index, case) in all_cases().iter().enumerate().filter(|(_, case)| matches!(case.op, Op::Conv2d(_))) {
        let x = case.draw(SEED + index as u64);
        let plan = Plan::new(&graph_of(case, &x, Weights::Fixed)?, None)?;
        let dispatches = record(&plan, limits)?.dispatches;
        match dispatches.iter().filter(|(_, dispatch)| dispatch.kernel.text.contains("v = Bᵀ d B")).count() {
            0 => continue,
            count => chunks.push(count),
        }
        let y = run(case, &x, Weights::Fixed, &device).await?;
        let expected = case.op.reference(&case.to_f64(&x));
        let (share, at) = worst(&y, expected.iter().copied());
        assert!(share <= 1.0, "case {index}, {case:?}: element {at} has {share} of what is allowed, seed {SEED}");
    }
    assert_eq!(chunks, [2, 1], "runs of tiles of each case that is done so");
    Ok(())
}

/// Bytes that the inputs, results and transformed filters of the cases have, but not all of their tiles at a time.
const SOME_TILES: u64 = 48 << 10;

/// Bytes that can be bound at a time: less than many cases have.
const LITTLE: u64 = 1 << 10;

gpu_test!(weights_of_sixteen_bits_change_no_bit, halves);
async fn halves() -> Result<()> {
    let usual = Device::Gpu(gpu(GpuOptions::default()).await);
    let shared = GpuOptions { lanes: Some(FEW_LANES), tiles: [Tiles::Workgroup; 2], ..GpuOptions::default() };
    let shared = Device::Gpu(gpu(shared).await);
    let mut tried = 0;
    for (index, case) in all_cases().iter().enumerate() {
        let x = rounded(&case.draw(SEED + index as u64));
        if !is_halved(&graph_of(case, &x, Weights::Fixed)?)? {
            continue;
        }
        tried += 1;
        for device in [&usual, &shared] {
            let [halves, whole] = [Weights::Fixed, Weights::Written].map(|weights| run(case, &x, weights, device));
            assert_eq!(halves.await?, whole.await?, "case {index}, {case:?}");
        }
    }
    assert!(tried > 5, "only {tried} cases have weights that are stored so");
    Ok(())
}

gpu_test!(inputs_of_sixteen_bits_are_read_exactly, half_inputs);
async fn half_inputs() -> Result<()> {
    // An odd number of them, infinities among them.
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|v| !v.is_nan()).skip(1).collect();
    let plan = Plan::new(&doubled(all.len())?, None)?.with_halves(&["x".to_owned()]);
    let (rows, set): (Vec<usize>, _) = ((0..all.len()).collect(), Rows { len: 1, elements: Floats::F16(all.clone()) });
    for device in [Device::Gpu(gpu(GpuOptions::default()).await), Device::Cpu] {
        let mut backend = Backend::new(plan.clone(), &device)?;
        backend.write_rows("x", &set, &rows)?;
        let request = backend.request(&["y"])?;
        let mut read = backend.run_for(&request)?;
        read.arrived().await?;
        let wrong = all.iter().zip(read.get(0)?).find(|(x, y)| 2.0 * x.to_f32() != **y);
        assert_eq!(wrong, None, "on {device:?}");
        assert!(backend.write_rows("x", &set, &rows[1..]).is_err(), "one value is missing");
    }
    Ok(())
}

/// `y = x + x`.
pub(crate) fn doubled(len: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([len]), false)?;
    let y = g.add("y", Add {}, &[x, x])?;
    g.set_outputs(vec![y]);
    Ok(g)
}

/// Values with the digits of 16-bit floats.
pub(crate) fn rounded(x: &[Vec<f32>]) -> Vec<Vec<f32>> {
    x.iter().map(|x| x.iter().map(|value| f16::from_f32(*value).to_f32()).collect()).collect()
}

/// Whether a plan of the graph reads a constant as 16-bit floats.
pub(crate) fn is_halved(graph: &Graph) -> Result<bool> {
    let recording = record(&Plan::new(graph, None)?, GpuLimits::default())?;
    let mut bindings = recording.dispatches.iter().flat_map(|(_, dispatch)| &dispatch.bindings);
    // Two bytes an element.
    Ok(bindings.any(|binding| binding.region.bytes() < binding.region.len as u64 * 4))
}

/// So few that nothing is split for want of invocations, as on a software adapter.
const FEW_LANES: u64 = 8;

/// What ran for each case so far: a setting that changes nothing of it need not be tried.
#[derive(Default)]
struct Tried(HashMap<(usize, Weights), Vec<Recording>>);

impl Tried {
    /// Tries all cases for which a device does something new; gives how many it did, and how many it refused as too large.
    async fn agrees_on(&mut self, gpu: Gpu) -> Result<(usize, usize)> {
        let (limits, device) = (gpu.limits(), Device::Gpu(gpu));
        let (mut failures, mut agreed, mut refused, mut largest) = (Vec::new(), 0, 0, 0.0_f64);
        for (index, case) in all_cases().iter().enumerate() {
            let x = case.draw(SEED + index as u64);
            let mut expected: Option<Vec<f64>> = None;
            for weights in [Weights::Written, Weights::Fixed] {
                let recording = match record(&Plan::new(&graph_of(case, &x, weights)?, None)?, limits) {
                    Err(Error::OverBudget { .. }) => {
                        refused += 1;
                        continue;
                    }
                    recording => recording?,
                };
                let known = self.0.entry((index, weights)).or_default();
                if known.iter().any(|known| known.dispatches == recording.dispatches) {
                    continue;
                }
                known.push(recording);
                let y = run(case, &x, weights, &device).await?;
                agreed += 1;
                let expected =
                    expected.get_or_insert_with(|| case.op.reference(&case.to_f64(&x)).iter().copied().collect());
                let (share, at) = worst(&y, expected.iter().copied());
                largest = largest.max(share);
                if share > 1.0 || y.len() != expected.len() {
                    let (y, e) = (y.get(at), expected.get(at));
                    failures.push(format!("case {index}, {case:?}, {weights:?}: element {at} is {y:?}, not {e:?}"));
                }
            }
        }
        assert!(
            failures.is_empty(),
            "{} of {agreed} cases fail, seed {SEED}:\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(largest > 0.0, "the comparison sees no rounding at all");
        Ok((agreed, refused))
    }
}
