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
    /// What the step is on a GPU, where it ran on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuCost>,
}

/// A step as a GPU sees it, by count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct GpuCost {
    /// Dispatches.
    pub dispatches: u64,
    /// Invocations of all of them.
    pub invocations: u64,
    /// Multiply-accumulates; 0 where memory traffic dominates.
    pub macs: u64,
    /// Bytes that have to be read and written, each once.
    pub bytes: u64,
    /// Words that invocations load, each as often as it is loaded; 0 where nothing is loaded twice.
    pub loads: u64,
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
            gpu: None,
        }
    }
}
