//! Files of the Python package, and files made to break the reader.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::formats::pytorch::tests::{assert_digests, data};

const FILES: [&str; 3] = ["f32", "f16", "wide"];

fn file(stem: &str) -> Vec<u8> {
    data(&format!("safetensors/{stem}.safetensors"))
}

/// A file with this header, padded as the format asks, and `len` bytes of data.
fn with_header(header: &str, len: usize) -> Vec<u8> {
    let padding = " ".repeat(header.len().next_multiple_of(8) - header.len());
    let header = format!("{header}{padding}");
    let prefix = (header.len() as u64).to_le_bytes();
    [prefix.as_slice(), header.as_bytes(), &vec![0; len]].concat()
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    match read(bytes) {
        Err(Error::Format { format: "safetensors", reason }) => {
            assert!(reason.contains(why), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_of_the_python_package_are_read() {
    for stem in FILES {
        let bytes = file(stem);
        assert!(is_safetensors(&bytes));
        let (tensors, _) = read(&bytes).unwrap_or_else(|e| panic!("{stem}: {e}"));
        assert_digests(&tensors, &format!("safetensors/{stem}.json"));
    }
    let (_, metadata) = read(&file("f32")).expect("read above");
    assert_eq!(metadata, BTreeMap::from([("format".into(), "pt".into())]));
}

/// Byte for byte what the package writes, the rounding to 16 bits being numpy's.
#[test]
fn written_files_equal_those_of_the_python_package() {
    let (tensors, metadata) = read(&file("f32")).expect("a file of the package");
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    for (floats, stem) in [(FloatType::F32, "f32"), (FloatType::F16, "f16")] {
        let written = write(&tensors, &metadata, floats).expect("unique names");
        assert!(written == file(stem), "{stem}");
    }
}

#[test]
fn metadata_is_in_order_whatever_it_says() {
    let texts = ["", "plain", "\"quotes\" and \\ and {braces}", "ümläute \u{1f600}", "line\nbreak\u{1}"];
    let metadata: Metadata = (0..40).map(|i| (format!("key {i}"), texts[i % texts.len()].to_owned())).collect();
    let tensor = Tensor::scalar(1.0);
    let written = || write(&[("w".into(), &tensor)], &metadata, FloatType::F32).expect("one tensor");
    assert_eq!(written(), written());
    let (tensors, again) = read(&written()).expect("a file");
    assert_eq!((tensors, again), (vec![("w".into(), tensor.clone())], metadata.clone()));
}

#[test]
fn names_are_unique() {
    let tensor = Tensor::scalar(1.0);
    let twice = [("a".into(), &tensor), ("b".into(), &tensor), ("a".into(), &tensor)];
    let error = write(&twice, &BTreeMap::new(), FloatType::F32).expect_err("two of one name");
    assert!(error.to_string().contains("'a'"), "{error}");
}

#[test]
fn malformed_files_are_refused() {
    let tensor = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    read(&with_header(&tensor("F32", "[2]", "[0,8]"), 8)).expect("a well-formed file");
    refused(&with_header(&tensor("I8", "[2]", "[0,2]"), 2), "tensor 'w': type I8");
    refused(&with_header(&tensor("F32", "[2]", "[0,8]"), 9), "incomplete");
    refused(&with_header(&tensor("F32", "[2]", "[0,8]"), 7), "incomplete");
    refused(&with_header(&tensor("F32", "[3]", "[0,8]"), 8), "invalid shape");
    refused(&with_header(&tensor("F32", "[2]", "[8,0]"), 8), "offset");
    refused(&with_header(&tensor("F32", "[2]", "[1,9]"), 9), "offset");
    refused(&with_header(&tensor("F32", "[4294967296,4294967296]", "[0,0]"), 0), "overflow");
    refused(&with_header(&tensor("F32", "[-1]", "[0,4]"), 4), "JSON");
    refused(&with_header("[1]", 0), "JSON");
    refused(&[b"{\0\0\0".as_slice(), &[b'['; 1 << 16]].concat(), "header");
    let deep = format!("{{\"w\":{}", "[".repeat(1 << 20));
    refused(&with_header(&deep, 0), "JSON");
    refused(&[[0xff; 8].as_slice(), b"{}"].concat(), "header");
}

#[test]
fn detection_is_by_content() {
    for bytes in [
        b"".as_slice(),
        b"\x02\0\0\0\0\0\0\0",
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x09\0\0\0\0\0\0\0{}",
        b"PK\x03\x04\0\0\0\0{}",
    ] {
        assert!(!is_safetensors(bytes), "{bytes:?}");
    }
}

#[test]
fn truncated_files_are_refused() {
    for stem in FILES {
        let bytes = file(stem);
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{stem} cut to {len} bytes is read");
        }
    }
}

#[test]
fn mutated_files_never_panic() {
    const SEED: u64 = 5;
    const ROUNDS: usize = 2000;
    eprintln!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut read_back = 0;
    for stem in FILES {
        let good = file(stem);
        for _ in 0..ROUNDS {
            let mut bytes = good.clone();
            for _ in 0..rng.random_range(1..=3) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.next_u32() as u8;
            }
            read_back += usize::from(read(&bytes).is_ok());
        }
    }
    // Elements may change freely, so a reader that refuses everything fails here.
    assert!(read_back > ROUNDS / 10, "{read_back}");
}
