//! From gradients to updates, in Deeplearning4j's order: gradients are normalised, penalties added, weights decayed, updated
//! and projected to their constraints.

use std::collections::BTreeMap;

use super::Updater;
use super::options::BatchNormMode;
use super::program::Rate;
use super::regularization::{GradientNormalization, constrained, decayed, normalized, penalized};
use crate::error::Result;
use crate::graph::{Graph, VertexId};
use crate::tensor::TensorType;
use crate::transfer::{LearningConfig, Settings};

/// What layers learn by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learning<'a> {
    pub(super) settings: &'a Settings,
    /// Updater of the run, in place of all others.
    pub(super) updater: Option<&'a Updater>,
    pub(super) batch_norm: BatchNormMode,
}

impl Learning<'_> {
    pub(super) fn of(&self, layer: &str) -> Option<&LearningConfig> {
        self.settings.get(layer)
    }

    fn updater_of(&self, trained: &Trained) -> Updater {
        let own = self.of(&trained.layer);
        let bias = own.filter(|_| !trained.is_weight).and_then(|own| own.bias_updater.as_ref());
        let updater = self.updater.or(bias).or_else(|| own.and_then(|own| own.updater.as_ref()));
        updater.cloned().unwrap_or_default()
    }
}

/// A parameter with its gradient.
#[derive(Debug, Clone)]
pub(super) struct Trained {
    pub(super) name: String,
    pub(super) layer: String,
    pub(super) w: VertexId,
    pub(super) dw: VertexId,
    /// Biases and the parameters of normalisations have settings of their own.
    pub(super) is_weight: bool,
}

/// What [`append_updates`] appended.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// Last vertex of each chain of updates.
    pub(super) vertices: Vec<VertexId>,
    pub(super) rates: Vec<Rate>,
    /// Names of the inputs that hold updater state.
    pub(super) states: Vec<String>,
    /// States that do not begin with 0.
    pub(super) initial: Vec<(String, f32)>,
}

/// Appends what changes every parameter. Nothing that reads a parameter is appended after its update.
pub(super) fn append_updates(g: &mut Graph, trained: &[Trained], learning: &Learning<'_>) -> Result<Updates> {
    let mut gradients = normalize(g, trained, learning)?;
    for (t, dw) in trained.iter().zip(&mut gradients) {
        let Some(own) = learning.of(&t.layer) else { continue };
        let (l1, l2) = if t.is_weight { (&own.l1, &own.l2) } else { (&own.l1_bias, &own.l2_bias) };
        let [l1, l2] = [l1, l2].map(|setting| setting.get().copied().unwrap_or_default());
        if l1 != 0.0 || l2 != 0.0 {
            *dw = penalized(g, t.w, *dw, l1, l2)?;
        }
    }
    let mut updates = Updates::default();
    // One kind of change of all parameters after the other, weights before what has other settings: a GPU makes all of a kind, and
    // of neighbours, at once.
    let mut order: Vec<usize> = (0..trained.len()).collect();
    order.sort_by_key(|index| !trained[*index].is_weight);
    let mut changed: Vec<VertexId> = trained.iter().map(|t| t.w).collect();
    for &index in &order {
        changed[index] = decay(g, &trained[index], learning, &mut updates)?;
    }
    for &index in &order {
        changed[index] = update(g, &trained[index], changed[index], gradients[index], learning, &mut updates)?;
    }
    for (t, w) in trained.iter().zip(changed) {
        let last = constrain(g, t, w, learning)?;
        updates.vertices.push(last);
    }
    Ok(updates)
}

