//! YAML as a tree whose every part knows its line. Which keys there are is said in `reading.rs`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::MAX_POLICY;
use super::error::{PolicyFileError, Problem};

/// Policies are nested five deep.
const MAX_DEPTH: usize = 16;

/// One node of the document.
#[derive(Debug)]
pub(super) enum Node {
    List(Vec<Spanned<Self>>),
    Nothing,
    /// As it is written, or the shortest text of the same fraction.
    Number(String),
    Switch(bool),
    Table(Vec<(Spanned<String>, Spanned<Self>)>),
    Text(String),
}

impl Node {
    /// Returns what this is, for people.
    pub(super) const fn found(&self) -> &'static str {
        match self {
            Self::List(_) => "a list",
            Self::Nothing => "nothing",
            Self::Number(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::Table(_) => "keys of its own",
            Self::Text(_) => "text",
        }
    }
}

/// Reads the text as one document without anchors, aliases and tags of its own.
pub(super) fn parse(text: &str) -> Result<Spanned<Node>, PolicyFileError> {
    let refuse = |line, problem| PolicyFileError {
        line,
        path: String::new(),
        problem,
    };
    if text.len() > MAX_POLICY {
        return Err(refuse(1, Problem::TooLarge));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_documents: 1, max_anchors: 0, max_aliases: 0 },
        // YAML 1.2: `no` and `off` are words.
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let root: Option<Spanned<Node>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|problem| {
            let line = problem.location().map_or(1, |location| location.line());
            refuse(line, Problem::NotYaml(Box::new(problem)))
        })?;
    root.ok_or_else(|| refuse(1, Problem::NoVersion))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("YAML")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Switch(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Table(entries))
    }
}
