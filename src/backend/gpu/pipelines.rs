//! Pipelines by kernel: each is compiled once per device, whatever plans use it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::counters::Counters;
use crate::kernels::wgsl::{Dispatch, Kernel};

/// A pipeline with the layout of its bindings.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// Text, and bits of the override constants.
type Key = (String, Vec<(&'static str, u64)>);

#[derive(Debug)]
pub(super) struct Pipelines {
    device: wgpu::Device,
    counters: Arc<Counters>,
    made: Mutex<HashMap<Key, Pipeline>>,
    modules: Mutex<HashMap<String, wgpu::ShaderModule>>,
}

impl Pipelines {
    pub(super) fn new(device: wgpu::Device, counters: Arc<Counters>) -> Self {
        Self { device, counters, made: Mutex::default(), modules: Mutex::default() }
    }

    /// The pipeline of a dispatch.
    pub(super) fn get(&self, dispatch: &Dispatch) -> Pipeline {
        let Kernel { text, constants } = &dispatch.kernel;
        let key: Key = (text.to_string(), constants.iter().map(|(name, value)| (*name, value.to_bits())).collect());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.get(&key) {
            return found.clone();
        }
        let pipeline = self.make(dispatch);
        self.counters.lock().pipelines += 1;
        made.insert(key, pipeline.clone());
        pipeline
    }

    /// Forgets what was made for a dispatch that turned out not to be valid.
    pub(super) fn forget(&self, dispatch: &Dispatch) {
        let text = dispatch.kernel.text.as_ref();
        self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| key.0 != text);
        self.modules.lock().unwrap_or_else(PoisonError::into_inner).remove(text);
    }

    fn make(&self, dispatch: &Dispatch) -> Pipeline {
        let storage = |(index, written): (usize, bool)| wgpu::BindGroupLayoutEntry {
            binding: index as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: !written },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let mut entries: Vec<_> = dispatch.bindings.iter().map(|b| b.written).enumerate().map(storage).collect();
        let mut uniform = storage((entries.len(), false));
        uniform.ty = wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        entries.push(uniform);
        let layout =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &self.module(&dispatch.kernel.text),
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &dispatch.kernel.constants,
                // Every kernel writes what it reads.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }

    fn module(&self, text: &str) -> wgpu::ShaderModule {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = modules.get(text) {
            return found.clone();
        }
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        modules.insert(text.to_owned(), module.clone());
        module
    }
}
