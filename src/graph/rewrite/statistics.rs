//! Batch norms that use the statistics of the batch, with gradients through them.

use crate::error::Result;
use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{BatchMean, BatchNorm, BatchVariance, NormalizeBatch, Op};

/// A batch norm of [`batch_statistics`]: running statistics and those of the batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchStatistics {
    /// Running mean.
    pub mean: VertexId,
    /// Mean of the batch, `[c]`.
    pub batch_mean: VertexId,
    /// Running variance.
    pub variance: VertexId,
    /// Variance of the batch, `[c]`: the mean square of the differences from the mean, not corrected for their number (Keras;
    /// PyTorch corrects the one that goes into the running variance).
    pub batch_variance: VertexId,
    /// Share of the running statistics that an update keeps.
    pub momentum: f32,
}

/// Gives every unfrozen batch norm of a lowered graph the statistics of its batch (Ioffe & Szegedy 2015, algorithm 1).
pub fn batch_statistics(graph: &Graph) -> Result<(Graph, Vec<BatchStatistics>)> {
    let mut all = Vec::new();
    let graph = graph.rebuild(|new, vertex, inputs| match &vertex.op {
        Op::BatchNorm(norm) if !vertex.frozen => {
            let (id, statistics) = of_batch(new, vertex, norm, inputs)?;
            all.push(statistics);
            Ok(id)
        }
        op => new.add_like(vertex, op.clone(), inputs),
    })?;
    Ok((graph, all))
}

fn of_batch(
    g: &mut Graph,
    vertex: &Vertex,
    norm: &BatchNorm,
    inputs: &[VertexId],
) -> Result<(VertexId, BatchStatistics)> {
    let [x, gamma, beta, mean, variance] = [0, 1, 2, 3, 4].map(|i| inputs[i]);
    let part = |g: &mut Graph, part: &str, op: Op, inputs: &[VertexId]| {
        let name = g.free_name(&format!("{}/{part}", vertex.name));
        g.add(name, op, inputs)
    };
    let batch_mean = part(g, "batch_mean", BatchMean.into(), &[x])?;
    let batch_variance = part(g, "batch_variance", BatchVariance.into(), &[x, batch_mean])?;
    let op = NormalizeBatch { epsilon: norm.epsilon, clamp: None };
    let id = g.add_like(vertex, op.into(), &[x, gamma, beta, batch_mean, batch_variance])?;
    Ok((id, BatchStatistics { mean, batch_mean, variance, batch_variance, momentum: norm.momentum }))
}
