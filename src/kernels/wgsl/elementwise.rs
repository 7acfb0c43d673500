//! Loops over the elements or rows of a value; the op brings the function.

use super::{Kernel, WORKGROUP};
use crate::tensor::Shape;

/// An updater: `f` is WGSL of `fn update(i: u32)` with what it changes, see `update.wgsl`.
pub(crate) fn update(f: &str) -> Kernel {
    Kernel::new([include_str!("update.wgsl"), f].concat())
}

/// `y = f(x)`: `f` is WGSL of `fn f(x: vec4<f32>) -> vec4<f32>`.
pub(crate) fn unary(f: &str) -> Kernel {
    Kernel::new([include_str!("unary.wgsl"), f].concat())
}

/// `y = f(a, b)` on equal shapes: `f` is WGSL of `fn f(a: vec4<f32>, b: vec4<f32>) -> vec4<f32>`.
pub(crate) fn binary(f: &str) -> Kernel {
    Kernel::new([include_str!("binary.wgsl"), f].concat())
}

/// A workgroup a row of `along` elements: `f` is WGSL of `fn work(row: u32, lid: u32)`, see `rows.wgsl`.
pub(crate) fn rows(f: &str, along: usize) -> Kernel {
    // Invocations without an element would only wait; rows of thousands are worth more of them.
    let invocations = if along >= LONG_ROW { 256 } else { along.next_power_of_two().min(WORKGROUP as usize) };
    Kernel::new([include_str!("rows.wgsl"), f].concat()).with("WG", invocations as f64)
}

/// What a kernel of rows of `columns` elements works on at a time: WGSL that says what `T` is, and its elements.
pub(crate) fn unit(columns: usize) -> (&'static str, usize) {
    if columns.is_multiple_of(4) { ("alias T = vec4<f32>;\n", 4) } else { ("alias T = f32;\n", 1) }
}

/// Sums over the rows of a matrix by workgroups of `invocations`, `tile` columns each: `term` is WGSL of
/// `fn term(i: u32, column: u32) -> T` and `fn factor(column: u32) -> T` with the bindings, see `columns.wgsl`; `kind` says what `T` is.
pub(crate) fn columns(kind: &str, term: &str, invocations: usize, tile: usize) -> Kernel {
    let kernel = Kernel::new([kind, include_str!("columns.wgsl"), shares(invocations / tile), term].concat());
    kernel.with("WG", invocations as f64).with("COLUMNS", tile as f64)
}

/// Cells of a channel by one invocation, so that what they have in common is read once; `f` is WGSL with the bindings, see
/// `channels.wgsl`; `kind` says what `T` is.
pub(crate) fn channels(kind: &str, f: &str) -> Kernel {
    Kernel::new([kind, include_str!("channels.wgsl"), f].concat())
}

/// WGSL of `fn total(lid: u32, share: T) -> T`, see `shares.wgsl`, where as many invocations share a column: one needs no memory for it.
pub(crate) fn shares(slices: usize) -> &'static str {
    if slices == 1 { "fn total(lid: u32, share: T) -> T { return share; }\n" } else { include_str!("shares.wgsl") }
}

/// The largest power of two up to `most` that leaves no lane without an invocation, where each of `count` results takes as many.
pub(crate) fn sharing(lanes: u64, count: usize, most: usize) -> usize {
    1 << (lanes as usize / count.max(1)).clamp(1, most).ilog2()
}

/// Elements from which on a row gets as many invocations as every device allows.
const LONG_ROW: usize = 4096;

/// A loop over the elements of `y` that finds those of its inputs by strides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Strided {
    pub(crate) kernel: Kernel,
    /// Invocations.
    pub(crate) count: usize,
    /// Words of `Params` after `count`.
    pub(crate) params: Vec<u32>,
}

/// Dimensions that the strided shaders take.
pub(crate) const RANK: usize = 6;

