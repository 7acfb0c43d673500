//! One node of the file: its inputs, outputs and attributes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use super::super::{bad, proto};
use super::builder::{Builder, Step, Stop, Value, Weights, unsupported};
use super::integers::Ints;
use crate::error::Error;

/// Larger strides, paddings and dilations are no real network; the bound keeps sums far from overflow.
const MAX_ATTRIBUTE: i64 = 1 << 20;

/// A node with its inputs looked up.
pub(super) struct Node<'a> {
    proto: &'a proto::Node,
    /// Name of its vertex, unique in the graph.
    pub name: &'a str,
    /// Version of the operator set.
    pub opset: i64,
    /// `None` for an optional input that is left out.
    inputs: Vec<Option<Value>>,
    /// Names of attributes that were asked for.
    seen: RefCell<HashSet<&'static str>>,
}

impl<'a> Node<'a> {
    pub(super) fn new(proto: &'a proto::Node, name: &'a str, opset: i64, inputs: Vec<Option<Value>>) -> Self {
        Self { proto, name, opset, inputs, seen: RefCell::default() }
    }

    pub(super) fn fail(&self, why: impl std::fmt::Display) -> Stop {
        Stop::Failed(bad(format!("node '{}' ({}): {why}", self.name, self.proto.op_type)))
    }

    /// The vertex cannot be built from inputs of these shapes.
    pub(super) fn mismatch(&self, b: &Builder, op: &'static str, reason: impl Into<String>) -> Stop {
        let shapes = self.inputs.iter().flatten().filter_map(|value| b.extents(value).ok());
        let inputs = shapes.map(|[one, _]| one.into()).collect();
        Stop::Failed(Error::Shape { vertex: self.name.to_owned(), op, reason: reason.into(), inputs })
    }

    // Inputs.

    pub(super) fn inputs(&self) -> Step<Vec<Value>> {
        (0..self.inputs.len()).map(|at| self.input(at)).collect()
    }

    pub(super) fn optional(&self, at: usize) -> Step<Option<Value>> {
        match self.inputs.get(at) {
            Some(Some(Value::Unknown)) => Err(Stop::Unknown),
            Some(value) => Ok(value.clone()),
            None => Ok(None),
        }
    }

    pub(super) fn input(&self, at: usize) -> Step<Value> {
        self.optional(at)?.ok_or_else(|| self.fail(format!("input {at} is missing")))
    }

    /// Floats known while reading.
    pub(super) fn weights(&self, at: usize) -> Step<Weights> {
        match self.input(at)? {
            Value::Weights(weights) => Ok(weights),
            _ => unsupported(format!("input {at} computed by the network")),
        }
    }

    pub(super) fn optional_weights(&self, at: usize) -> Step<Option<Weights>> {
        match self.optional(at)? {
            Some(_) => self.weights(at).map(Some),
            None => Ok(None),
        }
    }

    /// A single float known while reading.
    pub(super) fn optional_scalar(&self, at: usize) -> Step<Option<f32>> {
        let Some(weights) = self.optional_weights(at)? else { return Ok(None) };
        match weights.tensor.as_f32() {
            Some([value]) => Ok(Some(*value)),
            _ => Err(self.fail(format!("input {at} is not a single number"))),
        }
    }

    /// Integers known while reading, up to the batch.
    pub(super) fn integers(&self, at: usize) -> Step<Rc<Ints>> {
        match self.input(at)? {
            Value::Integers(ints) => Ok(ints),
            _ => unsupported(format!("input {at} that is not known before it runs")),
        }
    }

    /// Integers known while reading that do not depend on the batch.
    pub(super) fn optional_constants(&self, at: usize) -> Step<Option<Vec<i64>>> {
        if self.optional(at)?.is_none() {
            return Ok(None);
        }
        match self.integers(at)?.constants() {
            Some(values) => Ok(Some(values)),
            None => unsupported(format!("input {at} that depends on the batch")),
        }
    }

    pub(super) fn constants(&self, at: usize) -> Step<Vec<i64>> {
        self.optional_constants(at)?.ok_or_else(|| self.fail(format!("input {at} is missing")))
    }

