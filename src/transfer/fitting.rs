//! Shapes carried through the draft of a graph: which existing layers have to be fitted, and their new parameters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::builder::{Content, Defaults, Pending, add, in_order};
use super::init::WeightInit;
use super::refit::{Fit, Operand, drawn, fit};
use super::requested::Requested;
use crate::error::{Error, OpError, Result};
use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{Op, Role};
use crate::tensor::{Shape, Tensor, TensorType};

/// Existing vertices that change: ops whose attributes follow their inputs, and parameters that are drawn anew because their
/// shape changed or their layer was named.
pub(super) fn fitted(
    pending: &[Pending],
    source: &Graph,
    requested: &Requested,
    defaults: &Defaults<'_>,
) -> Result<Vec<Vertex>> {
    let stored = pending.iter().filter_map(|p| match &p.content {
        Content::Existing(vertex) if vertex.is_stored() => Some((p.name.as_str(), vertex.as_ref())),
        _ => None,
    });
    let mut fitter = Fitter {
        source,
        requested,
        defaults,
        targets: targets(source, requested)?,
        stored: stored.collect(),
        graph: Graph::new(),
        ids: HashMap::new(),
        next_init: HashMap::new(),
        changed: BTreeMap::new(),
    };
    in_order(pending, |vertex| fitter.place(vertex))?;
    Ok(fitter.changed.into_values().collect())
}

/// The vertex with the weights of each layer that is named in `nOutReplace` or `nInReplace`, and the layer.
fn targets<'a>(source: &'a Graph, requested: &'a Requested) -> Result<HashMap<&'a str, &'a str>> {
    let has_weights = |v: &Vertex| v.inputs.iter().any(|i| role(source.get(*i)) == Some(Role::Weight));
    let mut targets = HashMap::new();
    for layer in requested.n_out.keys().chain(requested.n_in.keys()) {
        let belongs = |v: &Vertex| v.layer.as_ref().unwrap_or(&v.name) == layer;
        let last = source.iter().rev().map(|(_, v)| v).find(|v| belongs(v) && has_weights(v));
        let last = last
            .ok_or_else(|| Error::conflict(layer, "it has no weights, so its size follows its input; name a layer"))?;
        targets.insert(last.name.as_str(), layer.as_str());
    }
    Ok(targets)
}

fn role(vertex: &Vertex) -> Option<Role> {
    if let Op::Parameter(parameter) = &vertex.op { Some(parameter.role) } else { None }
}

/// A graph built to learn its shapes. Parameters wait for their first reader, which says what shape they have.
struct Fitter<'a> {
    source: &'a Graph,
    requested: &'a Requested,
    defaults: &'a Defaults<'a>,
    targets: HashMap<&'a str, &'a str>,
    stored: HashMap<&'a str, &'a Vertex>,
    graph: Graph,
    ids: HashMap<&'a str, VertexId>,
    /// Initialisation that an edit asks for in the layers that follow.
    next_init: HashMap<VertexId, WeightInit>,
    changed: BTreeMap<String, Vertex>,
}

impl<'a> Fitter<'a> {
    fn place(&mut self, pending: &'a Pending) -> Result<bool> {
        if pending.is_stored() {
            return Ok(true);
        }
        let is_there = |name: &String| self.ids.contains_key(name.as_str()) || self.stored.contains_key(name.as_str());
        if !pending.inputs.iter().all(is_there) {
            return Ok(false);
        }
        let id = match &pending.content {
            Content::Existing(vertex) => self.existing(vertex, &pending.inputs)?,
            Content::New(addition) => {
                let inputs = self.inputs(&pending.name, &pending.inputs)?;
                let name = self.graph.free_name(&pending.name);
                add(&mut self.graph, &name, addition, &inputs, self.defaults)?
            }
        };
        self.ids.insert(&pending.name, id);
        Ok(true)
    }

