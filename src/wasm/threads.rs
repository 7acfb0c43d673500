//! The threads that kernels share their work with: workers that JavaScript starts, each with an instance on the same memory.

use std::sync::{Mutex, OnceLock, PoisonError};

use rayon_core::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};
use wasm_bindgen::prelude::*;

use super::convert::{JsResult, failure};
use crate::error::Error;

static POOL: OnceLock<ThreadPool> = OnceLock::new();
/// Places in the pool that no worker has taken yet.
static FREE: Mutex<Vec<ThreadBuilder>> = Mutex::new(Vec::new());

/// Makes the calling thread one of `threads` that share the work of its kernels. The others call `join_threads`; until
/// they do, and if they never do, the calling thread does all of it.
#[wasm_bindgen(js_name = startThreads)]
pub fn start_threads(threads: usize) -> JsResult<()> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).use_current_thread().spawn_handler(|place| {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        Ok(())
    });
    let pool = pool.build().map_err(|e| failure(&Error::internal(e.to_string())))?;
    POOL.set(pool).map_err(|_| failure(&Error::internal("threads are started once")))
}

/// Works for the thread that called `start_threads`, and returns only if there is no place left.
#[wasm_bindgen(js_name = joinThreads)]
pub fn join_threads() {
    let place = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(place) = place {
        place.run();
    }
}
