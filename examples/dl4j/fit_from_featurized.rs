//! Deeplearning4j's `FitFromFeaturized`: the head is trained on the features that `featurized_pre_save` keeps.

use std::ops::ControlFlow;
use std::sync::Arc;

use regraft::Result;
use regraft::data::FeatureSet;
use regraft::eval::Evaluation;
use regraft::graph::Loss;
use regraft::train::{FitOptions, Updater};
use regraft::transfer::{FineTuneConfiguration, Layer, LearningConfig, Model, TransferLearningHelper};

use super::flowers;

/// Trains three epochs on kept features, and judges.
pub(crate) fn run(vgg16: &Model, train: &[u8], test: &[u8]) -> Result<(Model, Evaluation)> {
    let labels = flowers::labels();
    let learning = LearningConfig {
        updater: Some(Updater::Nesterovs { learning_rate: 0.02.into(), momentum: 0.9.into() }),
        ..LearningConfig::default()
    };
    let model = vgg16
        .transfer_learning()
        .fine_tune_configuration(FineTuneConfiguration { seed: Some(12345), learning })
        .set_feature_extractor(&["fc2"])
        .remove_vertex_keep_connections("predictions")
        .add_layer("predictions", Layer::output(labels.len(), Loss::NegativeLogLikelihood), &["fc2"])
        .set_labels(&labels)
        .build()?;
    let mut helper = TransferLearningHelper::new(model, None)?;
    let (train, test) = (Arc::new(FeatureSet::load(train)?), FeatureSet::load(test)?);
    let options = FitOptions { epochs: 3, ..FitOptions::default() };
    helper.fit_featurized(train, None, options, |_| ControlFlow::Continue(()))?;
    test.check_trunk(helper.trunk_key())?;
    let evaluation = helper.model().evaluate(&test, None, None)?;
    Ok((helper.into_model(), evaluation))
}
