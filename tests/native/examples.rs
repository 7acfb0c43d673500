//! The examples run and keep what Deeplearning4j's programs promise.

use regraft::Result;
use regraft::transfer::Model;

#[path = "../../examples/dl4j/main.rs"]
#[allow(dead_code, reason = "the example's own main function is not called")]
mod dl4j;

use dl4j::{
    edit_at_bottleneck, edit_last_layer, featurized_pre_save, fine_tune_from_block4, fit_from_featurized, flowers,
};

/// The page's promise for its flowers; chance is 0.2.
const ACCURACY: f64 = 0.75;
/// Twice as good as chance: the second and third program show what the builder can do, not how to get a good classifier.
const ABOVE_CHANCE: f64 = 0.4;
/// Seed of the photos.
const SEED: u64 = 1;

/// Names of stored values that differ.
fn changed(before: &Model, after: &Model) -> Vec<String> {
    let value = |name: &str| before.graph.find(name).and_then(|id| before.graph.get(id).value.clone());
    let stored = after.graph.iter().filter(|(_, v)| v.is_stored());
    stored.filter(|(_, v)| value(&v.name) != v.value).map(|(_, v)| v.name.clone()).collect()
}

#[test]
fn the_last_layer_is_edited() -> Result<()> {
    let vgg16 = flowers::vgg16()?;
    let (model, evaluation) = edit_last_layer::run(&vgg16, &flowers::Photos::drawn(SEED))?;
    assert_eq!(changed(&vgg16, &model), ["predictions.weight", "predictions.bias"]);
    assert!(evaluation.accuracy > ACCURACY, "seed {SEED}: {evaluation}");
    Ok(())
}

#[test]
fn the_bottleneck_is_edited_and_block_five_trained() -> Result<()> {
    let vgg16 = flowers::vgg16()?;
    let (bytes, evaluation) = edit_at_bottleneck::run(&vgg16, &flowers::Photos::drawn(SEED))?;
    assert!(evaluation.accuracy > ABOVE_CHANCE, "seed {SEED}: {evaluation}");

    let photos = flowers::Photos::drawn(SEED);
    let (before, after, evaluation) = fine_tune_from_block4::run(&bytes, &photos)?;
    let expected: Vec<String> = ["block5_conv1", "fc1", "fc2", "fc3", "newpredictions"]
        .iter()
        .flat_map(|layer| [format!("{layer}.weight"), format!("{layer}.bias")])
        .collect();
    assert_eq!(changed(&before, &after), expected);
    assert!(evaluation.accuracy > ABOVE_CHANCE, "seed {SEED}: {evaluation}");
    Ok(())
}

#[test]
fn kept_features_train_the_same_head() -> Result<()> {
    let vgg16 = flowers::vgg16()?;
    let (train, test) = featurized_pre_save::run(&vgg16, &flowers::Photos::drawn(SEED))?;
    let (model, evaluation) = fit_from_featurized::run(&vgg16, &train, &test)?;
    assert_eq!(changed(&vgg16, &model), ["predictions.weight", "predictions.bias"]);
    assert_eq!(evaluation.count, 40);
    Ok(())
}
