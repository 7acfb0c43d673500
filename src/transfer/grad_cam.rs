//! Where a model looked: Grad-CAM.

use std::collections::BTreeSet;

use super::freezing::{freeze, unfreeze};
use super::layout::layout_of;
use super::model::Model;
use super::trunk::Trunk;
use crate::backend::{Backend, Device};
use crate::data::{Image, Size, resize_values};
use crate::error::{Error, Result};
use crate::graph::gradient::gradients;
use crate::graph::{Graph, Split, VertexId, rewrite};
use crate::ops::{Layout, Op};
use crate::plan::Plan;
use crate::tensor::{Shape, TensorType};

/// A map over an image.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Values in 0..=1, row by row.
    pub data: Vec<f32>,
}

/// A model ready to show which pixels speak for a class (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep
/// Networks via Gradient-based Localization").
#[derive(Debug)]
pub struct GradCam {
    trunk: Trunk,
    tail: Backend,
    /// Inputs of the tail with their lengths, in the order of the trunk's values.
    boundary: Vec<(String, usize)>,
    /// Names in the tail's plan.
    score: String,
    seed: String,
    gradient: String,
    at: String,
    /// Rows, columns and channels of the feature map.
    map: [usize; 3],
    layout: Layout,
    classes: usize,
    labels: Option<Vec<String>>,
    size: Size,
}

/// Name of the input that selects a class.
const SEED: &str = "gradcam/seed";

impl GradCam {
    /// Compiles the part up to the feature map `at` and the gradient of the first output's scores, before their softmax, in it.
    /// Default: the last map of more than one pixel. What is frozen or trained makes no difference.
    ///
    /// # Errors
    /// `unknown-vertex`; `conflict` where `at` is no feature map the scores depend on, or the first output is no row of
    /// classes; as [`Trunk::new`].
    pub fn new(model: &Model, at: Option<&str>) -> Result<Self> {
        let mut graph = unfreeze(model.graph.clone(), &BTreeSet::new(), &BTreeSet::new())?;
        let score = scores(&graph)?;
        graph.set_outputs(vec![score]);
        let at = match at {
            Some(name) => graph.require(name)?,
            None => last_map(&graph)?,
        };
        let layout = layout_of(&graph, at);
        let (at, map) = (graph.get(at).name.clone(), map_sizes(&graph, at, layout)?);
        let split = freeze(graph, &BTreeSet::from([at.clone()]))?.split()?;
        let trunk = Trunk::new(&split.trunk, &model.preprocessing, None)?;
        let Tail { backend, score, seed, gradient, classes } = Tail::new(&split, &at)?;
        Ok(Self {
            boundary: trunk.tensors().into_iter().map(|(name, shape): (String, Shape)| (name, shape.len())).collect(),
            trunk,
            tail: backend,
            score,
            seed,
            gradient,
            at,
            map,
            layout,
            classes,
            labels: model.labels.clone(),
            size: model.preprocessing.size,
        })
    }

    /// The map of the preprocessed image: the positive part of the feature maps' sum, each weighted by the mean gradient of the
    /// class's score in it, divided by its maximum and scaled up bilinearly. All 0 where nothing speaks for the class.
    ///
    /// `label`: a class by name, or by column where the model has no labels; default: the one with the highest score.
    ///
    /// # Errors
    /// `bad-option` for a class that is not there.
    pub fn map(&mut self, image: Image<'_>, label: Option<&str>) -> Result<HeatMap> {
        let class = label.map(|label| self.class(label)).transpose()?;
        let features = self.trunk.featurize(image)?;
        let mut rest = features.as_slice();
        let mut own: &[f32] = &[];
        for (name, len) in &self.boundary {
            let (values, after) = rest.split_at(*len);
            self.tail.write(name, values)?;
            rest = after;
            if *name == self.at {
                own = values;
            }
        }
        let class = match class {
            Some(class) => class,
            None => {
                self.tail.run()?;
                best(self.tail.read(&self.score)?)
            }
        };
        let mut seed = vec![0.0; self.classes];
        seed[class] = 1.0;
        self.tail.write(&self.seed, &seed)?;
        self.tail.run()?;
        let values = weighted(own, self.tail.read(&self.gradient)?, self.map, self.layout);
        let [height, width, _] = self.map.map(|side| side as u32);
        let data = resize_values(&values, Size { width, height }, self.size);
        Ok(HeatMap { width: self.size.width, height: self.size.height, data })
    }

    fn class(&self, label: &str) -> Result<usize> {
        let found = match &self.labels {
            Some(labels) => labels.iter().position(|l| l == label),
            None => label.parse().ok().filter(|class| *class < self.classes),
        };
        found.ok_or_else(|| Error::option("label", format!("the model has no class '{label}'")))
    }
}

