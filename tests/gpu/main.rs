//! The WebGPU backend against references, the CPU backend and its own counters. Without an adapter these tests fail: natively they
//! need a Vulkan driver (`VK_ICD_FILENAMES` may point to the one that comes with Chromium), in the browser WebGPU.

mod conformance;
mod evaluation;
#[cfg(not(target_arch = "wasm32"))]
mod photos;
#[cfg(not(target_arch = "wasm32"))]
#[path = "../native/pictures.rs"]
mod pictures;
#[cfg(not(target_arch = "wasm32"))]
mod plans;
mod properties;
mod session;
#[cfg(not(target_arch = "wasm32"))]
mod shaders;
mod trainer;
mod training;

use regraft::backend::Gpu;
use regraft::backend::gpu::GpuOptions;
use regraft::ops::GpuLimits;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// Seed of all drawn values; failures print it.
const SEED: u64 = 20_240_613;

/// Sums of up to a few hundred products of values around 1, in an order of the kernel's choice; `exp` of WGSL is good to
/// 3 + 2·|x| ulp (WGSL specification, "Accuracy of numeric expressions").
const RELATIVE: f64 = 1e-4;
/// Where values around 1 cancel, the result knows nothing of its own size.
const ABSOLUTE: f64 = 1e-5;

/// Error as a share of what is allowed, and the place of the worst element. NaN ranks above everything.
fn worst(y: &[f32], expected: impl IntoIterator<Item = f64>) -> (f64, usize) {
    worst_within(y, expected, RELATIVE, ABSOLUTE)
}

/// [`worst`] with other tolerances.
fn worst_within(y: &[f32], expected: impl IntoIterator<Item = f64>, relative: f64, absolute: f64) -> (f64, usize) {
    let share = |(y, e): (&f32, f64)| {
        let share = (f64::from(*y) - e).abs() / (absolute + relative * e.abs());
        if share.is_nan() { f64::INFINITY } else { share }
    };
    y.iter().zip(expected).map(share).zip(0..).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
}

/// The adapter that tests run on, with plans for a usual GPU: on a software adapter they would leave kernels out.
async fn gpu(options: GpuOptions) -> Gpu {
    let usual = GpuLimits::default();
    let (lanes, halves) = (options.lanes.or(Some(usual.lanes)), options.halves.or(Some(usual.halves)));
    let options = GpuOptions { lanes, halves, ..options };
    Gpu::request(options).await.unwrap_or_else(|e| panic!("GPU tests need an adapter: {e}"))
}

/// Drives a test to its end: natively nothing it awaits is ever pending for long.
#[cfg(not(target_arch = "wasm32"))]
fn block_on<F: Future>(test: F) -> F::Output {
    let mut test = std::pin::pin!(test);
    loop {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(output) = test.as_mut().poll(&mut cx) {
            return output;
        }
        std::thread::yield_now();
    }
}

/// A test that awaits the device, natively and in the browser.
macro_rules! gpu_test {
    ($(#[$doc:meta])* $name:ident, $body:ident) => {
        $(#[$doc])*
        #[cfg(not(target_arch = "wasm32"))]
        #[test]
        fn $name() -> regraft::Result<()> {
            crate::block_on($body())
        }

        $(#[$doc])*
        #[cfg(target_arch = "wasm32")]
        #[wasm_bindgen_test::wasm_bindgen_test]
        async fn $name() {
            $body().await.unwrap_or_else(|e| panic!("{e}"));
        }
    };
}
use gpu_test;