    /// Attribute of older operator sets that became an input.
    pub(super) fn ints_or_input(&self, since: i64, name: &'static str, at: usize) -> Step<Option<Vec<i64>>> {
        if self.opset < since { self.ints(name) } else { self.optional_constants(at) }
    }

    // Outputs.

    pub(super) fn outputs(&self) -> &'a [String] {
        &self.proto.output
    }

    // Attributes.

    fn attribute(&self, name: &'static str) -> Option<&'a proto::Attribute> {
        self.seen.borrow_mut().insert(name);
        self.proto.attribute.iter().find(|a| a.name == name)
    }

    /// Marks attributes as known that make no difference to inference.
    pub(super) fn ignore(&self, names: &[&'static str]) {
        self.seen.borrow_mut().extend(names);
    }

    /// An attribute that was not asked for may change the meaning.
    pub(super) fn all_attributes_seen(&self) -> Step<()> {
        let seen = self.seen.borrow();
        match self.proto.attribute.iter().find(|a| !seen.contains(a.name.as_str())) {
            Some(attribute) => unsupported(format!("attribute '{}'", attribute.name)),
            None => Ok(()),
        }
    }

    fn typed<T>(&self, name: &'static str, get: impl Fn(&'a proto::Attribute) -> Option<T>) -> Step<Option<T>> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        get(attribute).map(Some).ok_or_else(|| self.fail(format!("attribute '{name}' has the wrong type")))
    }

    pub(super) fn int(&self, name: &'static str) -> Step<Option<i64>> {
        // Writers of proto3 leave out zeros, so that only the type is left.
        self.typed(name, |a| a.i.or((a.kind == proto::attribute_type::INT).then_some(0)))
    }

    pub(super) fn flag(&self, name: &'static str) -> Step<bool> {
        Ok(self.int(name)?.is_some_and(|value| value != 0))
    }

    pub(super) fn float(&self, name: &'static str) -> Step<Option<f32>> {
        self.typed(name, |a| a.f.or((a.kind == proto::attribute_type::FLOAT).then_some(0.0)))
    }

    pub(super) fn text(&self, name: &'static str) -> Step<Option<&'a str>> {
        self.typed(name, |a| std::str::from_utf8(a.s.as_deref().unwrap_or_default()).ok())
    }

    pub(super) fn ints(&self, name: &'static str) -> Step<Option<Vec<i64>>> {
        self.typed(name, |a| (a.kind == proto::attribute_type::INTS || !a.ints.is_empty()).then(|| a.ints.clone()))
    }

    pub(super) fn floats(&self, name: &'static str) -> Step<Option<&'a [f32]>> {
        self.typed(name, |a| Some(a.floats.as_slice()))
    }

    pub(super) fn tensor(&self, name: &'static str) -> Step<Option<&'a proto::Tensor>> {
        self.typed(name, |a| a.t.as_deref())
    }

    /// Sizes of `count` dimensions within bounds that rule out overflow.
    pub(super) fn sizes<const N: usize>(&self, name: &'static str, least: i64) -> Step<Option<[usize; N]>> {
        let Some(values) = self.ints(name)? else { return Ok(None) };
        if values.len() != N {
            return unsupported(format!("'{name}' for {} instead of {N} values", values.len()));
        }
        let size = |value: i64| usize::try_from(value).ok().filter(|_| (least..=MAX_ATTRIBUTE).contains(&value));
        let sizes: Option<Vec<usize>> = values.iter().map(|&v| size(v)).collect();
        let sizes = sizes.and_then(|s| <[usize; N]>::try_from(s).ok());
        match sizes {
            Some(sizes) => Ok(Some(sizes)),
            None if values.iter().any(|v| *v < 0) && least == 0 => unsupported(format!("negative {name} {values:?}")),
            None => Err(self.fail(format!("{name} {values:?} lie outside of {least} to {MAX_ATTRIBUTE}"))),
        }
    }

    /// An integer as a dimension of something with `rank` dimensions.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Step<usize> {
        super::integers::axis(axis, rank).ok_or_else(|| self.fail(format!("no dimension {axis} in a value of {rank}")))
    }

    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Step<Vec<usize>> {
        super::integers::axes(axes, rank)
            .ok_or_else(|| self.fail(format!("no dimensions {axes:?} in a value of {rank}")))
    }
}
