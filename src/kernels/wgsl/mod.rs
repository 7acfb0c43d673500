//! Shaders as text, and a dispatch as plain data. Nothing here knows a device: `backend/gpu` makes pipelines and bind groups of
//! it, and tests read it.
//!
//! Conventions of every kernel: entry `main`; bindings of group 0 are what is read, in the op's order, then what is written (the
//! output, or what an updater changes in place), then `var<uniform> p: Params`; `override WG` is the number of invocations a workgroup; the first two words of `Params` are
//! `first` and `width`, so that the index of a workgroup is `p.first + wid.y * p.width + wid.x` however the grid is cut.

mod depthwise;
mod depthwise_grad;
mod elementwise;
mod gemm;
mod tile;
mod weight_grad;
mod winograd;

use std::borrow::Cow;

pub(crate) use depthwise::{Depthwise, depthwise};
pub(crate) use depthwise_grad::DepthwiseWeightGrad;
pub(crate) use elementwise::{
    RANK, Strided, binary, broadcast, broadcast_dims, channels, columns, dim_words, gather, joined, repeated, rows,
    shares, sharing, unary, unit, update,
};
pub(crate) use gemm::{Direction, Gemm};
#[cfg(feature = "webgpu")]
pub(crate) use tile::DEEP;
pub use tile::Tiles;
pub(crate) use tile::{Tiling, WindowSizes};
pub(crate) use weight_grad::WeightGrad;
#[cfg(feature = "webgpu")]
pub(crate) use winograd::WIDE;
pub(crate) use winograd::Winograd;

/// Invocations a workgroup of all kernels without shared memory.
pub(crate) const WORKGROUP: u32 = 64;

/// A shader with its override constants: what decides a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// WGSL.
    pub text: Cow<'static, str>,
    /// Override constants; they have to be finite.
    pub constants: Vec<(&'static str, f64)>,
}

impl Kernel {
    /// A kernel with `WG` set to [`WORKGROUP`].
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), constants: vec![("WG", f64::from(WORKGROUP))] }
    }

    /// Invocations a workgroup.
    pub fn invocations(&self) -> u64 {
        self.constants.iter().find(|(name, _)| *name == "WG").map_or(u64::from(WORKGROUP), |(_, value)| *value as u64)
    }

    /// Sets an override constant.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.constants.retain(|(n, _)| *n != name);
        self.constants.push((name, value));
        self
    }

    /// Sets `LOW` and `HIGH`; infinite bounds become the largest floats, as overrides have to be finite.
    #[must_use]
    pub fn with_bounds(self, (low, high): (f32, f32)) -> Self {
        self.with("LOW", f64::from(low.max(f32::MIN))).with("HIGH", f64::from(high.min(f32::MAX)))
    }
}

/// What holds a value on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A slot of the plan.
    Slot(usize),
    /// What is written of a slot as 16-bit floats.
    Written(usize),
    /// A constant of the plan.
    Constant(usize),
    /// The same as 16-bit floats, without the factors that [`Place::Columns`] has.
    Half(usize),
    /// A factor for each column of the last dimension of the constant.
    Columns(usize),
    /// Filters of a constant in Winograd's form, `[c, 36, m]`.
    Winograd(usize),
    /// Working memory of the step alone, of which there are two: a dispatch can read one and write the other.
    Scratch(usize),
}

/// Consecutive elements of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    /// What holds them.
    pub place: Place,
    /// The first element.
    pub first: usize,
    /// How many.
    pub len: usize,
}

impl Region {
    /// Bytes that the elements take.
    pub fn bytes(&self) -> u64 {
        self.len as u64 * self.place.element_bytes()
    }
}

impl Place {
    /// Bytes of an element.
    pub fn element_bytes(self) -> u64 {
        if matches!(self, Self::Half(_) | Self::Written(_)) { 2 } else { 4 }
    }
}

/// A region as a shader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The elements.
    pub region: Region,
    /// Whether the shader writes them.
    pub written: bool,
}

/// What a dispatch does, by count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-accumulates; 0 where memory traffic dominates.
    pub macs: u64,
    /// Words that invocations load, each as often as it is loaded; 0 where that is as often as it is there.
    pub loads: u64,
}

impl Work {
    /// The share of `part` in `whole` workgroups.
    pub(crate) fn share(self, part: u64, whole: u64) -> Self {
        let share = |count: u64| (u128::from(count) * u128::from(part) / u128::from(whole.max(1))) as u64;
        Self { macs: share(self.macs), loads: share(self.loads) }
    }
}

/// Workgroups that run one kernel on some bindings.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// What runs.
    pub kernel: Kernel,
    /// In the order of the shader's bindings.
    pub bindings: Vec<Binding>,
    /// Words of the uniform `Params`, `first` and `width` among them.
    pub params: Vec<u32>,
    /// Workgroups in x and y.
    pub grid: [u32; 2],
    /// What it costs.
    pub work: Work,
    /// Whether each four elements of what is written, and of what is as long, have an invocation of their own: `Params` is `first`,
    /// `width`, the count of invocations and numbers.
    pub by_element: bool,
}
