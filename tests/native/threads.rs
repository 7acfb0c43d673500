//! Results do not depend on the number of threads, in no bit of them: whole networks, a training run, siblings of a trunk.

use std::ops::ControlFlow;

use rayon_core::{ThreadPool, ThreadPoolBuilder};
use regraft::Result;
use regraft::data::{Image, Rng, Stream};
use regraft::train::FitOptions;
use regraft::transfer::{ClassifierOptions, Edit, Files, Labelled, LoadOptions, Model, TransferLearningHelper, Trunk};
use serde_json::json;

const POOLS: [usize; 3] = [1, 2, 4];
const SIDE: u32 = 224;

fn pool(threads: usize) -> ThreadPool {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap_or_else(|e| panic!("{threads} threads: {e}"))
}

fn network(architecture: &str) -> Result<Model> {
    Model::load(&Files::new(), &LoadOptions { architecture: Some(architecture.into()), ..LoadOptions::default() })
}

fn pixels(image: u64) -> Vec<u8> {
    let mut rng = Rng::for_item(0, Stream::Verify, image);
    (0..SIDE * SIDE * 3).map(|_| rng.below(256) as u8).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// What a trunk that is compiled and run there makes of an image.
fn features(model: &Model, pixels: &[u8]) -> Result<Vec<u32>> {
    let mut trunk = Trunk::new(&model.graph, &model.preprocessing, None)?;
    Ok(bits(&trunk.featurize(Image::new(pixels, SIDE, SIDE, 3)?)?))
}

#[test]
fn networks_give_the_same_on_any_number_of_threads() -> Result<()> {
    for architecture in ["mobilenet_v2", "resnet18", "squeezenet1_1"] {
        let (model, pixels) = (network(architecture)?, pixels(0));
        let alone = features(&model, &pixels)?;
        for threads in POOLS {
            let there = pool(threads).install(|| features(&model, &pixels))?;
            assert!(alone == there, "{architecture} on {threads} threads");
        }
    }
    Ok(())
}

#[test]
fn siblings_give_the_same_each_in_its_own_thread() -> Result<()> {
    let (model, pixels) = (network("mobilenet_v2")?, pixels(0));
    let image = Image::new(&pixels, SIDE, SIDE, 3)?;
    let mut trunk = Trunk::new(&model.graph, &model.preprocessing, None)?;
    let siblings = [trunk.sibling()?, trunk.sibling()?];
    let first = bits(&trunk.featurize(image)?);
    std::thread::scope(|scope| {
        for sibling in siblings {
            let first = &first;
            scope.spawn(move || {
                let mut sibling = Trunk::from(sibling);
                for _ in 0..2 {
                    let there = sibling.featurize(image).unwrap_or_else(|e| panic!("{e}"));
                    assert!(bits(&there) == *first, "a sibling differs");
                }
            });
        }
    });
    Ok(())
}

/// Losses and parameters after some updates of the layers behind the last residual sum and of a new head.
fn training(model: &Model) -> Result<Vec<u32>> {
    let mut sums = model.graph.iter().filter(|(_, vertex)| vertex.op.name() == "add");
    let boundary = sums.next_back().map(|(_, vertex)| vertex.name.clone()).unwrap_or_default();
    let labels: Vec<String> = (0..3).map(|c| format!("class{c}")).collect();
    let head = ClassifierOptions { labels: labels.clone(), hidden: vec![100], ..ClassifierOptions::default() };
    let edits = json!([{ "type": "unfreeze", "names": [] }, { "type": "setFeatureExtractor", "names": [boundary] }]);
    let edits: Vec<Edit> = serde_json::from_value(edits).unwrap_or_else(|e| panic!("edits: {e}"));
    let mut helper = TransferLearningHelper::new(model.classifier(&head)?.edited(&edits)?, None)?;

    let pixels: Vec<Vec<u8>> = (0..6).map(pixels).collect();
    let images = pixels.iter().enumerate().map(|(index, pixels)| {
        Ok(Labelled { image: Image::new(pixels, SIDE, SIDE, 3)?, label: index % labels.len(), id: "photo" })
    });
    let images = images.collect::<Result<Vec<_>>>()?;
    let set = helper.featurize(images.into_iter(), &labels)?;
    let options = json!({ "epochs": 2, "batchSize": 4, "updater": { "type": "adam" }, "batchNorm": "train" });
    let options: FitOptions = serde_json::from_value(options).unwrap_or_else(|e| panic!("options: {e}"));
    let history = helper.fit_featurized(set.into(), None, options, |_| ControlFlow::Continue(()))?;

    let losses = history.iterations.iter().map(|iteration| iteration.loss as f32);
    let mut all: Vec<f32> = losses.collect();
    assert!(all.len() == 4 && all.iter().all(|loss| loss.is_finite()), "losses {all:?}");
    for (_, vertex) in helper.model().graph.iter().filter(|(_, vertex)| !vertex.frozen) {
        all.extend(vertex.value.iter().filter_map(|value| value.as_f32()).flatten());
    }
    Ok(bits(&all))
}

#[test]
fn training_gives_the_same_on_any_number_of_threads() -> Result<()> {
    let model = network("mobilenet_v2")?;
    let alone = training(&model)?;
    for threads in POOLS {
        let there = pool(threads).install(|| training(&model))?;
        assert!(alone == there, "on {threads} threads");
    }
    Ok(())
}
