//! Nodes that move or regroup elements: of values of the network, and of integers known while reading.

use super::super::tensor::MAX_RANK;
use super::builder::{Builder, Step, Value, unsupported};
use super::integers::{Int, Ints};
use super::node::Node;
use crate::ops::{Concat, Dim, Flatten, Pad, Reshape, Slice, Transpose};

/// The same value.
pub(super) fn identity(_: &mut Builder, node: &Node<'_>) -> Step<Value> {
    node.input(0)
}

pub(super) fn flatten(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let axis = node.int("axis")?.unwrap_or(1);
    let x = node.input(0)?;
    let rank = b.rank(&x)?;
    // The axis may lie one behind the last dimension.
    let axis = if usize::try_from(axis) == Ok(rank) { rank } else { node.axis(axis, rank)? };
    b.apply(node.name, Flatten { axis }, &[x])
}

pub(super) fn transpose(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let perm = node.ints("perm")?;
    let x = node.input(0)?;
    let rank = b.rank(&x)?;
    let perm = match perm {
        Some(perm) => perm.iter().map(|&axis| node.axis(axis, rank)).collect::<Step<_>>()?,
        None => (0..rank).rev().collect(),
    };
    match &x {
        Value::Integers(_) if rank < 2 => Ok(x),
        _ => b.apply(node.name, Transpose { perm }, &[x]),
    }
}

pub(super) fn concat(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let axis = node.int("axis")?.ok_or_else(|| node.fail("axis is missing"))?;
    let inputs = node.inputs()?;
    let first = inputs.first().ok_or_else(|| node.fail("no inputs"))?;
    let axis = node.axis(axis, b.rank(first)?)?;
    if !matches!(first, Value::Integers(_)) {
        return b.apply(node.name, Concat { axis }, &inputs);
    }
    let mut values = Vec::new();
    for at in 0..inputs.len() {
        let ints = node.integers(at)?;
        if ints.shape.len() != 1 {
            return unsupported("integers of more than one dimension");
        }
        b.charge_integers(ints.values.len())?;
        values.extend_from_slice(&ints.values);
    }
    Ok(Ints::vector(values).into())
}

/// 0 copies a dimension (unless `allowzero`), −1 takes what is left (ONNX operator spec, Reshape).
pub(super) fn reshape(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let allow_zero = node.flag("allowzero")?;
    let (x, target) = (node.input(0)?, node.integers(1)?);
    let extents = b.extents(&x)?;
    let mut target = target.values.clone();
    // Traced with one image, exporters write the batch as a number.
    if let ([one, ..], [first, ..]) = (b.shape(&x)?.as_slice(), target.as_mut_slice())
        && *one == (Int { fixed: 0, per_image: 1 })
        && *first == Int::fixed(1)
    {
        *first = *one;
    }
    let mut shapes = [Vec::new(), Vec::new()];
    for ((shape, from), batch) in shapes.iter_mut().zip(&extents).zip(Builder::BATCHES) {
        let wanted: Option<Vec<i64>> = target.iter().map(|d| d.at(batch)).collect();
        let resolved = wanted.and_then(|wanted| resolve(from, &wanted, allow_zero));
        *shape = resolved.ok_or_else(|| {
            let target: Vec<String> = target.iter().map(ToString::to_string).collect();
            node.mismatch(b, "reshape", format!("{from:?} does not fill [{}]", target.join(", ")))
        })?;
    }
    reshape_to(b, node, None, &x, shapes)
}

/// The extents that a target stands for; `None` where it does not fit.
fn resolve(from: &[usize], target: &[i64], allow_zero: bool) -> Option<Vec<usize>> {
    let mut left = None;
    let mut shape = Vec::with_capacity(target.len());
    for (at, &dim) in target.iter().enumerate() {
        shape.push(match dim {
            -1 if left.is_none() => {
                left = Some(at);
                1
            }
            0 if !allow_zero => *from.get(at)?,
            dim => usize::try_from(dim).ok()?,
        });
    }
    let product = |shape: &[usize]| shape.iter().try_fold(1usize, |len, &d| len.checked_mul(d));
    let (len, known) = (product(from)?, product(&shape)?);
    match left {
        Some(at) => *shape.get_mut(at)? = if known > 0 && len % known == 0 { len / known } else { return None },
        None => (len == known).then_some(())?,
    }
    Some(shape)
}

