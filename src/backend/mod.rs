//! Where plans run.

mod cpu;
#[cfg(feature = "webgpu")]
pub mod gpu;
mod readback;
mod session;
mod step_time;

#[cfg(feature = "webgpu")]
use crate::error::Error;
use crate::error::Result;
use crate::plan::Plan;
use crate::tensor::Rows;
pub use cpu::CpuBackend;
#[cfg(feature = "webgpu")]
pub use gpu::{Gpu, GpuBackend};
pub use readback::{Readback, Request, at_once};
pub use session::{Session, Sibling};
pub use step_time::{GpuCost, StepTime};

/// What plans can run on.
#[derive(Debug, Clone, Default)]
pub enum Device {
    /// Wasm SIMD, or native code.
    #[default]
    Cpu,
    /// WebGPU.
    #[cfg(feature = "webgpu")]
    Gpu(Gpu),
}

/// A plan with its memory on a device.
#[derive(Debug)]
pub enum Backend {
    /// Wasm SIMD, or native code.
    Cpu(CpuBackend),
    /// WebGPU.
    #[cfg(feature = "webgpu")]
    Gpu(Box<GpuBackend>),
}

impl Backend {
    /// Sets up memory and prepares weights and kernels for a plan.
    ///
    /// # Errors
    /// On a GPU, `no-gpu` for an op without a kernel and `over-budget` for values that are too large for it: the CPU may do it.
    pub fn new(plan: Plan, device: &Device) -> Result<Self> {
        match device {
            Device::Cpu => CpuBackend::new(plan).map(Self::Cpu),
            #[cfg(feature = "webgpu")]
            Device::Gpu(gpu) => GpuBackend::new(plan, gpu).map(|gpu| Self::Gpu(Box::new(gpu))),
        }
    }

    /// The same plan on the same weights, with memory of its own: for another thread, on the CPU alone.
    pub fn sibling(&self) -> Result<CpuBackend> {
        match self {
            Self::Cpu(cpu) => cpu.sibling(),
            #[cfg(feature = "webgpu")]
            Self::Gpu(_) => Err(Error::internal("threads work on the CPU")),
        }
    }

    /// Writes an input or a trainable parameter. A name the plan does not read is ignored, a wrong length is an internal error.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(cpu) => cpu.write(name, values),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.write(name, values),
        }
    }

    /// Sets to 0 what is so small in a value that the CPU would soon be slow at it. A GPU has no such numbers, or no trouble with
    /// them.
    pub fn flush(&mut self, name: &str) -> Result<()> {
        match self {
            Self::Cpu(cpu) => cpu.flush(name),
            #[cfg(feature = "webgpu")]
            Self::Gpu(_) => Ok(()),
        }
    }

    /// [`Backend::write`] of some rows of a tensor, as many as make up the input. Of 16-bit floats a GPU gets half of the bytes and
    /// widens them in the run, for inputs of [`Plan::with_halves`].
    pub fn write_rows(&mut self, name: &str, all: &Rows, rows: &[usize]) -> Result<()> {
        match self {
            Self::Cpu(cpu) => cpu.write_rows(name, all, rows),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.write_rows(name, all, rows),
        }
    }

    /// Runs all steps; a GPU goes on while this returns.
    pub fn run(&mut self) -> Result<()> {
        match self {
            Self::Cpu(cpu) => {
                cpu.run();
                Ok(())
            }
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.run(),
        }
    }

    /// Finds outputs, inputs or trainable parameters that are to be read after runs.
    pub fn request(&self, names: &[&str]) -> Result<Request> {
        Request::new(self.plan(), names)
    }

    /// Runs all steps and reads what is asked for; on a GPU in one submission, the values come later.
    pub fn run_for(&mut self, request: &Request) -> Result<Readback> {
        match self {
            Self::Cpu(cpu) => {
                cpu.run();
                self.fetch(request)
            }
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => {
                let pending = gpu.read_after(true, request)?;
                Ok(Readback::coming(request, gpu.plan(), pending))
            }
        }
    }

    /// Reads what is asked for as the last run left it.
    pub fn fetch(&mut self, request: &Request) -> Result<Readback> {
        match self {
            Self::Cpu(cpu) => Ok(Readback::there(request, readback::copied(request, |at, len| cpu.elements(at, len)))),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => {
                let pending = gpu.read_after(false, request)?;
                Ok(Readback::coming(request, gpu.plan(), pending))
            }
        }
    }

    /// Runs all steps; gives how long each took, by the clock `now`. A GPU runs each on its own, several times: what steps update
    /// is updated as often.
    pub async fn profile(&mut self, now: &mut dyn FnMut() -> f64) -> Result<Vec<StepTime>> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.profile(now)),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.profile(now).await,
        }
    }

    /// Runs step by step and stops at the first whose result is infinite or not a number; gives its vertex.
    pub fn run_checked(&mut self) -> Result<Option<String>> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.run_checked()),
            #[cfg(feature = "webgpu")]
            Self::Gpu(_) => Err(Error::internal("steps are not checked on the GPU")),
        }
    }

    /// Whether [`Backend::read`] reaches the values.
    pub fn lies_in_memory(&self) -> bool {
        match self {
            Self::Cpu(_) => true,
            #[cfg(feature = "webgpu")]
            Self::Gpu(_) => false,
        }
    }

    /// Reads an output, an input or a trainable parameter where it lies: on the CPU. [`Backend::fetch`] reads from any device.
    pub fn read(&self, name: &str) -> Result<&[f32]> {
        match self {
            Self::Cpu(cpu) => cpu.read(name),
            #[cfg(feature = "webgpu")]
            Self::Gpu(_) => Err(Error::internal(format!("'{name}' lies on the GPU: it has to be requested"))),
        }
    }

    /// The plan that runs here.
    pub fn plan(&self) -> &Plan {
        match self {
            Self::Cpu(cpu) => cpu.plan(),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.plan(),
        }
    }
}
