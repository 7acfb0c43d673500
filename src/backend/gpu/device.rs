//! Adapter and device, with what they allow and what went wrong on them.

use std::sync::{Arc, Mutex, PoisonError};

use super::GpuBackend;
use super::counters::{Counters, GpuCounters};
use super::pipelines::Pipelines;
use super::pool::Pool;
use super::timed;
use crate::error::{Error, Result};
use crate::kernels::wgsl::{DEEP, WIDE};
use crate::ops::{GpuLimits, Tiles};
use crate::plan::Plan;

/// Which GPU, and how to ask for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Ask for no more than every WebGPU device has, even where the adapter has more.
    pub default_limits: bool,
    /// Bind at most this many bytes at a time, where the device allows more.
    pub binding_bytes: Option<u64>,
    /// In place of what is assumed of the device, see [`GpuLimits::lanes`].
    pub lanes: Option<u64>,
    /// See [`GpuLimits::tiles`]; [`Gpu::time_tiles`] finds it out.
    pub tiles: [Tiles; 2],
    /// See [`GpuLimits::winograd`]; [`Gpu::time_tiles`] finds it out.
    pub winograd: [bool; 2],
    /// See [`GpuLimits::halves`]; without a choice, not where shaders run on the CPU: bytes are not what it waits for.
    pub halves: Option<bool>,
}

/// [`GpuLimits::lanes`] of a device that runs shaders on the CPU: a workgroup for each of some cores. Larger tiles and fewer barriers are
/// worth more there than more of them.
const SOFTWARE_LANES: u64 = 256;
/// Terms a sum of the products that tiles are timed with: those of layers, and some milliseconds on a weak GPU.
const TILE_DEPTHS: [usize; 2] = [64, DEEP as usize];
/// Channels of the convolutions that Winograd's form is timed with.
const CONV_CHANNELS: [usize; 2] = [WIDE / 2, WIDE];
/// Times that each is timed.
const TILE_ROUNDS: usize = 3;

/// Who made the GPU; browsers tell little of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// Name of the adapter, empty where the browser hides it.
    pub name: String,
    /// Name and version of the driver.
    pub driver: String,
    /// Whether shaders run on the CPU: right, but slower than the CPU backend.
    pub is_software: bool,
}

/// A GPU. Copies share the device, its pipelines and its pool.
#[derive(Debug, Clone)]
pub struct Gpu(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) counters: Arc<Counters>,
    pub(super) pool: Pool,
    pub(super) pipelines: Pipelines,
    faults: Arc<Mutex<Faults>>,
    info: GpuInfo,
    limits: Mutex<GpuLimits>,
}

/// Errors that no call returns.
#[derive(Debug, Default)]
struct Faults {
    lost: Option<String>,
    first: Option<String>,
}

