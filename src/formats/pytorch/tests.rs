//! Files against digests made by Python's pickle module and numpy (`tests/reference/pytorch_*.py`).

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::*;
use crate::tensor::{DType, Data};

/// Files of tests/data/pytorch that hold the same tensors in different layouts, and their digests.
pub(super) const SMALL: [(&str, &str); 5] = [
    ("small_zip.pt", "small_zip"),
    ("small_legacy.pt", "small_legacy"),
    ("small_big_endian.pt", "small_big_endian"),
    ("small_nested.pt", "small_nested"),
    ("small_numpy.pkl", "small_numpy"),
];

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A file of tests/data.
pub(crate) fn data(file: &str) -> Vec<u8> {
    let path = format!("{ROOT}/tests/data/{file}");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

pub(super) fn small(file: &str) -> Vec<u8> {
    data(&format!("pytorch/{file}"))
}

fn asset(file: &str) -> Vec<u8> {
    let path = format!("{ROOT}/assets/{file}");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}; run scripts/assets"))
}

#[derive(Deserialize)]
struct Expected {
    /// Floating-point elements of all tensors.
    parameters: usize,
    tensors: Vec<(String, DType, Vec<usize>, String)>,
}

fn digest(tensor: &Tensor) -> String {
    let bytes: Vec<u8> = match tensor.data() {
        Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::U8(v) => v.clone(),
        Data::Bool(v) => v.iter().map(|&x| x.into()).collect(),
    };
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Every tensor has the name, place, type, shape and bits of the digest, a file of tests/data.
pub(crate) fn assert_digests(tensors: &[(String, Tensor)], digests: &str) {
    let expected: Expected = serde_json::from_slice(&data(digests)).expect("digests are JSON");
    assert_eq!(tensors.len(), expected.tensors.len(), "{digests}");
    for ((name, tensor), want) in tensors.iter().zip(&expected.tensors) {
        let have = (name.clone(), tensor.dtype(), tensor.shape().to_vec(), digest(tensor));
        assert_eq!(have, *want, "{digests}");
    }
    let floats = tensors.iter().filter_map(|(_, tensor)| tensor.as_f32());
    assert_eq!(floats.map(<[f32]>::len).sum::<usize>(), expected.parameters, "{digests}");
}

fn assert_reads(bytes: &[u8], stem: &str) {
    let tensors = read(bytes).unwrap_or_else(|e| panic!("{stem}: {e}"));
    assert_digests(&tensors, &format!("pytorch/{stem}.json"));
}

#[test]
fn efficientnet_lite0_is_read() {
    assert_reads(&asset("efficientnet_lite0.pth"), "efficientnet_lite0");
}

#[test]
fn mobilenet_v2_is_read() {
    assert_reads(&asset("mobilenet_v2.pth"), "mobilenet_v2");
}

#[test]
fn squeezenet_is_read_from_a_numpy_pickle() {
    assert_reads(&asset("squeezenet1_1.pkl"), "squeezenet1_1");
}

#[test]
fn every_layout_element_type_and_view_is_read() {
    for (file, stem) in SMALL {
        assert_reads(&small(file), stem);
    }
}

#[test]
fn detection_is_by_content() {
    for (file, _) in SMALL {
        assert!(is_pytorch(&small(file)), "{file}");
    }
    let safetensors = b"\x02\0\0\0\0\0\0\0{}";
    let onnx = b"\x08\x07\x12\x07pytorch";
    let empty_zip = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut other_zip = small("small_zip.pt");
    for at in 0..other_zip.len() - 8 {
        if other_zip[at..].starts_with(b"data.pkl") {
            other_zip[at..at + 8].copy_from_slice(b"data.txt");
        }
    }
    let others: [&[u8]; 6] = [b"", b"\x80", safetensors, onnx, empty_zip, &other_zip];
    for bytes in others {
        assert!(!is_pytorch(bytes));
        assert_eq!(read(bytes).expect_err("no checkpoint").code(), "format");
    }
}
