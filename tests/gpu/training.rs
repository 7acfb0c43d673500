//! Training steps as plans, on both backends: forward, loss, gradients, updates and running statistics of a small network.

use regraft::Result;
use regraft::backend::gpu::GpuOptions;
use regraft::backend::{Backend, Device};
use regraft::graph::gradient::gradients;
use regraft::graph::{Graph, VertexId, rewrite};
use regraft::ops::{
    AdaDelta, AdaGrad, AdaMax, Adam, AmsGrad, MovingAverage, Nadam, Nesterovs, Op, RmsProp, Sgd, SoftmaxNll,
};
use regraft::plan::Plan;
use regraft::tensor::TensorType;

use crate::session::{SIDE, drawn, network};
use crate::{gpu, gpu_test, worst_within};

/// Images of a step.
const BATCH: usize = 4;
/// Classes of the network.
const CLASSES: usize = 5;
/// Steps after which the parameters are compared.
const STEPS: u64 = 20;
/// Of every step the next one starts with what rounding did to the last: twenty of them, each through five layers.
const RELATIVE: f64 = 1e-3;
/// The same where a parameter is small beside what it was updated by.
const ABSOLUTE: f64 = 1e-4;
/// Larger than in practice: with a small one, an updater makes a whole step out of a gradient that is rounding alone.
const EPSILON: f32 = 1e-2;

/// Every updater with numbers for it.
fn updaters() -> Vec<(Op, Vec<f32>)> {
    let (beta1, beta2, epsilon) = (0.9, 0.99, EPSILON);
    vec![
        (Sgd.into(), vec![0.05]),
        (Nesterovs.into(), vec![0.02, 0.9]),
        (Adam { beta1, beta2, epsilon }.into(), vec![0.01, 0.9]),
        (AmsGrad { beta1, beta2, epsilon }.into(), vec![0.01, 0.9]),
        (AdaMax { beta1, beta2, epsilon }.into(), vec![0.01, 0.9]),
        (Nadam { beta1, beta2, epsilon }.into(), vec![0.01, 1.0, 0.1, 1.5]),
        (AdaGrad { epsilon }.into(), vec![0.02]),
        (RmsProp { decay: 0.9, epsilon }.into(), vec![0.01]),
        (AdaDelta { rho: 0.9, epsilon }.into(), vec![0.5]),
    ]
}

/// A training step with one updater, and the names of what it changes.
fn step(updater: &Op, scalars: usize) -> Result<(Plan, Vec<String>)> {
    let lowered = rewrite::lower(&network()?.with_batch(BATCH)?)?;
    let (mut g, statistics) = rewrite::batch_statistics(&lowered)?;
    let predictions = g.require("predictions")?;
    let logits = g.get(predictions).inputs[0];
    let targets = g.input("targets", TensorType::f32([BATCH, CLASSES]), true)?;
    let losses = g.add("losses", SoftmaxNll, &[logits, targets])?;
    let weights = g.input("row_weights", TensorType::f32([BATCH]), true)?;
    let parameters: Vec<VertexId> = g.iter().filter(|(_, v)| v.is_trainable()).map(|(id, _)| id).collect();
    let found = gradients(&mut g, &[(losses, weights)], &parameters)?;
    let rate = g.input("rate", TensorType::f32([scalars]), false)?;
    let (mut outputs, mut names) = (vec![losses], vec!["losses".to_owned()]);
    for (w, dw) in parameters.into_iter().zip(found) {
        let Some(dw) = dw else { continue };
        let (name, ty) = (g.get(w).name.clone(), g.get(w).ty.clone());
        let mut inputs = vec![w];
        for index in 1..updater.updates() {
            inputs.push(g.input(format!("{name}/state{index}"), ty.clone(), false)?);
        }
        inputs.extend([dw, rate]);
        outputs.push(g.add(format!("{name}/updated"), updater.clone(), &inputs)?);
        names.push(name);
    }
    for norm in statistics {
        for (running, batch) in [(norm.mean, norm.batch_mean), (norm.variance, norm.batch_variance)] {
            let name = format!("{}/running", g.get(running).name);
            let written = g.input(name.clone(), g.get(batch).ty.clone(), false)?;
            let average = MovingAverage { momentum: norm.momentum };
            outputs.push(g.add(format!("{name}/updated"), average, &[written, batch])?);
            names.push(name);
        }
    }
    g.set_outputs(outputs);
    Ok((Plan::new(&rewrite::fuse(&g)?, None)?, names))
}

/// All that the step changes, after some steps.
async fn trained(updater: &Op, scalars: &[f32], device: &Device) -> Result<(Vec<String>, Vec<Vec<f32>>)> {
    let (plan, names) = step(updater, scalars.len())?;
    let mut backend = Backend::new(plan, device)?;
    backend.write("rate", scalars)?;
    backend.write("row_weights", &[1.0 / BATCH as f32; BATCH])?;
    let targets: Vec<f32> =
        (0..BATCH).flat_map(|row| (0..CLASSES).map(move |class| f32::from(u8::from(row % CLASSES == class)))).collect();
    backend.write("targets", &targets)?;
    let request = backend.request(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    for index in 0..STEPS - 1 {
        backend.write("image", &drawn(BATCH * 3 * SIDE * SIDE, index % 3))?;
        backend.run()?;
    }
    let mut read = backend.run_for(&request)?;
    read.arrived().await?;
    let values = (0..names.len()).map(|index| read.get(index).map(<[f32]>::to_vec)).collect::<Result<_>>()?;
    Ok((names, values))
}

gpu_test!(every_updater_trains_alike_on_both_backends, alike);
async fn alike() -> Result<()> {
    let options = GpuOptions { default_limits: true, ..GpuOptions::default() };
    let device = Device::Gpu(gpu(options).await);
    for (updater, scalars) in updaters() {
        let (names, expected) = trained(&updater, &scalars, &Device::Cpu).await?;
        let (_, values) = trained(&updater, &scalars, &device).await?;
        assert!(names.len() > 20, "only {names:?} are compared");
        for ((name, ours), theirs) in names.iter().zip(&values).zip(&expected) {
            assert_eq!(ours.len(), theirs.len());
            let (share, at) = worst_within(ours, theirs.iter().map(|v| f64::from(*v)), RELATIVE, ABSOLUTE);
            let name = format!("{}, {name}, element {at}", updater.name());
            assert!(share <= 1.0, "{name}: {} and {}, {share} of what is allowed", ours[at], theirs[at]);
        }
    }
    Ok(())
}

gpu_test!(a_training_step_is_one_submit_and_makes_nothing, counts);
async fn counts() -> Result<()> {
    let gpu = gpu(GpuOptions::default()).await;
    let (plan, _) = step(&Sgd.into(), 1)?;
    let mut backend = Backend::new(plan, &Device::Gpu(gpu.clone()))?;
    let request = backend.request(&["losses"])?;
    backend.run_for(&request)?.arrived().await?;
    let before = gpu.counters();
    backend.run_for(&request)?.arrived().await?;
    let after = gpu.counters();
    assert_eq!(after.submits - before.submits, 1);
    assert_eq!(after.bytes_read - before.bytes_read, (BATCH * 4) as u64);
    assert_eq!(after.buffers_made, before.buffers_made);
    assert_eq!(after.bind_groups, before.bind_groups);
    assert_eq!(after.pipelines, before.pipelines);
    Ok(())
}
