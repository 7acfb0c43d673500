//! Deeplearning4j's `FineTuneFromBlockFour`: the model that `edit_at_bottleneck` wrote is read, and block 5 and all after it are
//! trained. What was frozen when it was written is frozen when it is read, until it is unfrozen.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use regraft::Result;
use regraft::eval::Evaluation;
use regraft::train::{FitOptions, Updater};
use regraft::transfer::{FineTuneConfiguration, LearningConfig, LoadOptions, Model, TransferLearningHelper};

use super::flowers;

/// Reads, unfreezes, trains and judges; gives the model before and after.
pub(crate) fn run(bytes: &[u8], photos: &flowers::Photos) -> Result<(Model, Model, Evaluation)> {
    let labels = flowers::labels();
    let restored = Model::load(&BTreeMap::from([("model".to_owned(), bytes)]), &LoadOptions::default())?;
    let learning =
        LearningConfig { updater: Some(Updater::Sgd { learning_rate: 1e-3.into() }), ..LearningConfig::default() };
    let model = restored
        .transfer_learning()
        .fine_tune_configuration(FineTuneConfiguration { seed: Some(12345), learning })
        .unfreeze(&["block5_conv1"])
        .set_feature_extractor(&["block4_pool"])
        .build()?;

    let mut helper = TransferLearningHelper::new(model.clone(), None)?;
    let train = Arc::new(helper.featurize(photos.train()?.into_iter(), &labels)?);
    let test = helper.featurize(photos.test()?.into_iter(), &labels)?;
    let options = FitOptions { epochs: 3, ..FitOptions::default() };
    helper.fit_featurized(train, None, options, |_| ControlFlow::Continue(()))?;
    let trained = helper.into_model();
    let evaluation = trained.evaluate(&test, None, None)?;
    Ok((model, trained, evaluation))
}
