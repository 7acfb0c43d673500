//! `bn(conv(x, w, b)) = conv(x, w·s, (b − mean)·s + beta)` with `s = gamma / √(var + ε)` per output channel,
//! where weights and statistics are constant.

use std::sync::Arc;

use regraft_kernels as cpu;

use crate::error::Result;
use crate::graph::{Graph, Scaled, Vertex, VertexId};
use crate::ops::{BatchNorm, Op};
use crate::tensor::Tensor;

/// Folds every constant batch norm that is the only reader of a convolution, depthwise convolution or dense layer.
pub(super) fn fold(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    graph.rebuild(|new, vertex, inputs| {
        if let Op::BatchNorm(bn) = &vertex.op
            && bn.clamp.is_none()
            && readers[vertex.inputs[0].index()] == 1
            && let Some(folded) = fold_one(new, vertex, bn, inputs)?
        {
            return Ok(folded);
        }
        new.add_like(vertex, vertex.op.clone(), inputs)
    })
}

fn fold_one(g: &mut Graph, bn: &Vertex, op: &BatchNorm, inputs: &[VertexId]) -> Result<Option<VertexId>> {
    let layer = g.get(inputs[0]).clone();
    let Some((op_with_bias, has_bias)) = with_bias(&layer.op) else { return Ok(None) };
    let stored = |ids: &[VertexId]| -> Option<Vec<Arc<Tensor>>> {
        ids.iter().map(|id| Some(g.get(*id)).filter(|v| v.is_constant())?.value.clone()).collect()
    };
    let (Some(stats), Some(weights)) = (stored(&inputs[1..]), stored(&layer.inputs[1..])) else { return Ok(None) };
    let (Some(stats), Some(weights)) = (floats(&stats), floats(&weights)) else { return Ok(None) };
    let [gamma, beta, mean, variance] = stats[..] else { return Ok(None) };

    let channels = gamma.len();
    let scale: Vec<f32> = gamma.iter().zip(variance).map(|(g, v)| g / (v + op.epsilon).sqrt()).collect();
    let bias_of = |c: usize| if has_bias { weights[1][c] } else { 0.0 };
    let bias: Vec<f32> = (0..channels).map(|c| (bias_of(c) - mean[c]) * scale[c] + beta[c]).collect();
    // Output channels are the last dimension of every canonical weight.
    let mut w = vec![0.0; weights[0].len()];
    let (rows, zeros) = (w.len() / channels.max(1), vec![0.0; channels]);
    cpu::channel_scale_shift(rows, channels, weights[0], &scale, &zeros, &mut w, None);

    let (shape, source) = (g.get(layer.inputs[1]).ty.shape.clone(), g.get(layer.inputs[1]).value.clone());
    let w = g.constant(g.free_name(&format!("{}/w", bn.name)), Tensor::f32(shape, w)?)?;
    g.get_mut(w).scaled = source.map(|tensor| Arc::new(Scaled { tensor, columns: scale }));
    let b = g.constant(g.free_name(&format!("{}/b", bn.name)), Tensor::f32([channels], bias)?)?;
    g.add_like(bn, op_with_bias, &[layer.inputs[0], w, b]).map(Some)
}

fn floats(tensors: &[Arc<Tensor>]) -> Option<Vec<&[f32]>> {
    tensors.iter().map(|tensor| tensor.as_f32()).collect()
}

/// The op with a bias input, and whether it had one; `None` where nothing can be folded in.
fn with_bias(op: &Op) -> Option<(Op, bool)> {
    let mut op = op.clone();
    let had = match &mut op {
        Op::Conv2d(c) if c.clamp.is_none() && !c.residual => std::mem::replace(&mut c.bias, true),
        Op::DepthwiseConv2d(c) if c.clamp.is_none() => std::mem::replace(&mut c.bias, true),
        Op::Dense(d) if d.clamp.is_none() => std::mem::replace(&mut d.bias, true),
        _ => return None,
    };
    Some((op, had))
}
