//! DER (X.690): a reader that keeps the bytes as they were signed, and the few writers that issuing needs.
//!
//! Headers and lengths are decoded by the `der` crate; this room adds what a verifier needs on top: the raw bytes of
//! each element, so that what is hashed is what was sent and never a re-encoding. Meaning lives elsewhere.

use const_oid::ObjectIdentifier;
use der::{Decode, Header, Reader as _, SliceReader};

use crate::time::UnixTime;

/// DER elements larger than this are refused: no certificate, token or request in this field comes near it.
pub const MAX_ELEMENT: usize = 1 << 20;

/// Tag octets used in this field.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;

    /// Returns the octet of the constructed context-specific tag `[number]`; `number` is at most 30.
    pub const fn context(number: u8) -> u8 {
        0xa0 | (number & 0x1f)
    }

    /// Returns the octet of the primitive context-specific tag `[number]`; `number` is at most 30.
    pub const fn context_primitive(number: u8) -> u8 {
        0x80 | (number & 0x1f)
    }
}

/// The ways in which bytes are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Asn1Error {
    /// A header is not DER: indefinite, not minimal, of an unknown tag, or longer than the bytes.
    #[error("not DER at byte {at}")]
    Malformed {
        /// Offset inside the enclosing element.
        at: usize,
    },
    /// Bytes follow where the element should end.
    #[error("{count} bytes follow the end of a DER element")]
    TrailingData {
        /// How many.
        count: usize,
    },
    /// Another element stands where this one was expected.
    #[error("expected DER tag {expected:#04x}, found {found:?}")]
    UnexpectedTag {
        /// The tag octet wanted.
        expected: u8,
        /// The tag octet present, or none at the end.
        found: Option<u8>,
    },
    /// A value has the right tag and bytes that its type does not allow.
    #[error("DER value of tag {tag:#04x} is not valid")]
    InvalidValue {
        /// The tag octet.
        tag: u8,
    },
}

/// One element: its tag octet, its bytes with the header (`raw`) and without (`content`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Tag octet.
    pub tag: u8,
    /// Header and content.
    pub raw: &'a [u8],
    /// Content only.
    pub content: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Returns a reader over the content of a constructed element.
    pub fn reader(&self) -> Reader<'a> {
        Reader::new(self.content)
    }

    /// Returns the value of an OBJECT IDENTIFIER.
    ///
    /// # Errors
    /// `UnexpectedTag` or `InvalidValue`.
    pub fn to_oid(&self) -> Result<ObjectIdentifier, Asn1Error> {
        self.require(tag::OID)?;
        ObjectIdentifier::from_bytes(self.content)
            .map_err(|_| Asn1Error::InvalidValue { tag: tag::OID })
    }

    /// Returns the magnitude of a non-negative INTEGER, big-endian, without leading zeros (zero is one zero byte).
    ///
    /// # Errors
    /// `UnexpectedTag`; `InvalidValue` when it is empty, negative or not minimal.
    pub fn to_unsigned(&self) -> Result<&'a [u8], Asn1Error> {
        self.require(tag::INTEGER)?;
        let invalid = Err(Asn1Error::InvalidValue { tag: tag::INTEGER });
        match self.content {
            [0, second, ..] if *second < 0x80 => invalid,
            [0, rest @ ..] if !rest.is_empty() => Ok(rest),
            [first, ..] if *first < 0x80 => Ok(self.content),
            _ => invalid,
        }
    }

    /// Returns a non-negative INTEGER that fits 64 bits.
    ///
    /// # Errors
    /// As [`Tlv::to_unsigned`], and `InvalidValue` when it does not fit.
    pub fn to_u64(&self) -> Result<u64, Asn1Error> {
        let bytes = self.to_unsigned()?;
        if bytes.len() > 8 {
            return Err(Asn1Error::InvalidValue { tag: tag::INTEGER });
        }
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Returns the value of a BOOLEAN.
    ///
    /// # Errors
    /// `UnexpectedTag`; `InvalidValue` when it is neither 0x00 nor 0xff.
    pub fn to_bool(&self) -> Result<bool, Asn1Error> {
        self.require(tag::BOOLEAN)?;
        match self.content {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(Asn1Error::InvalidValue { tag: tag::BOOLEAN }),
        }
    }

    /// Returns the bytes of a BIT STRING that holds whole octets.
    ///
    /// # Errors
    /// `UnexpectedTag`; `InvalidValue` when unused bits are declared.
    pub fn to_octets_of_bit_string(&self) -> Result<&'a [u8], Asn1Error> {
        self.require(tag::BIT_STRING)?;
        match self.content {
            [0, rest @ ..] => Ok(rest),
            _ => Err(Asn1Error::InvalidValue {
                tag: tag::BIT_STRING,
            }),
        }
    }

    /// Returns the text of a UTF8String, IA5String or PrintableString.
    ///
    /// # Errors
    /// `InvalidValue` when the tag is another or the bytes are not such text.
    pub fn to_text(&self) -> Result<&'a str, Asn1Error> {
        let invalid = Asn1Error::InvalidValue { tag: self.tag };
        let text = std::str::from_utf8(self.content).map_err(|_| invalid)?;
        match self.tag {
            tag::UTF8_STRING => Ok(text),
            tag::IA5_STRING | tag::PRINTABLE_STRING if text.is_ascii() => Ok(text),
            _ => Err(invalid),
        }
    }

    /// Returns the time of a UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 profiles them: UTC, whole seconds.
    ///
    /// # Errors
    /// `InvalidValue` for any other form.
    pub fn to_time(&self) -> Result<UnixTime, Asn1Error> {
        let invalid = Asn1Error::InvalidValue { tag: self.tag };
        let (digits, year_digits) = match self.tag {
            tag::UTC_TIME => (12, 2),
            tag::GENERALIZED_TIME => (14, 4),
            _ => return Err(invalid),
        };
        let Some((b'Z', number)) = self.content.split_last() else {
            return Err(invalid);
        };
        if number.len() != digits {
            return Err(invalid);
        }
        let (year, rest) = number.split_at(year_digits);
        let year = decimal(year).ok_or(invalid)?;
        // spec: RFC 5280 §4.1.2.5.1: a UTCTime year of 50 or more is 19YY.
        let year = match (year_digits, year) {
            (2, 50..) => 1900 + year,
            (2, _) => 2000 + year,
            _ => year,
        };
        civil_time(year, rest).ok_or(invalid)
    }

    fn require(&self, expected: u8) -> Result<(), Asn1Error> {
        if self.tag == expected {
            return Ok(());
        }
        Err(Asn1Error::UnexpectedTag {
            expected,
            found: Some(self.tag),
        })
    }
}

