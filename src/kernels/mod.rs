//! Inner loops shared by ops.

pub(crate) mod cpu;
