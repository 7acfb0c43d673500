//! A digest of the whole file in its own metadata, so that a changed byte is noticed wherever it lies.

use crate::error::{Error, Result};
use crate::formats::safetensors::Metadata;
use crate::tensor::{Hash, hex};

/// Metadata key of the digest: the SHA-256 of the file in which these digits are zeros, in hexadecimal digits.
const KEY: &str = "regraft.sha256";
const DIGITS: usize = 64;
const BLANK: [u8; DIGITS] = [b'0'; DIGITS];

/// Makes room for a digest in what is to be written.
pub(super) fn reserve(metadata: &mut Metadata) {
    metadata.insert(KEY.to_owned(), "0".repeat(DIGITS));
}

/// Puts the digest of a written file into the room made for it.
pub(super) fn seal(bytes: &mut [u8]) -> Result<()> {
    let missing = || Error::internal("a written file has no room for its digest");
    let at = place(bytes).ok_or_else(missing)?;
    let digest = digest(bytes, at);
    bytes.get_mut(at..at + DIGITS).ok_or_else(missing)?.copy_from_slice(digest.as_bytes());
    Ok(())
}

/// Fails with `integrity` where a file is not what its digest says. A file without one passes.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let Some(at) = place(bytes) else { return Ok(()) };
    let (expected, found) = (String::from_utf8_lossy(&bytes[at..at + DIGITS]).into_owned(), digest(bytes, at));
    if expected == found { Ok(()) } else { Err(Error::Integrity { expected, found }) }
}

/// Where the digits are. Quotes inside the header's texts are escaped, so that nothing else looks like the key.
fn place(bytes: &[u8]) -> Option<usize> {
    let len = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let header = bytes.get(8..len.checked_add(8)?)?;
    let key = format!("\"{KEY}\":\"");
    let at = header.windows(key.len()).position(|w| w == key.as_bytes())? + key.len();
    header.get(at..at + DIGITS).map(|_| at + 8)
}

fn digest(bytes: &[u8], at: usize) -> String {
    let (before, rest) = bytes.split_at(at);
    let after = &rest[DIGITS..];
    let mut hash = Hash::default();
    [before, &BLANK, after].into_iter().for_each(|part| hash.update(part));
    hex(&hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::regraft::{read, write_sealed};
    use crate::formats::safetensors::FloatType;
    use crate::graph::Graph;
    use crate::ops::{Multiply, Role};
    use crate::tensor::{Tensor, TensorType};

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_lies() -> Result<()> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([1, 2]), true)?;
        let w = graph.parameter("w", Role::Weight, Tensor::f32([2], vec![0.25, -3.0])?)?;
        let y = graph.add("y", Multiply, &[x, w])?;
        graph.set_outputs(vec![y]);
        let metadata = Metadata::from([("card".to_owned(), format!("\"{KEY}\":\"no digest\""))]);
        let bytes = write_sealed(&graph, &metadata, FloatType::F32)?;
        check(&bytes)?;
        let key = place(&bytes).map(|at| at - KEY.len() - 4..at);
        let key = key.ok_or_else(|| Error::internal("a file without a digest"))?;
        for at in (0..bytes.len()).filter(|at| !key.contains(at)) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).and_then(|_| check(&changed)).is_err(), "byte {at}");
        }
        Ok(())
    }
}
