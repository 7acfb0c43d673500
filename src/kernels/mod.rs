//! Inner loops shared by ops.

pub(crate) mod cpu;
pub(crate) mod wgsl;
