//! Outputs and evaluation of a tail on the GPU against those of the CPU.

use regraft::Result;
use regraft::backend::Device;
use regraft::backend::gpu::GpuOptions;
use regraft::data::{FeatureSet, FeatureTensor};
use regraft::eval::Evaluation;
use regraft::formats::safetensors::FloatType;
use regraft::tensor::Tensor;
use regraft::transfer::Runner;

use crate::trainer::{CHANNELS, CLASSES, SIDE, features, features_of, network, widened};
use crate::{gpu, gpu_test, worst};

/// Rows: two whole batches and a part of one.
const ROWS: usize = 70;

/// Outputs and evaluation on a device.
async fn judged(device: &Device) -> Result<(Vec<(String, Tensor)>, Evaluation)> {
    let (model, set) = (network()?, features(ROWS, 3)?);
    let outputs = model.output_from_features_on(device, &set, None).await?;
    Ok((outputs, model.evaluate_on(device, &set, None, None).await?))
}

gpu_test!(a_model_runs_alike_on_both_backends, runs);
async fn runs() -> Result<()> {
    let (model, set) = (network()?, features(ROWS, 3)?);
    let rows: Vec<usize> = (0..ROWS).collect();
    let shape: Vec<usize> = [ROWS].into_iter().chain(set.tensors()[0].shape.iter().copied()).collect();
    let inputs = vec![("x".to_owned(), Tensor::f32(shape, set.gather(0, &rows))?)];
    let gpu = Device::Gpu(gpu(GpuOptions::default()).await);
    for names in [None, Some(["pool".to_owned(), "predictions".to_owned()])] {
        let names = names.as_ref().map(<[String; 2]>::as_slice);
        let mut runner = Runner::on(&gpu, &model, &inputs, names)?;
        for ((name, ours), (other, theirs)) in runner.run_ahead(&inputs).await?.iter().zip(model.run(&inputs, names)?) {
            assert_eq!((name, ours.shape()), (&other, theirs.shape()));
            let theirs = theirs.as_f32().unwrap_or_default().iter().map(|value| f64::from(*value));
            let (share, at) = worst(ours.as_f32().unwrap_or_default(), theirs);
            assert!(share <= 1.0, "'{name}', element {at}: {share} of what is allowed");
        }
    }
    Ok(())
}

gpu_test!(a_tail_is_evaluated_alike_on_both_backends, alike);
async fn alike() -> Result<()> {
    let (expected, evaluation) = judged(&Device::Cpu).await?;
    let mut dispatches = Vec::new();
    // All 32 rows of a batch; a convolution of so many has 27 kB.
    for binding_bytes in [None, Some(16 << 10), Some(1 << 10)] {
        let gpu = gpu(GpuOptions { binding_bytes, ..GpuOptions::default() }).await;
        let (outputs, ours) = judged(&Device::Gpu(gpu.clone())).await?;
        dispatches.push(gpu.counters().dispatches);
        for ((name, ours), (other, theirs)) in outputs.iter().zip(&expected) {
            assert_eq!((name, ours.shape()), (other, theirs.shape()));
            let theirs = theirs.as_f32().unwrap_or_default().iter().map(|value| f64::from(*value));
            let (share, at) = worst(ours.as_f32().unwrap_or_default(), theirs);
            assert!(share <= 1.0, "{binding_bytes:?}, '{name}', element {at}: {share} of what is allowed");
        }
        assert_eq!(ours.confusion_matrix, evaluation.confusion_matrix, "{binding_bytes:?}");
        assert_eq!(ours.mistakes.len(), evaluation.mistakes.len(), "{binding_bytes:?}");
        let (share, _) = worst(&[ours.loss as f32], [evaluation.loss]);
        assert!(share <= 1.0, "{binding_bytes:?}: loss {}, {} on the CPU", ours.loss, evaluation.loss);
    }
    // Three runs of 32 rows, five of 16, seventy of one.
    let runs: Vec<f64> = dispatches.iter().map(|count| *count as f64 / dispatches[0] as f64 * 3.0).collect();
    assert_eq!(runs, [3.0, 5.0, 70.0], "runs of {dispatches:?} dispatches");
    Ok(())
}

gpu_test!(features_of_sixteen_bits_are_evaluated_as_they_are, halves);
async fn halves() -> Result<()> {
    let (model, kept) = (network()?, features_of(ROWS, 3, FloatType::F16)?);
    let (mut found, mut sent) = (Vec::new(), Vec::new());
    for set in [&widened(&kept)?, &kept] {
        let gpu = gpu(GpuOptions::default()).await;
        let before = gpu.counters().bytes_written;
        found.push(model.output_from_features_on(&Device::Gpu(gpu.clone()), set, None).await?);
        sent.push(gpu.counters().bytes_written - before);
    }
    assert_eq!(found[0], found[1]);
    let values: usize = kept.tensors().iter().map(|t| t.shape.len()).sum();
    // Three batches of 32 rows; what widens them has parameters.
    let (saved, half) = (sent[0] - sent[1], 2 * 96 * values as u64);
    assert!(saved <= half && saved + 1024 > half, "{sent:?} bytes were sent");
    Ok(())
}

gpu_test!(a_boundary_that_is_an_output_is_given_back, given_back);
async fn given_back() -> Result<()> {
    let (model, at) = (network()?, ["predictions".to_owned()]);
    let tensors = vec![FeatureTensor { name: at[0].clone(), shape: [CLASSES].into() }];
    for dtype in [FloatType::F32, FloatType::F16] {
        let labels = (0..CLASSES).map(|c| c.to_string()).collect();
        let mut set = FeatureSet::new(tensors.clone(), 3, labels, "key".into(), dtype)?;
        (0..3).try_for_each(|row| set.set(row, row, "", &[0.5, 0.25, 0.125, 0.125]))?;
        let gpu = Device::Gpu(gpu(GpuOptions::default()).await);
        for device in [&Device::Cpu, &gpu] {
            let outputs = model.output_from_features_on(device, &set, Some(&at)).await?;
            assert_eq!(outputs[0].1.as_f32().unwrap_or_default(), set.gather(0, &[0, 1, 2]), "{dtype:?} on {device:?}");
        }
    }
    Ok(())
}

gpu_test!(rows_of_another_size_are_refused, another_size);
async fn another_size() -> Result<()> {
    let (model, gpu) = (network()?, Device::Gpu(gpu(GpuOptions::default()).await));
    for (side, dtype) in [(SIDE - 1, FloatType::F32), (SIDE + 1, FloatType::F32), (SIDE + 1, FloatType::F16)] {
        let tensors = vec![FeatureTensor { name: "x".into(), shape: [side, side, CHANNELS].into() }];
        let labels = (0..CLASSES).map(|c| c.to_string()).collect();
        let set = FeatureSet::new(tensors, ROWS, labels, "key".into(), dtype)?;
        for device in [&Device::Cpu, &gpu] {
            let outcome = model.output_from_features_on(device, &set, None).await;
            assert!(outcome.is_err(), "{dtype:?} of {side} on {device:?}");
        }
    }
    Ok(())
}