/// Reads `MMDDhhmmss` of `year`; refuses what no calendar has.
pub(crate) fn civil_time(year: i64, digits: &[u8]) -> Option<UnixTime> {
    let field = |at: usize| digits.get(at..at + 2).and_then(decimal);
    if digits.len() != 10 {
        return None;
    }
    UnixTime::from_civil(year, field(0)?, field(2)?, field(4)?, field(6)?, field(8)?)
}

pub(crate) fn decimal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value: i64, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Reads the elements of a constructed value one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader over a run of elements.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// Says whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads the next element, whatever it is.
    ///
    /// # Errors
    /// `Malformed` when it is not DER or is longer than [`MAX_ELEMENT`].
    pub fn tlv(&mut self) -> Result<Tlv<'a>, Asn1Error> {
        let malformed = Asn1Error::Malformed { at: self.at };
        if self.rest.len() > MAX_ELEMENT {
            return Err(malformed);
        }
        let mut reader = SliceReader::new(self.rest).map_err(|_| malformed)?;
        let header = Header::decode(&mut reader).map_err(|_| malformed)?;
        let start = usize::try_from(reader.position()).map_err(|_| malformed)?;
        let length = usize::try_from(header.length).map_err(|_| malformed)?;
        let end = start.checked_add(length).ok_or(malformed)?;
        let (raw, rest) = self.rest.split_at_checked(end).ok_or(malformed)?;
        self.rest = rest;
        self.at += end;
        Ok(Tlv {
            tag: header.tag.octet(),
            raw,
            content: &raw[start..],
        })
    }

    /// Returns the tag octet of the next element without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next element, which must have this tag.
    ///
    /// # Errors
    /// `UnexpectedTag`, `Malformed`.
    pub fn expect(&mut self, expected: u8) -> Result<Tlv<'a>, Asn1Error> {
        match self.peek() {
            Some(found) if found == expected => self.tlv(),
            found => Err(Asn1Error::UnexpectedTag { expected, found }),
        }
    }

    /// Reads the next element if it has this tag.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn optional(&mut self, wanted: u8) -> Result<Option<Tlv<'a>>, Asn1Error> {
        if self.peek() == Some(wanted) {
            self.tlv().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Enters the next element, which must be a SEQUENCE.
    ///
    /// # Errors
    /// `UnexpectedTag`, `Malformed`.
    pub fn sequence(&mut self) -> Result<Self, Asn1Error> {
        Ok(self.expect(tag::SEQUENCE)?.reader())
    }

    /// Requires that nothing is left.
    ///
    /// # Errors
    /// `TrailingData`.
    pub fn finish(self) -> Result<(), Asn1Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Asn1Error::TrailingData {
                count: self.rest.len(),
            })
        }
    }
}

/// Reads bytes that are exactly one SEQUENCE and returns a reader over its content.
///
/// # Errors
/// `UnexpectedTag`, `Malformed`, `TrailingData`.
pub fn only_sequence(bytes: &[u8]) -> Result<Reader<'_>, Asn1Error> {
    let mut reader = Reader::new(bytes);
    let inner = reader.sequence()?;
    reader.finish()?;
    Ok(inner)
}

/// Writes one element.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(content);
    out
}

