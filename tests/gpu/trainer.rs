//! Training on the GPU against the same run on the CPU.

use std::sync::Arc;

use regraft::backend::Device;
use regraft::backend::gpu::GpuOptions;
use regraft::data::{FeatureSet, FeatureTensor, Rng, Stream};
use regraft::formats::safetensors::FloatType;
use regraft::graph::Graph;
use regraft::ops::{BatchNorm, Conv2d, Flatten, Layout, MaxPool, Role, Sigmoid, Window};
use regraft::tensor::{Tensor, TensorType};
use regraft::train::{
    BatchNormMode, Checkpoint, EarlyStopping, FitOptions, History, Parameters, StoppedBy, Trainer, Updater,
};
use regraft::transfer::{Edit, Model};
use regraft::{Error, Result};

use crate::{SEED, gpu, gpu_test};

/// Rows of the training set: two whole batches and a smaller one an epoch.
const ROWS: usize = 20;
/// Rows of a step.
const BATCH: usize = 8;
/// Height and width of the features.
pub(crate) const SIDE: usize = 6;
/// Channels of the features.
pub(crate) const CHANNELS: usize = 3;
/// Classes.
pub(crate) const CLASSES: usize = 4;

/// Errors of single steps grow along a run; divisions by small roots (adaptive updaters) make them larger than the kernels' own.
const TOLERANCE: f64 = 1e-3;

fn drawn(len: usize, item: u64, scale: f64) -> Vec<f32> {
    let mut rng = Rng::for_item(SEED, Stream::Init, item);
    (0..len).map(|_| ((2.0 * rng.uniform() - 1.0) * scale) as f32).collect()
}

pub(crate) fn network() -> Result<Model> {
    network_with(serde_json::json!({}))
}

/// Convolution, batch norm, pooling and a classifier: a little of everything. All of it learns by `configuration`.
fn network_with(configuration: serde_json::Value) -> Result<Model> {
    let mut configuration = configuration;
    configuration["seed"] = SEED.into();
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32([1, SIDE, SIDE, CHANNELS]), true)?;
    let mut item = 0;
    let mut weights = |g: &mut Graph, name: &str, role: Role, shape: &[usize], scale: f64| {
        item += 1;
        let values = drawn(shape.iter().product(), item, scale);
        let values = if matches!(role, Role::Gamma | Role::Variance) {
            values.iter().map(|v| v.abs() + 0.5).collect()
        } else {
            values
        };
        g.parameter(name, role, Tensor::f32(shape, values)?)
    };
    let w = weights(&mut g, "conv.weight", Role::Weight, &[3, 3, CHANNELS, 6], 0.4)?;
    let window = Window { padding: [1; 4], ..Window::default() };
    let conv = Conv2d { window, groups: 1, bias: false, residual: false, clamp: None, layout: Layout::Nhwc };
    let y = g.add("conv", conv, &[x, w])?;
    let mut inputs = vec![y];
    for (name, role) in [
        ("norm.gamma", Role::Gamma),
        ("norm.beta", Role::Beta),
        ("norm.mean", Role::Mean),
        ("norm.variance", Role::Variance),
    ] {
        inputs.push(weights(&mut g, name, role, &[6], 0.3)?);
    }
    let y = g.add("norm", BatchNorm { epsilon: 1e-3, momentum: 0.9, layout: Layout::Nhwc, clamp: None }, &inputs)?;
    let y = g.add("sigmoid", Sigmoid, &[y])?;
    let window = Window { stride: [2, 2], ..Window::default() };
    let y = g.add("pool", MaxPool { kernel: [2, 2], window, ceil: false, layout: Layout::Nhwc }, &[y])?;
    let y = g.add("flat", Flatten { axis: 1 }, &[y])?;
    g.set_outputs(vec![y]);
    let edits: Vec<Edit> = serde_json::from_value(serde_json::json!([
        { "type": "fineTuneConfiguration", "configuration": configuration },
        { "type": "addLayer", "name": "predictions", "inputs": ["flat"],
          "layer": { "type": "output", "nOut": CLASSES, "loss": "negativeloglikelihood" } },
        { "type": "setOutputs", "names": ["predictions"] },
    ]))
    .unwrap_or_else(|e| panic!("edits: {e}"));
    Model::new(g).edited(&edits)
}