/// `y = f(a, b)` with `a` and `b` broadcast to the shape of `y`; `f` is that of [`binary`]. `None`: more than six dimensions that
/// cannot be joined.
pub(crate) fn broadcast(f: &str, a: &Shape, b: &Shape, y: &Shape) -> Option<Strided> {
    let mut dims = broadcast_dims(a, b, y);
    let width = widened(&mut dims, &[1, 2]);
    let kind = match width {
        1 => "alias T = f32;\nfn apply(a: T, b: T) -> T { return f(vec4<f32>(a), vec4<f32>(b)).x; }\n",
        _ => "alias T = vec4<f32>;\nfn apply(a: T, b: T) -> T { return f(a, b); }\n",
    };
    let kernel = Kernel::new([kind, include_str!("broadcast.wgsl"), f].concat());
    Some(Strided { kernel, count: y.len() / width, params: dim_words(&dims)? })
}

/// Dimensions of a loop over `y` that reads `a` and `b` broadcast to it: (extent, stride in `a`, stride in `b`), joined.
pub(crate) fn broadcast_dims(a: &Shape, b: &Shape, y: &Shape) -> Vec<[usize; 3]> {
    let (a, b) = (broadcast_strides(a, y), broadcast_strides(b, y));
    joined((0..y.rank()).map(|d| [y[d], a[d], b[d]]).collect())
}

/// The dimensions of [`gather`] that repeat `x` up to the shape of `y`.
pub(crate) fn repeated(x: &Shape, y: &Shape) -> Vec<(usize, usize)> {
    y.iter().copied().zip(broadcast_strides(x, y)).collect()
}

/// `y[i…] = x[offset + Σ i·stride]`, from (extent, stride in `x`) of each dimension of `y`. `None`: more than six dimensions that
/// cannot be joined.
pub(crate) fn gather(dims: &[(usize, usize)], offset: usize) -> Option<Strided> {
    let len: usize = dims.iter().map(|d| d.0).product();
    let mut dims = joined(dims.iter().map(|&(extent, stride)| [extent, stride, 0]).collect());
    let width = if offset.is_multiple_of(4) { widened(&mut dims, &[1]) } else { 1 };
    let (kind, _) = unit(width);
    let mut params = dim_words(&dims)?;
    params.push((offset / width) as u32);
    let kernel = Kernel::new([kind, include_str!("gather.wgsl")].concat());
    Some(Strided { kernel, count: len / width, params })
}

/// Brings dimensions to vectors of four elements where the inputs, whose strides stand at these positions, can be read so. Gives
/// the elements that are read at a time.
fn widened(dims: &mut [[usize; 3]], inputs: &[usize]) -> usize {
    let Some((last, outer)) = dims.split_last_mut() else { return 1 };
    let fits = |&of: &usize| last[of] == 1 && outer.iter().all(|d| d[of].is_multiple_of(4));
    if !last[0].is_multiple_of(4) || !inputs.iter().all(fits) {
        return 1;
    }
    last[0] /= 4;
    outer.iter_mut().for_each(|[_, a, b]| (*a, *b) = (*a / 4, *b / 4));
    4
}

/// Stride of each dimension of `y` in `x`, 0 where `x` is repeated.
fn broadcast_strides(x: &Shape, y: &Shape) -> Vec<usize> {
    let mut strides = vec![0; y.rank()];
    let mut stride = 1;
    for (extent, to) in x.iter().zip(&mut strides[y.rank() - x.rank()..]).rev() {
        *to = if *extent == 1 { 0 } else { stride };
        stride *= extent;
    }
    strides
}

/// Neighbours that are walked as one dimension are one; extents of 1 vanish.
pub(crate) fn joined(dims: Vec<[usize; 3]>) -> Vec<[usize; 3]> {
    let mut all: Vec<[usize; 3]> = Vec::new();
    for [extent, a, b] in dims.into_iter().filter(|d| d[0] != 1) {
        match all.last_mut() {
            Some(outer) if outer[1] == extent * a && outer[2] == extent * b => *outer = [outer[0] * extent, a, b],
            _ => all.push([extent, a, b]),
        }
    }
    all
}

/// `rank` and `dims` of the strided shaders, the last dimension first.
pub(crate) fn dim_words(dims: &[[usize; 3]]) -> Option<Vec<u32>> {
    (dims.len() <= RANK).then_some(())?;
    let mut words = vec![dims.len() as u32];
    let padded = dims.iter().rev().copied().chain(std::iter::repeat([1, 0, 0])).take(RANK);
    words.extend(padded.flat_map(|[extent, a, b]| [extent as u32, a as u32, b as u32, 0]));
    Some(words)
}
