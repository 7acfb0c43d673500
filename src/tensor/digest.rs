//! SHA-256.

use sha2::{Digest as _, Sha256};

/// Bytes hashed in one call. Engines compile a wasm function anew, several times as fast, only between its calls: one call for
/// a whole network would run in the first, slow form to its end.
const CHUNK: usize = 16 << 10;

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// A digest as 64 hexadecimal digits.
pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest in the making.
#[derive(Debug, Default)]
pub(crate) struct Hash(Sha256);

impl Hash {
    /// Appends bytes to what is hashed.
    pub(crate) fn update(&mut self, bytes: impl AsRef<[u8]>) {
        bytes.as_ref().chunks(CHUNK).for_each(|chunk| self.0.update(chunk));
    }

    /// The digest of what it was given.
    pub(crate) fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Hash, hex};

    #[test]
    fn digests_are_those_of_the_standard() {
        let of = |bytes: &[u8]| {
            let mut hash = Hash::default();
            hash.update(bytes);
            hex(&hash.finish())
        };
        // FIPS 180-2, appendix B, which ends with a million times "a".
        assert_eq!(of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let million = vec![b'a'; 1_000_000];
        assert!(million.len() > CHUNK);
        assert_eq!(of(&million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}
