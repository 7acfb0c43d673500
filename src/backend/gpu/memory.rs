//! Buffers of a plan: one a slot or an arena of slots, one a constant or each part that is bound of it, one for working memory and one for the parameters of
//! all dispatches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::device::Gpu;
use super::pool::Usage;
use super::record::Recording;
use crate::error::{Error, Result};
use crate::kernels::wgsl::{Dispatch, Place, Region};
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Bindings are whole vectors of four floats.
const VECTOR_BYTES: u64 = 16;
/// Distance of the parameters of dispatches (WebGPU's largest `minUniformBufferOffsetAlignment`).
const PARAMS_STRIDE: u64 = 256;

#[derive(Debug, Default)]
pub(super) struct Memory {
    buffers: Vec<wgpu::Buffer>,
    /// Buffer of each slot, and its first byte there.
    slots: Vec<(usize, u64)>,
    /// What is written of a slot as 16-bit floats.
    halves: HashMap<usize, wgpu::Buffer>,
    /// Regions of constants that are read.
    constants: HashMap<Region, wgpu::Buffer>,
    scratch: [Option<wgpu::Buffer>; 2],
    params: Option<wgpu::Buffer>,
}

impl Memory {
    /// Takes buffers from the pool and fills them: constants, first values of parameters, parameters of dispatches.
    pub(super) fn new(plan: &Plan, recording: &Recording, gpu: &Gpu) -> Result<Self> {
        let shared = gpu.shared();
        let mut memory = Self::default();
        match memory.fill(plan, recording, gpu) {
            Ok(()) => Ok(memory),
            Err(error) => {
                memory.give_back(gpu);
                shared.pool.empty();
                Err(error)
            }
        }
    }

    fn fill(&mut self, plan: &Plan, recording: &Recording, gpu: &Gpu) -> Result<()> {
        let shared = gpu.shared();
        let mut encoder = None;
        let mut lens = Vec::with_capacity(plan.slots.len());
        let mut places = vec![None; plan.slots.len()];
        for arena in &recording.arenas {
            for &(slot, first) in &arena.slots {
                places[slot] = Some((lens.len(), first as u64 * 4));
            }
            lens.push(arena.len);
        }
        for (place, &len) in places.iter_mut().zip(&plan.slots) {
            self.slots.push(*place.get_or_insert_with(|| {
                lens.push(len);
                (lens.len() - 1, 0)
            }));
        }
        for len in lens {
            let (buffer, used) = storage(gpu, len)?;
            if used {
                // Slots start as zeros, as they do on the CPU.
                encoder
                    .get_or_insert_with(|| shared.device.create_command_encoder(&Default::default()))
                    .clear_buffer(&buffer, 0, None);
            }
            self.buffers.push(buffer);
        }
        if let Some(encoder) = encoder {
            shared.queue.submit([encoder.finish()]);
            shared.counters.lock().submits += 1;
        }
        for &(slot, len) in &plan.halves {
            self.halves.insert(slot, storage_of(gpu, len as u64 * 2)?.0);
        }
        for (slot, value) in &plan.initial {
            let value = value.as_f32().ok_or_else(|| Error::internal("a parameter is not f32"))?;
            self.write(gpu, *slot, value);
        }
        let bindings = recording.dispatches.iter().flat_map(|(_, d)| &d.bindings);
        for binding in bindings {
            self.upload(plan, recording, binding.region, gpu)?;
        }
        for (scratch, len) in self.scratch.iter_mut().zip(recording.scratch).filter(|(_, len)| *len > 0) {
            *scratch = Some(storage(gpu, len)?.0);
        }
        let count = recording.dispatches.len();
        let mut words = vec![0_u32; count * PARAMS_STRIDE as usize / 4];
        for ((_, dispatch), room) in recording.dispatches.iter().zip(words.chunks_exact_mut(PARAMS_STRIDE as usize / 4))
        {
            let room = room.get_mut(..dispatch.params.len());
            room.ok_or_else(|| Error::internal("a dispatch has too many parameters"))?
                .copy_from_slice(&dispatch.params);
        }
        if count > 0 {
            let (params, _) = shared.pool.take(Usage::Uniform, count as u64 * PARAMS_STRIDE);
            write(gpu, &params, 0, bytemuck::cast_slice(&words));
            self.params = Some(params);
        }
        Ok(())
    }

    /// Brings what is bound of a constant to the device, if it is one and not there.
    fn upload(&mut self, plan: &Plan, recording: &Recording, region: Region, gpu: &Gpu) -> Result<()> {
        let Entry::Vacant(place) = self.constants.entry(region) else { return Ok(()) };
        let constant = |index: usize| plan.constants.get(index)?.as_f32()?.get(region.first..region.first + region.len);
        let half = |index: usize| recording.halves.get(&index);
        let buffer = match region.place {
            Place::Slot(_) | Place::Written(_) | Place::Scratch(_) => return Ok(()),
            Place::Constant(index) => constant(index).map(|values| filled(gpu, values)),
            Place::Half(index) => {
                half(index).and_then(|half| half.elements(plan, index, region)).map(|v| filled(gpu, &v))
            }
            Place::Winograd(index) => plan.constants.get(index).and_then(transformed).map(|v| filled(gpu, &v)),
            Place::Columns(index) => {
                half(index).and_then(|half| half.columns(plan, index, region)).map(|v| filled(gpu, &v))
            }
        };
        place.insert(buffer.ok_or_else(|| Error::internal(format!("{region:?} is of no constant")))??);
        Ok(())
    }

