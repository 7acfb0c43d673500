//! What the GPU was made to do: tests assert it, the bench prints it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Totals since the device was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GpuCounters {
    /// Command buffers handed to the queue.
    pub submits: u64,
    /// Dispatches in them.
    pub dispatches: u64,
    /// Pipelines compiled.
    pub pipelines: u64,
    /// Bind groups made.
    pub bind_groups: u64,
    /// Buffers made, those from the pool not among them.
    pub buffers_made: u64,
    /// Buffers that exist now, in use or in the pool.
    pub buffers_alive: u64,
    /// Their bytes.
    pub bytes_alive: u64,
    /// Bytes written to the device.
    pub bytes_written: u64,
    /// Bytes read from it.
    pub bytes_read: u64,
}

/// The counters behind a lock.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<GpuCounters>);

impl Counters {
    pub(super) fn lock(&self) -> MutexGuard<'_, GpuCounters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
