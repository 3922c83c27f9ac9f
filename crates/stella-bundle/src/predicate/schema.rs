//! JSON Schema, as much of draft 2020-12 as our own schemas use, and strictly: an unknown keyword is refused.
//!
//! Not a validator for schemas of others: it knows no patterns, no combinators, no references out of the document.

use serde_json::{Map, Value};

use crate::time::UnixTime;

/// References are followed so many deep; ours are four.
const MAX_REFERENCES: usize = 16;

/// Keywords that only tell something to people.
const ANNOTATIONS: [&str; 4] = ["$id", "$schema", "description", "title"];

/// Keywords that are kept, each by [`Schema::check`].
const KEYWORDS: [&str; 15] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "const",
    "enum",
    "format",
    "items",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "properties",
    "required",
    "type",
];

/// A schema whose every keyword is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    root: Value,
}

/// The ways in which a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A keyword has a value that it cannot have.
    #[error("{pointer}: {keyword} has a value that is not kept")]
    BadKeyword {
        /// Where, as a JSON pointer.
        pointer: String,
        /// Which keyword.
        keyword: String,
    },
    /// The text is not JSON.
    #[error("not JSON (line {line})")]
    NotJson {
        /// Line, from 1.
        line: usize,
    },
    /// A keyword that nobody would keep.
    #[error("{pointer}: the keyword {keyword} is not kept")]
    UnknownKeyword {
        /// Where, as a JSON pointer.
        pointer: String,
        /// Which keyword.
        keyword: String,
    },
}

/// A value that is not as its schema says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {}: {problem}", if pointer.is_empty() { "the top" } else { pointer })]
pub struct ShapeError {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// What was expected and found.
    pub problem: ShapeProblem,
}

/// What was expected at one place, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeProblem {
    /// The text is not of the format.
    #[error("expected {expected}, found {found:?}")]
    Format {
        /// The format.
        expected: Format,
        /// The text.
        found: String,
    },
    /// The value is of another kind.
    #[error("expected {}, found {}", expected.phrase(), found.phrase())]
    Kind {
        /// The kind demanded.
        expected: Kind,
        /// The kind found.
        found: Kind,
    },
    /// The number is too large.
    #[error("expected at most {maximum}, found {found}")]
    Maximum {
        /// The largest allowed.
        maximum: i64,
        /// The number, as written.
        found: String,
    },
    /// The number is too small.
    #[error("expected at least {minimum}, found {found}")]
    Minimum {
        /// The smallest allowed.
        minimum: i64,
        /// The number, as written.
        found: String,
    },
    /// A name that must be there is not.
    #[error("expected the name {name:?}, which is missing")]
    Missing {
        /// The name.
        name: String,
    },
    /// The value is none of those allowed.
    #[error("expected one of {}, found {found}", allowed.join(", "))]
    NotOneOf {
        /// Those allowed, as JSON.
        allowed: Vec<String>,
        /// The value, as JSON.
        found: String,
    },
    /// Too few characters, elements or names.
    #[error("expected at least {minimum} {}, found {found}", kind.parts())]
    TooFew {
        /// Of what.
        kind: Kind,
        /// The least allowed.
        minimum: u64,
        /// How many there are.
        found: u64,
    },
    /// A reference chain is longer than any that we wrote.
    #[error("expected a schema less than {MAX_REFERENCES} references deep")]
    TooDeep,
    /// A name that this object does not have.
    #[error("the name {name:?} is not known here; expected one of {}", known.join(", "))]
    UnknownName {
        /// The name.
        name: String,
        /// The names that the object may have.
        known: Vec<String>,
    },
}

/// The kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `[…]`.
    Array,
    /// `true` or `false`.
    Boolean,
    /// A number written without fraction and exponent.
    Integer,
    /// `null`.
    Null,
    /// Any other number.
    Number,
    /// `{…}`.
    Object,
    /// `"…"`.
    String,
}

/// The formats of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 3339, with date, time and zone.
    DateTime,
    /// Pairs of lower-case hexadecimal digits.
    Hex,
    /// A package URL.
    Purl,
    /// RFC 3986, absolute.
    Uri,
}

impl std::fmt::Display for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::DateTime => "a time such as 2026-11-20T12:00:00Z",
            Self::Hex => "lower-case hexadecimal digits in pairs",
            Self::Purl => "a package URL such as pkg:cargo/serde@1.0.0",
            Self::Uri => "a URI with a scheme",
        })
    }
}

