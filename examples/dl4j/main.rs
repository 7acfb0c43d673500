//! The five transfer-learning programs of Deeplearning4j's examples.
//!
//! `cargo run --example dl4j`

pub(crate) mod edit_at_bottleneck;
pub(crate) mod edit_last_layer;
pub(crate) mod featurized_pre_save;
pub(crate) mod fine_tune_from_block4;
pub(crate) mod fit_from_featurized;
pub(crate) mod flowers;

use regraft::Result;

#[expect(clippy::print_stdout, reason = "an example shows what it made")]
fn main() -> Result<()> {
    let (vgg16, photos) = (flowers::vgg16()?, flowers::Photos::drawn(1));

    let (model, evaluation) = edit_last_layer::run(&vgg16, &photos)?;
    let (total, trainable) = model.graph.count_parameters();
    println!("{}", regraft::graph::print_summary(&model.graph.summary()?, total, trainable));
    println!("EditLastLayerOthersFrozen\n{evaluation}\n");

    let (bytes, evaluation) = edit_at_bottleneck::run(&vgg16, &photos)?;
    println!("EditAtBottleneckOthersFrozen, {} bytes written\n{evaluation}\n", bytes.len());
    let (_, _, evaluation) = fine_tune_from_block4::run(&bytes, &photos)?;
    println!("FineTuneFromBlockFour\n{evaluation}\n");

    let (train, test) = featurized_pre_save::run(&vgg16, &photos)?;
    println!("FeaturizedPreSave: {} and {} bytes\n", train.len(), test.len());
    let (_, evaluation) = fit_from_featurized::run(&vgg16, &train, &test)?;
    println!("FitFromFeaturized\n{evaluation}");
    Ok(())
}