pub(crate) fn features(count: usize, item: u64) -> Result<Arc<FeatureSet>> {
    features_of(count, item, FloatType::F32)
}

pub(crate) fn features_of(count: usize, item: u64, dtype: FloatType) -> Result<Arc<FeatureSet>> {
    let labels = (0..CLASSES).map(|c| c.to_string()).collect();
    let tensors = vec![FeatureTensor { name: "x".into(), shape: [SIDE, SIDE, CHANNELS].into() }];
    let mut set = FeatureSet::new(tensors, count, labels, "key".into(), dtype)?;
    for row in 0..count {
        let mut values = drawn(SIDE * SIDE * CHANNELS, 1000 * item + row as u64, 1.0);
        // Something to learn: each class is brighter at one place.
        values.iter_mut().skip(row % CLASSES).step_by(CLASSES).for_each(|v| *v += 0.5);
        set.set(row, row % CLASSES, &row.to_string(), &values)?;
    }
    Ok(Arc::new(set))
}

/// Every updater that updates.
pub(crate) const UPDATERS: [&str; 10] =
    ["sgd", "nesterovs", "adam", "amsgrad", "adamax", "nadam", "adamw", "adagrad", "rmsprop", "adadelta"];

/// An updater with settings of a run that does not depend on rounding.
pub(crate) fn updater(name: &str) -> Result<Updater> {
    let mut updater = serde_json::json!({ "type": name });
    if matches!(name, "nesterovs" | "adagrad" | "rmsprop") {
        updater["learningRate"] = 0.01.into();
    }
    // With a small one, a step is made out of a gradient that is rounding alone.
    if !matches!(name, "sgd" | "nesterovs") {
        updater["epsilon"] = 1e-3.into();
    }
    serde_json::from_value(updater).map_err(|e| Error::BadOption { option: "updater", reason: e.to_string() })
}

fn options(updater: Updater) -> FitOptions {
    FitOptions {
        epochs: 7,
        batch_size: BATCH,
        seed: Some(SEED),
        updater: Some(updater),
        label_smoothing: 0.1,
        ..FitOptions::default()
    }
}

fn trainer(device: &Device, options: FitOptions) -> Result<Trainer> {
    trainer_of(&network()?, device, options)
}

fn trainer_of(model: &Model, device: &Device, options: FitOptions) -> Result<Trainer> {
    let (train, validation) = (features(ROWS, 1)?, features(ROWS / 2 + 1, 2)?);
    Trainer::on(device, &model.graph, &model.settings, train, Some(validation), options, None)
}

pub(crate) async fn finish(trainer: &mut Trainer) -> Result<(History, Parameters)> {
    let by = loop {
        if let Some(by) = trainer.advance().await?.stopped_by {
            break by;
        }
    };
    trainer.arrive().await?;
    Ok((trainer.history(by), trainer.parameters(by)?))
}

async fn run(device: &Device, options: FitOptions) -> Result<(History, Parameters)> {
    finish(&mut trainer(device, options)?).await
}

fn close(what: &str, ours: f64, theirs: f64) {
    let error = (ours - theirs).abs() / theirs.abs().max(1.0);
    assert!(error <= TOLERANCE, "{what}: {ours} on the GPU, {theirs} on the CPU");
}

fn agree(what: &str, (history, parameters): &(History, Parameters), (expected, values): &(History, Parameters)) {
    assert_eq!(history.stopped_by, expected.stopped_by, "{what}");
    assert_eq!(history.iterations.len(), expected.iterations.len(), "{what}: updates");
    for (step, (ours, theirs)) in history.iterations.iter().zip(&expected.iterations).enumerate() {
        close(&format!("{what}: loss of update {step}"), ours.loss, theirs.loss);
    }
    assert_eq!(history.epochs.len(), expected.epochs.len(), "{what}: epochs");
    for (ours, theirs) in history.epochs.iter().zip(&expected.epochs) {
        let pair = ours.val_loss.zip(theirs.val_loss).unwrap_or((f64::NAN, 0.0));
        close(&format!("{what}: validation after epoch {}", ours.epoch), pair.0, pair.1);
    }
    for ((name, ours), (other, theirs)) in parameters.iter().zip(values) {
        assert_eq!(name, other);
        for (ours, theirs) in ours.as_f32().unwrap_or_default().iter().zip(theirs.as_f32().unwrap_or_default()) {
            close(&format!("{what}: {name}"), f64::from(*ours), f64::from(*theirs));
        }
    }
}

