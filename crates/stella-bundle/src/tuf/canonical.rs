//! Canonical JSON as OLPC has it: the bytes that TUF signatures are over.
//!
//! Not RFC 8785: names are ordered by code point, and only two characters of a text are escaped.

use serde_json::Value;

/// A number that is no whole number of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotWhole;

/// Writes a value: no blanks, names in order, texts as they are but for `\"` and `\\`.
pub(super) fn to_bytes(value: &Value) -> Result<Vec<u8>, NotWhole> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotWhole> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(_) => return Err(NotWhole),
        Value::String(text) => write_text(text, out),
        Value::Array(list) => {
            out.push(b'[');
            for (index, each) in list.iter().enumerate() {
                separate(index, out);
                write(each, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // The order of UTF-8 bytes is that of code points.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, each)) in entries.into_iter().enumerate() {
                separate(index, out);
                write_text(name, out);
                out.push(b':');
                write(each, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Result<String, NotWhole> {
        let value: Value = serde_json::from_str(json).unwrap();
        to_bytes(&value).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn names_are_ordered_and_blanks_go() {
        let json = r#" { "b" : [ 1 , -2, true, false, null ], "a" : { "é": "x", "z": "" } } "#;
        let expected = r#"{"a":{"z":"","é":"x"},"b":[1,-2,true,false,null]}"#;
        assert_eq!(canonical(json).unwrap(), expected);
    }

    #[test]
    fn only_the_quote_and_the_backslash_are_escaped() {
        assert_eq!(
            canonical(r#""a\"\\\n\u0001é""#).unwrap(),
            "\"a\\\"\\\\\n\u{1}é\""
        );
    }

    #[test]
    fn numbers_with_a_fraction_or_beyond_64_bits_have_no_canonical_form() {
        for json in ["1.5", "1e3", "18446744073709551616", "[1.0]"] {
            assert_eq!(canonical(json), Err(NotWhole), "{json}");
        }
        assert_eq!(canonical("18446744073709551615").unwrap().len(), 20);
    }
}
