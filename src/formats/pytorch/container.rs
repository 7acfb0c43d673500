//! The files a pickle comes in: a zip archive, the legacy stream, or nothing around it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Cursor as IoCursor;

use zip::{CompressionMethod, ZipArchive};

use super::bad;
use super::cursor::Cursor;
use super::pickle::{self, Pickle, Value};
use super::tensor::{Order, Storage};
use crate::error::Result;

/// First object of a legacy file, `0x1950a86a20f9469cfc6c`, as the pickle stores it.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Second object of a legacy file.
const PROTOCOL: i64 = 1001;
/// Start of a local file header, the first bytes of an archive.
const ZIP: &[u8] = b"PK\x03\x04";

type Archive<'a> = ZipArchive<IoCursor<&'a [u8]>>;

/// An unpickled file and the bytes of its storages.
pub(super) struct Checkpoint<'a> {
    pub(super) pickle: Pickle<'a>,
    storages: HashMap<&'a str, &'a [u8]>,
}

impl Checkpoint<'_> {
    /// Bytes of a storage.
    pub(super) fn bytes(&self, storage: &Storage) -> Result<&[u8]> {
        match self.pickle.get(storage.key) {
            Value::Bytes(Cow::Borrowed(bytes)) => Ok(bytes),
            Value::Bytes(Cow::Owned(bytes)) => Ok(bytes),
            Value::Str(key) => {
                let bytes = self.storages.get(key).copied();
                bytes.ok_or_else(|| bad(format!("the file has no storage '{key}'")))
            }
            _ => Err(bad("a storage has no key")),
        }
    }
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Zip,
    Legacy,
    Bare,
}

/// The kind of file, by content.
pub(super) fn detect(bytes: &[u8]) -> Option<Container> {
    if bytes.starts_with(ZIP) {
        let archive = ZipArchive::new(IoCursor::new(bytes)).ok()?;
        return prefix(&archive).map(|_| Container::Zip);
    }
    if is_legacy(bytes) {
        return Some(Container::Legacy);
    }
    match bytes {
        // PROTO, then the first opcode of a container: dict, list, global, mark or frame.
        [0x80, 2..=5, b'}' | b']' | b'c' | b'(' | 0x95, ..] => Some(Container::Bare),
        _ => None,
    }
}

/// Unpickles the file and finds its storages; no element is read yet.
pub(super) fn open(bytes: &[u8]) -> Result<Checkpoint<'_>> {
    match detect(bytes) {
        Some(Container::Legacy) => legacy(bytes),
        Some(Container::Bare) => {
            let pickle = pickle::load(bytes, Order::Little)?;
            Ok(Checkpoint { pickle, storages: HashMap::new() })
        }
        _ if bytes.starts_with(ZIP) => zip(bytes),
        _ => Err(bad("it is neither a zip archive nor a pickle")),
    }
}

fn is_legacy(bytes: &[u8]) -> bool {
    // The first pickle takes 15 bytes, 24 with a frame.
    let head = bytes.get(..32).unwrap_or(bytes);
    let magic = pickle::load(head, Order::Little);
    magic.is_ok_and(|magic| matches!(magic.get(magic.root), Value::Long(n) if *n == MAGIC))
}

/// `torch/serialization.py`, `_legacy_save`: magic, protocol and system as pickles, then the object, then the keys of
/// its storages, then each storage as a 64-bit count and elements, always little endian.
fn legacy(bytes: &[u8]) -> Result<Checkpoint<'_>> {
    let mut input = Cursor { bytes, at: 0 };
    let mut next = || {
        let pickle = pickle::load(input.bytes.get(input.at..).unwrap_or_default(), Order::Little)?;
        input.at += pickle.end;
        Ok(pickle)
    };
    let (_magic, protocol, _system) = (next()?, next()?, next()?);
    if !matches!(protocol.get(protocol.root), Value::Int(PROTOCOL)) {
        return Err(bad(format!("the legacy layout has another version than {PROTOCOL}")));
    }
    let (pickle, keys) = (next()?, next()?);
    let Value::List(list) = keys.get(keys.root) else {
        return Err(bad("the keys of the storages are no list"));
    };
    let mut elements = HashMap::new();
    for (key, storage) in pickle.storages() {
        if elements.insert(key, storage.element).is_some_and(|e| e != storage.element) {
            return Err(bad(format!("storage '{key}' has two element types")));
        }
    }
    let mut storages = HashMap::new();
    for &key in list {
        let Value::Str(key) = *keys.get(key) else { return Err(bad("a storage key is no text")) };
        let element = elements.get(key).ok_or_else(|| bad(format!("nothing uses '{key}'")))?;
        let size = input.len64()?.checked_mul(element.size());
        let size = size.ok_or_else(|| bad(format!("storage '{key}' is too large")))?;
        storages.insert(key, input.take(size)?);
    }
    Ok(Checkpoint { pickle, storages })
}

/// `torch/serialization.py`, `_save`: `<name>/data.pkl`, `<name>/data/<key>` and, since 2.0, `<name>/byteorder`, all of
/// them stored uncompressed. Checksums are not compared: `torch.serialization.set_crc32_options` may leave them wrong.
fn zip(bytes: &[u8]) -> Result<Checkpoint<'_>> {
    let archive = ZipArchive::new(IoCursor::new(bytes));
    let mut archive = archive.map_err(|e| bad(format!("zip archive: {e}")))?;
    if archive.has_duplicate_names() {
        return Err(bad("the zip archive has two entries of one name"));
    }
    let prefix = prefix(&archive).ok_or_else(|| bad("the zip archive has no data.pkl"))?;
    let order = match entry(&mut archive, bytes, &format!("{prefix}byteorder"))? {
        None | Some(b"little") => Order::Little,
        Some(b"big") => Order::Big,
        Some(_) => return Err(bad("the byte order is neither little nor big")),
    };
    let object = entry(&mut archive, bytes, &format!("{prefix}data.pkl"))?;
    let pickle = pickle::load(object.unwrap_or_default(), order)?;
    let mut storages = HashMap::new();
    for (key, _) in pickle.storages() {
        if storages.contains_key(key) {
            continue;
        }
        if let Some(data) = entry(&mut archive, bytes, &format!("{prefix}data/{key}"))? {
            storages.insert(key, data);
        }
    }
    Ok(Checkpoint { pickle, storages })
}

/// The folder of the archive that holds `data.pkl`, with its slash.
fn prefix(archive: &Archive<'_>) -> Option<String> {
    let mut names = archive.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
    names.find_map(|name| {
        let folder = name.strip_suffix("data.pkl")?;
        let inner = folder.strip_suffix('/').unwrap_or_default();
        (folder.is_empty() || !inner.is_empty() && !inner.contains('/')).then(|| folder.into())
    })
}

/// Bytes of an entry, borrowed from the archive.
fn entry<'a>(archive: &mut Archive<'a>, bytes: &'a [u8], name: &str) -> Result<Option<&'a [u8]>> {
    let Some(index) = archive.index_for_name(name) else { return Ok(None) };
    let entry = archive.by_index_raw(index).map_err(|e| bad(format!("zip entry '{name}': {e}")))?;
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
        return Err(bad(format!("zip entry '{name}' is compressed or encrypted")));
    }
    if entry.compressed_size() != entry.size() {
        return Err(bad(format!("zip entry '{name}' has two sizes")));
    }
    let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
    let size = usize::try_from(entry.size()).ok();
    let data = start.zip(size).and_then(|(start, size)| bytes.get(start..)?.get(..size));
    data.map(Some).ok_or_else(|| bad(format!("zip entry '{name}' leaves the file")))
}
