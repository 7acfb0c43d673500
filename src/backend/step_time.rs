//! What a step costs.

use serde::Serialize;

use crate::plan::Step;
use crate::tensor::{Shape, TensorType};

/// Work of one step and the time it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTime {
    /// Name of the vertex.
    pub vertex: String,
    /// Name of the op.
    pub op: &'static str,
    /// Shape of the first input, NHWC.
    pub input: Shape,
    /// Shape of the result, NHWC.
    pub output: Shape,
    /// Multiply-accumulates, as the op counts them.
    pub macs: u64,
    /// By the clock of the caller.
    pub time: f64,
}

impl StepTime {
    pub(super) fn new(step: &Step, time: f64) -> Self {
        let types = step.types();
        let types: Vec<&TensorType> = types.iter().collect();
        let y = TensorType::f32(step.shape.clone());
        Self {
            vertex: step.vertex.clone(),
            op: step.op.label(),
            input: types.first().map_or_else(|| Shape::from(&[][..]), |x| x.shape.clone()),
            macs: step.op.macs(&types, &y),
            output: y.shape,
            time,
        }
    }
}
