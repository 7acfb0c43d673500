//! What is recorded for whole networks: counts, sizes, limits. No device is needed.

use regraft::backend::gpu::record;
use regraft::graph::{Graph, rewrite};
use regraft::ops::{Clamp, Dense, GpuLimits};
use regraft::plan::Plan;
use regraft::tensor::{Tensor, TensorType};
use regraft::zoo::{Architecture, Weights};
use regraft::{Error, Result};

use crate::SEED;

/// A network of the zoo with drawn weights, planned for one image.
pub(crate) fn planned(architecture: Architecture) -> Result<Plan> {
    let graph = architecture.build(Weights::Random { seed: SEED, classes: 1000 })?.graph;
    Plan::new(&rewrite::fuse(&rewrite::lower(&graph.for_inference())?)?, None)
}

/// Convolutions, depthwise or not, and the dense layer; pooling, softmax, and the turn of the input to NHWC.
#[test]
fn a_network_is_one_dispatch_a_layer() -> Result<()> {
    for (network, count) in [(Architecture::EfficientnetLite0, 49 + 1 + 3), (Architecture::MobilenetV2, 52 + 1 + 3)] {
        let recording = record(&planned(network)?, GpuLimits::default())?;
        assert_eq!(recording.dispatches.len(), count, "{}", network.name());
    }
    Ok(())
}

/// Most bytes of transformed patches, and of products, at a time.
const WINOGRAD_BYTES: usize = 32 << 20;

/// Trunks run in batches of 8: no value of a network of the zoo is then larger than what every device can bind, but for a matrix
/// of VGG-16 (411 MB), which is bound part by part.
#[test]
fn networks_fit_default_limits_in_batches_of_eight() -> Result<()> {
    for network in Architecture::ALL {
        let graph = network.build(Weights::Random { seed: SEED, classes: 5 })?.graph.for_inference();
        let planned = |batch: usize| Plan::new(&rewrite::fuse(&rewrite::lower(&graph.with_batch(batch)?)?)?, None);
        let recording = record(&planned(8)?, GpuLimits::default())?;
        let split = recording.dispatches.windows(2).any(|pair| {
            let [(step, a), (next, b)] = pair else { return false };
            step == next && a.bindings[1].region.first < b.bindings[1].region.first
        });
        assert_eq!(split, network == Architecture::Vgg16, "{}", network.name());
        if network == Architecture::Vgg16 {
            // 64 channels of 224 × 224 places.
            let (needed, budget) = (16 * 64 * 224 * 224 * 4, GpuLimits::default().binding_bytes);
            let refused = record(&planned(16)?, GpuLimits::default()).err();
            assert_eq!(refused, Some(Error::OverBudget { needed, budget }), "twice as many are a matter of limits");
        }
        let winograd = record(&planned(8)?, GpuLimits { winograd: [true; 2], ..GpuLimits::default() })?;
        let is_winograd = winograd.scratch.iter().all(|len| *len > 0);
        let has_such = matches!(network, Architecture::Vgg16 | Architecture::Resnet18 | Architecture::Squeezenet1_1);
        assert_eq!(is_winograd, has_such, "{}", network.name());
        assert!(winograd.scratch.iter().all(|len| len * 4 <= WINOGRAD_BYTES), "{:?}", winograd.scratch);
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
fn weights_are_bound_part_by_part() -> Result<()> {
    let limits = GpuLimits { binding_bytes: 64 << 10, ..GpuLimits::default() };
    for rows in [1, 9, 20] {
        let recording = record(&dense(rows, 600, 30)?, limits)?;
        assert_eq!(recording.dispatches.len(), 2, "a matrix of 72 kB has two parts");
        for (_, dispatch) in &recording.dispatches {
            assert!(dispatch.bindings.iter().all(|b| b.region.len as u64 * 4 <= limits.binding_bytes));
            assert!(dispatch.bindings.iter().all(|b| (b.region.first as u64 * 4).is_multiple_of(limits.alignment)));
        }
    }
    // Rows of the images themselves cannot be split.
    let refused = record(&dense(500, 600, 30)?, limits).err();
    assert_eq!(refused, Some(Error::OverBudget { needed: 500 * 600 * 4, budget: 64 << 10 }));
    Ok(())
}

#[test]
fn grids_stay_within_limits() -> Result<()> {
    let limits = GpuLimits { groups_per_dimension: 3, ..GpuLimits::default() };
    let recording = record(&dense(500, 60, 30)?, limits)?;
    // 125 × 8 tiles of 4×4, 64 a workgroup.
    let mut next = 0;
    for (_, dispatch) in &recording.dispatches {
        assert!(dispatch.grid.iter().all(|g| *g <= limits.groups_per_dimension), "{:?}", dispatch.grid);
        assert_eq!((dispatch.params[0], dispatch.params[1]), (next, dispatch.grid[0]), "slices follow each other");
        next += dispatch.grid[0] * dispatch.grid[1];
    }
    assert!(next >= (125_u32 * 8).div_ceil(64), "{next} workgroups");
    assert!(recording.dispatches.len() > 1);
    Ok(())
}

/// 2048 × 1024 × 1024 multiply-accumulates would keep a weak GPU busy for longer than a dispatch may last.
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
