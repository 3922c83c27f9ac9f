//! YAML with the line of every key: the text of signer.yaml as typed settings.
//!
//! Which keys exist is said by `key.rs`; what values mean, by `meaning.rs`. Files are read by the caller.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::error::{ConfigError, Found};
use super::key::{self, Key, Shape};
use super::source::{Line, Source, Typed, Value};

/// The largest signer.yaml that is read: thirty times a file with every key and its comments.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// Sections are nested five deep; more is not a signer.yaml.
const MAX_DEPTH: usize = 16;

/// Reads `text`; `source` says where a value of a given line comes from.
///
/// # Errors
///
/// The first thing that is not YAML, not a known key, or not of the key's shape, with its line.
pub(crate) fn settings(
    text: &str,
    source: &dyn Fn(Line) -> Source,
) -> Result<Vec<Typed>, ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(ConfigError::TooLarge {
            at: source(Line(1)),
            limit: MAX_BYTES,
        });
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
            ConfigError::NotYaml {
                at: source(Line(
                    problem.location().map_or(1, |location| location.line()),
                )),
                problem: Box::new(problem),
            }
        })?;
    let mut found = Vec::new();
    if let Some(root) = root {
        Reading {
            source,
            found: &mut found,
        }
        .section("", &root)?;
    }
    Ok(found)
}

/// The walk through the tree.
struct Reading<'a> {
    source: &'a dyn Fn(Line) -> Source,
    found: &'a mut Vec<Typed>,
}

impl Reading<'_> {
    fn section(&mut self, path: &str, node: &Spanned<Node>) -> Result<(), ConfigError> {
        let entries = match &node.value {
            // A section whose keys are all commented out.
            Node::Nothing => return Ok(()),
            Node::Table(entries) => entries,
            other => {
                return Err(ConfigError::NotASection {
                    at: (self.source)(Line(node.referenced.line())),
                    path: path.to_owned(),
                    found: other.found(),
                });
            }
        };
        for (name, value) in entries {
            let line = Line(name.referenced.line());
            let path = key::join(path, &name.value);
            if let Some(key) = Key::in_file(&path) {
                self.setting(key, line, value)?;
            } else if key::is_section(&path) {
                self.section(&path, value)?;
            } else {
                return Err(ConfigError::UnknownKey {
                    at: (self.source)(line),
                    nearest: key::nearest(&path),
                    path,
                });
            }
        }
        Ok(())
    }

    fn setting(&mut self, key: Key, line: Line, node: &Spanned<Node>) -> Result<(), ConfigError> {
        let source = (self.source)(line);
        let value = match (key.shape(), &node.value) {
            (Shape::Text, Node::Text(text)) => Value::Text(text.clone()),
            (Shape::Switch, Node::Switch(switch)) => Value::Switch(*switch),
            (Shape::Whole, Node::Whole(whole)) => Value::Whole(*whole),
            (Shape::Names, Node::List(nodes)) => Value::Names(names(key, &source, nodes)?),
            (shape, other) => {
                return Err(ConfigError::WrongShape {
                    at: source,
                    key,
                    expected: shape,
                    found: other.found(),
                });
            }
        };
        self.found.push(Typed { key, value, source });
        Ok(())
    }
}

fn names(key: Key, at: &Source, nodes: &[Spanned<Node>]) -> Result<Vec<String>, ConfigError> {
    nodes
        .iter()
        .map(|node| match &node.value {
            Node::Text(text) => Ok(text.clone()),
            other => Err(ConfigError::WrongShape {
                at: at.clone(),
                key,
                expected: Shape::Names,
                found: other.found(),
            }),
        })
        .collect()
}

/// One node of the document.
#[derive(Debug)]
enum Node {
    List(Vec<Spanned<Self>>),
    Nothing,
    /// A fraction, or a number below zero: no key takes one.
    Number,
    Switch(bool),
    Table(Vec<(Spanned<String>, Spanned<Self>)>),
    Text(String),
    Whole(u64),
}

impl Node {
    fn found(&self) -> Found {
        match self {
            Self::List(_) => Found::List,
            Self::Nothing => Found::Nothing,
            Self::Number | Self::Whole(_) => Found::Number,
            Self::Switch(_) => Found::Switch,
            Self::Table(_) => Found::Section,
            Self::Text(_) => Found::Text,
        }
    }
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
        Ok(Node::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or(Node::Number, Node::Whole))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number)
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