/// Gradients normalised as the layers ask for, in the order of `trained`.
fn normalize(g: &mut Graph, trained: &[Trained], learning: &Learning<'_>) -> Result<Vec<VertexId>> {
    let mut gradients: Vec<VertexId> = trained.iter().map(|t| t.dw).collect();
    // Layers in the order in which they come; a global norm is one over all that ask for it.
    let mut groups: Vec<(GradientNormalization, BTreeMap<&str, Vec<usize>>)> = Vec::new();
    for (index, t) in trained.iter().enumerate() {
        let Some(wanted) = learning.of(&t.layer).and_then(|own| own.gradient_normalization.get()) else { continue };
        let at = groups.iter().position(|(norm, _)| norm == wanted);
        let at = at.unwrap_or_else(|| {
            groups.push((*wanted, BTreeMap::new()));
            groups.len() - 1
        });
        groups[at].1.entry(&t.layer).or_default().push(index);
    }
    for (norm, layers) in groups {
        let by_layer: Vec<Vec<usize>> = layers.into_values().collect();
        let pairs = |layer: &Vec<usize>| layer.iter().map(|i| (trained[*i].w, trained[*i].dw)).collect();
        let given: Vec<Vec<(VertexId, VertexId)>> = by_layer.iter().map(pairs).collect();
        for (indices, normalized) in by_layer.iter().zip(normalized(g, &given, &norm)?) {
            indices.iter().zip(normalized).for_each(|(index, (_, dw))| gradients[*index] = dw);
        }
    }
    Ok(gradients)
}

/// Weight decay of one parameter; gives the vertex that holds it afterwards.
fn decay(g: &mut Graph, t: &Trained, learning: &Learning<'_>, updates: &mut Updates) -> Result<VertexId> {
    let updater = learning.updater_of(t);
    if updater.op().is_none() {
        return Ok(t.w);
    }
    let rate = rate_input(g, &updater, updates)?;
    let own = learning.of(&t.layer).and_then(|own| own.weight_decay.get()).map(|decay| f64::from(*decay));
    match own.or(updater.weight_decay()).filter(|factor| t.is_weight && *factor != 0.0) {
        Some(factor) => decayed(g, t.w, rate, factor as f32),
        None => Ok(t.w),
    }
}

/// The update of one parameter, which `w` holds after its decay.
fn update(
    g: &mut Graph,
    t: &Trained,
    w: VertexId,
    dw: VertexId,
    learning: &Learning<'_>,
    updates: &mut Updates,
) -> Result<VertexId> {
    let updater = learning.updater_of(t);
    let Some(op) = updater.op() else { return Ok(w) };
    let rate = rate_input(g, &updater, updates)?;
    let mut inputs = vec![w];
    for index in 1..op.updates() {
        let name = format!("{}/state{index}", t.name);
        inputs.push(g.input(name.clone(), g.get(t.w).ty.clone(), false)?);
        if updater.initial_state(index) != 0.0 {
            updates.initial.push((name.clone(), updater.initial_state(index)));
        }
        updates.states.push(name);
    }
    inputs.extend([dw, rate]);
    g.add(format!("{}/updated", t.name), op, &inputs)
}

/// The constraints of one parameter, which `w` holds after its update; gives the vertex that holds it after all of them.
fn constrain(g: &mut Graph, t: &Trained, mut w: VertexId, learning: &Learning<'_>) -> Result<VertexId> {
    if learning.updater_of(t).op().is_none() {
        return Ok(w);
    }
    let own = learning.of(&t.layer).filter(|_| t.is_weight);
    let constraints = own.and_then(|own| own.constraints.get());
    for constraint in constraints.into_iter().flatten() {
        w = constrained(g, w, constraint)?;
    }
    Ok(w)
}

/// The input with the numbers of an updater; one serves all parameters.
fn rate_input(g: &mut Graph, updater: &Updater, updates: &mut Updates) -> Result<VertexId> {
    if let Some(known) = updates.rates.iter().find(|rate| rate.updater == *updater) {
        return g.require(&known.input);
    }
    let input = format!("fit/rate{}", updates.rates.len());
    updates.rates.push(Rate { updater: updater.clone(), input: input.clone() });
    g.input(input, TensorType::f32([updater.scalars(0, 0).len()]), false)
}
