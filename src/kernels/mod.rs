//! Inner loops of the GPU shared by ops; those of the CPU are the crate `regraft-kernels`.

pub(crate) mod wgsl;
