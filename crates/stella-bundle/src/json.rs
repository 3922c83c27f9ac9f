//! JSON as protobuf writes it (proto3 JSON mapping), read strictly: the adapters that serde's derive uses.
//!
//! Names are accepted in camelCase and snake_case (`alias`), 64-bit integers as string or number, bytes in standard or
//! URL-safe base64 with or without padding, and `null` as absent. Duplicate and unknown names are refused.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Why a JSON text is not what was expected, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (line {line}, column {column})")]
pub struct JsonError {
    /// The parser's words.
    pub reason: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        // The parser repeats the place at the end of its text.
        let reason = text.split(" at line ").next().unwrap_or_default();
        Self {
            reason: reason.to_owned(),
            line: error.line(),
            column: error.column(),
        }
    }
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Reads base64 of either alphabet, padded or not; one text never mixes both alphabets.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    // Most text is of the standard alphabet; only the other's two characters tell them apart.
    let engine = if text.bytes().any(|byte| matches!(byte, b'-' | b'_')) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode(text).ok()
}

/// Writes standard base64 with padding.
pub fn encode_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Writes standard base64 with padding at the end of `text`.
pub(crate) fn append_base64(bytes: &[u8], text: &mut String) {
    base64::engine::general_purpose::STANDARD.encode_string(bytes, text);
}

/// `bytes` fields.
pub mod base64_bytes {
    use super::*;

    /// Writes standard base64 with padding.
    ///
    /// # Errors
    /// None of its own.
    pub fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64(bytes))
    }

    /// Reads base64; `null` is the empty value.
    ///
    /// # Errors
    /// Text that is not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("base64 text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
                decode_base64(text).ok_or_else(|| {
                    E::invalid_value(de::Unexpected::Other("text that is not base64"), &self)
                })
            }
            fn visit_unit<E: de::Error>(self) -> Result<Vec<u8>, E> {
                Ok(Vec::new())
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

/// `repeated bytes` fields.
pub mod base64_list {
    use super::*;
    use serde::Serialize as _;

    /// Writes a list of standard base64.
    ///
    /// # Errors
    /// None of its own.
    pub fn serialize<S: serde::Serializer>(
        list: &[Vec<u8>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        list.iter()
            .map(|bytes| encode_base64(bytes))
            .collect::<Vec<_>>()
            .serialize(serializer)
    }

    /// Reads a list of at most `MOST` texts of base64; `null` is the empty list.
    ///
    /// # Errors
    /// Text that is not base64, a longer list.
    pub fn at_most<'de, const MOST: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        #[derive(serde::Deserialize)]
        struct One(#[serde(with = "base64_bytes")] Vec<u8>);
        let list = super::at_most::<MOST, D, One>(deserializer)?;
        Ok(list.into_iter().map(|one| one.0).collect())
    }
}

/// `int64` fields.
pub mod int64 {
    use super::*;

    /// Writes a decimal string, as proto3 JSON does.
    ///
    /// # Errors
    /// None of its own.
    pub fn serialize<S: serde::Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a decimal string or a number; `null` is zero.
    ///
    /// # Errors
    /// Anything that is not a 64-bit integer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        struct Int;
        impl Visitor<'_> for Int {
            type Value = i64;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a 64-bit integer, as a number or a decimal string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<i64, E> {
                text.parse()
                    .map_err(|_| E::invalid_value(de::Unexpected::Other("another string"), &self))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<i64, E> {
                Ok(value)
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<i64, E> {
                i64::try_from(value)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }
            fn visit_unit<E: de::Error>(self) -> Result<i64, E> {
                Ok(0)
            }
        }
        deserializer.deserialize_any(Int)
    }
}

/// Reads an `enum` field, which proto3 JSON writes as name or number: the name, or the number's digits; `null` is empty.
///
/// # Errors
/// Anything else.
pub fn enumeration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Enumeration;
    impl Visitor<'_> for Enumeration {
        type Value = String;
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("the name or number of an enum's value")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }
        fn visit_unit<E: de::Error>(self) -> Result<String, E> {
            Ok(String::new())
        }
    }
    deserializer.deserialize_any(Enumeration)
}

/// Reads a field that proto3 may omit or write as `null`, as its default value.
///
/// # Errors
/// Those of the value.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a list of at most `MOST` elements, and stops at the next: a short text can hold a million empty ones.
///
/// # Errors
/// A longer list, and those of the elements.
pub fn at_most<'de, const MOST: usize, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Bounded<const MOST: usize, T>(std::marker::PhantomData<T>);
    impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for Bounded<MOST, T> {
        type Value = Vec<T>;
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "a list of at most {MOST} elements")
        }
        fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = list.next_element()? {
                if elements.len() == MOST {
                    return Err(de::Error::invalid_length(MOST + 1, &self));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_any(Bounded::<MOST, T>(std::marker::PhantomData))
}

/// Requires that JSON text names nothing twice, at any depth: two readers of a duplicate see two documents.
///
/// # Errors
/// The parser's error, which names line and column.
pub fn require_unambiguous(text: &[u8]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Unambiguous.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// A name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Walks a value and forgets it.
struct Unambiguous;

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without duplicate names")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(Name(name)) = map.next_key::<Name<'_>>()? {
            if let Some(twice) = seen.replace(name) {
                return Err(de::Error::custom(format_args!(
                    "the name {twice:?} appears twice"
                )));
            }
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn base64_of_both_alphabets_with_and_without_padding_is_read() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(decode_base64(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        for text in ["+_8=", "+/8 =", "+/8\n", "+/9=", "=", "+/8=="] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_that_appears_twice_at_any_depth_is_refused() {
        require_unambiguous(br#"{"a":[{"b":1,"c":null}],"b":2}"#).unwrap();
        assert!(require_unambiguous(br#"{"a":[{"b":1,"b":1}]}"#).is_err());
        assert!(require_unambiguous(br#"{"a":1,"\u0061":1}"#).is_err());
        assert!(require_unambiguous(b"{} {}").is_err());
        let deep = "[".repeat(100_000);
        assert!(require_unambiguous(deep.as_bytes()).is_err());
    }
}
