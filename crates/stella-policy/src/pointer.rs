//! JSON pointers (RFC 6901) into a predicate's text. Only the way to the value is read, never the whole tree.

use std::collections::HashMap;
use std::fmt;

use serde_json::value::RawValue;

/// Pointers longer than this are refused; predicates have names of a few words.
const MAX_LENGTH: usize = 1024;
/// Predicates are not nested deeper than this.
const MAX_DEPTH: usize = 32;

/// A place in a JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

/// Text that is no pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no JSON pointer (RFC 6901): it begins with /, and ~ is written ~0, / in a name ~1"
)]
pub struct PointerError {
    /// The text.
    pub found: String,
}

impl Pointer {
    /// Reads a pointer to something inside a document; the empty pointer, which is the whole, is not accepted.
    ///
    /// # Errors
    /// [`PointerError`]: no `/` at the beginning, `~` that is neither `~0` nor `~1`, too long or too deep.
    // spec: RFC 6901 §3, §4.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let read = || {
            let rest = text
                .strip_prefix('/')
                .filter(|_| text.len() <= MAX_LENGTH)?;
            let steps: Vec<String> = rest.split('/').map(unescape).collect::<Option<_>>()?;
            (steps.len() <= MAX_DEPTH).then(|| Self {
                text: text.to_owned(),
                steps,
            })
        };
        read().ok_or_else(|| PointerError {
            found: text.to_owned(),
        })
    }

    /// Returns the value's text, none when there is no such value.
    pub fn find<'a>(&self, document: &'a str) -> Option<&'a str> {
        let mut text = document;
        for step in &self.steps {
            text = match text.trim_start().as_bytes().first()? {
                b'{' => {
                    let mut fields: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
                    fields.remove(step)?.get()
                }
                b'[' => {
                    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                    elements.get(index(step)?)?.get()
                }
                _ => return None,
            };
        }
        Some(text.trim())
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Reads one step; `~1` before `~0`, so that `~01` is `~1`.
fn unescape(step: &str) -> Option<String> {
    let is_escaped = |at: usize| matches!(step.as_bytes().get(at + 1), Some(b'0' | b'1'));
    let is_whole = step.match_indices('~').all(|(at, _)| is_escaped(at));
    is_whole.then(|| step.replace("~1", "/").replace("~0", "~"))
}

/// Reads the place in a list: digits without a leading zero.
fn index(step: &str) -> Option<usize> {
    let is_plain = step == "0" || !step.starts_with('0');
    let is_number = step.bytes().all(|byte| byte.is_ascii_digit());
    step.parse().ok().filter(|_| is_plain && is_number)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_are_found() {
        let document = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "m~n": 8, "a": {"b": {"c": 1.50}}}"#;
        for (pointer, expected) in [
            ("/foo", Some(r#"["bar", "baz"]"#)),
            ("/foo/0", Some(r#""bar""#)),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/c%d", Some("2")),
            ("/m~0n", Some("8")),
            ("/a/b/c", Some("1.50")),
            ("/foo/2", None),
            ("/foo/01", None),
            ("/foo/-", None),
            ("/foo/0/x", None),
            ("/nothing", None),
        ] {
            assert_eq!(
                Pointer::parse(pointer).unwrap().find(document),
                expected,
                "{pointer}"
            );
        }
    }

    #[test]
    fn text_that_is_no_pointer_is_refused() {
        let deep = "/a".repeat(MAX_DEPTH + 1);
        for text in [
            "",
            "foo",
            "/a~",
            "/a~2",
            "#/a",
            &deep,
            &format!("/{}", "a".repeat(MAX_LENGTH)),
        ] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
    }
}
