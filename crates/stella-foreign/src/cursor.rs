//! A reader over binary fields with big-endian lengths, as OpenPGP and SSH have them.

use crate::{ForeignError, Format};

/// Reads one field after the other.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    format: Format,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(format: Format, bytes: &'a [u8]) -> Self {
        Self {
            format,
            rest: bytes,
        }
    }

    /// Says whether everything was read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next bytes, as many as `length`.
    pub(crate) fn take(
        &mut self,
        length: usize,
        expected: &'static str,
    ) -> Result<&'a [u8], ForeignError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            let found = format!("the end {} bytes on", self.rest.len());
            return Err(ForeignError::unexpected(self.format, expected, found));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// Takes bytes into an array.
    pub(crate) fn array<const N: usize>(
        &mut self,
        expected: &'static str,
    ) -> Result<[u8; N], ForeignError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, expected)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, expected: &'static str) -> Result<u8, ForeignError> {
        self.array(expected).map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self, expected: &'static str) -> Result<u16, ForeignError> {
        self.array(expected).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, expected: &'static str) -> Result<u32, ForeignError> {
        self.array(expected).map(u32::from_be_bytes)
    }

    /// Takes bytes behind their length in four octets.
    pub(crate) fn string(&mut self, expected: &'static str) -> Result<&'a [u8], ForeignError> {
        let length = self.u32(expected)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX), expected)
    }

    /// Takes everything that is left.
    pub(crate) const fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Requires that nothing is left.
    pub(crate) fn finish(self) -> Result<(), ForeignError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let found = format!("{} bytes more", self.rest.len());
        Err(ForeignError::unexpected(self.format, "the end", found))
    }
}
