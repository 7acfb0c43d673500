//! Clamps, residual sums and zero padding move into the layer they follow or precede, gradients of clamps into the
//! gradient of the convolution that read them.

use crate::error::Result;
use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{Clamp, Layout, Op, Pad, Window};

/// Fuses wherever the value in between has no other reader. Unfused copies are left behind dead.
pub(super) fn fuse(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    graph.rebuild(|new, vertex, inputs| {
        let single: Vec<bool> = vertex.inputs.iter().map(|i| readers[i.index()] == 1).collect();
        let fused = match &vertex.op {
            Op::Clip(clip) if single[0] => with_clamp(new.get(inputs[0]), clip.clamp),
            Op::Add(_) => with_residual(new, inputs, &single),
            Op::ClipGrad(grad) if single[1] => with_mask(new, inputs, grad.clamp),
            op => single.first().filter(|s| **s).and_then(|_| with_padding(op, new, inputs)),
        };
        match fused {
            Some((op, inputs)) => new.add_like(vertex, op, &inputs),
            None => new.add_like(vertex, vertex.op.clone(), inputs),
        }
    })
}

type Fused = Option<(Op, Vec<VertexId>)>;

fn with_clamp(layer: &Vertex, clamp: Clamp) -> Fused {
    let mut op = layer.op.clone();
    let slot = match &mut op {
        Op::Conv2d(c) => &mut c.clamp,
        Op::DepthwiseConv2d(c) => &mut c.clamp,
        Op::Dense(d) => &mut d.clamp,
        Op::BatchNorm(b) => &mut b.clamp,
        Op::NormalizeBatch(b) => &mut b.clamp,
        _ => return None,
    };
    slot.is_none().then_some(())?;
    *slot = Some(clamp);
    Some((op, layer.inputs.clone()))
}

/// The gradient of what a convolution read is 0 where that lies on a bound of its clamp.
fn with_mask(g: &Graph, inputs: &[VertexId], clamp: Clamp) -> Fused {
    let grad = g.get(inputs[1]);
    let mut op = grad.op.clone();
    let slot = match &mut op {
        Op::Conv2dInputGrad(c) => &mut c.clamp,
        Op::DepthwiseConv2dInputGrad(c) => &mut c.clamp,
        _ => return None,
    };
    (slot.is_none() && grad.inputs[2] == inputs[0]).then_some(())?;
    *slot = Some(clamp);
    Some((op, grad.inputs.clone()))
}

fn with_residual(g: &Graph, inputs: &[VertexId], single: &[bool]) -> Fused {
    let candidates = [(inputs[0], inputs[1], single[0]), (inputs[1], inputs[0], single[1])];
    candidates.into_iter().filter(|(conv, other, single)| *single && conv != other).find_map(|(conv, other, _)| {
        let (layer, residual) = (g.get(conv), g.get(other));
        let Op::Conv2d(c) = &layer.op else { return None };
        let fusable = c.clamp.is_none() && !c.residual && c.layout == Layout::Nhwc && layer.ty == residual.ty;
        let mut c = c.clone();
        c.residual = true;
        fusable.then(|| (Op::Conv2d(c), layer.inputs.iter().copied().chain([other]).collect()))
    })
}

/// A zero padding of height and width in front of a convolution is the convolution's own padding.
fn with_padding(op: &Op, g: &Graph, inputs: &[VertexId]) -> Fused {
    let before = g.get(*inputs.first()?);
    let Op::Pad(pad) = &before.op else { return None };
    let mut op = op.clone();
    let (window, layout): (&mut Window, Layout) = match &mut op {
        Op::Conv2d(c) => (&mut c.window, c.layout),
        Op::DepthwiseConv2d(c) => (&mut c.window, c.layout),
        _ => return None,
    };
    let extra = spatial_zeros(pad, layout)?;
    window.padding.iter_mut().zip(extra).for_each(|(p, e)| *p += e);
    Some((op, before.inputs.iter().chain(&inputs[1..]).copied().collect()))
}

fn spatial_zeros(pad: &Pad, layout: Layout) -> Option<[usize; 4]> {
    let (h, w) = if layout == Layout::Nhwc { (1, 2) } else { (2, 3) };
    let only_spatial = (0..pad.before.len()).all(|d| d == h || d == w || (pad.before[d] == 0 && pad.after[d] == 0));
    (pad.before.len() == 4 && pad.value == 0.0 && only_spatial)
        .then(|| [pad.before[h], pad.before[w], pad.after[h], pad.after[w]])
}
