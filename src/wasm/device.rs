use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, OrThrow, to_js};
use crate::backend::Device;

/// Where plans run.
#[wasm_bindgen]
pub struct WasmDevice {
    pub(super) device: Device,
}

#[wasm_bindgen]
impl WasmDevice {
    /// Wasm SIMD in this thread.
    pub fn cpu() -> WasmDevice {
        Self { device: Device::Cpu }
    }

    /// A new device of the page's GPU; rejects with `no-gpu` where there is none. Plans are made for `lanes` invocations at work at
    /// a time, where that is given, and else for as many as such a device is thought to have.
    pub fn webgpu(lanes: Option<u32>) -> Promise {
        js_sys::futures::future_to_promise(async move { Ok(Self { device: request(lanes).await.or_throw()? }.into()) })
    }

    /// A promise of the names of what is fastest, which plans made from then on follow: tiles of products with few terms a sum and with
    /// many, then forms of 3×3 convolutions with few channels and with many. `now` is a function that gives milliseconds.
    #[wasm_bindgen(js_name = timeTiles)]
    pub fn time_tiles(&self, now: Function) -> Promise {
        let device = self.device.clone();
        js_sys::futures::future_to_promise(async move { time_tiles(&device, &now).await })
    }

    /// Bytes on the GPU.
    #[wasm_bindgen(js_name = gpuBytes)]
    pub fn gpu_bytes(&self) -> f64 {
        match &self.device {
            Device::Cpu => 0.0,
            #[cfg(feature = "webgpu")]
            Device::Gpu(gpu) => gpu.counters().bytes_alive as f64,
        }
    }

    /// Frees buffers that wait to be used again.
    pub fn trim(&self) {
        #[cfg(feature = "webgpu")]
        if let Device::Gpu(gpu) = &self.device {
            gpu.dispose();
        }
    }

    /// Destroys the device with all that is on it: work under way rejects with `device-lost`.
    pub fn destroy(&self) {
        #[cfg(feature = "webgpu")]
        if let Device::Gpu(gpu) = &self.device {
            gpu.destroy();
        }
    }
}

#[cfg(feature = "webgpu")]
async fn time_tiles(device: &Device, now: &Function) -> JsResult<JsValue> {
    let Device::Gpu(gpu) = device else { return to_js(&[""; 0]) };
    let (tiles, winograd) = gpu.time_tiles(&mut super::convert::clock(now)).await.or_throw()?;
    let form = |is_winograd| if is_winograd { "Winograd" } else { "direct" };
    to_js(&[tiles.map(crate::ops::Tiles::name), winograd.map(form)].concat())
}

#[cfg(not(feature = "webgpu"))]
async fn time_tiles(_: &Device, _: &Function) -> JsResult<JsValue> {
    to_js(&[""; 0])
}

#[cfg(feature = "webgpu")]
async fn request(lanes: Option<u32>) -> crate::Result<Device> {
    use crate::backend::gpu::{Gpu, GpuOptions};
    Gpu::request(GpuOptions { lanes: lanes.map(u64::from), ..GpuOptions::default() }).await.map(Device::Gpu)
}

#[cfg(not(feature = "webgpu"))]
async fn request(_: Option<u32>) -> crate::Result<Device> {
    Err(crate::Error::NoGpu { reason: "this build has no WebGPU backend".into() })
}
