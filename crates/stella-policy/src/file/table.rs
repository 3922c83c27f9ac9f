//! Tables whose keys are known, and fields that ask for a shape. Nothing here knows what a policy is.

use serde_saphyr::Spanned;
use stella_bundle::time::UnixTime;

use super::ReadFile;
use super::error::{PolicyFileError, Problem, nearest};
use super::node::Node;

/// The keys of a value that stands in a file of its own.
pub(super) const FILE: [&str; 1] = ["file"];

/// One value with its place.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    path: String,
    line: u64,
    node: &'a Node,
}

/// Keys and values, each key once.
#[derive(Debug)]
pub(super) struct Table<'a> {
    path: String,
    line: u64,
    entries: Vec<(&'a str, Field<'a>)>,
}

impl<'a> Field<'a> {
    /// Returns the whole document.
    pub(super) fn of_document(document: &'a Spanned<Node>) -> Self {
        Self {
            path: String::new(),
            line: document.referenced.line(),
            node: &document.value,
        }
    }

    /// Returns an error about this value.
    pub(super) fn refuse(&self, problem: impl Into<Problem>) -> PolicyFileError {
        PolicyFileError {
            line: self.line,
            path: self.path.clone(),
            problem: problem.into(),
        }
    }

    fn shape(&self, expected: &'static str) -> PolicyFileError {
        let found = self.node.found();
        self.refuse(Problem::Shape { expected, found })
    }

    /// Returns what stands here.
    pub(super) const fn node(&self) -> &'a Node {
        self.node
    }

    /// Returns a table with whatever keys it has.
    pub(super) fn entries(&self) -> Result<Table<'a>, PolicyFileError> {
        let Node::Table(entries) = self.node else {
            return Err(self.shape("keys of its own"));
        };
        let mut table = Table {
            path: self.path.clone(),
            line: self.line,
            entries: Vec::with_capacity(entries.len()),
        };
        for (name, value) in entries {
            let field = Self {
                path: join(&self.path, &name.value),
                line: name.referenced.line(),
                node: &value.value,
            };
            if table.entries.iter().any(|(known, _)| *known == name.value) {
                return Err(field.refuse(Problem::Twice));
            }
            table.entries.push((&name.value, field));
        }
        Ok(table)
    }

    /// Returns a table that has none but these keys.
    pub(super) fn table(
        &self,
        known: &'static [&'static str],
    ) -> Result<Table<'a>, PolicyFileError> {
        let table = self.entries()?;
        match table.entries.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, field)) => Err(field.refuse(Problem::UnknownKey {
                nearest: nearest(name, known.iter().copied()),
            })),
            None => Ok(table),
        }
    }

    /// Returns the elements of a list.
    pub(super) fn list(&self, most: usize) -> Result<Vec<Self>, PolicyFileError> {
        let Node::List(nodes) = self.node else {
            return Err(self.shape("a list"));
        };
        if nodes.len() > most {
            return Err(self.refuse(Problem::TooMany { most }));
        }
        let element = |(at, node): (usize, &'a Spanned<Node>)| Self {
            path: format!("{}[{at}]", self.path),
            line: node.referenced.line(),
            node: &node.value,
        };
        Ok(nodes.iter().enumerate().map(element).collect())
    }

    /// Returns text.
    pub(super) fn text(&self) -> Result<&'a str, PolicyFileError> {
        match self.node {
            Node::Text(text) => Ok(text),
            _ => Err(self.shape("text")),
        }
    }

    /// Returns text that stands here, or in the file that is named here.
    pub(super) fn text_or_file(&self, read: ReadFile<'_>) -> Result<String, PolicyFileError> {
        if let Node::Text(text) = self.node {
            return Ok(text.clone());
        }
        let table = self.table(&FILE)?;
        let field = table.needed("file")?;
        let path = field.text()?;
        let is_below = !path.is_empty()
            && !path.contains(['\\', ':'])
            && path.split('/').all(|part| !part.is_empty() && part != "..");
        let path = path.to_owned();
        if !is_below {
            return Err(field.refuse(Problem::FilePath { path }));
        }
        let refuse = |kind| {
            field.refuse(Problem::File {
                path: path.clone(),
                kind,
            })
        };
        let bytes = read(&path).map_err(refuse)?;
        String::from_utf8(bytes).map_err(|_| refuse(std::io::ErrorKind::InvalidData))
    }

    /// Returns one of these words.
    pub(super) fn word(
        &self,
        allowed: &'static [&'static str],
    ) -> Result<&'static str, PolicyFileError> {
        let text = self.text()?;
        let word = allowed.iter().find(|word| **word == text);
        word.copied().ok_or_else(|| {
            let found = text.to_owned();
            self.refuse(Problem::Word { allowed, found })
        })
    }

    /// Returns a whole number above zero.
    pub(super) fn count(&self) -> Result<usize, PolicyFileError> {
        match self.node {
            Node::Number(text) => match text.parse() {
                Ok(count) if count > 0 => Ok(count),
                _ => Err(self.refuse(Problem::Zero)),
            },
            _ => Err(self.shape("a number")),
        }
    }

    /// Requires the only value of a switch that can only be thrown.
    pub(super) fn only_true(&self) -> Result<(), PolicyFileError> {
        match self.node {
            Node::Switch(true) => Ok(()),
            Node::Switch(false) => Err(self.refuse(Problem::OnlyTrue)),
            _ => Err(self.shape("true")),
        }
    }

    /// Returns a moment.
    pub(super) fn time(&self) -> Result<UnixTime, PolicyFileError> {
        let found = self.text()?;
        UnixTime::parse_rfc3339(found).ok_or_else(|| {
            let found = found.to_owned();
            self.refuse(Problem::Time { found })
        })
    }
}

impl<'a> Table<'a> {
    /// Returns the value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Field<'a>> {
        let entry = self.entries.iter().find(|(name, _)| *name == key);
        entry.map(|(_, field)| field)
    }

    /// Returns the value of a key that must be there.
    pub(super) fn needed(&self, key: &'static str) -> Result<&Field<'a>, PolicyFileError> {
        self.get(key)
            .ok_or_else(|| self.refuse(Problem::Missing { key }))
    }

    /// Returns the only one of these keys that is there.
    pub(super) fn exactly_one(
        &self,
        keys: &'static [&'static str],
    ) -> Result<(&'static str, &Field<'a>), PolicyFileError> {
        let present = |key: &&'static str| Some((*key, self.get(key)?));
        let mut found = keys.iter().filter_map(present);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(self.refuse(Problem::NotExactlyOne { keys })),
        }
    }

    /// Returns all keys and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &Field<'a>)> {
        self.entries.iter().map(|(name, field)| (*name, field))
    }

    /// Returns how many keys there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns an error about the whole table.
    pub(super) fn refuse(&self, problem: impl Into<Problem>) -> PolicyFileError {
        PolicyFileError {
            line: self.line,
            path: self.path.clone(),
            problem: problem.into(),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}
