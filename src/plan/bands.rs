//! Chains of convolutions that run in bands of rows, so that what they hand on stays in the processor's cache: the widened
//! images between an inverted residual's convolutions are larger than it (Sandler et al. 2018, section 5.1).
//!
//! A chain runs until all rows of its last convolution are there; a band of them takes the rows of each convolution before that
//! are not there yet. What two bands share is moved to the front of the buffer, not computed twice.

use std::ops::Range;

use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{Conv2d, DepthwiseConv2d, Op, Window};
use crate::tensor::Shape;

/// An image that is handed on is held whole where it has no more bytes than this: it stays in the cache by itself.
const CACHED: usize = 512 << 10;
/// Bytes of all that is handed on within a band.
const BAND: usize = 576 << 10;

/// Consecutive convolutions, each of which alone reads the one before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Position of the first of them in [`super::Plan::steps`].
    pub first: usize,
    /// How many there are.
    pub len: usize,
    /// Images of the batch; each runs through all pieces.
    pub images: usize,
    /// What to run for an image, in order.
    pub pieces: Vec<Piece>,
}

/// Some rows of one convolution, on floats of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Position in the chain.
    pub stage: usize,
    /// The convolution with the padding of these rows.
    pub op: Op,
    /// Shape of the rows it reads.
    pub x_shape: Shape,
    /// Where they lie in the chain's image or in what the stage before hands on.
    pub x: Range<usize>,
    /// Floats of what this stage hands on that are moved to the front before.
    pub kept: Range<usize>,
    /// Where the result goes, in what the stage hands on or in the result's image.
    pub y: Range<usize>,
    /// Where it lies in the whole image: that of the residual.
    pub place: Range<usize>,
    /// Shape of the rows it writes.
    pub y_shape: Shape,
    /// The input that is added, if one is.
    pub residual: Option<usize>,
}

/// A chain in the graph.
pub(super) struct Found {
    /// The convolutions.
    pub(super) vertices: Vec<VertexId>,
    /// Floats that each but the last hands on at a time.
    pub(super) buffers: Vec<usize>,
    pub(super) pieces: Vec<Piece>,
}

impl Found {
    /// The chain from a step of a plan on.
    pub(super) fn at(&self, first: usize, images: usize) -> Chain {
        Chain { first, len: self.vertices.len(), images, pieces: self.pieces.clone() }
    }
}

/// A convolution that can be cut into rows.
struct Stage<'a> {
    vertex: &'a Vertex,
    /// Rows, columns and channels of the input.
    x: [usize; 3],
    /// Those of the output.
    y: [usize; 3],
    /// Rows of taps.
    taps: usize,
}

/// Floats of a row.
fn pitch([_, columns, channels]: [usize; 3]) -> usize {
    columns * channels
}

/// So many rows as a batch of one image.
fn rows_shape([_, columns, channels]: [usize; 3], rows: usize) -> Shape {
    Shape::from([1, rows, columns, channels])
}

impl<'a> Stage<'a> {
    /// Depthwise, pointwise and strided convolutions on constant weights. Others may have their weights in a form whose sums
    /// depend on where rows begin.
    fn of(graph: &Graph, vertex: &'a Vertex) -> Option<Self> {
        let (x, w) = (graph.get(*vertex.inputs.first()?), graph.get(*vertex.inputs.get(1)?));
        let ([_, h, width, c], [_, oh, ow, m]) = (&x.ty.shape[..], &vertex.ty.shape[..]) else { return None };
        let stage = Self { vertex, x: [*h, *width, *c], y: [*oh, *ow, *m], taps: *w.ty.shape.first()? };
        let (window, keeps_sums) = match &vertex.op {
            Op::DepthwiseConv2d(conv) => (&conv.window, true),
            Op::Conv2d(conv) => (&conv.window, stage.taps == 1 || conv.window.stride[0] > 1),
            _ => return None,
        };
        let [above, _, below, _] = window.padding;
        let sees_image = above.max(below) < stage.reach(window) && *h > 0 && *oh > 0;
        (keeps_sums && sees_image && w.is_constant() && !x.is_stored()).then_some(stage)
    }

    /// Rows of the input between the first and the last tap, with both.
    fn reach(&self, window: &Window) -> usize {
        (self.taps - 1) * window.dilation[0] + 1
    }

    fn window(&self) -> &Window {
        match &self.vertex.op {
            Op::Conv2d(conv) => &conv.window,
            Op::DepthwiseConv2d(conv) => &conv.window,
            op => unreachable!("{} is no stage", op.name()),
        }
    }

    fn residual(&self) -> Option<usize> {
        match &self.vertex.op {
            Op::Conv2d(conv) if conv.residual => Some(self.vertex.inputs.len() - 1),
            _ => None,
        }
    }

