//! What the examples share: a network with VGG-16's names and photos of five kinds of flowers. Both are small stand-ins that need
//! no download: the network has random weights, the photos are drawn.

use regraft::Result;
use regraft::data::{Image, Preprocessing, Rng, Size, Stream};
use regraft::graph::Graph;
use regraft::tensor::TensorType;
use regraft::transfer::{
    Activation, Labelled, Layer, LayerKind, LearningConfig, Model, NamedPadding, Padding, Pair, Pool, WeightInit,
};

const SIDE: u32 = 32;
const PER_CLASS: usize = 40;

/// Names of the classes, as in Deeplearning4j's flower examples.
pub(crate) fn labels() -> Vec<String> {
    ["daisy", "dandelion", "roses", "sunflowers", "tulips"].map(str::to_owned).to_vec()
}

/// Photos with their classes.
pub(crate) struct Photos {
    pixels: Vec<Vec<u8>>,
    ids: Vec<String>,
}

impl Photos {
    /// Draws `PER_CLASS` photos a class: each class has a colour, each photo a spot of it somewhere on noise.
    pub(crate) fn drawn(seed: u64) -> Self {
        let colours = [[250, 250, 250], [250, 230, 0], [230, 0, 30], [120, 60, 0], [150, 0, 250]];
        let count = PER_CLASS * colours.len();
        let draw = |index: usize| {
            let mut rng = Rng::for_item(seed, Stream::Augmentation, index as u64);
            let (side, colour) = (SIDE as usize, colours[index % colours.len()]);
            let (x, y) = (rng.below(side / 2), rng.below(side / 2));
            let mut pixels: Vec<u8> = (0..side * side * 3).map(|_| rng.below(60) as u8).collect();
            for row in y..y + side / 2 {
                for column in x..x + side / 2 {
                    pixels[(row * side + column) * 3..][..3].copy_from_slice(&colour);
                }
            }
            pixels
        };
        Self { pixels: (0..count).map(draw).collect(), ids: (0..count).map(|i| format!("photo{i}")).collect() }
    }

    /// Some of the photos, labelled.
    pub(crate) fn labelled(&self, range: std::ops::Range<usize>) -> Result<Vec<Labelled<'_>>> {
        let photo = |index: usize| {
            let image = Image::new(&self.pixels[index], SIDE, SIDE, 3)?;
            Ok(Labelled { image, label: index % labels().len(), id: &self.ids[index] })
        };
        range.map(photo).collect()
    }

    /// Four of five photos train.
    pub(crate) fn train(&self) -> Result<Vec<Labelled<'_>>> {
        self.labelled(0..self.ids.len() * 4 / 5)
    }

    /// The others test.
    pub(crate) fn test(&self) -> Result<Vec<Labelled<'_>>> {
        self.labelled(self.ids.len() * 4 / 5..self.ids.len())
    }
}

/// VGG-16's vertices with few channels and one convolution a block.
pub(crate) fn vgg16() -> Result<Model> {
    let mut graph = Graph::new();
    let side = SIDE as usize;
    let input = graph.input("input_1", TensorType::f32([1, side, side, 3]), true)?;
    graph.set_outputs(vec![input]);
    let mut empty = Model::new(graph);
    empty.preprocessing = Preprocessing { size: Size { width: SIDE, height: SIDE }, ..Preprocessing::default() };
    let relu = || LearningConfig {
        activation: Some(Activation::Relu),
        weight_init: Some(WeightInit::Relu),
        ..LearningConfig::default()
    };
    let mut edits = empty.transfer_learning();
    let mut below = "input_1".to_owned();
    for block in 1..=5 {
        let conv = LayerKind::Conv2d {
            n_out: 8 * block.min(4),
            kernel_size: Pair::Both(3),
            stride: Pair::Both(1),
            padding: Padding::Named(NamedPadding::Same),
            dilation: Pair::Both(1),
            groups: 1,
            has_bias: true,
        };
        let pool = Pool { kernel_size: Pair::Both(2), stride: None, padding: Padding::default() };
        let (name, pooled) = (format!("block{block}_conv1"), format!("block{block}_pool"));
        edits = edits.add_layer(&name, Layer::from(conv).with(relu()), &[&below]);
        edits = edits.add_layer(&pooled, LayerKind::MaxPool(pool), &[&name]);
        below = pooled;
    }
    edits
        .add_layer("flatten", LayerKind::Flatten {}, &["block5_pool"])
        .add_layer("fc1", Layer::dense(64).with(relu()), &["flatten"])
        .add_layer("fc2", Layer::dense(64).with(relu()), &["fc1"])
        .add_layer("predictions", Layer::dense(10), &["fc2"])
        .set_outputs(&["predictions"])
        .build()
}
