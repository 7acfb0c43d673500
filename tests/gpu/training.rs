//! Training steps as plans, on both backends: forward, loss, gradients, updates and running statistics of a small network.

use regraft::Result;
use regraft::backend::gpu::GpuOptions;
#[cfg(not(target_arch = "wasm32"))]
use regraft::backend::gpu::record;
use regraft::backend::{Backend, Device};
use regraft::graph::gradient::gradients;
use regraft::graph::{Graph, VertexId, rewrite};
#[cfg(not(target_arch = "wasm32"))]
use regraft::ops::GpuLimits;
use regraft::ops::{
    AdaDelta, AdaGrad, AdaMax, Adam, AmsGrad, MovingAverage, Nadam, Nesterovs, Op, RmsProp, Sgd, SoftmaxNll,
};
use regraft::plan::Plan;
use regraft::tensor::TensorType;
use regraft::transfer::{ClassifierOptions, Edit, Model};
use regraft::zoo::{Architecture, Weights};

use crate::SEED;
use crate::session::{drawn, network};
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

/// A training step as a plan.
struct Step {
    plan: Plan,
    /// What it reads in each run, and the elements of it.
    image: (String, usize),
    /// What it changes.
    names: Vec<String>,
}

/// A step with one updater for all that is trainable; batch norms use the statistics of the batch, or their own.
fn step(graph: &Graph, updater: &Op, scalars: usize, of_batch: bool) -> Result<Step> {
    let mut g = rewrite::lower(&graph.with_batch(BATCH)?)?;
    let mut statistics = Vec::new();
    if of_batch {
        (g, statistics) = rewrite::batch_statistics(&g)?;
    }
    let image = g.get(g.inputs()[0]);
    let image = (image.name.clone(), image.ty.shape.len());
    let logits = g.get(g.outputs()[0]).inputs[0];
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
    for is_mean in [true, false] {
        for norm in &statistics {
            let (running, batch) =
                if is_mean { (norm.mean, norm.batch_mean) } else { (norm.variance, norm.batch_variance) };
            let name = format!("{}/running", g.get(running).name);
            let written = g.input(name.clone(), g.get(batch).ty.clone(), false)?;
            let average = MovingAverage { momentum: norm.momentum };
            outputs.push(g.add(format!("{name}/updated"), average, &[written, batch])?);
            names.push(name);
        }
    }
    g.set_outputs(outputs);
    Ok(Step { plan: Plan::new(&rewrite::fuse(&g)?, None)?, image, names })
}

/// All that the step changes, after some steps.
async fn trained(step: Step, scalars: &[f32], steps: u64, device: &Device) -> Result<Vec<Vec<f32>>> {
    let Step { plan, image: (image, len), names } = step;
    let mut backend = Backend::new(plan, device)?;
    backend.write("rate", scalars)?;
    backend.write("row_weights", &[1.0 / BATCH as f32; BATCH])?;
    let targets: Vec<f32> =
        (0..BATCH).flat_map(|row| (0..CLASSES).map(move |class| f32::from(u8::from(row % CLASSES == class)))).collect();
    backend.write("targets", &targets)?;
    let request = backend.request(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    for index in 0..steps - 1 {
        backend.write(&image, &drawn(len, index % 3))?;
        backend.run()?;
    }
    let mut read = backend.run_for(&request)?;
    read.arrived().await?;
    (0..names.len()).map(|index| read.get(index).map(<[f32]>::to_vec)).collect()
}

/// Runs the same steps on both backends and compares all that they change.
async fn compare(make: impl Fn() -> Result<Step>, scalars: &[f32], steps: u64, device: &Device) -> Result<()> {
    let names = make()?.names;
    let expected = trained(make()?, scalars, steps, &Device::Cpu).await?;
    let values = trained(make()?, scalars, steps, device).await?;
    assert!(names.len() > 20, "only {names:?} are compared");
    for ((name, ours), theirs) in names.iter().zip(&values).zip(&expected) {
        assert_eq!(ours.len(), theirs.len());
        let (share, at) = worst_within(ours, theirs.iter().map(|v| f64::from(*v)), RELATIVE, ABSOLUTE);
        assert!(share <= 1.0, "{name}, element {at}: {} and {}, {share} of what is allowed", ours[at], theirs[at]);
    }
    Ok(())
}

gpu_test!(every_updater_trains_alike_on_both_backends, alike);
async fn alike() -> Result<()> {
    let options = GpuOptions { default_limits: true, ..GpuOptions::default() };
    let device = Device::Gpu(gpu(options).await);
    let network = network()?;
    for (updater, scalars) in updaters() {
        compare(|| step(&network, &updater, scalars.len(), true), &scalars, STEPS, &device).await?;
    }
    Ok(())
}

gpu_test!(a_training_step_is_one_submit_and_makes_nothing, counts);
async fn counts() -> Result<()> {
    let gpu = gpu(GpuOptions::default()).await;
    let mut backend = Backend::new(step(&network()?, &Sgd.into(), 1, true)?.plan, &Device::Gpu(gpu.clone()))?;
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

gpu_test!(the_same_steps_give_the_same_bits, repeatable);
async fn repeatable() -> Result<()> {
    let (device, network) = (Device::Gpu(gpu(GpuOptions::default()).await), network()?);
    let first = trained(step(&network, &Sgd.into(), 1, true)?, &[0.05], 4, &device).await?;
    let second = trained(step(&network, &Sgd.into(), 1, true)?, &[0.05], 4, &device).await?;
    assert_eq!(first, second, "sums do not have a fixed order");
    Ok(())
}

/// What is trained of MobileNetV2 with a new head when all before its last two blocks is frozen.
fn blocks() -> Result<Graph> {
    let model = Model::new(Architecture::MobilenetV2.build(Weights::Random { seed: SEED, classes: 10 })?.graph);
    let labels = (0..CLASSES).map(|i| format!("class {i}")).collect();
    let model = model.classifier(&ClassifierOptions { labels, seed: Some(SEED), ..ClassifierOptions::default() })?;
    let model = model.edited(&[Edit::Unfreeze { names: vec!["block16/expand/conv".into()] }])?;
    Ok(model.split(None)?.tail)
}

gpu_test!(the_last_blocks_train_alike_on_both_backends, blocks_alike);
async fn blocks_alike() -> Result<()> {
    let device = Device::Gpu(gpu(GpuOptions::default()).await);
    let (tail, adam) = (blocks()?, Adam { beta1: 0.9, beta2: 0.99, epsilon: EPSILON }.into());
    for of_batch in [false, true] {
        compare(|| step(&tail, &adam, 2, of_batch), &[0.001, 0.9], 2, &device).await?;
    }
    Ok(())
}

/// Dispatches of such a step: with the norms' own statistics, and with those of the batch.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn a_step_of_the_last_blocks_is_counted() -> Result<()> {
    let (tail, adam) = (blocks()?, Adam { beta1: 0.9, beta2: 0.99, epsilon: EPSILON }.into());
    let counted = [false, true].map(|of_batch| {
        let plan = step(&tail, &adam, 2, of_batch)?.plan;
        Ok(record(&plan, GpuLimits::default())?.dispatches.len())
    });
    let [own, of_batch]: [Result<usize>; 2] = counted;
    assert_eq!((own?, of_batch?), (66, 82));
    Ok(())
}
