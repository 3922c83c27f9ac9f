//! Packets (RFC 9580 §4): a type, a length, a body. Streams of parts are for messages and refused.

use super::FORMAT;
use crate::ForeignError;
use crate::cursor::Cursor;

/// More packets than this in a file are refused; a keyring of a whole distribution has fewer.
const MAX_PACKETS: usize = 50_000;

/// Only content comes in packets whose length is not known at their beginning (RFC 9580 §4.2.1.4).
const STREAM: &str = "a message that holds its content";

/// Types of packets (RFC 9580 §5).
pub(super) mod kind {
    pub(in super::super) const SIGNATURE: u8 = 2;
    pub(in super::super) const ONE_PASS: u8 = 4;
    pub(in super::super) const SECRET_KEY: u8 = 5;
    pub(in super::super) const PUBLIC_KEY: u8 = 6;
    pub(in super::super) const COMPRESSED: u8 = 8;
    pub(in super::super) const MARKER: u8 = 10;
    pub(in super::super) const LITERAL: u8 = 11;
    pub(in super::super) const TRUST: u8 = 12;
    pub(in super::super) const USER_ID: u8 = 13;
    pub(in super::super) const PUBLIC_SUBKEY: u8 = 14;
    pub(in super::super) const USER_ATTRIBUTE: u8 = 17;
    pub(in super::super) const PADDING: u8 = 21;
}

/// A packet.
#[derive(Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
}

/// Reads packets to the end.
pub(super) fn read_all(bytes: &[u8]) -> Result<Vec<Packet<'_>>, ForeignError> {
    let (mut cursor, mut packets) = (Cursor::new(FORMAT, bytes), Vec::new());
    while !cursor.is_empty() {
        if packets.len() == MAX_PACKETS {
            return Err(ForeignError::TooLarge {
                what: "a list of packets",
                length: MAX_PACKETS + 1,
                limit: MAX_PACKETS,
            });
        }
        packets.push(read(&mut cursor)?);
    }
    Ok(packets)
}

fn read<'a>(cursor: &mut Cursor<'a>) -> Result<Packet<'a>, ForeignError> {
    let header = cursor.u8("a packet")?;
    let (kind, length) = match header {
        // spec: RFC 9580 §4.2.1.
        0xc0.. => (header & 0x3f, read_length(cursor)?),
        // spec: RFC 9580 §4.2.2, the legacy form.
        0x80.. => {
            let length = match header & 0x03 {
                0 => u32::from(cursor.u8("a length")?),
                1 => u32::from(cursor.u16("a length")?),
                2 => cursor.u32("a length")?,
                _ => {
                    return Err(ForeignError::unsupported(FORMAT, STREAM));
                }
            };
            (header >> 2 & 0x0f, length)
        }
        _ => {
            let found = format!("the byte {header:#04x}");
            return Err(ForeignError::unexpected(FORMAT, "a packet", found));
        }
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(Packet {
        kind,
        body: cursor.take(length, "the body of a packet")?,
    })
}

/// Reads a length of one, two or five octets, of packets and subpackets.
fn read_length(cursor: &mut Cursor<'_>) -> Result<u32, ForeignError> {
    match cursor.u8("a length")? {
        0xff => cursor.u32("a length"),
        0xe0.. => Err(ForeignError::unsupported(FORMAT, STREAM)),
        first @ 0xc0.. => {
            let second = cursor.u8("a length")?;
            Ok((u32::from(first - 0xc0) << 8) + u32::from(second) + 192)
        }
        first => Ok(u32::from(first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(bytes: &[u8]) -> Result<Vec<(u8, usize)>, ForeignError> {
        let packets = read_all(bytes)?;
        Ok(packets
            .iter()
            .map(|each| (each.kind, each.body.len()))
            .collect())
    }

    #[test]
    fn headers_of_both_forms_are_read() {
        let body = [0; 300];
        for (header, length) in [
            (&[0x88, 5][..], 5),
            (&[0x89, 1, 0], 256),
            (&[0x8a, 0, 0, 1, 0], 256),
            (&[0xc2, 191], 191),
            (&[0xc2, 0xc0, 0], 192),
            (&[0xc2, 0xff, 0, 0, 1, 0], 256),
        ] {
            let bytes = [header, body.get(..length).unwrap_or_default()].concat();
            assert_eq!(lengths(&bytes), Ok(vec![(2, length)]), "{header:?}");
            let short = bytes.get(..bytes.len() - 1).unwrap_or_default();
            assert!(lengths(short).is_err(), "{header:?}");
        }
    }

    #[test]
    fn streams_and_bytes_that_are_no_packet_are_refused() {
        for bytes in [&[0x8b, 0][..], &[0xc2, 0xe0, 0], &[0x42, 0]] {
            assert!(lengths(bytes).is_err(), "{bytes:?}");
        }
    }
}
