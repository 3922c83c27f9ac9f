//! Conditions on a predicate: a place in it, and what must stand there.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::number::Number;
use crate::pointer::{Pointer, PointerError};
use crate::type_pattern::{TypePattern, TypePatternError};

/// Texts that are compared have at most so many bytes.
pub const MAX_TEXT: usize = 4096;
/// A list of alternatives has at most so many elements.
pub const MAX_ALTERNATIVES: usize = 256;
/// So much of a value that was found is kept for reports, in characters.
const MAX_SHOWN: usize = 120;

/// What must stand at one place of a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The place.
    pub pointer: Pointer,
    /// What must stand there.
    pub test: Test,
}

/// What must stand somewhere. What is missing passes [`Test::Absent`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Nothing.
    Absent,
    /// A number not below this.
    AtLeast(Number),
    /// A number not above this.
    AtMost(Number),
    /// A list with this element, or text with this text in it.
    Contains(Scalar),
    /// None of these, but something.
    Not(Vec<Scalar>),
    /// One of these; equal to the only one, when it is one.
    OneOf(Vec<Scalar>),
    /// Something.
    Present,
}

/// A value of JSON that holds no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `true` or `false`.
    Boolean(bool),
    /// `null`.
    Null,
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {pointer}: expected {expected}, found {}", found.as_deref().unwrap_or("nothing"))]
pub struct Unmet {
    /// The place.
    pub pointer: Pointer,
    /// What was expected there.
    pub expected: Test,
    /// The beginning of what stands there, as JSON; none when nothing does.
    pub found: Option<String>,
}

/// The ways in which `TYPE[:/json/pointer=VALUE]` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionError {
    /// There is a pointer and no value.
    #[error("{found:?} says nothing about {pointer}: write TYPE:{pointer}=VALUE")]
    NoValue {
        /// The text.
        found: String,
        /// The pointer.
        pointer: String,
    },
    /// The pointer cannot be read.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// The value is longer than [`MAX_TEXT`].
    #[error("the value has {length} bytes, more than {MAX_TEXT}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The type cannot be read.
    #[error(transparent)]
    Type(#[from] TypePatternError),
}

impl Condition {
    /// Reads `TYPE[:/json/pointer=VALUE]`, as flags say it.
    ///
    /// The value is a number, `true`, `false`, `null` or text in quotes where it reads as that, and plain text otherwise.
    ///
    /// # Errors
    /// Any [`ConditionError`].
    pub fn parse_flag(text: &str) -> Result<(TypePattern, Option<Self>), ConditionError> {
        // A pointer begins behind the first `:/` that is not the `://` of a URI.
        let begins = |(at, _): &(usize, &str)| !text[at + 2..].starts_with('/');
        let Some((at, _)) = text.match_indices(":/").find(begins) else {
            return Ok((TypePattern::parse(text)?, None));
        };
        let (kind, rest) = (&text[..at], &text[at + 1..]);
        let Some((pointer, value)) = rest.split_once('=') else {
            return Err(ConditionError::NoValue {
                found: text.to_owned(),
                pointer: rest.to_owned(),
            });
        };
        if value.len() > MAX_TEXT {
            return Err(ConditionError::TooLong {
                length: value.len(),
            });
        }
        let scalar = Scalar::of_json(value).unwrap_or_else(|| Scalar::Text(value.to_owned()));
        let condition = Self {
            pointer: Pointer::parse(pointer)?,
            test: Test::OneOf(vec![scalar]),
        };
        Ok((TypePattern::parse(kind)?, Some(condition)))
    }

    /// Judges a predicate by its text.
    ///
    /// # Errors
    /// [`Unmet`], with what was found.
    pub fn judge(&self, predicate: &str) -> Result<(), Box<Unmet>> {
        let found = self.pointer.find(predicate);
        if self.test.holds(found) {
            return Ok(());
        }
        Err(Box::new(Unmet {
            pointer: self.pointer.clone(),
            expected: self.test.clone(),
            found: found.map(shorten),
        }))
    }
}

impl Test {
    fn holds(&self, found: Option<&str>) -> bool {
        let Some(found) = found else {
            return *self == Self::Absent;
        };
        match self {
            Self::Absent => false,
            Self::AtLeast(bound) => compares(found, bound, Ordering::Less),
            Self::AtMost(bound) => compares(found, bound, Ordering::Greater),
            Self::Contains(wanted) => contains(found, wanted),
            Self::Not(unwanted) => !unwanted.iter().any(|each| each.is(found)),
            Self::OneOf(wanted) => wanted.iter().any(|each| each.is(found)),
            Self::Present => true,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |scalars: &[Scalar]| {
            let words: Vec<String> = scalars.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        match self {
            Self::Absent => formatter.write_str("nothing"),
            Self::AtLeast(bound) => write!(formatter, "at least {bound}"),
            Self::AtMost(bound) => write!(formatter, "at most {bound}"),
            Self::Contains(wanted) => write!(formatter, "something with {wanted} in it"),
            Self::Not(unwanted) => write!(formatter, "anything but {}", list(unwanted)),
            Self::OneOf(wanted) => match wanted.as_slice() {
                [only] => only.fmt(formatter),
                _ => write!(formatter, "one of {}", list(wanted)),
            },
            Self::Present => formatter.write_str("something"),
        }
    }
}

impl Scalar {
    /// Reads a scalar as JSON writes it, none when the text is something else.
    pub fn of_json(text: &str) -> Option<Self> {
        match text.trim() {
            "true" => Some(Self::Boolean(true)),
            "false" => Some(Self::Boolean(false)),
            "null" => Some(Self::Null),
            quoted if quoted.starts_with('"') => serde_json::from_str(quoted).ok().map(Self::Text),
            number => Number::parse(number).map(Self::Number),
        }
    }

    /// Returns the value for printing; a number too long for a machine word is printed as text.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Boolean(value) => Value::Bool(*value),
            Self::Null => Value::Null,
            Self::Number(number) => serde_json::from_str(number.text()).unwrap_or(Value::Null),
            Self::Text(text) => Value::String(text.clone()),
        }
    }