/// Reshapes to the given extents, for one image and for the second batch. `part` makes it an inner part of the node's vertex.
pub(super) fn reshape_to(
    b: &mut Builder,
    node: &Node<'_>,
    part: Option<&str>,
    x: &Value,
    [one, many]: [Vec<usize>; 2],
) -> Step<Value> {
    if one.len() > MAX_RANK {
        return Err(node.fail(format!("makes {} dimensions, more than {MAX_RANK}", one.len())));
    }
    if let Value::Integers(ints) = x {
        return Ok(Ints { shape: one, values: ints.values.clone() }.into());
    }
    let [from_one, from_many] = b.extents(x)?;
    let copied = |at: usize| from_one.get(at) == one.get(at) && from_many.get(at) == many.get(at);
    let dims: Vec<Dim> = (0..one.len())
        .map(|at| match (one[at] == many[at], copied(at)) {
            (true, _) => Dim::Fixed(one[at]),
            (false, true) => Dim::Copy,
            (false, false) => Dim::Infer,
        })
        .collect();
    if dims.iter().filter(|d| **d == Dim::Infer).count() > 1 {
        return unsupported("a shape in which the batch is part of two dimensions");
    }
    match part {
        None => b.apply(node.name, Reshape { dims }, std::slice::from_ref(x)),
        Some(part) => {
            let x = b.computed(x)?;
            Ok(b.part(node.name, part, Reshape { dims }, &[x])?.into())
        }
    }
}

/// The dimensions became an input with operator set 13.
pub(super) fn squeeze(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let axes = node.ints_or_input(13, "axes", 1)?;
    let x = node.input(0)?;
    let extents = b.extents(&x)?;
    let is_one = |axis: usize| extents.iter().all(|e| e[axis] == 1);
    let axes = match axes {
        Some(axes) => node.axes(&axes, extents[0].len())?,
        None => (0..extents[0].len()).filter(|&axis| is_one(axis)).collect(),
    };
    if let Some(axis) = axes.iter().find(|&&axis| !is_one(axis)) {
        return Err(node.mismatch(b, "reshape", format!("dimension {axis} of {:?} is not 1", extents[1])));
    }
    let shapes =
        extents.map(|e| e.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, d)| *d).collect());
    reshape_to(b, node, None, &x, shapes)
}

/// The dimensions became an input with operator set 13.
pub(super) fn unsqueeze(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let axes = node.ints_or_input(13, "axes", 1)?.ok_or_else(|| node.fail("axes are missing"))?;
    let x = node.input(0)?;
    let extents = b.extents(&x)?;
    let axes = node.axes(&axes, extents[0].len() + axes.len())?;
    let shapes = extents.map(|mut shape| {
        axes.iter().for_each(|&axis| shape.insert(axis, 1));
        shape
    });
    reshape_to(b, node, None, &x, shapes)
}

/// Where a slice of one dimension starts and how long it is.
struct Range {
    axis: usize,
    start: usize,
    len: usize,
}

