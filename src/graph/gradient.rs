//! Reverse-mode differentiation: walks the graph backwards and appends the vertices of each op's gradient rule.

use super::{Graph, VertexId};
use crate::error::Result;
use crate::ops::Add;

/// Appends the gradient of `Σ ⟨v, dv⟩` over the seeds `(v, dv)` in each of `wrt`, in their order; `None` where no seed depends on it.
/// Where a value is read more than once its gradients are summed. Rules run only for vertices on a path from `wrt` to a seed.
pub fn gradients(g: &mut Graph, seeds: &[(VertexId, VertexId)], wrt: &[VertexId]) -> Result<Vec<Option<VertexId>>> {
    let forward = g.len();
    let mut on_path = vec![false; forward];
    wrt.iter().for_each(|v| on_path[v.index()] = true);
    let on_path = g.descendants(on_path);

    let mut gradient: Vec<Option<VertexId>> = vec![None; forward];
    for &(v, dv) in seeds {
        accumulate(g, &mut gradient, v, dv)?;
    }
    for index in (0..forward).rev() {
        let (Some(dy), true) = (gradient[index], on_path[index]) else { continue };
        let v = VertexId(index as u32);
        let vertex = g.get(v);
        if vertex.inputs.is_empty() {
            continue;
        }
        let (op, inputs) = (vertex.op.clone(), vertex.inputs.clone());
        for (input, dx) in inputs.into_iter().zip(op.backward(g, v, dy)?) {
            if let (Some(dx), true) = (dx, on_path[input.index()]) {
                accumulate(g, &mut gradient, input, dx)?;
            }
        }
    }
    Ok(wrt.iter().map(|v| gradient[v.index()]).collect())
}

fn accumulate(g: &mut Graph, gradient: &mut [Option<VertexId>], v: VertexId, dv: VertexId) -> Result<()> {
    let sum = match gradient[v.index()] {
        Some(sum) => g.add_for(v, "sum", Add, &[sum, dv])?,
        None => dv,
    };
    gradient[v.index()] = Some(sum);
    Ok(())
}
