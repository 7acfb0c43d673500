//! Deeplearning4j's `EditLastLayerOthersFrozen`: everything up to `fc2` is frozen, the last layer is replaced.

use std::ops::ControlFlow;
use std::sync::Arc;

use regraft::Result;
use regraft::eval::Evaluation;
use regraft::graph::Loss;
use regraft::train::{FitOptions, Updater};
use regraft::transfer::{
    Distribution, FineTuneConfiguration, Layer, LearningConfig, Model, TransferLearningHelper, WeightInit,
};

use super::flowers;

/// Edits, trains and judges.
pub(crate) fn run(vgg16: &Model, photos: &flowers::Photos) -> Result<(Model, Evaluation)> {
    let labels = flowers::labels();
    let (n_in, n_out) = (64.0, labels.len() as f32);
    let learning = LearningConfig {
        updater: Some(Updater::Nesterovs { learning_rate: 0.02.into(), momentum: 0.9.into() }),
        ..LearningConfig::default()
    };
    let predictions = LearningConfig {
        weight_init: Some(WeightInit::Distribution(Distribution::Normal {
            mean: 0.0,
            std: 0.2 * (2.0 / (n_in + n_out)),
        })),
        ..LearningConfig::default()
    };
    let model = vgg16
        .transfer_learning()
        .fine_tune_configuration(FineTuneConfiguration { seed: Some(12345), learning })
        .set_feature_extractor(&["fc2"])
        .remove_vertex_keep_connections("predictions")
        .add_layer("predictions", Layer::output(labels.len(), Loss::NegativeLogLikelihood).with(predictions), &["fc2"])
        .set_labels(&labels)
        .build()?;

    let mut helper = TransferLearningHelper::new(model, None)?;
    let train = Arc::new(helper.featurize(photos.train()?.into_iter(), &labels)?);
    let test = helper.featurize(photos.test()?.into_iter(), &labels)?;
    helper.fit_featurized(train, None, FitOptions { epochs: 100, ..FitOptions::default() }, |_| {
        ControlFlow::Continue(())
    })?;
    let evaluation = helper.model().evaluate(&test, None, None)?;
    Ok((helper.into_model(), evaluation))
}