gpu_test!(every_updater_goes_the_same_way, updaters);
async fn updaters() -> Result<()> {
    let device = Device::Gpu(gpu(GpuOptions::default()).await);
    for name in UPDATERS {
        for batch_norm in [BatchNormMode::Frozen, BatchNormMode::Train] {
            let options = FitOptions { batch_norm, ..options(updater(name)?) };
            let ours = run(&device, options.clone()).await?;
            agree(&format!("{name}, {batch_norm:?}"), &ours, &run(&Device::Cpu, options).await?);
        }
    }
    Ok(())
}

gpu_test!(features_of_sixteen_bits_are_sent_so_and_change_no_bit, halves);
async fn halves() -> Result<()> {
    let model = network()?;
    let mut runs = Vec::new();
    for is_half in [true, false] {
        let gpu = gpu(GpuOptions::default()).await;
        let sets = [(ROWS, 1), (ROWS / 2 + 1, 2)].map(|(count, item)| -> Result<_> {
            let kept = features_of(count, item, FloatType::F16)?;
            Ok(if is_half { kept } else { Arc::new(widened(&kept)?) })
        });
        let [train, validation] = sets;
        let (device, options) = (Device::Gpu(gpu.clone()), options(updater("adam")?));
        let mut trainer =
            Trainer::on(&device, &model.graph, &model.settings, train?, Some(validation?), options, None)?;
        let before = gpu.counters().bytes_written;
        let outcome = finish(&mut trainer).await?;
        runs.push((outcome, gpu.counters().bytes_written - before));
    }
    let [(halves, sent), (whole, all)] = &runs[..] else { unreachable!("two runs") };
    assert_eq!(halves, whole);
    assert!(2 * sent < all + all / 4, "{sent} bytes were sent, {all} of 32 bits");
    Ok(())
}

/// The same values as 32-bit floats.
pub(crate) fn widened(kept: &FeatureSet) -> Result<FeatureSet> {
    let (tensors, labels) = (kept.tensors().to_vec(), kept.labels().to_vec());
    let mut set = FeatureSet::new(tensors, kept.count(), labels, kept.trunk_key().to_owned(), FloatType::F32)?;
    for (row, label) in kept.image_labels().into_iter().enumerate() {
        set.set(row, label, &kept.ids()[row], &kept.gather(0, &[row]))?;
    }
    Ok(set)
}

gpu_test!(a_step_is_one_submit_and_makes_nothing, counts);
async fn counts() -> Result<()> {
    let gpu = gpu(GpuOptions::default()).await;
    let options = FitOptions { epochs: 1, batch_size: 1, ..options(updater("adam")?) };
    let mut trainer = trainer(&Device::Gpu(gpu.clone()), options)?;
    for _ in 0..6 {
        trainer.advance().await?;
    }
    let before = gpu.counters();
    for _ in 0..6 {
        trainer.advance().await?;
    }
    let after = gpu.counters();
    assert_eq!(after.submits - before.submits, 6);
    assert_eq!(after.buffers_made, before.buffers_made);
    assert_eq!(after.bind_groups, before.bind_groups);
    assert_eq!(after.pipelines, before.pipelines);
    Ok(())
}

gpu_test!(parameters_are_penalised_and_updated_together, together);
async fn together() -> Result<()> {
    let gpu = gpu(GpuOptions::default()).await;
    let options = FitOptions { updater: None, ..options(updater("sgd")?) };
    let mut counts = Vec::new();
    for configuration in [
        serde_json::json!({ "updater": { "type": "adam" } }),
        serde_json::json!({ "updater": { "type": "adam" }, "l1": 1e-4, "l2": 1e-2 }),
        serde_json::json!({ "updater": { "type": "adamw", "weightDecay": 0.1 }, "l2": 1e-2 }),
        serde_json::json!({ "updater": { "type": "adam" }, "biasUpdater": { "type": "nesterovs" } }),
    ] {
        let model = network_with(configuration.clone())?;
        let mut ours = trainer_of(&model, &Device::Gpu(gpu.clone()), options.clone())?;
        ours.advance().await?;
        let before = gpu.counters().dispatches;
        ours.advance().await?;
        counts.push(gpu.counters().dispatches - before);
        let expected = finish(&mut trainer_of(&model, &Device::Cpu, options.clone())?).await?;
        agree(&configuration.to_string(), &finish(&mut ours).await?, &expected);
    }
    // Two weights; γ, β and the bias.
    let more: Vec<u64> = counts.iter().map(|count| count - counts[0]).collect();
    assert_eq!(more, [0, 1, 2, 1], "penalties, decay, and another updater are one dispatch more each");
    Ok(())
}

