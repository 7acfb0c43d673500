//! An epoch of head training through the trunk against one on cached features. `scripts/bench cached_features`

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use regraft::Result;
use regraft::data::{Image, Rng, Stream};
use regraft::train::FitOptions;
use regraft::transfer::{ClassifierOptions, Files, Labelled, LoadOptions, Model, TransferLearningHelper};

const IMAGES: usize = 20;
const SIDE: u32 = 224;
const RUNS: usize = 3;
/// One epoch on cached features is short; many are timed together.
const EPOCHS: u32 = 50;

#[expect(clippy::print_stdout, reason = "the numbers are what a bench is for")]
fn main() -> Result<()> {
    let options = LoadOptions { architecture: Some("efficientnet_lite0".into()), ..LoadOptions::default() };
    let labels: Vec<String> = (0..5).map(|c| format!("class{c}")).collect();
    let classifier = ClassifierOptions { labels: labels.clone(), ..ClassifierOptions::default() };
    let mut model = Model::load(&Files::new(), &options)?;
    model.preprocessing.size = regraft::data::Size { width: SIDE, height: SIDE };
    let mut helper = TransferLearningHelper::new(model.classifier(&classifier)?, None)?;

    let len = (SIDE * SIDE * 3) as usize;
    let pixels = |image: usize| {
        let mut rng = Rng::for_item(0, Stream::Verify, image as u64);
        (0..len).map(|_| rng.below(256) as u8).collect::<Vec<u8>>()
    };
    let pixels: Vec<Vec<u8>> = (0..IMAGES).map(pixels).collect();

    let mut ratios = Vec::new();
    for run in 0..RUNS {
        let mut images = Vec::with_capacity(IMAGES);
        for (index, pixels) in pixels.iter().enumerate() {
            let image = Image::new(pixels, SIDE, SIDE, 3)?;
            images.push(Labelled { image, label: index % labels.len(), id: "photo" });
        }
        let start = Instant::now();
        let features = Arc::new(helper.featurize(images.into_iter(), &labels)?);
        let trunk = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let options = FitOptions { epochs: EPOCHS, ..FitOptions::default() };
        helper.fit_featurized(features, None, options, |_| ControlFlow::Continue(()))?;
        let head = start.elapsed().as_secs_f64() / f64::from(EPOCHS);
        println!("run {run}: through the trunk {:.4} s, on features {head:.6} s", trunk + head);
        ratios.push((trunk + head) / head);
    }
    ratios.sort_by(f64::total_cmp);
    let (median, spread) = (ratios[RUNS / 2], (ratios[0], ratios[RUNS - 1]));
    println!("an epoch on cached features is {median:.0} times faster ({:.0} to {:.0})", spread.0, spread.1);
    Ok(())
}