impl Format {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "date-time" => Self::DateTime,
            "hex" => Self::Hex,
            "purl" => Self::Purl,
            "uri" => Self::Uri,
            _ => return None,
        })
    }

    fn fits(self, text: &str) -> bool {
        match self {
            Self::DateTime => UnixTime::parse_rfc3339(text).is_some(),
            Self::Hex => {
                let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(is_digit)
            }
            // spec: purl-spec: scheme `pkg`, then type/…/name.
            Self::Purl => is_uri(text) && text.starts_with("pkg:") && text.contains('/'),
            Self::Uri => is_uri(text),
        }
    }
}

/// Says whether text is a URI: a scheme (RFC 3986 §3.1), `:`, and something printable after it.
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let is_scheme_character = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme_character)
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Array(_) => Self::Array,
            Value::Bool(_) => Self::Boolean,
            Value::Null => Self::Null,
            Value::Number(number) if number.is_i64() || number.is_u64() => Self::Integer,
            Value::Number(_) => Self::Number,
            Value::Object(_) => Self::Object,
            Value::String(_) => Self::String,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "array" => Self::Array,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "object" => Self::Object,
            "string" => Self::String,
            _ => return None,
        })
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Array => "a list",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Null => "null",
            Self::Number => "a number with a fraction",
            Self::Object => "an object",
            Self::String => "text",
        }
    }

    fn parts(self) -> &'static str {
        match self {
            Self::Array => "elements",
            Self::Object => "names",
            _ => "characters",
        }
    }
}

impl Schema {
    /// Reads a schema and requires that each of its keywords is kept here.
    ///
    /// # Errors
    ///
    /// Any [`SchemaError`], with the place in the schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let root: Value = serde_json::from_str(text).map_err(|problem| SchemaError::NotJson {
            line: problem.line(),
        })?;
        require_kept(&root, &root, "")?;
        Ok(Self { root })
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// The first value, in document order, that is not as the schema says.
    pub fn check(&self, value: &Value) -> Result<(), ShapeError> {
        self.check_at(&self.root, value, "", 0)
    }

    fn check_at(
        &self,
        schema: &Value,
        value: &Value,
        pointer: &str,
        references: usize,
    ) -> Result<(), ShapeError> {
        let refuse = |problem| {
            Err(ShapeError {
                pointer: pointer.to_owned(),
                problem,
            })
        };
        if let Some(target) = text(schema, "$ref") {
            let Some(target) = resolve(&self.root, target).filter(|_| references < MAX_REFERENCES)
            else {
                return refuse(ShapeProblem::TooDeep);
            };
            self.check_at(target, value, pointer, references + 1)?;
        }
        if let Err(problem) = check_alone(schema, value) {
            return refuse(problem);
        }
        match value {
            Value::Array(elements) => {
                let Some(items) = schema.get("items") else {
                    return Ok(());
                };
                for (index, element) in elements.iter().enumerate() {
                    self.check_at(items, element, &format!("{pointer}/{index}"), references)?;
                }
                Ok(())
            }
            Value::Object(fields) => self.check_fields(schema, fields, pointer, references),
            _ => Ok(()),
        }
    }

    fn check_fields(
        &self,
        schema: &Value,
        fields: &Map<String, Value>,
        pointer: &str,
        references: usize,
    ) -> Result<(), ShapeError> {
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, value) in fields {
            let below = format!("{pointer}/{}", escaped(name));
            let field = known.and_then(|known| known.get(name));
            match field.or_else(|| schema.get("additionalProperties")) {
                None => {}
                Some(Value::Bool(_)) => {
                    return Err(ShapeError {
                        pointer: below,
                        problem: ShapeProblem::UnknownName {
                            name: name.clone(),
                            known: known
                                .map_or_else(Vec::new, |known| known.keys().cloned().collect()),
                        },
                    });
                }
                Some(field) => self.check_at(field, value, &below, references)?,
            }
        }
        let missing = strings(schema, "required").find(|name| !fields.contains_key(*name));
        match missing {
            None => Ok(()),
            Some(name) => Err(ShapeError {
                pointer: pointer.to_owned(),
                problem: ShapeProblem::Missing {
                    name: name.to_owned(),
                },
            }),
        }
    }
}