    /// Says whether a JSON text is this value: of the same kind, and equal.
    fn is(&self, found: &str) -> bool {
        match (self, Self::of_json(found)) {
            (Self::Number(wanted), Some(Self::Number(found))) => wanted.is(&found),
            (wanted, Some(found)) => *wanted == found,
            (_, None) => false,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            other => other.to_value().fmt(formatter),
        }
    }
}

/// Says whether a JSON text is a number that does not compare in the forbidden way.
fn compares(found: &str, bound: &Number, forbidden: Ordering) -> bool {
    Number::parse(found).is_some_and(|found| found.compare(bound) != forbidden)
}

fn contains(found: &str, wanted: &Scalar) -> bool {
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(found) {
        return elements.iter().any(|element| wanted.is(element.get()));
    }
    match (wanted, Scalar::of_json(found)) {
        (Scalar::Text(part), Some(Scalar::Text(whole))) => whole.contains(part),
        _ => false,
    }
}

/// Returns the beginning of a value.
fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_owned())
    }

    #[test]
    fn each_test_holds_where_it_should_and_fails_where_the_value_is_missing() {
        let document = r#"{"result": "allow", "n": 3, "big": 9007199254740993, "f": 7.5, "yes": true, "none": null, "tags": ["a", 1], "one": "1"}"#;
        for (pointer, test, expected) in [
            ("/result", Test::OneOf(vec![text("allow")]), true),
            (
                "/result",
                Test::OneOf(vec![text("warn"), text("allow")]),
                true,
            ),
            ("/result", Test::OneOf(vec![text("Allow")]), false),
            ("/result", Test::Not(vec![text("deny")]), true),
            ("/result", Test::Not(vec![text("allow")]), false),
            ("/n", Test::AtMost(number("3")), true),
            ("/n", Test::AtMost(number("2.999")), false),
            ("/n", Test::AtLeast(number("3.0")), true),
            ("/big", Test::AtMost(number("9007199254740992")), false),
            (
                "/f",
                Test::OneOf(vec![Scalar::Number(number("7.50"))]),
                true,
            ),
            ("/result", Test::AtLeast(number("0")), false),
            ("/yes", Test::OneOf(vec![Scalar::Boolean(true)]), true),
            ("/yes", Test::OneOf(vec![text("true")]), false),
            ("/none", Test::OneOf(vec![Scalar::Null]), true),
            ("/none", Test::Present, true),
            (
                "/one",
                Test::OneOf(vec![Scalar::Number(number("1"))]),
                false,
            ),
            ("/tags", Test::Contains(text("a")), true),
            ("/tags", Test::Contains(text("1")), false),
            ("/tags", Test::Contains(Scalar::Number(number("1"))), true),
            ("/result", Test::Contains(text("low")), true),
            ("/n", Test::Contains(text("3")), false),
            ("/tags", Test::OneOf(vec![text("a")]), false),
            ("/absent", Test::Absent, true),
            ("/result", Test::Absent, false),
            ("/absent", Test::Present, false),
            ("/absent", Test::Not(vec![text("x")]), false),
            ("/absent", Test::AtMost(number("1")), false),
        ] {
            let pointer = Pointer::parse(pointer).unwrap();
            let condition = Condition { pointer, test };
            assert_eq!(condition.judge(document).is_ok(), expected, "{condition:?}");
        }
    }

    #[test]
    fn flags_name_a_type_and_perhaps_a_place() {
        let (kind, condition) = Condition::parse_flag(
            "https://slsa.dev/provenance/v1:/buildDefinition/buildType=https://x/y=z",
        )
        .unwrap();
        assert!(kind.matches(Some("https://slsa.dev/provenance/v1")));
        let condition = condition.unwrap();
        assert_eq!(condition.pointer.to_string(), "/buildDefinition/buildType");
        assert_eq!(condition.test, Test::OneOf(vec![text("https://x/y=z")]));
        for (flag, expected) in [
            ("verdict:/result=allow", text("allow")),
            ("verdict:/n=1", Scalar::Number(number("1"))),
            ("verdict:/n=\"1\"", text("1")),
            ("verdict:/n=true", Scalar::Boolean(true)),
            ("verdict:/n=", text("")),
        ] {
            let (_, condition) = Condition::parse_flag(flag).unwrap();
            assert_eq!(
                condition.unwrap().test,
                Test::OneOf(vec![expected]),
                "{flag}"
            );
        }
        assert_eq!(Condition::parse_flag("verdict").unwrap().1, None);
        assert!(matches!(
            Condition::parse_flag("verdict:/result"),
            Err(ConditionError::NoValue { .. })
        ));
        assert!(matches!(
            Condition::parse_flag("nothing"),
            Err(ConditionError::Type(_))
        ));
        assert!(matches!(
            Condition::parse_flag("verdict:/~=1"),
            Err(ConditionError::Pointer(_))
        ));
    }
}
