//! What is recorded for whole networks: counts, sizes, limits. No device is needed.

use regraft::Result;
use regraft::backend::gpu::record;
use regraft::graph::{Graph, rewrite};
use regraft::ops::{Clamp, Dense, GpuLimits};
use regraft::plan::Plan;
use regraft::tensor::{Tensor, TensorType};
use regraft::zoo::{Architecture, Weights};

use crate::SEED;

/// Networks of the zoo with drawn weights, planned for one image.
pub(crate) fn networks() -> Result<Vec<(&'static str, Plan)>> {
    use Architecture::{EfficientnetLite0, MobilenetV2, Resnet18, Squeezenet1_1};
    let plan = |a: Architecture| {
        let graph = a.build(Weights::Random { seed: SEED, classes: 1000 })?.graph;
        Ok((a.name(), Plan::new(&rewrite::fuse(&rewrite::lower(&graph.for_inference())?)?, None)?))
    };
    [EfficientnetLite0, MobilenetV2, Squeezenet1_1, Resnet18].into_iter().map(plan).collect()
}

/// Convolutions, depthwise or not, and the dense layer; pooling, softmax, and the turn of the input to NHWC.
#[test]
fn a_network_is_one_dispatch_a_layer() -> Result<()> {
    let expected = [("efficientnet_lite0", 49 + 1 + 3), ("mobilenet_v2", 52 + 1 + 3)];
    for (name, plan) in networks()? {
        let Some((_, count)) = expected.iter().find(|(n, _)| *n == name) else { continue };
        assert_eq!(record(&plan, GpuLimits::default())?.dispatches.len(), *count, "{name}");
    }
    Ok(())
}

fn dense(rows: usize, k: usize, n: usize) -> Result<Plan> {
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([rows, k]), true)?;
    let w = g.constant("w", Tensor::f32([k, n], vec![0.0; k * n])?)?;
    let y = g.add("y", Dense { bias: false, clamp: Some(Clamp::RELU) }, &[x, w])?;
    g.set_outputs(vec![y]);
    Plan::new(&g, None)
}

#[test]
fn bindings_and_grids_stay_within_limits() -> Result<()> {
    let limits = GpuLimits { binding_bytes: 64 << 10, groups_per_dimension: 7, ..GpuLimits::default() };
    for rows in [1, 9, 500] {
        let recording = record(&dense(rows, 600, 30)?, limits)?;
        assert!(recording.dispatches.len() > 1, "a matrix of 72 kB has two parts");
        for (_, dispatch) in &recording.dispatches {
            assert!(dispatch.bindings.iter().all(|b| b.region.len as u64 * 4 <= limits.binding_bytes));
            assert!(dispatch.bindings.iter().all(|b| b.region.first as u64 * 4 % limits.alignment == 0));
            assert!(dispatch.grid.iter().all(|g| *g <= limits.groups_per_dimension), "{:?}", dispatch.grid);
        }
    }
    Ok(())
}

/// 4096 × 25088 × 4096 multiply-accumulates are no single dispatch.
#[test]
fn long_dispatches_are_cut() -> Result<()> {
    let recording = record(&dense(2048, 1024, 1024)?, GpuLimits::default())?;
    assert_eq!(recording.dispatches.len(), 3);
    let mut next = 0;
    for (_, dispatch) in &recording.dispatches {
        assert_eq!(dispatch.params[0], next, "slices follow each other");
        next += dispatch.grid[0] * dispatch.grid[1];
    }
    Ok(())
}
