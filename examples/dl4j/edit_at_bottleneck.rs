//! Deeplearning4j's `EditAtBottleneckOthersFrozen`: `fc2` gets another size, two new layers are attached, the result is written.

use std::ops::ControlFlow;
use std::sync::Arc;

use regraft::Result;
use regraft::eval::Evaluation;
use regraft::formats::Format;
use regraft::graph::Loss;
use regraft::train::{FitOptions, Updater};
use regraft::transfer::{
    Activation, ExportOptions, FineTuneConfiguration, Layer, LearningConfig, Model, Setting, TransferLearningHelper,
    WeightInit,
};

use super::flowers;

/// Edits, trains, writes and judges; gives the bytes that were written.
pub(crate) fn run(vgg16: &Model, photos: &flowers::Photos) -> Result<(Vec<u8>, Evaluation)> {
    let labels = flowers::labels();
    let learning = LearningConfig {
        activation: Some(Activation::LeakyRelu),
        weight_init: Some(WeightInit::Relu),
        updater: Some(Updater::Nesterovs { learning_rate: 1e-3.into(), momentum: 0.9.into() }),
        dropout: Setting::Set(0.2),
        ..LearningConfig::default()
    };
    let tanh = LearningConfig { activation: Some(Activation::Tanh), ..LearningConfig::default() };
    let softmax = LearningConfig { activation: Some(Activation::Softmax), ..LearningConfig::default() };
    let model = vgg16
        .transfer_learning()
        .fine_tune_configuration(FineTuneConfiguration { seed: Some(12345), learning })
        .set_feature_extractor(&["block5_pool"])
        .n_out_replace("fc2", 48, Some(WeightInit::Xavier), None)
        .remove_vertex_and_connections("predictions")
        .add_layer("fc3", Layer::dense(32).with(tanh), &["fc2"])
        .add_layer("newpredictions", Layer::output(labels.len(), Loss::NegativeLogLikelihood).with(softmax), &["fc3"])
        .set_outputs(&["newpredictions"])
        .set_labels(&labels)
        .build()?;

    let mut helper = TransferLearningHelper::new(model, None)?;
    let train = Arc::new(helper.featurize(photos.train()?.into_iter(), &labels)?);
    let test = helper.featurize(photos.test()?.into_iter(), &labels)?;
    let options = FitOptions { epochs: 100, ..FitOptions::default() };
    helper.fit_featurized(train, None, options, |_| ControlFlow::Continue(()))?;
    let model = helper.into_model();
    let evaluation = model.evaluate(&test, None, None)?;
    let export = model.export(Format::Regraft, &ExportOptions::default())?;
    Ok((export.files.into_values().next().unwrap_or_default(), evaluation))
}