/// Writes a SEQUENCE of elements that are already encoded.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SEQUENCE, &parts.concat())
}

/// Writes a SET OF elements that are already encoded, in the order that DER demands.
pub fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    // spec: X.690 §11.6: the encodings appear in ascending order.
    parts.sort();
    tlv(tag::SET, &parts.concat())
}

/// Writes `[number] EXPLICIT` around an element that is already encoded.
pub fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(tag::context(number), content)
}

/// Writes an OBJECT IDENTIFIER.
pub fn oid(value: &ObjectIdentifier) -> Vec<u8> {
    tlv(tag::OID, value.as_bytes())
}

/// Writes a non-negative INTEGER from its big-endian magnitude of any length.
pub fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let significant = &magnitude[zeros..];
    match significant.first() {
        None => tlv(tag::INTEGER, &[0]),
        Some(0x80..) => tlv(tag::INTEGER, &[&[0], significant].concat()),
        Some(_) => tlv(tag::INTEGER, significant),
    }
}

/// Writes an INTEGER from a number.
pub fn small(value: u64) -> Vec<u8> {
    unsigned(&value.to_be_bytes())
}

/// Writes a BOOLEAN.
pub fn boolean(value: bool) -> Vec<u8> {
    tlv(tag::BOOLEAN, &[if value { 0xff } else { 0x00 }])
}

/// Writes NULL.
pub fn null() -> Vec<u8> {
    tlv(tag::NULL, &[])
}

/// Writes an OCTET STRING.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    tlv(tag::OCTET_STRING, content)
}

/// Writes a BIT STRING of whole octets.
pub fn bit_string(content: &[u8]) -> Vec<u8> {
    tlv(tag::BIT_STRING, &[&[0], content].concat())
}

/// Writes a UTF8String.
pub fn utf8_string(text: &str) -> Vec<u8> {
    tlv(tag::UTF8_STRING, text.as_bytes())
}

/// Writes a GeneralizedTime in whole seconds, UTC; the fraction is dropped.
pub fn generalized_time(time: UnixTime) -> Vec<u8> {
    let (year, rest) = time.to_civil_digits();
    tlv(
        tag::GENERALIZED_TIME,
        format!("{year:04}{rest}Z").as_bytes(),
    )
}

/// Writes a certificate's time: UTCTime before 2050, GeneralizedTime from then on (RFC 5280 §4.1.2.5).
pub fn x509_time(time: UnixTime) -> Vec<u8> {
    let (year, rest) = time.to_civil_digits();
    if (1950..2050).contains(&year) {
        tlv(
            tag::UTC_TIME,
            format!("{:02}{rest}Z", year % 100).as_bytes(),
        )
    } else {
        generalized_time(time)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let inner = sequence(&[
            &small(0),
            &small(255),
            &unsigned(&[0, 0, 1]),
            &boolean(true),
            &null(),
        ]);
        let mut reader = only_sequence(&inner).unwrap();
        assert_eq!(reader.tlv().unwrap().to_u64(), Ok(0));
        assert_eq!(reader.tlv().unwrap().to_u64(), Ok(255));
        assert_eq!(reader.tlv().unwrap().to_unsigned(), Ok(&[1][..]));
        assert_eq!(reader.tlv().unwrap().to_bool(), Ok(true));
        assert_eq!(reader.expect(tag::NULL).unwrap().content, b"");
        reader.finish().unwrap();
    }

    #[test]
    fn times_before_and_after_2050_round_trip() {
        for seconds in [
            0,
            951_782_400,
            1_800_000_000,
            2_524_607_999,
            2_524_608_000,
            253_402_300_799,
        ] {
            let time = UnixTime::from_seconds(seconds);
            let bytes = x509_time(time);
            assert_eq!(Reader::new(&bytes).tlv().unwrap().to_time(), Ok(time));
        }
    }

    #[test]
    fn impossible_dates_and_foreign_time_zones_are_refused() {
        for text in [
            "20250229000000Z",
            "20251301000000Z",
            "20250101240000Z",
            "20250101000000+0100",
            "2025010100000Z",
        ] {
            let bytes = tlv(tag::GENERALIZED_TIME, text.as_bytes());
            assert!(
                Reader::new(&bytes).tlv().unwrap().to_time().is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn lengths_that_are_not_minimal_or_not_there_are_refused() {
        for bytes in [
            &[0x30, 0x81, 0x01, 0x00][..],
            &[0x30, 0x80, 0x00, 0x00],
            &[0x30, 0x05, 0x00],
            &[0x30],
        ] {
            assert!(Reader::new(bytes).tlv().is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn integers_that_are_negative_or_padded_are_refused() {
        for content in [&[][..], &[0x80], &[0x00, 0x7f]] {
            let bytes = tlv(tag::INTEGER, content);
            assert!(
                Reader::new(&bytes).tlv().unwrap().to_unsigned().is_err(),
                "{content:x?}"
            );
        }
    }
}
