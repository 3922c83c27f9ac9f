//! What names an image: `REGISTRY/REPOSITORY[:TAG][@DIGEST]`, as Docker reads it.

use std::fmt;

use stella_bundle::digest::Digest;

/// The registry that is meant where none is named.
const DOCKER_HUB: &str = "docker.io";
/// Where that registry answers.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// The greatest length of host and repository together (distribution spec).
const MAX_NAME: usize = 255;
/// The greatest length of a tag (distribution spec).
const MAX_TAG: usize = 128;

/// Which image, in which repository, of which registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The ways in which a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// What follows `@` is no digest.
    #[error("{found:?} is not a digest: expected sha256: and 64 hex digits in lower case")]
    Digest {
        /// What stands there.
        found: String,
    },
    /// The host is not `NAME[:PORT]`.
    #[error("{found:?} is not the host of a registry")]
    Registry {
        /// What stands there.
        found: String,
    },
    /// The repository is not of the distribution spec's form.
    #[error(
        "{found:?} is not a repository: expected lower-case letters, digits, and . _ - / between them"
    )]
    Repository {
        /// What stands there.
        found: String,
    },
    /// The tag is not of the distribution spec's form.
    #[error("{found:?} is not a tag")]
    Tag {
        /// What stands there.
        found: String,
    },
}

impl Reference {
    /// Reads a reference. A first part with a dot or a port, or `localhost`, is the registry; else Docker Hub is meant.
    ///
    /// # Errors
    /// Any [`ReferenceError`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(digest)?)),
            None => (text, None),
        };
        let (registry, rest) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let repository = if registry == DOCKER_HUB && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(str::to_owned),
            digest,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, ReferenceError> {
        if !is_registry(&self.registry) {
            return Err(ReferenceError::Registry {
                found: self.registry,
            });
        }
        if !is_repository(&self.repository)
            || self.registry.len() + self.repository.len() > MAX_NAME
        {
            return Err(ReferenceError::Repository {
                found: self.repository,
            });
        }
        match self.tag {
            Some(found) if !is_tag(&found) => Err(ReferenceError::Tag { found }),
            _ => Ok(self),
        }
    }

    /// Returns the registry as it is named: `docker.io`, `ghcr.io`, `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the host that answers for the registry.
    #[must_use]
    pub fn host(&self) -> &str {
        if self.registry == DOCKER_HUB {
            DOCKER_HUB_HOST
        } else {
            &self.registry
        }
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns what stands for the manifest in an address: the digest, else the tag, else `latest`.
    #[must_use]
    pub fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Returns registry and repository, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the same repository with this digest, and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    Digest::parse(text).ok_or_else(|| ReferenceError::Digest {
        found: text.to_owned(),
    })
}

/// Docker's rule: what looks like a host is one.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn is_registry(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    let is_host = |authority: &http::uri::Authority| {
        let host = authority.host();
        !host.is_empty() && (host == text || authority.port_u16().is_some())
    };
    is_plain && authority.as_ref().is_ok_and(is_host)
}

// spec: distribution spec, "Pulling manifests": [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/…)*
/// Says whether a text is the name of a repository.
#[must_use]
pub fn is_repository(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(|byte| is_alphanumeric(*byte));
        let separators = part.split(|each: char| each.is_ascii() && is_alphanumeric(each as u8));
        ends(part.as_bytes().first())
            && ends(part.as_bytes().last())
            && separators
                .into_iter()
                .all(|between| matches!(between, "" | "." | "_" | "__") || is_dashes(between))
    };
    text.len() <= MAX_NAME && text.split('/').all(is_part)
}

fn is_dashes(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'-')
}

// spec: distribution spec, "Pulling manifests": [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
/// Says whether a text is a tag.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_read_as_docker_reads_them() {
        let digest = format!("ghcr.io/a/b:v1@sha256:{HEX}");
        let rows = [
            ("alpine", "docker.io", "library/alpine", None),
            ("me/app:1", "docker.io", "me/app", Some("1")),
            ("localhost/a", "localhost", "a", None),
            ("localhost:5000/a/b:v1", "localhost:5000", "a/b", Some("v1")),
            ("[::1]:5000/a", "[::1]:5000", "a", None),
            (&digest, "ghcr.io", "a/b", Some("v1")),
        ];
        for (text, registry, repository, tag) in rows {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.registry(), registry, "{text}");
            assert_eq!(reference.repository(), repository, "{text}");
            assert_eq!(reference.tag(), tag, "{text}");
            assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
        assert_eq!(Reference::parse("alpine").unwrap().host(), DOCKER_HUB_HOST);
    }

    #[test]
    fn texts_that_name_no_image_are_refused() {
        for text in [
            "",
            "a/",
            "a//b",
            "A/b",
            "host.io/a..b",
            "host.io/../b",
            "host.io/a___b",
            "host.io/a:",
            "host.io/a:-x",
            "host.io/a@sha256:00",
            "host.io/a@md5:00",
            "user@host.io/a",
            "host.io:port/a",
            "ho st.io/a",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
