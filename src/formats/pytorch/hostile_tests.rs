//! Files made to break the reader: it answers with a format error, soon and without much memory.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tests::{SMALL, small};
use super::*;

/// First object of a legacy file, its protocol, and an empty system description.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

fn int(n: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &n.to_le_bytes()].concat()
}

fn text(s: &str) -> Vec<u8> {
    [b"X".as_slice(), &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat()
}

fn name(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".to_vec(), items.concat(), b"t".to_vec()].concat()
}

fn call(callee: Vec<u8>, args: &[Vec<u8>]) -> Vec<u8> {
    [callee, tuple(args), b"R".to_vec()].concat()
}

fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items = items.iter().map(|(key, value)| [text(key), value.clone(), b"s".to_vec()].concat());
    [b"}".to_vec(), items.collect::<Vec<_>>().concat()].concat()
}

fn pickle(object: Vec<u8>) -> Vec<u8> {
    [b"\x80\x02".to_vec(), object, b".".to_vec()].concat()
}

fn storage(numel: i64) -> Vec<u8> {
    let id = [text("storage"), name("torch", "FloatStorage"), text("k"), text("cpu"), int(numel)];
    [tuple(&id), b"Q".to_vec()].concat()
}

fn tensor(storage: Vec<u8>, offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
    let ints = |values: &[i64]| tuple(&values.iter().map(|&n| int(n)).collect::<Vec<_>>());
    let args = [storage, int(offset), ints(size), ints(stride), b"\x89".to_vec(), b"}".to_vec()];
    call(name("torch._utils", "_rebuild_tensor_v2"), &args)
}

/// A legacy file around an object, with one storage `k` of `numel` floats, `len` of which are there.
fn legacy(object: Vec<u8>, numel: u64, len: usize) -> Vec<u8> {
    let keys = pickle([b"]".to_vec(), text("k"), b"a".to_vec()].concat());
    [LEGACY.to_vec(), pickle(object), keys, numel.to_le_bytes().to_vec(), vec![0; 4 * len]].concat()
}

/// The reader refuses the bytes, and says why.
#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    match read(bytes) {
        Err(Error::Format { reason, .. }) => assert!(reason.contains(why), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn builders_make_readable_files() {
    let object = dict(&[("a", tensor(storage(6), 1, &[2, 2], &[2, 1]))]);
    let read = read(&legacy(object, 6, 6)).expect("a well-formed file");
    assert_eq!(read.iter().map(|(n, t)| (n.as_str(), t.shape().len())).collect::<Vec<_>>(), [("a", 4)]);
}

#[test]
fn foreign_globals_are_named() {
    let names = [
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch", "ShortStorage"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.nn.modules.linear", "Linear"),
        ("numpy.core.multiarray", "scalar"),
        ("collections", "OrderedDict.fromkeys"),
    ];
    for (module, function) in names {
        let full = format!("'{module}.{function}'");
        let by_line = call(name(module, function), &[text("true")]);
        refused(&legacy(by_line.clone(), 0, 0), &full);
        refused(&pickle([b"}".to_vec(), by_line].concat()), &full);
        let by_stack = [b"}".to_vec(), text(module), text(function), b"\x93".to_vec()].concat();
        refused(&pickle(by_stack), &full);
    }
}

#[test]
fn unknown_opcodes_are_refused() {
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, NEXT_BUFFER, PERSID, and protocol 0 text.
    for op in [b'i', b'o', 0x81, 0x92, 0x82, 0x97, b'P', b'I', b'S', 0, 0xff] {
        refused(&pickle(vec![b'}', op, 0, 0, 0, 0]), "opcode");
    }
    refused(&pickle(vec![b'}', 0x80, 6]), "protocol 6");
}

#[test]
fn shared_containers_do_not_explode() {
    // Each list holds the one before it ten times.
    let mut laughs = b"]q\0".to_vec();
    for level in 0..25u8 {
        laughs.extend([b']', b'(']);
        laughs.extend([b'h', level].repeat(10));
        laughs.extend([b'e', b'q', level + 1]);
    }
    refused(&pickle([b"}".to_vec(), text("a"), laughs, b"s".to_vec()].concat()), "items");
    // One long name before many tensors.
    let named = [text(&"n".repeat(2000)), tensor(storage(1), 0, &[], &[])];
    refused(&legacy([b"}".to_vec(), named.concat(), b"s".to_vec()].concat(), 1, 1), "name");
}

#[test]
fn containers_may_hold_themselves_and_nest_deep() {
    refused(&pickle(b"]q\0h\0a".to_vec()), "deeper");
    refused(&pickle([b"}q\0".to_vec(), text("model"), b"h\0s".to_vec()].concat()), "deeper");
    let deep = [vec![b']'; 900_000], vec![b'a'; 899_999]].concat();
    refused(&pickle(deep), "deeper");
    refused(&pickle(vec![b']'; 3_000_000]), "steps");
    refused(&pickle([b"]".to_vec(), vec![b'('; 3_000_000]].concat()), "steps");
    refused(&pickle([b"]".to_vec(), b"2".repeat(3_000_000)].concat()), "steps");
}

#[test]
fn stack_and_memo_are_checked() {
    for body in
        ["}0", "}00", "]a", "}s", "]e", "}u", "](Nu", "}(Nu", "}t", "](1t", "}\u{5}R", "}b", "}Q", "]h\u{7}", "]("]
    {
        assert!(read(&pickle(body.as_bytes().to_vec())).is_err(), "{body:?}");
    }
    refused(&pickle(b"}R".to_vec()), "stack");
    refused(&pickle(b"]h\x07".to_vec()), "memo 7");
    refused(&pickle(b"}(N\x85R".to_vec()), "stack");
}