/// The scores of the first output: what its softmax or sigmoid reads, if it has one.
fn scores(graph: &Graph) -> Result<VertexId> {
    let output = *graph.outputs().first().ok_or_else(|| Error::conflict("", "the network has no output"))?;
    let shape = &graph.get(output).ty.shape;
    if shape.rank() != 2 {
        let reason = format!("an output of {shape} gives no class; name another with setOutputs");
        return Err(Error::conflict(&graph.get(output).name, reason));
    }
    let mut at = output;
    loop {
        let vertex = graph.get(at);
        match vertex.op {
            Op::Softmax(_) | Op::Sigmoid(_) => return Ok(vertex.inputs[0]),
            Op::Dropout(_) | Op::Flatten(_) | Op::Reshape(_) => at = vertex.inputs[0],
            _ => return Ok(output),
        }
    }
}

/// The last visible value of images with more than one pixel that the output depends on.
fn last_map(graph: &Graph) -> Result<VertexId> {
    let needed = graph.ancestors(graph.outputs());
    let from_input = graph.descendants(graph.iter().map(|(_, v)| matches!(v.op, Op::Input(_))).collect());
    let is_map = |id: &VertexId| {
        let vertex = graph.get(*id);
        let hidden = vertex.layer.is_some() || matches!(vertex.op, Op::Input(_));
        needed[id.index()] && from_input[id.index()] && !hidden && map_sizes(graph, *id, layout_of(graph, *id)).is_ok()
    };
    let found = graph.iter().rev().map(|(id, _)| id).find(is_map);
    found.ok_or_else(|| Error::conflict("", "the network has no feature map; name a vertex with 'at'"))
}

/// Rows, columns and channels of a map of more than one pixel.
fn map_sizes(graph: &Graph, id: VertexId, layout: Layout) -> Result<[usize; 3]> {
    let vertex = graph.get(id);
    match layout.sizes(&vertex.ty.shape) {
        Ok([_, h, w, c]) if h * w > 1 => Ok([h, w, c]),
        _ => Err(Error::conflict(&vertex.name, format!("its value, {}, is no map of several pixels", vertex.ty.shape))),
    }
}

/// The part after the feature map with the gradient in it.
struct Tail {
    backend: Backend,
    score: String,
    seed: String,
    gradient: String,
    classes: usize,
}

impl Tail {
    fn new(split: &Split, at: &str) -> Result<Self> {
        let mut graph = rewrite::lower(&split.tail.for_inference().with_batch(1)?)?;
        let score = *graph.outputs().first().ok_or_else(|| Error::internal("a tail without output"))?;
        let independent = || Error::conflict(at, "the first output does not depend on it");
        let at = graph.find(at).ok_or_else(independent)?;
        let shape = graph.get(score).ty.shape.clone();
        let seed = graph.free_name(SEED);
        let seed = graph.input(seed, TensorType::f32(shape.clone()), true)?;
        let gradient = gradients(&mut graph, &[(score, seed)], &[at])?;
        let gradient = gradient.into_iter().flatten().next().ok_or_else(independent)?;
        graph.set_outputs(vec![score, gradient]);
        let name = |id: VertexId| graph.get(id).name.clone();
        let (score, seed, gradient) = (name(score), name(seed), name(gradient));
        let backend = Backend::new(Plan::new(&rewrite::fuse(&graph)?, None)?, &Device::Cpu)?;
        Ok(Self { backend, score, seed, gradient, classes: shape.len() })
    }
}

/// Position of the first largest score.
fn best(scores: &[f32]) -> usize {
    (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}

/// `relu(Σ αᶜ·Aᶜ)` over its maximum, αᶜ being the mean of the gradient in channel c.
fn weighted(values: &[f32], gradient: &[f32], [height, width, channels]: [usize; 3], layout: Layout) -> Vec<f32> {
    let pixels = height * width;
    let at = |pixel: usize, channel: usize| match layout {
        Layout::Nchw => channel * pixels + pixel,
        Layout::Nhwc => pixel * channels + channel,
    };
    let mean = |c: usize| (0..pixels).map(|p| f64::from(gradient[at(p, c)])).sum::<f64>() / pixels as f64;
    let weights: Vec<f64> = (0..channels).map(mean).collect();
    let sum = |p: usize| weights.iter().enumerate().map(|(c, w)| w * f64::from(values[at(p, c)])).sum::<f64>().max(0.0);
    let sums: Vec<f64> = (0..pixels).map(sum).collect();
    let max = sums.iter().copied().fold(0.0, f64::max);
    sums.iter().map(|sum| if max > 0.0 { (sum / max) as f32 } else { 0.0 }).collect()
}