    /// The buffer of a slot, and its first byte there.
    pub(super) fn slot(&self, slot: usize) -> (&wgpu::Buffer, u64) {
        let (buffer, offset) = self.slots[slot];
        (&self.buffers[buffer], offset)
    }

    /// Writes the first elements of a slot before the next run.
    pub(super) fn write(&self, gpu: &Gpu, slot: usize, values: &[f32]) {
        let (buffer, offset) = self.slot(slot);
        write(gpu, buffer, offset, bytemuck::cast_slice(values));
    }

    /// The same for the 16-bit floats of a slot that is written so.
    pub(super) fn write_halves(&self, gpu: &Gpu, slot: usize, values: &[f16]) {
        let Some(buffer) = self.halves.get(&slot) else { return };
        let bits: &[u16] = values.reinterpret_cast();
        // Copies are of whole words.
        let (whole, rest) = bits.split_at(bits.len() / 2 * 2);
        write(gpu, buffer, 0, bytemuck::cast_slice(whole));
        if let [last] = rest {
            write(gpu, buffer, whole.len() as u64 * 2, &u32::from(*last).to_le_bytes());
        }
    }

    /// Bindings of the dispatch at `index`.
    pub(super) fn bind(
        &self,
        gpu: &Gpu,
        layout: &wgpu::BindGroupLayout,
        index: usize,
        dispatch: &Dispatch,
    ) -> Result<wgpu::BindGroup> {
        let mut entries = Vec::with_capacity(dispatch.bindings.len() + 1);
        for binding in &dispatch.bindings {
            let resource = wgpu::BindingResource::Buffer(self.resolve(binding.region)?);
            entries.push(wgpu::BindGroupEntry { binding: entries.len() as u32, resource });
        }
        let params = self.params.as_ref().ok_or_else(|| Error::internal("there are no parameters"))?;
        let bytes = (dispatch.params.len() as u64 * 4).next_multiple_of(VECTOR_BYTES);
        let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: params,
            offset: index as u64 * PARAMS_STRIDE,
            size: wgpu::BufferSize::new(bytes),
        });
        entries.push(wgpu::BindGroupEntry { binding: entries.len() as u32, resource });
        gpu.shared().counters.lock().bind_groups += 1;
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
        Ok(gpu.shared().device.create_bind_group(&descriptor))
    }

    fn resolve(&self, region: Region) -> Result<wgpu::BufferBinding<'_>> {
        let missing = || Error::internal(format!("{region:?} has no buffer"));
        let (buffer, first) = match region.place {
            Place::Slot(slot) => {
                let (buffer, offset) = *self.slots.get(slot).ok_or_else(missing)?;
                (self.buffers.get(buffer), region.first + offset as usize / 4)
            }
            Place::Written(slot) => (self.halves.get(&slot), region.first),
            Place::Scratch(index) => (self.scratch.get(index).and_then(Option::as_ref), region.first),
            Place::Constant(_) | Place::Half(_) | Place::Columns(_) | Place::Winograd(_) => {
                (self.constants.get(&region), 0)
            }
        };
        let size = wgpu::BufferSize::new(region.bytes().next_multiple_of(VECTOR_BYTES));
        Ok(wgpu::BufferBinding { buffer: buffer.ok_or_else(missing)?, offset: first as u64 * 4, size })
    }

    /// Gives all buffers back to the pool.
    pub(super) fn give_back(&mut self, gpu: &Gpu) {
        let Self { buffers, slots: _, halves, constants, scratch, params } = std::mem::take(self);
        let pool = &gpu.shared().pool;
        buffers
            .into_iter()
            .chain(halves.into_values())
            .chain(constants.into_values())
            .chain(scratch.into_iter().flatten())
            .for_each(|buffer| pool.give(Usage::Storage, buffer));
        params.into_iter().for_each(|buffer| pool.give(Usage::Uniform, buffer));
    }
}

/// Filters `[3, 3, c, m]` in Winograd's form.
fn transformed(filters: &Arc<Tensor>) -> Option<Vec<f32>> {
    let [3, 3, c, m] = filters.shape()[..] else { return None };
    Some(regraft_kernels::winograd::filters(c, m, filters.as_f32()?))
}

/// A buffer of so many floats, and whether it was used before.
fn storage(gpu: &Gpu, len: usize) -> Result<(wgpu::Buffer, bool)> {
    storage_of(gpu, len as u64 * 4)
}

fn storage_of(gpu: &Gpu, bytes: u64) -> Result<(wgpu::Buffer, bool)> {
    let budget = gpu.limits().buffer_bytes;
    if bytes > budget {
        return Err(Error::OverBudget { needed: bytes, budget });
    }
    Ok(gpu.shared().pool.take(Usage::Storage, bytes))
}

/// A buffer that holds these values.
fn filled<T: bytemuck::NoUninit>(gpu: &Gpu, values: &[T]) -> Result<wgpu::Buffer> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let (buffer, _) = storage_of(gpu, bytes.len() as u64)?;
    write(gpu, &buffer, 0, bytes);
    Ok(buffer)
}

fn write(gpu: &Gpu, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
    gpu.shared().queue.write_buffer(buffer, offset, bytes);
    gpu.shared().counters.lock().bytes_written += bytes.len() as u64;
}