/// Attributes became inputs with operator set 10.
pub(super) fn slice(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let missing = || node.fail("starts and ends are missing");
    let (starts, ends) = if node.opset < 10 {
        (node.ints("starts")?.ok_or_else(missing)?, node.ints("ends")?.ok_or_else(missing)?)
    } else {
        (node.constants(1)?, node.constants(2)?)
    };
    let axes = node.ints_or_input(10, "axes", 3)?;
    let steps = if node.opset < 10 { None } else { node.optional_constants(4)? };
    let x = node.input(0)?;
    let extents = b.extents(&x)?;
    let rank = extents[0].len();
    let axes = axes.unwrap_or_else(|| (0..).take(starts.len()).collect());
    if [starts.len(), ends.len()] != [axes.len(); 2] || steps.as_ref().is_some_and(|s| s.len() != axes.len()) {
        return Err(node.fail("starts, ends, axes and steps differ in length"));
    }
    if steps.is_some_and(|steps| steps.iter().any(|s| *s != 1)) {
        return unsupported("steps other than 1");
    }
    node.axes(&axes, rank)?;
    let mut ranges = Vec::new();
    for ((&axis, &start), &end) in axes.iter().zip(&starts).zip(&ends) {
        let axis = node.axis(axis, rank)?;
        let [one, many] = [&extents[0], &extents[1]].map(|shape| clamp(shape[axis], start, end));
        let whole = |(from, to): (usize, usize), shape: &[usize]| from == 0 && to == shape[axis];
        if whole(one, &extents[0]) && whole(many, &extents[1]) {
            continue;
        }
        if one != many {
            return unsupported("a part of the batch");
        }
        let (start, end) = one;
        if end <= start {
            return Err(node.mismatch(b, "slice", format!("nothing is left of dimension {axis} of {:?}", extents[0])));
        }
        ranges.push(Range { axis, start, len: end - start });
    }
    cut(b, node, x, &ranges)
}

/// Indices of a dimension, negative ones counted from its end, clamped to it.
fn clamp(extent: usize, start: i64, end: i64) -> (usize, usize) {
    let extent_i = i64::try_from(extent).unwrap_or(i64::MAX);
    let index = |at: i64| {
        let at = if at < 0 { at.saturating_add(extent_i) } else { at };
        usize::try_from(at.clamp(0, extent_i)).unwrap_or(extent)
    };
    (index(start), index(end))
}

fn cut(b: &mut Builder, node: &Node<'_>, x: Value, ranges: &[Range]) -> Step<Value> {
    if let (Value::Integers(ints), [Range { start, len, .. }]) = (&x, ranges)
        && ints.shape.len() == 1
    {
        return Ok(Ints::vector(ints.values[*start..start + len].to_vec()).into());
    }
    let Some((last, inner)) = ranges.split_last() else { return Ok(x) };
    let mut value = x;
    for Range { axis, start, len } in inner {
        let x = b.computed(&value)?;
        value = b.part(node.name, "slice", Slice { axis: *axis, start: *start, len: *len }, &[x])?.into();
    }
    b.apply(node.name, Slice { axis: last.axis, start: last.start, len: last.len }, &[value])
}

/// Attributes became inputs with operator set 11, `axes` was added with 18.
pub(super) fn pad(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    match node.text("mode")?.unwrap_or("constant") {
        "constant" => {}
        other => return unsupported(format!("mode '{other}'")),
    }
    let pads = node.ints_or_input(11, "pads", 1)?.ok_or_else(|| node.fail("pads are missing"))?;
    let value = if node.opset < 11 { node.float("value")? } else { node.optional_scalar(2)? };
    let axes = if node.opset < 18 { None } else { node.optional_constants(3)? };
    let x = node.input(0)?;
    let rank = b.rank(&x)?;
    let axes = match axes {
        Some(axes) => {
            node.axes(&axes, rank)?;
            axes.iter().map(|&axis| node.axis(axis, rank)).collect::<Step<Vec<_>>>()?
        }
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(node.mismatch(b, "pad", format!("{} paddings do not fit {} dimensions", pads.len(), axes.len())));
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (at, &axis) in axes.iter().enumerate() {
        let cells = |pad: i64| usize::try_from(pad).ok();
        match (cells(pads[at]), cells(pads[axes.len() + at])) {
            (Some(first), Some(last)) => (before[axis], after[axis]) = (first, last),
            _ => return unsupported(format!("negative pads {pads:?}")),
        }
    }
    b.apply(node.name, Pad { before, after, value: value.unwrap_or(0.0) }, &[x])
}