gpu_test!(a_run_that_diverges_names_the_same_vertex, divergence);
async fn divergence() -> Result<()> {
    // So large that every order of computing overflows: the kernels of batch norm differ in what they multiply first.
    let options = options(Updater::Sgd { learning_rate: 3e38.into() });
    let (expected, _) = run(&Device::Cpu, options.clone()).await?;
    let (history, parameters) = run(&Device::Gpu(gpu(GpuOptions::default()).await), options).await?;
    assert_eq!(expected.stopped_by, StoppedBy::Diverged);
    assert_eq!(history.stopped_by, StoppedBy::Diverged);
    assert_eq!(history.divergence, expected.divergence);
    let Model { graph, .. } = network()?;
    for (name, value) in parameters {
        assert_eq!(Some(&value), graph.get(graph.require(&name)?).value.as_deref(), "{name}: the last good values");
    }
    Ok(())
}

gpu_test!(a_lost_device_does_not_change_the_result, loss);
async fn loss() -> Result<()> {
    let options = options(updater("adam")?);
    let expected = run(&Device::Cpu, options.clone()).await?;
    for to_cpu in [false, true] {
        let device = gpu(GpuOptions::default()).await;
        let mut trainer = trainer(&Device::Gpu(device.clone()), options.clone())?;
        // In the middle of the second epoch.
        for _ in 0..4 {
            trainer.advance().await?;
        }
        device.destroy();
        let error = loop {
            if let Err(error) = trainer.advance().await {
                break error;
            }
        };
        assert_eq!(error.code(), "device-lost", "{error}");
        let other = if to_cpu { Device::Cpu } else { Device::Gpu(gpu(GpuOptions::default()).await) };
        trainer.move_to(&other)?;
        agree("after a loss", &finish(&mut trainer).await?, &expected);
    }
    Ok(())
}

gpu_test!(a_checkpoint_goes_on_anywhere, checkpoints);
async fn checkpoints() -> Result<()> {
    let device = Device::Gpu(gpu(GpuOptions::default()).await);
    let options = options(updater("nadam")?);
    let expected = run(&Device::Cpu, options.clone()).await?;
    let mut trainer = trainer(&device, options)?;
    for _ in 0..5 {
        trainer.advance().await?;
    }
    trainer.arrive().await?;
    let bytes = trainer.checkpoint()?;
    for device in [device, Device::Cpu] {
        let (train, validation) = (features(ROWS, 1)?, features(ROWS / 2 + 1, 2)?);
        let checkpoint = Checkpoint::read(&bytes)?;
        let model = network()?;
        let mut resumed =
            Trainer::resumed(&device, &model.graph, &model.settings, train, Some(validation), checkpoint, None)?;
        agree("resumed", &finish(&mut resumed).await?, &expected);
    }
    Ok(())
}

gpu_test!(early_stopping_restores_the_best_epoch, early_stopping);
async fn early_stopping() -> Result<()> {
    let stopping = EarlyStopping { patience: 2, restore_best: true, ..EarlyStopping::default() };
    let options = FitOptions {
        epochs: 40,
        early_stopping: Some(stopping),
        ..options(Updater::Sgd { learning_rate: 0.2.into() })
    };
    let expected = run(&Device::Cpu, options.clone()).await?;
    let ours = run(&Device::Gpu(gpu(GpuOptions::default()).await), options).await?;
    assert_eq!(ours.0.best_epoch, expected.0.best_epoch);
    agree("early stopping", &ours, &expected);
    Ok(())
}

/// The device of a run that ended holds nothing but what waits in the pool.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn a_run_gives_its_buffers_back() -> Result<()> {
    crate::block_on(async {
        let gpu = gpu(GpuOptions::default()).await;
        let options = options(updater("adam")?);
        run(&Device::Gpu(gpu.clone()), options).await?;
        gpu.dispose();
        assert_eq!(gpu.counters().buffers_alive, 0);
        Ok(())
    })
}
