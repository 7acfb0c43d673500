//! The common case: everything up to a feature is frozen, a new softmax head is put on it.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::config::Activation;
use super::freezing::freeze;
use super::layer_config::{Layer, LayerKind};
use super::layers::add_layer;
use super::layout::layout_of;
use super::settings::{LearningConfig, Setting, Settings};
use crate::error::{Error, Result};
use crate::graph::{Graph, Loss, VertexId};
use crate::ops::{GlobalAvgPool, Op};

/// What the new head looks like.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClassifierOptions {
    /// Names of the classes, at least two and all different.
    pub labels: Vec<String>,
    /// Vertex whose value the head reads; default: the last pooled feature.
    pub at: Option<String>,
    /// Sizes of hidden relu layers; none by default.
    pub hidden: Vec<usize>,
    /// Probability of dropping a unit in front of each dense layer; 0.
    pub dropout: f32,
    /// Seed of the first weights; 0.
    pub seed: Option<u64>,
}

/// Name of the new output vertex, as in the zoo.
const OUTPUT: &str = "predictions";

/// The graph up to `at`, frozen, with a new head, and the head's learning settings: those given, with the options' dropout.
///
/// # Errors
/// `bad-option` for labels, `unknown-vertex` for `at`, `conflict` where the network has no feature to attach to.
pub fn classifier(source: &Graph, learning: &LearningConfig, options: &ClassifierOptions) -> Result<(Graph, Settings)> {
    check_labels(&options.labels)?;
    let at = match &options.at {
        Some(name) => source.require(name)?,
        None => last_feature(source)?,
    };
    let mut graph = without_orphans(source.extract(&[at])?);
    let feature = graph.require(&source.get(at).name)?;
    let mut x = pooled(&mut graph, feature)?;
    let name = graph.get(x).name.clone();
    let mut graph = freeze(graph, &BTreeSet::from([name]))?;
    let seed = options.seed.unwrap_or_default();
    let mut learning = LearningConfig { activation: None, ..learning.clone() };
    if options.dropout != 0.0 {
        learning.dropout = Setting::Set(options.dropout);
    }
    learning.validate()?;
    let mut settings = Settings::new();
    let mut add = |graph: &mut Graph, base: &str, kind: LayerKind, activation: Activation, x: VertexId| {
        let name = graph.free_name(base);
        let own = LearningConfig { activation: Some(activation), ..learning.clone() };
        settings.insert(name.clone(), own.clone().settled());
        add_layer(graph, &name, &Layer { kind, n_in: None, learning: own }, &[x], seed)
    };
    for (index, &n_out) in options.hidden.iter().enumerate() {
        let dense = LayerKind::Dense { n_out, has_bias: true };
        x = add(&mut graph, &format!("hidden{}", index + 1), dense, Activation::Relu, x)?;
    }
    let (n_out, loss) = (options.labels.len(), Loss::NegativeLogLikelihood);
    let output = LayerKind::Output { n_out, loss, loss_weights: Vec::new(), has_bias: true };
    let output = add(&mut graph, OUTPUT, output, Activation::Softmax, x)?;
    graph.set_outputs(vec![output]);
    settings.retain(|_, own| !own.is_empty());
    Ok((graph, settings))
}

fn check_labels(labels: &[String]) -> Result<()> {
    let distinct: BTreeSet<&String> = labels.iter().collect();
    if labels.len() < 2 || distinct.len() != labels.len() {
        return Err(Error::option("labels", format!("at least two different labels, not {labels:?}")));
    }
    Ok(())
}

/// The value that the last layer with weights reads, before any dropout, flattening or reshaping.
fn last_feature(source: &Graph) -> Result<VertexId> {
    let has_weights = |id: &VertexId| {
        let vertex = source.get(*id);
        vertex.inputs.iter().any(|i| matches!(source.get(*i).op, Op::Parameter(_)))
    };
    let output = *source.outputs().first().ok_or_else(|| Error::conflict("", "the network has no output"))?;
    let reachable = source.ancestors(&[output]);
    let last = source.iter().rev().map(|(id, _)| id).find(|id| reachable[id.index()] && has_weights(id));
    let last =
        last.ok_or_else(|| Error::conflict("", "the network has no layer with weights; name a vertex with 'at'"))?;
    let mut at = source.get(last).inputs[0];
    while let Op::Dropout(_) | Op::Flatten(_) | Op::Reshape(_) = source.get(at).op {
        at = source.get(at).inputs[0];
    }
    if matches!(source.get(at).op, Op::Input(_)) {
        return Err(Error::conflict(
            &source.get(last).name,
            "the network is a single layer; there is no feature to keep",
        ));
    }
    Ok(at)
}

/// Parts of a layer whose last vertex was cut off become vertices of their own.
fn without_orphans(mut graph: Graph) -> Graph {
    let orphans: Vec<VertexId> = graph
        .iter()
        .filter(|(_, v)| v.layer.as_ref().is_some_and(|layer| graph.find(layer).is_none()))
        .map(|(id, _)| id)
        .collect();
    orphans.into_iter().for_each(|id| graph.get_mut(id).layer = None);
    graph
}

/// A map with more than one pixel is averaged first (Lin et al. 2014, Network in Network).
fn pooled(graph: &mut Graph, feature: VertexId) -> Result<VertexId> {
    let shape = &graph.get(feature).ty.shape;
    if shape.rank() != 4 {
        return Ok(feature);
    }
    let layout = layout_of(graph, feature);
    let [_, h, w, _] = layout.sizes(shape).map_err(|e| Error::internal(e.0))?;
    if h * w == 1 {
        return Ok(feature);
    }
    let name = graph.free_name("feature_pool");
    graph.add(name, GlobalAvgPool { layout }, &[feature])
}
