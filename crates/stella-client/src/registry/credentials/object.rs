//! A JSON object as the list of its members, each borrowed from the text: what is not touched keeps its bytes and its
//! place. What the members of a credential file mean is not here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Why a text is no object that can be used. The text itself is never repeated, for it may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Two members have one name, so that readers would differ.
    #[error("the name {name:?} stands there twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// It is not JSON, or something else than an object.
    #[error("expected a JSON object (line {line}, column {column})")]
    NotAnObject {
        /// Line, from 1; counted from where the value begins.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
}

/// A member's value, as JSON.
enum Text<'a> {
    Kept(&'a str),
    Made(Zeroizing<String>),
}

/// An object whose members keep their order.
#[derive(Default)]
pub(super) struct Object<'a>(Vec<(String, Text<'a>)>);

impl<'a> Object<'a> {
    /// Reads an object; the values of its members stay text.
    pub(super) fn parse(text: &'a str) -> Result<Self, ObjectError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = reader.deserialize_map(Members);
        let members = members.and_then(|members| reader.end().map(|()| members));
        let members = members.map_err(|error| ObjectError::NotAnObject {
            line: error.line(),
            column: error.column(),
        })?;
        let mut names = BTreeSet::new();
        match members.iter().find(|(name, _)| !names.insert(name)) {
            Some((name, _)) => Err(ObjectError::Duplicate { name: name.clone() }),
            None => Ok(Self(members)),
        }
    }

    /// Returns a member's value as it was read; one that is `null` counts as absent, and so does one that was set.
    pub(super) fn member(&self, name: &str) -> Option<&'a str> {
        let (_, text) = self.0.iter().find(|(each, _)| each == name)?;
        match text {
            Text::Kept("null") | Text::Made(_) => None,
            Text::Kept(text) => Some(text),
        }
    }

    /// Returns the names and values in their order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Sets a member's value, where it stands or else at the end.
    pub(super) fn set(&mut self, name: &str, json: Zeroizing<String>) {
        match self.0.iter_mut().find(|(each, _)| each == name) {
            Some((_, text)) => *text = Text::Made(json),
            None => self.0.push((name.to_owned(), Text::Made(json))),
        }
    }

    /// Keeps the members whose names satisfy `is_kept`, and says whether there were others.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, _)| is_kept(name));
        self.0.len() < before
    }

    /// Prints the object, indented by tabs as docker does; `depth` is how deep it lies.
    pub(super) fn to_json(&self, depth: usize) -> Zeroizing<String> {
        if self.0.is_empty() {
            return Zeroizing::new("{}".to_owned());
        }
        let names: Vec<String> = self.0.iter().map(|(name, _)| quoted(name)).collect();
        let values = self.0.iter().map(|(_, text)| text.as_str());
        // Room for all of it at once: a text that grows leaves copies behind.
        let length = |(name, value): (&String, &str)| name.len() + value.len() + depth + 6;
        let room: usize = names.iter().zip(values.clone()).map(length).sum();
        let mut json = Zeroizing::new(String::with_capacity(room + depth + 4));
        json.push('{');
        for (index, (name, value)) in names.iter().zip(values).enumerate() {
            json.push_str(if index == 0 { "\n" } else { ",\n" });
            json.extend(std::iter::repeat_n('\t', depth + 1));
            json.push_str(name);
            json.push_str(": ");
            json.push_str(value);
        }
        json.push('\n');
        json.extend(std::iter::repeat_n('\t', depth));
        json.push('}');
        json
    }
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Kept(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// Returns a text in JSON's quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Reads a JSON text; `None` when the value is of another kind.
pub(super) fn unquoted(json: &str) -> Option<Zeroizing<String>> {
    let text: Cow<'_, str> = serde_json::from_str(json).ok()?;
    Some(Zeroizing::new(text.into_owned()))
}

struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = Vec<(String, Text<'a>)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'a RawValue>()? {
            members.push((name, Text::Kept(value.get())));
        }
        Ok(members)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_keeps_its_bytes_and_its_place() {
        let text = "{\"b\": 1e400, \"a\\u0062\":{ \"x\" :\n[1.10] },\"c\":null}";
        let mut object = Object::parse(text).unwrap();
        object.set("c", Zeroizing::new("2".to_owned()));
        object.set("d", Zeroizing::new("3".to_owned()));
        let expected =
            "{\n\t\"b\": 1e400,\n\t\"ab\": { \"x\" :\n[1.10] },\n\t\"c\": 2,\n\t\"d\": 3\n}";
        assert_eq!(object.to_json(0).as_str(), expected);
        assert!(object.retain(|name| name == "b"));
        assert!(!object.retain(|name| name == "b"));
        assert_eq!(object.to_json(1).as_str(), "{\n\t\t\"b\": 1e400\n\t}");
    }

    #[test]
    fn other_json_and_names_that_stand_twice_are_refused() {
        for text in ["", "[]", "\"secret\"", "{\"a\":1} x", "{\"a\":1", "{\"a\"}"] {
            let refused = Object::parse(text).err().unwrap();
            assert!(matches!(refused, ObjectError::NotAnObject { .. }), "{text}");
            assert!(!refused.to_string().contains("secret"));
        }
        let name = "a".to_owned();
        let refused = Object::parse("{\"a\":1,\"\\u0061\":2}").err();
        assert_eq!(refused, Some(ObjectError::Duplicate { name }));
    }
}
