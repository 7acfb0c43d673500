//! Where plans run.

mod cpu;
mod probe;
mod session;

use crate::error::Result;
use crate::plan::Plan;
pub use cpu::CpuBackend;
pub use probe::{Choice, choose};
pub use session::Session;

/// A plan with its memory on a device.
#[derive(Debug)]
pub enum Backend {
    /// Wasm SIMD, or native code.
    Cpu(CpuBackend),
}

impl Backend {
    /// Sets up memory and prepares weights for a plan, on the backend that was chosen.
    pub fn new(plan: Plan) -> Result<Self> {
        CpuBackend::new(plan).map(Self::Cpu)
    }

    /// Writes an input or a trainable parameter. A name the plan does not read is ignored, a wrong length is an internal error.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(cpu) => cpu.write(name, values),
        }
    }

    /// Runs all steps.
    pub fn run(&mut self) {
        match self {
            Self::Cpu(cpu) => cpu.run(),
        }
    }

    /// Runs step by step and stops at the first whose result is infinite or not a number; gives its vertex.
    pub fn run_checked(&mut self) -> Option<String> {
        match self {
            Self::Cpu(cpu) => cpu.run_checked(),
        }
    }

    /// Reads an output, an input or a trainable parameter.
    pub fn read(&self, name: &str) -> Result<&[f32]> {
        match self {
            Self::Cpu(cpu) => cpu.read(name),
        }
    }

    /// The plan that runs here.
    pub fn plan(&self) -> &Plan {
        match self {
            Self::Cpu(cpu) => cpu.plan(),
        }
    }
}