impl Gpu {
    /// Asks for an adapter and a device with as much as the adapter gives.
    ///
    /// # Errors
    /// `no-gpu` where there is no WebGPU, no adapter or no device.
    pub async fn request(options: GpuOptions) -> Result<Self> {
        let no_gpu = |reason: String| Error::NoGpu { reason };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let wanted = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        let adapter = instance.request_adapter(&wanted).await.map_err(|e| no_gpu(e.to_string()))?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("regraft"),
            required_limits: required_limits(&adapter.limits(), options),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| no_gpu(e.to_string()))?;
        let mut limits = limits(&device.limits());
        limits.binding_bytes = options.binding_bytes.unwrap_or(u64::MAX).min(limits.binding_bytes);
        let info = adapter.get_info();
        let assumed = if is_software(&info) { SOFTWARE_LANES } else { limits.lanes };
        limits.lanes = options.lanes.unwrap_or(assumed);
        (limits.tiles, limits.winograd) = (options.tiles, options.winograd);
        limits.halves = options.halves.unwrap_or(!is_software(&info));
        Ok(Self::new(&info, device, queue, limits))
    }

    fn new(adapter: &wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue, limits: GpuLimits) -> Self {
        let faults = Arc::new(Mutex::new(Faults::default()));
        let lost = Arc::clone(&faults);
        device.set_device_lost_callback(move |_, reason| {
            lost.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert(reason);
        });
        let uncaptured = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.lock().unwrap_or_else(PoisonError::into_inner).first.get_or_insert(error.to_string());
        }));
        let info = GpuInfo {
            name: adapter.name.clone(),
            driver: [adapter.driver.as_str(), adapter.driver_info.as_str()].join(" ").trim().to_owned(),
            is_software: is_software(adapter),
        };
        let counters = Arc::new(Counters::default());
        let shared = Shared {
            limits: Mutex::new(limits),
            pool: Pool::new(device.clone(), Arc::clone(&counters)),
            pipelines: Pipelines::new(device.clone(), Arc::clone(&counters)),
            device,
            queue,
            counters,
            faults,
            info,
        };
        Self(Arc::new(shared))
    }

    /// What it is.
    pub fn info(&self) -> &GpuInfo {
        &self.0.info
    }

    /// What it allows.
    pub fn limits(&self) -> GpuLimits {
        *self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans are made so from now on.
    fn choose(&self, tiles: [Tiles; 2], winograd: [bool; 2]) {
        let mut limits = self.0.limits.lock().unwrap_or_else(PoisonError::into_inner);
        (limits.tiles, limits.winograd) = (tiles, winograd);
    }

    /// Times a product with few terms a sum and one with many in each kind of tiles, and then convolutions with few and with many
    /// channels in Winograd's form and without, by the clock `now`; plans that are made from now on have what is fastest, see
    /// [`GpuLimits::tiles`] and [`GpuLimits::winograd`]. Where shaders run on the CPU, workgroups share nothing that is worth a barrier,
    /// and are left out.
    ///
    /// # Errors
    /// Those of running a plan.
    pub async fn time_tiles(&self, now: &mut dyn FnMut() -> f64) -> Result<([Tiles; 2], [bool; 2])> {
        let candidates = Tiles::ALL.into_iter().filter(|tiles| *tiles != Tiles::Workgroup || !self.info().is_software);
        let (lanes, mut tiles, mut winograd) = (self.limits().lanes, [Tiles::default(); 2], [false; 2]);
        let mut least = [f64::INFINITY; 2];
        for candidate in candidates {
            self.choose([candidate; 2], winograd);
            for ((depth, least), tiles) in TILE_DEPTHS.into_iter().zip(&mut least).zip(&mut tiles) {
                let time = self.least_time(timed::product(lanes, depth)?, now).await?;
                if time < *least {
                    (*least, *tiles) = (time, candidate);
                }
            }
        }
        for (channels, winograd) in CONV_CHANNELS.into_iter().zip(&mut winograd) {
            let mut times = [0.0; 2];
            for (is_winograd, time) in times.iter_mut().enumerate() {
                self.choose(tiles, [is_winograd == 1; 2]);
                *time = self.least_time(timed::convolution(lanes, channels)?, now).await?;
            }
            *winograd = times[1] < times[0];
        }
        self.choose(tiles, winograd);
        Ok((tiles, winograd))
    }

    /// Of some runs of a plan; the first includes what compiling left to do.
    async fn least_time(&self, plan: Plan, now: &mut dyn FnMut() -> f64) -> Result<f64> {
        let (mut backend, mut least) = (GpuBackend::new(plan, self)?, f64::INFINITY);
        for _ in 0..TILE_ROUNDS {
            least = backend.profile(now).await?.iter().map(|step| step.time).sum::<f64>().min(least);
        }
        Ok(least)
    }

    /// What it did so far.
    pub fn counters(&self) -> GpuCounters {
        *self.0.counters.lock()
    }

    /// Destroys the device: all that is on it is lost.
    pub fn destroy(&self) {
        self.0.device.destroy();
    }

    /// Destroys all buffers that no backend holds.
    pub fn dispose(&self) {
        self.0.pool.empty();
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// The error of a lost device, or the first that no call returned.
    pub(super) fn check(&self) -> Result<()> {
        let faults = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match (&faults.lost, &faults.first) {
            (Some(reason), _) => Err(Error::DeviceLost { reason: reason.clone() }),
            (None, Some(reason)) => Err(Error::internal(format!("the GPU refused a command: {reason}"))),
            (None, None) => Ok(()),
        }
    }
}

fn is_software(adapter: &wgpu::AdapterInfo) -> bool {
    adapter.device_type == wgpu::DeviceType::Cpu
}

/// Every limit that kernels know of, as high as the adapter has it; WebGPU's defaults for the others.
fn required_limits(adapter: &wgpu::Limits, options: GpuOptions) -> wgpu::Limits {
    let defaults = wgpu::Limits::default();
    if options.default_limits {
        return defaults;
    }
    wgpu::Limits {
        max_storage_buffer_binding_size: adapter.max_storage_buffer_binding_size,
        max_buffer_size: adapter.max_buffer_size,
        max_storage_buffers_per_shader_stage: adapter.max_storage_buffers_per_shader_stage.clamp(8, 16),
        max_compute_workgroup_storage_size: adapter.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: adapter.max_compute_invocations_per_workgroup,
        ..defaults
    }
}

fn limits(device: &wgpu::Limits) -> GpuLimits {
    GpuLimits {
        // Bindings are whole vectors of four floats.
        binding_bytes: device.max_storage_buffer_binding_size / 16 * 16,
        buffer_bytes: device.max_buffer_size,
        alignment: u64::from(device.min_storage_buffer_offset_alignment),
        storage_buffers: device.max_storage_buffers_per_shader_stage,
        groups_per_dimension: device.max_compute_workgroups_per_dimension,
        shared_bytes: device.max_compute_workgroup_storage_size,
        invocations: device.max_compute_invocations_per_workgroup,
        lanes: GpuLimits::default().lanes,
        tiles: [Tiles::default(); 2],
        winograd: [false; 2],
        halves: true,
    }
}
