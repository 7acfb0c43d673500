//! Values on their way from the device: copied into a staging buffer by the run's own command buffer, mapped when it is done.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::checks::Checks;
use super::device::Gpu;
use super::pool::Usage;
use crate::error::{Error, Result};

/// What the device said of the mapping, and who waits for it.
#[derive(Debug, Default)]
struct Mapping {
    outcome: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

/// A staging buffer that is being filled.
#[derive(Debug)]
pub(in crate::backend) struct Pending {
    gpu: Gpu,
    checks: Arc<Checks>,
    buffer: Option<wgpu::Buffer>,
    bytes: u64,
    mapping: Arc<Mutex<Mapping>>,
}

impl Pending {
    /// Asks for the mapping; the commands that fill the buffer have to be submitted.
    pub(super) fn new(gpu: Gpu, checks: Arc<Checks>, buffer: wgpu::Buffer, bytes: u64) -> Self {
        let mapping: Arc<Mutex<Mapping>> = Arc::default();
        let told = Arc::clone(&mapping);
        buffer.map_async(wgpu::MapMode::Read, ..bytes, move |outcome| {
            let mut mapping = told.lock().unwrap_or_else(PoisonError::into_inner);
            mapping.outcome = Some(outcome);
            if let Some(waker) = mapping.waker.take() {
                waker.wake();
            }
        });
        Self { gpu, checks, buffer: Some(buffer), bytes, mapping }
    }

    /// Waits until the device is done; browsers do not let one wait.
    pub(in crate::backend) fn block(&self) {
        // A failure shows in the mapping.
        let _ = self.gpu.shared().device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// The values, once they are there.
    pub(in crate::backend) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<f32>>> {
        if !cfg!(target_arch = "wasm32") {
            let _ = self.gpu.shared().device.poll(wgpu::PollType::Poll);
        }
        let outcome = {
            let mut mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = mapping.outcome.take();
            if outcome.is_none() {
                mapping.waker = Some(cx.waker().clone());
            }
            outcome
        };
        match outcome {
            None => Poll::Pending,
            Some(outcome) => Poll::Ready(self.take(outcome)),
        }
    }

    fn take(&mut self, outcome: Result<(), wgpu::BufferAsyncError>) -> Result<Vec<f32>> {
        self.gpu.check()?;
        // A browser may refuse the mapping before it tells that the device is lost; nothing else makes it refuse.
        outcome.map_err(|e| Error::DeviceLost { reason: e.to_string() })?;
        if !self.checks.poll(&self.gpu)? {
            return Err(Error::internal("values were there before the errors of their pipelines were known"));
        }
        let buffer = self.buffer.take().ok_or_else(|| Error::internal("values were taken twice"))?;
        let view = buffer.get_mapped_range(..self.bytes).map_err(|e| Error::internal(e.to_string()))?;
        let values = bytemuck::pod_collect_to_vec(&view[..]);
        drop(view);
        buffer.unmap();
        self.gpu.shared().counters.lock().bytes_read += self.bytes;
        self.gpu.shared().pool.give(Usage::Staging, buffer);
        Ok(values)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            // Whatever state the mapping is in, the buffer is not to be used again.
            buffer.unmap();
            self.gpu.shared().pool.destroy(&buffer);
        }
    }
}
