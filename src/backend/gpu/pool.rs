//! Buffers that are given back are handed out again; above a cap, the largest that wait are destroyed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::counters::Counters;

/// Most bytes that wait to be used again.
pub const POOL_BYTES: u64 = 64 << 20;

/// Sizes are rounded up to this, which is also the alignment of bindings.
const GRAIN: u64 = 256;

/// What buffers are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Usage {
    /// Read and written by shaders.
    Storage,
    /// Parameters of dispatches.
    Uniform,
    /// Copied into and mapped by the host.
    Staging,
}

/// Free buffers by usage and size.
type Free = BTreeMap<(Usage, u64), Vec<wgpu::Buffer>>;

#[derive(Debug)]
pub(super) struct Pool {
    device: wgpu::Device,
    counters: Arc<Counters>,
    free: Mutex<(Free, u64)>,
}

impl Pool {
    pub(super) fn new(device: wgpu::Device, counters: Arc<Counters>) -> Self {
        Self { device, counters, free: Mutex::default() }
    }

    /// A buffer of at least `bytes`, and whether it was used before: its content is then undefined.
    pub(super) fn take(&self, usage: Usage, bytes: u64) -> (wgpu::Buffer, bool) {
        let size = bytes.max(1).div_ceil(GRAIN) * GRAIN;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // A quarter more than needed is waste enough.
        let fitting = free.0.range((usage, size)..=(usage, size + size / 4)).map(|(key, _)| *key).next();
        if let Some(key) = fitting
            && let Some(buffer) = free.0.get_mut(&key).and_then(Vec::pop)
        {
            free.1 -= buffer.size();
            if free.0.get(&key).is_some_and(Vec::is_empty) {
                free.0.remove(&key);
            }
            return (buffer, true);
        }
        drop(free);
        let usage = match usage {
            Usage::Storage => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            Usage::Uniform => wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            Usage::Staging => wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        };
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        let mut counters = self.counters.lock();
        counters.buffers_made += 1;
        counters.buffers_alive += 1;
        counters.bytes_alive += size;
        (buffer, false)
    }

    /// Takes a buffer back; destroys others where the pool is full.
    pub(super) fn give(&self, usage: Usage, buffer: wgpu::Buffer) {
        if buffer.size() > POOL_BYTES {
            return self.destroy(&buffer);
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // What was used last is the likeliest to be used again: the largest of the others make room.
        while free.1 + buffer.size() > POOL_BYTES {
            let Some(key) = free.0.keys().max_by_key(|(_, size)| *size).copied() else { break };
            let Some(other) = free.0.get_mut(&key).and_then(Vec::pop) else { break };
            if free.0.get(&key).is_some_and(Vec::is_empty) {
                free.0.remove(&key);
            }
            free.1 -= other.size();
            self.destroy(&other);
        }
        free.1 += buffer.size();
        free.0.entry((usage, buffer.size())).or_default().push(buffer);
    }

    /// Destroys all that waits.
    pub(super) fn empty(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (buffers, _) = std::mem::take(&mut *free);
        buffers.values().flatten().for_each(|buffer| self.destroy(buffer));
    }

    pub(super) fn destroy(&self, buffer: &wgpu::Buffer) {
        buffer.destroy();
        let mut counters = self.counters.lock();
        counters.buffers_alive -= 1;
        counters.bytes_alive -= buffer.size();
    }
}
