//! Readers and writers of model files. Bytes are hostile: nothing in here trusts a length, an offset or a count.

pub mod pytorch;
pub mod safetensors;
