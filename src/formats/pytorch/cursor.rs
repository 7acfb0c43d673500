//! A byte slice read from front to back; every read is checked against the end.

use super::bad;
use crate::error::Result;

/// Reads a byte slice from front to back.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..len));
        let taken = taken.ok_or_else(|| bad(format!("the file ends early: {len} bytes expected at {}", self.at)))?;
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?.first_chunk::<N>();
        taken.copied().ok_or_else(|| bad("the file ends early"))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A 64-bit length.
    pub(super) fn len64(&mut self) -> Result<usize> {
        let len = u64::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| bad(format!("a length of {len}")))
    }

    /// A 32-bit length.
    pub(super) fn len32(&mut self) -> Result<usize> {
        Ok(self.u32()? as usize)
    }

    /// Text up to a line feed, which is taken too.
    pub(super) fn line(&mut self) -> Result<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&b| b == b'\n');
        let line = self.take(len.ok_or_else(|| bad("a line does not end"))?)?;
        self.at += 1;
        utf8(line)
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| bad("a string is not UTF-8"))
}