    /// Rows of the input under `rows` of the output.
    fn under(&self, rows: &Range<usize>) -> Range<usize> {
        let (window, [h, ..]) = (self.window(), self.x);
        let [start, end] = [rows.start * window.stride[0], (rows.end - 1) * window.stride[0] + self.reach(window)];
        start.saturating_sub(window.padding[0])..(end - window.padding[0]).min(h)
    }

    /// The convolution that makes `rows` of what lies under them.
    fn cut(&self, rows: &Range<usize>) -> Op {
        let (window, [h, ..]) = (self.window(), self.x);
        let [start, end] = [rows.start * window.stride[0], (rows.end - 1) * window.stride[0] + self.reach(window)];
        let above = window.padding[0].saturating_sub(start);
        let below = end.saturating_sub(window.padding[0] + h);
        let mut op = self.vertex.op.clone();
        if let Op::Conv2d(Conv2d { window, .. }) | Op::DepthwiseConv2d(DepthwiseConv2d { window, .. }) = &mut op {
            (window.padding[0], window.padding[2]) = (above, below);
        }
        op
    }
}

/// Finds the chains of a graph in inference form.
pub(super) fn find(graph: &Graph) -> Vec<Found> {
    let mut readers = vec![0usize; graph.len()];
    graph.iter().flat_map(|(_, v)| &v.inputs).chain(graph.outputs()).for_each(|id| readers[id.index()] += 1);
    let (mut chains, mut chain): (Vec<Found>, Vec<(VertexId, Stage<'_>)>) = (Vec::new(), Vec::new());
    for (id, vertex) in graph.iter().filter(|(_, v)| !v.is_stored()) {
        let stage = Stage::of(graph, vertex);
        let goes_on = chain.last().zip(stage.as_ref()).is_some_and(|((last, before), stage)| {
            let large = before.y.iter().product::<usize>() * size_of::<f32>() > CACHED;
            // Only as that which is cut: a residual is read whole.
            large && readers[last.index()] == 1 && stage.vertex.inputs[0] == *last
        });
        if !goes_on {
            chains.extend(cut(std::mem::take(&mut chain)));
        }
        chain.extend(stage.map(|stage| (id, stage)));
    }
    chains.extend(cut(chain));
    chains
}

/// Cuts a chain into the highest bands that fit, if there is something to cut.
fn cut(chain: Vec<(VertexId, Stage<'_>)>) -> Option<Found> {
    let (vertices, stages): (Vec<_>, Vec<_>) = chain.into_iter().unzip();
    if stages.len() < 2 {
        return None;
    }
    let bytes = |buffers: &[usize]| buffers.iter().sum::<usize>() * size_of::<f32>();
    let heights = 1..stages.last()?.y[0];
    let fitting = heights.map(|height| pieces(&stages, height)).take_while(|(_, buffers)| bytes(buffers) <= BAND);
    fitting.last().map(|(pieces, buffers)| Found { vertices, buffers, pieces })
}

/// The pieces of an image in bands of `height` rows, and the floats each stage but the last hands on at a time.
fn pieces(stages: &[Stage<'_>], height: usize) -> (Vec<Piece>, Vec<usize>) {
    let last = stages.len() - 1;
    let (mut pieces, mut buffers) = (Vec::new(), vec![0; last]);
    // Rows that lie in each buffer.
    let mut held: Vec<Range<usize>> = vec![0..0; last];
    let rows_in_all = stages[last].y[0];
    for start in (0..rows_in_all).step_by(height) {
        let mut needed = vec![start..(start + height).min(rows_in_all); stages.len()];
        for at in (0..last).rev() {
            needed[at] = stages[at + 1].under(&needed[at + 1]);
        }
        for (at, (stage, needed)) in stages.iter().zip(needed).enumerate() {
            let before = held.get(at).cloned().unwrap_or_default();
            let shared = before.end.saturating_sub(needed.start);
            let rows = needed.start + shared..needed.end;
            if rows.is_empty() {
                continue;
            }
            let (under, pitch) = (stage.under(&rows), [pitch(stage.x), pitch(stage.y)]);
            let x_first = if at == 0 { under.start } else { under.start - held[at - 1].start };
            let y_first = if at == last { rows.start } else { shared };
            let kept = before.end - shared - before.start..before.end - before.start;
            let floats = |first: usize, rows: usize, pitch: usize| first * pitch..(first + rows) * pitch;
            pieces.push(Piece {
                stage: at,
                op: stage.cut(&rows),
                x_shape: rows_shape(stage.x, under.len()),
                x: floats(x_first, under.len(), pitch[0]),
                kept: floats(kept.start, kept.len(), pitch[1]),
                y: floats(y_first, rows.len(), pitch[1]),
                place: floats(rows.start, rows.len(), pitch[1]),
                y_shape: rows_shape(stage.y, rows.len()),
                residual: stage.residual(),
            });
            if at < last {
                buffers[at] = buffers[at].max(needed.len() * pitch[1]);
                held[at] = needed;
            }
        }
    }
    (pieces, buffers)
}