    /// Ids of what a vertex reads; stored values are placed with their value as it now is.
    fn inputs(&mut self, reader: &str, names: &'a [String]) -> Result<Vec<VertexId>> {
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let now = match (self.changed.get(name), self.stored.get(name.as_str())) {
                (Some(vertex), Some(_)) => vertex,
                (None, Some(vertex)) => *vertex,
                (_, None) => {
                    ids.push(self.ids[name.as_str()]);
                    continue;
                }
            };
            let id = match self.ids.get(name.as_str()) {
                Some(id) if self.graph.get(*id).ty == now.ty => *id,
                Some(_) => {
                    let reason = format!("it shares '{name}' with a layer that needs it in another shape");
                    return Err(Error::conflict(reader, reason));
                }
                None => {
                    let free = self.graph.free_name(name);
                    let vertex = Vertex { name: free, ..now.clone() };
                    self.graph.add_like(&vertex, vertex.op.clone(), &[])?
                }
            };
            self.ids.insert(name, id);
            ids.push(id);
        }
        Ok(ids)
    }

    fn existing(&mut self, vertex: &'a Vertex, names: &'a [String]) -> Result<VertexId> {
        let layer = self.targets.get(vertex.name.as_str()).copied();
        let now: Vec<Option<TensorType>> = names.iter().map(|name| self.type_of(name)).collect();
        let old = names.iter().map(|name| Ok(&self.source.get(self.source.require(name)?).ty));
        let old: Vec<&TensorType> = old.collect::<Result<_>>()?;
        let moved = now.iter().zip(&old).any(|(now, old)| now.as_ref().is_some_and(|now| now != *old));
        let mut op = vertex.op.clone();
        if moved || layer.is_some() {
            let operands: Vec<_> = now.iter().zip(&old).map(|(new, old)| Operand { old, new: new.as_ref() }).collect();
            let n_out = layer.and_then(|layer| self.requested.n_out.get(layer)).map(|edit| edit.n_out);
            let Fit { op: fit_op, shapes } = fit(&vertex.op, &operands, n_out).map_err(|e| shape(vertex, &now, e))?;
            op = fit_op;
            self.check_n_in(vertex, layer, &now, &shapes)?;
            self.redraw(vertex, layer, names, &shapes)?;
        }
        let inputs = self.inputs(&vertex.name, names)?;
        let free = Vertex { name: self.graph.free_name(&vertex.name), ..vertex.clone() };
        let id = self.graph.add_like(&free, op.clone(), &inputs)?;
        if op != vertex.op {
            self.changed.insert(vertex.name.clone(), Vertex { op, ..vertex.clone() });
        }
        self.pass_init_on(vertex, layer, &inputs, id);
        Ok(id)
    }

    /// Type of a value that is not stored, as it now is.
    fn type_of(&self, name: &str) -> Option<TensorType> {
        if self.stored.contains_key(name) { None } else { self.ids.get(name).map(|id| self.graph.get(*id).ty.clone()) }
    }

    fn check_n_in(
        &self,
        vertex: &Vertex,
        layer: Option<&str>,
        now: &[Option<TensorType>],
        shapes: &[(usize, Shape)],
    ) -> Result<()> {
        let Some(edit) = layer.and_then(|layer| self.requested.n_in.get(layer)) else { return Ok(()) };
        let weights = shapes.iter().find(|(at, _)| *at == 1).map(|(_, shape)| shape);
        let takes = match (&vertex.op, weights.map(|w| &w[..])) {
            (Op::Conv2d(conv), Some([_, _, c, _])) => c * conv.groups,
            (_, Some([.., c])) if matches!(vertex.op, Op::DepthwiseConv2d(_)) => *c,
            (_, Some([k, ..])) => *k,
            _ => return Ok(()),
        };
        if takes == edit.n_in {
            return Ok(());
        }
        Err(shape(vertex, now, OpError::new(format!("nIn is {}, the input has {takes}", edit.n_in))))
    }

    /// Draws the parameters whose shape changed; all of them, where the layer was named.
    fn redraw(
        &mut self,
        vertex: &Vertex,
        layer: Option<&str>,
        names: &[String],
        shapes: &[(usize, Shape)],
    ) -> Result<()> {
        for (at, name) in names.iter().enumerate() {
            let Some(stored) = self.stored.get(name.as_str()) else { continue };
            let needed = shapes.iter().find(|(index, _)| *index == at).map_or(&stored.ty.shape, |(_, shape)| shape);
            if layer.is_none() && *needed == stored.ty.shape {
                continue;
            }
            let Some(role) = role(stored) else {
                if *needed == stored.ty.shape {
                    continue;
                }
                let reason = format!("it reads the constant '{name}' of {}, and would need {needed}", stored.ty.shape);
                return Err(Error::conflict(&vertex.name, reason));
            };
            let own = self.defaults.of_existing(vertex.layer.as_ref().unwrap_or(&vertex.name));
            let asked = self.init_of(layer, names);
            let init = asked.or(own.weight_init).unwrap_or_default();
            let value = drawn(name, role, needed, init, own.bias_init.unwrap_or_default(), self.defaults.seed);
            self.changed.insert(name.clone(), with_value(stored, value));
        }
        Ok(())
    }

    /// Initialisation that an edit asks for: of the named layer, else that for layers behind one.
    fn init_of(&self, layer: Option<&str>, names: &[String]) -> Option<WeightInit> {
        let own = layer.and_then(|layer| {
            let of_out = self.requested.n_out.get(layer).and_then(|edit| edit.init);
            of_out.or_else(|| self.requested.n_in.get(layer).and_then(|edit| edit.init))
        });
        own.or_else(|| names.iter().find_map(|name| self.next_init.get(self.ids.get(name.as_str())?).copied()))
    }

    /// The wish for the next layer passes through vertices whose shape changed.
    fn pass_init_on(&mut self, vertex: &Vertex, layer: Option<&str>, inputs: &[VertexId], id: VertexId) {
        let asked = match layer.and_then(|layer| self.requested.n_out.get(layer)) {
            Some(edit) => edit.next_init,
            None if self.graph.get(id).ty == vertex.ty => None,
            None => inputs.iter().find_map(|input| self.next_init.get(input).copied()),
        };
        if let Some(init) = asked {
            self.next_init.insert(id, init);
        }
    }
}

fn with_value(stored: &Vertex, value: Tensor) -> Vertex {
    let mut vertex = stored.clone();
    if let Op::Parameter(parameter) = &mut vertex.op {
        parameter.ty = value.ty();
    }
    vertex.ty = value.ty();
    vertex.value = Some(Arc::new(value));
    vertex
}

fn shape(vertex: &Vertex, now: &[Option<TensorType>], error: OpError) -> Error {
    Error::Shape {
        vertex: vertex.name.clone(),
        op: vertex.op.name(),
        reason: error.0,
        inputs: now.iter().flatten().map(|ty| ty.shape.clone()).collect(),
    }
}