/// Checks what a schema says about the value itself, not about what is in it.
fn check_alone(schema: &Value, value: &Value) -> Result<(), ShapeProblem> {
    let found = Kind::of(value);
    if let Some(expected) = text(schema, "type").and_then(Kind::from_name)
        && expected != found
    {
        return Err(ShapeProblem::Kind { expected, found });
    }
    let allowed = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(allowed)), _) => Some(allowed.as_slice()),
        (_, Some(only)) => Some(std::slice::from_ref(only)),
        _ => None,
    };
    if let Some(allowed) = allowed.filter(|allowed| !allowed.contains(value)) {
        let allowed = allowed.iter().map(Value::to_string).collect();
        let found = value.to_string();
        return Err(ShapeProblem::NotOneOf { allowed, found });
    }
    check_size(schema, value)?;
    match (value, text(schema, "format").and_then(Format::from_name)) {
        (Value::String(text), Some(expected)) if !expected.fits(text) => {
            Err(ShapeProblem::Format {
                expected,
                found: text.clone(),
            })
        }
        _ => Ok(()),
    }
}

fn check_size(schema: &Value, value: &Value) -> Result<(), ShapeProblem> {
    let (keyword, found) = match value {
        Value::Array(elements) => ("minItems", elements.len()),
        Value::Object(fields) => ("minProperties", fields.len()),
        Value::String(text) => ("minLength", text.chars().count()),
        Value::Number(number) => {
            // Numbers above i64 are above every maximum that we wrote and below no minimum.
            let number_value = number.as_i64().unwrap_or(i64::MAX);
            let found = number.to_string();
            if let Some(minimum) = whole(schema, "minimum").filter(|least| number_value < *least) {
                return Err(ShapeProblem::Minimum { minimum, found });
            }
            if let Some(maximum) = whole(schema, "maximum").filter(|most| number_value > *most) {
                return Err(ShapeProblem::Maximum { maximum, found });
            }
            return Ok(());
        }
        Value::Bool(_) | Value::Null => return Ok(()),
    };
    let found = found as u64;
    match schema.get(keyword).and_then(Value::as_u64) {
        Some(minimum) if found < minimum => {
            let kind = Kind::of(value);
            Err(ShapeProblem::TooFew {
                kind,
                minimum,
                found,
            })
        }
        _ => Ok(()),
    }
}

/// Requires that every keyword of `schema`, at any depth, is one that [`Schema::check`] keeps.
fn require_kept(root: &Value, schema: &Value, pointer: &str) -> Result<(), SchemaError> {
    let bad = |keyword: &str| SchemaError::BadKeyword {
        pointer: pointer.to_owned(),
        keyword: keyword.to_owned(),
    };
    let Some(fields) = schema.as_object() else {
        return Err(bad("(the schema itself)"));
    };
    for (keyword, value) in fields {
        let keyword = keyword.as_str();
        if ANNOTATIONS.contains(&keyword) {
            continue;
        }
        if !KEYWORDS.contains(&keyword) {
            return Err(SchemaError::UnknownKeyword {
                pointer: pointer.to_owned(),
                keyword: keyword.to_owned(),
            });
        }
        let below = format!("{pointer}/{}", escaped(keyword));
        let is_good = match keyword {
            "$defs" | "properties" => {
                for (name, schema) in value.as_object().ok_or_else(|| bad(keyword))? {
                    require_kept(root, schema, &format!("{below}/{}", escaped(name)))?;
                }
                true
            }
            "items" => require_kept(root, value, &below).map(|()| true)?,
            "additionalProperties" if value.is_object() => {
                require_kept(root, value, &below).map(|()| true)?
            }
            // `true` is what holds without the keyword.
            "additionalProperties" => *value == Value::Bool(false),
            "$ref" => value
                .as_str()
                .and_then(|target| resolve(root, target))
                .is_some(),
            "format" => value.as_str().and_then(Format::from_name).is_some(),
            "type" => value.as_str().and_then(Kind::from_name).is_some(),
            "required" | "enum" => value.as_array().is_some_and(|list| !list.is_empty()),
            "minimum" | "maximum" => value.is_i64(),
            "minItems" | "minLength" | "minProperties" => value.is_u64(),
            _ => true,
        };
        if !is_good {
            return Err(bad(keyword));
        }
    }
    Ok(())
}

/// Finds `#/$defs/NAME`, the only form of reference that is followed.
fn resolve<'a>(root: &'a Value, target: &str) -> Option<&'a Value> {
    root.get("$defs")?.get(target.strip_prefix("#/$defs/")?)
}

fn text<'a>(schema: &'a Value, keyword: &str) -> Option<&'a str> {
    schema.get(keyword)?.as_str()
}

fn whole(schema: &Value, keyword: &str) -> Option<i64> {
    schema.get(keyword)?.as_i64()
}

fn strings<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = &'a str> {
    schema
        .get(keyword)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// spec: RFC 6901 §3.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