#[test]
fn tensors_stay_inside_their_storage() {
    let far = i64::MAX;
    let outside: [(i64, &[i64], &[i64]); 10] = [
        (0, &[7], &[1]),
        (1, &[6], &[1]),
        (6, &[1], &[1]),
        (6, &[], &[]),
        (far, &[], &[]),
        (0, &[2], &[6]),
        (0, &[2], &[far]),
        (0, &[2, 2], &[far, far]),
        (0, &[3, 3], &[3, 1]),
        (5, &[1, 2], &[far, 1]),
    ];
    for (offset, size, stride) in outside {
        let object = dict(&[("a", tensor(storage(6), offset, size, stride))]);
        refused(&legacy(object, 6, 6), "leaves its storage");
    }
    let malformed: [(i64, &[i64], &[i64], &str); 6] = [
        (-1, &[1], &[1], "a size of -1"),
        (0, &[-1], &[1], "a size of -1"),
        (0, &[2], &[-1], "a size of -1"),
        (0, &[2], &[1, 1], "strides"),
        (0, &[far, far], &[0, 0], "too large"),
        (0, &[1; 65], &[1; 65], "65 dimensions"),
    ];
    for (offset, size, stride, why) in malformed {
        let object = dict(&[("a", tensor(storage(6), offset, size, stride))]);
        refused(&legacy(object, 6, 6), why);
    }
}

#[test]
fn expanded_tensors_are_bounded() {
    for size in [[1 << 12, 1 << 12], [1 << 20, 1 << 40], [1, i64::MAX / 2]] {
        let object = dict(&[("a", tensor(storage(6), 0, &size, &[0, 0]))]);
        refused(&legacy(object, 6, 6), "times its size");
    }
}

#[test]
fn storages_have_the_size_they_claim() {
    let object = || dict(&[("a", tensor(storage(6), 0, &[6], &[1]))]);
    refused(&legacy(object(), 5, 5), "5 elements instead of 6");
    refused(&legacy(object(), 7, 7), "7 elements instead of 6");
    refused(&legacy(object(), 6, 5), "ends early");
    refused(&legacy(object(), u64::MAX, 6), "");
    refused(&legacy(object(), u64::MAX / 4, 6), "");
    let other = [LEGACY.to_vec(), pickle(object()), pickle(b"]".to_vec())].concat();
    refused(&other, "no storage 'k'");
    refused(&pickle(object()), "no storage 'k'");
}

#[test]
fn names_are_unique() {
    let one = || tensor(storage(1), 0, &[], &[]);
    let twice = dict(&[("a.b", one()), ("a", dict(&[("b", one())]))]);
    refused(&legacy(twice, 1, 1), "'a.b'");
    refused(&legacy(dict(&[("a", b"N".to_vec())]), 1, 1), "nothing uses");
    refused(&pickle(dict(&[("a", b"N".to_vec())])), "no tensors");
}

#[test]
fn reasons_stay_short() {
    let Err(Error::Format { reason, .. }) = read(&pickle(name("m", &"é".repeat(1 << 16)))) else {
        panic!("a foreign global is read");
    };
    assert_eq!(reason.chars().count(), MAX_REASON);
}

#[test]
fn zip_entries_that_lie_are_refused() {
    let good = small("small_zip.pt");
    // Central directory headers: method at 10, sizes at 20 and 24, name length at 28, offset at 42, name at 46.
    let header = (0..good.len() - 60)
        .find(|&at| good[at..].starts_with(b"PK\x01\x02") && good[at + 46..].starts_with(b"small_zip/data/0"))
        .expect("the entry of storage 0");
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[header + at..header + at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let huge = [0xf0, 0xff, 0xff, 0xff];
    refused(&patched(10, &[8]), "compressed");
    refused(&patched(20, &huge), "two sizes");
    refused(&patched(24, &huge), "two sizes");
    refused(&patched(20, &[huge, huge].concat()), "");
    refused(&patched(20, &[4, 0, 0, 0, 4, 0, 0, 0]), "1 elements instead of 48");
    refused(&patched(42, &huge), "");
    refused(&patched(46 + 15, b"1"), "two entries of one name");
    refused(&patched(46 + 15, b"x"), "no storage '0'");
}

#[test]
fn truncated_files_are_refused() {
    for (file, _) in SMALL {
        let bytes = small(file);
        for len in 0..bytes.len() {
            let read = read(&bytes[..len]);
            assert!(read.is_err(), "{file} cut to {len} bytes is read");
        }
    }
}

#[test]
fn mutated_files_never_panic() {
    const SEED: u64 = 11;
    const ROUNDS: usize = 1000;
    eprintln!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut read_back = 0;
    for (file, _) in SMALL {
        let good = small(file);
        for _ in 0..ROUNDS {
            let mut bytes = good.clone();
            for _ in 0..rng.random_range(1..=3) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..4) {
                    0 => bytes[at] = rng.next_u32() as u8,
                    1 => bytes[at] ^= 1 << rng.random_range(0..8),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, [0, 0x7f, 0xff, b'R'][rng.random_range(0..4)]),
                }
            }
            if let Ok(tensors) = read(&bytes) {
                let total: usize = tensors.iter().map(|(_, t)| t.bytes()).sum();
                assert!(total <= 8 * bytes.len() + 8, "{file} became {total} bytes");
                read_back += 1;
            }
        }
    }
    // Elements may change freely, so a reader that refuses everything fails here.
    assert!(read_back > ROUNDS / 10, "{read_back}");
}
