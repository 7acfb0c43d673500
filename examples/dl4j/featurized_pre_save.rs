//! Deeplearning4j's `FeaturizedPreSave`: the activations of `fc2` are made once and kept in a file.

use regraft::Result;
use regraft::transfer::{Model, TransferLearningHelper};

use super::flowers;

/// Features of training and test photos as bytes of safetensors files.
pub(crate) fn run(vgg16: &Model, photos: &flowers::Photos) -> Result<(Vec<u8>, Vec<u8>)> {
    let labels = flowers::labels();
    let helper = TransferLearningHelper::new(vgg16.clone(), Some(&["fc2"]))?;
    let train = helper.featurize(photos.train()?.into_iter(), &labels)?;
    let test = helper.featurize(photos.test()?.into_iter(), &labels)?;
    Ok((train.save()?, test.save()?))
}
