//! Errors of what was made for a plan. Natively they are known at once, browsers tell them later: before any value is read.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::device::Gpu;
use crate::error::{Error, Result};
use crate::kernels::wgsl::Dispatch;

#[cfg(not(target_arch = "wasm32"))]
type Pending = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
#[cfg(target_arch = "wasm32")]
type Pending = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// What was made, and the error it may have.
struct Check {
    vertex: Option<String>,
    dispatch: Option<Dispatch>,
    error: Pending,
}

/// Errors that are not known yet, and the first that is.
#[derive(Default)]
struct State {
    open: Vec<Check>,
    failed: Option<Error>,
}

/// What was made for a plan and may still turn out to be wrong.
#[derive(Default)]
pub(super) struct Checks(Mutex<State>);

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Checks").field("open", &state.open.len()).field("failed", &state.failed).finish()
    }
}

impl Checks {
    /// Makes something for a vertex and remembers to look for its error.
    pub(super) fn watch<T>(
        &self,
        gpu: &Gpu,
        vertex: Option<&str>,
        dispatch: Option<&Dispatch>,
        make: impl FnOnce() -> T,
    ) -> T {
        let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal];
        let mut guards = scopes.map(|filter| Some(gpu.shared().device.push_error_scope(filter)));
        let made = make();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Scopes end in reverse order.
        for error in guards.iter_mut().rev().filter_map(Option::take).map(wgpu::ErrorScopeGuard::pop) {
            let (vertex, dispatch) = (vertex.map(str::to_owned), dispatch.cloned());
            state.open.push(Check { vertex, dispatch, error: Box::pin(error) });
        }
        made
    }

    /// Whether all errors are known, and there is none.
    pub(super) fn poll(&self, gpu: &Gpu) -> Result<bool> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { open, failed } = &mut *state;
        open.retain_mut(|check| match check.error.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => true,
            Poll::Ready(error) => {
                if let Some(error) = error {
                    if let Some(dispatch) = &check.dispatch {
                        gpu.shared().pipelines.forget(dispatch);
                    }
                    failed.get_or_insert(named(check.vertex.take(), &error));
                }
                false
            }
        });
        match failed {
            Some(error) => Err(error.clone()),
            None => Ok(open.is_empty()),
        }
    }
}

fn named(vertex: Option<String>, error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::GpuMemory,
        error => Error::Internal { vertex, reason: format!("the GPU refuses it: {error}") },
    }
}
