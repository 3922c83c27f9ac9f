//! Manifests and indexes (image spec 1.1): what they name, and nothing of what that means.
//!
//! Bytes are kept by whoever holds them: a manifest is never re-encoded but to make a new one.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::json::{self, JsonError};

use super::MAX_MANIFEST;

/// Media types of manifests and of what they name.
pub mod media {
    /// An image manifest of OCI.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An index of OCI.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image manifest of Docker.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A manifest list of Docker.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// The two bytes `{}` (image spec, "Guidance for an Empty Descriptor").
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// The configuration of an image.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Every media type of a manifest that is understood, for `Accept`.
    pub const ALL_MANIFESTS: [&str; 4] = [INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];
}

/// More things than this in one manifest are refused; the largest images have 127 layers, catalogues some thousands.
const MAX_DESCRIPTORS: usize = 10_000;

/// The ways in which bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It names both layers and manifests, or neither (CVE-2021-41190: two readers would see two things).
    #[error("a manifest names either layers or manifests, this one {}", if *both { "both" } else { "neither" })]
    Ambiguous {
        /// Whether both are there.
        both: bool,
    },
    /// Not JSON of the right shape, or a name stands twice.
    #[error("not a manifest: {0}")]
    Json(#[from] JsonError),
    /// The media type inside differs from the one that it came with.
    #[error("a manifest of type {inside:?} came as {outside:?}")]
    MediaTypeMismatch {
        /// What it says of itself.
        inside: String,
        /// What was said about it.
        outside: String,
    },
    /// The schema version is not 2.
    #[error("a manifest of schema version {found}, expected 2")]
    SchemaVersion {
        /// What stands there.
        found: u64,
    },
    /// It is larger than [`MAX_MANIFEST`].
    #[error("a manifest of {length} bytes is larger than {MAX_MANIFEST}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// A media type that is none of a manifest.
    #[error("{found:?} is not the media type of a manifest")]
    UnknownMediaType {
        /// What stands there.
        found: String,
    },
}

/// A thing by its type, digest and size. Fields that are not named here are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    #[serde(with = "digest_text")]
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What the manifest is a manifest of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Notes; hints only.
    #[serde(
        deserialize_with = "json::or_default",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// `platform`, `urls`, `data` and whatever else is said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Descriptor {
    /// Makes a descriptor.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
            rest: Map::new(),
        }
    }

    /// Returns the platform as `os/architecture[/variant]`; none where the descriptor names none.
    #[must_use]
    pub fn platform(&self) -> Option<String> {
        let platform = self.rest.get("platform")?;
        let part = |name: &str| platform.get(name).and_then(Value::as_str);
        let mut text = format!("{}/{}", part("os")?, part("architecture")?);
        if let Some(variant) = part("variant").filter(|variant| !variant.is_empty()) {
            text.push('/');
            text.push_str(variant);
        }
        Some(text)
    }

    /// Returns the content that stands in the descriptor itself (image spec, `data`), once its length and digest are seen
    /// to be right.
    #[must_use]
    pub fn data(&self) -> Option<Vec<u8>> {
        let data = json::decode_base64(self.rest.get("data")?.as_str()?)?;
        let is_right =
            data.len() as u64 == self.size && self.digest.algorithm().digest(&data) == self.digest;
        is_right.then_some(data)
    }

    /// Says whether the thing is itself a manifest or an index.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        media::ALL_MANIFESTS.contains(&self.media_type.as_str())
    }
}

/// A manifest's bytes as they came; its digest is over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// What it came as.
    pub media_type: String,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Bytes,
}

impl RawManifest {
    /// Takes bytes and computes their SHA-256.
    #[must_use]
    pub fn new(media_type: &str, bytes: Bytes) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: DigestAlgorithm::Sha256.digest(&bytes),
            bytes,
        }
    }

    /// Reads what it says.
    ///
    /// # Errors
    /// Any [`ManifestError`].
    pub fn parse(&self) -> Result<Manifest, ManifestError> {
        Manifest::parse(&self.bytes, &self.media_type)
    }

    /// Returns the descriptor: type, digest and size.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            &self.media_type,
            self.digest.clone(),
            self.bytes.len() as u64,
        )
    }
}

/// What a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestKind {
    /// An image or artifact: its configuration and layers.
    Image {
        /// The configuration.
        config: Descriptor,
        /// The layers.
        layers: Vec<Descriptor>,
    },
    /// An index of other manifests.
    Index {
        /// The manifests.
        manifests: Vec<Descriptor>,
    },
}

/// A manifest or index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// What it is a manifest of, for artifacts.
    pub artifact_type: Option<String>,
    /// What it names.
    pub kind: ManifestKind,
    /// What it is attached to.
    pub subject: Option<Descriptor>,
    /// Notes.
    pub annotations: BTreeMap<String, String>,
}

/// The fields as they stand.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Words {
    #[serde(default)]
    schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<Descriptor>,
    #[serde(
        deserialize_with = "some_at_most",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    layers: Option<Vec<Descriptor>>,
    #[serde(
        deserialize_with = "some_at_most",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    manifests: Option<Vec<Descriptor>>,
    #[serde(
        deserialize_with = "json::or_default",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
}

impl Manifest {
    /// Reads a manifest that came as `media_type`; an empty one says that nothing was said.
    ///
    /// # Errors
    /// Any [`ManifestError`].
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLarge {
                length: bytes.len(),
            });
        }
        json::require_unambiguous(bytes).map_err(JsonError::from)?;
        let words: Words = serde_json::from_slice(bytes).map_err(JsonError::from)?;
        if words.schema_version != 2 {
            return Err(ManifestError::SchemaVersion {
                found: words.schema_version,
            });
        }
        let (kind, default) = match (words.config, words.layers, words.manifests) {
            (Some(config), layers, None) => {
                let layers = layers.unwrap_or_default();
                (ManifestKind::Image { config, layers }, media::MANIFEST)
            }
            (None, None, Some(manifests)) => (ManifestKind::Index { manifests }, media::INDEX),
            (config, layers, manifests) => {
                let both = manifests.is_some() && (config.is_some() || layers.is_some());
                return Err(ManifestError::Ambiguous { both });
            }
        };
        let outside = media_type.split(';').next().unwrap_or_default().trim();
        let inside = words.media_type.unwrap_or_default();
        let media_type = match (inside.as_str(), outside) {
            ("", "") => default.to_owned(),
            ("", outside) => outside.to_owned(),
            (_, "") => inside,
            (_, outside) if inside == outside => inside,
            _ => {
                return Err(ManifestError::MediaTypeMismatch {
                    inside,
                    outside: outside.to_owned(),
                });
            }
        };
        require_type_of(&kind, &media_type)?;
        Ok(Self {
            media_type,
            artifact_type: words.artifact_type,
            kind,
            subject: words.subject,
            annotations: words.annotations,
        })
    }

    /// Writes a new manifest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (config, layers, manifests) = match self.kind.clone() {
            ManifestKind::Image { config, layers } => (Some(config), Some(layers), None),
            ManifestKind::Index { manifests } => (None, None, Some(manifests)),
        };
        let words = Words {
            schema_version: 2,
            media_type: Some(self.media_type.clone()),
            config,
            layers,
            manifests,
            annotations: self.annotations.clone(),
            subject: self.subject.clone(),
            artifact_type: self.artifact_type.clone(),
        };
        // Strings and numbers into memory cannot fail.
        serde_json::to_vec(&words).unwrap_or_default()
    }

    /// Makes an index.
    #[must_use]
    pub const fn index(media_type: String, manifests: Vec<Descriptor>) -> Self {
        Self {
            media_type,
            artifact_type: None,
            kind: ManifestKind::Index { manifests },
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Returns what an index names; nothing for an image.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        match &self.kind {
            ManifestKind::Index { manifests } => manifests,
            ManifestKind::Image { .. } => &[],
        }
    }

    /// Returns an image's layers; nothing for an index.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        match &self.kind {
            ManifestKind::Image { layers, .. } => layers,
            ManifestKind::Index { .. } => &[],
        }
    }

    /// Returns the blobs that the manifest names: configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, layers) = match &self.kind {
            ManifestKind::Image { config, layers } => (Some(config), layers.as_slice()),
            ManifestKind::Index { .. } => (None, &[][..]),
        };
        config.into_iter().chain(layers)
    }

    /// Returns the artifact type as lists of referrers show it: its own, else that of an image's configuration.
    // spec: distribution spec, "Listing referrers".
    #[must_use]
    pub fn listed_type(&self) -> Option<&str> {
        let own = self.artifact_type.as_deref().filter(|own| !own.is_empty());
        own.or(match &self.kind {
            ManifestKind::Image { config, .. } => Some(&config.media_type),
            ManifestKind::Index { .. } => None,
        })
    }
}

fn require_type_of(kind: &ManifestKind, media_type: &str) -> Result<(), ManifestError> {
    let expected = match kind {
        ManifestKind::Image { .. } => [media::MANIFEST, media::DOCKER_MANIFEST],
        ManifestKind::Index { .. } => [media::INDEX, media::DOCKER_LIST],
    };
    if expected.contains(&media_type) {
        return Ok(());
    }
    if media::ALL_MANIFESTS.contains(&media_type) {
        let inside = expected[0].to_owned();
        let outside = media_type.to_owned();
        return Err(ManifestError::MediaTypeMismatch { inside, outside });
    }
    Err(ManifestError::UnknownMediaType {
        found: media_type.to_owned(),
    })
}

fn some_at_most<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Descriptor>>, D::Error> {
    json::at_most::<MAX_DESCRIPTORS, _, _>(deserializer).map(Some)
}

/// A digest as text.
mod digest_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};
    use stella_bundle::digest::Digest;

    pub(super) fn serialize<S: Serializer>(
        digest: &Digest,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::parse(&text).ok_or_else(|| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"a digest such as sha256: and 64 hex digits",
            )
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn descriptor() -> Descriptor {
        Descriptor::new(media::EMPTY, DigestAlgorithm::Sha256.digest(b"{}"), 2)
    }

    fn image() -> Manifest {
        Manifest {
            media_type: media::MANIFEST.into(),
            artifact_type: Some("application/x".into()),
            kind: ManifestKind::Image {
                config: descriptor(),
                layers: vec![descriptor()],
            },
            subject: Some(descriptor()),
            annotations: BTreeMap::from([("a".into(), "b".into())]),
        }
    }

    #[test]
    fn a_manifest_reads_back_what_it_wrote() {
        let image = image();
        assert_eq!(
            Manifest::parse(&image.to_bytes(), media::MANIFEST),
            Ok(image.clone())
        );
        assert_eq!(image.blobs().count(), 2);
        let index = Manifest::index(media::INDEX.into(), vec![descriptor()]);
        assert_eq!(Manifest::parse(&index.to_bytes(), ""), Ok(index));
    }

    #[test]
    fn unknown_fields_of_a_descriptor_survive() {
        let digest = DigestAlgorithm::Sha256.digest(b"{}");
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{digest}","size":2,"platform":{{"os":"linux","architecture":"arm","variant":"v7"}},"x":[1]}}]}}"#,
            media::MANIFEST
        );
        let index = Manifest::parse(text.as_bytes(), media::INDEX).unwrap();
        assert_eq!(index.manifests()[0].platform().unwrap(), "linux/arm/v7");
        assert!(
            String::from_utf8(index.to_bytes())
                .unwrap()
                .contains(r#""x":[1]"#)
        );
    }

    #[test]
    fn data_counts_only_with_its_own_length_and_digest() {
        let mut descriptor = descriptor();
        descriptor.rest.insert("data".into(), "e30=".into());
        assert_eq!(descriptor.data().unwrap(), b"{}");
        descriptor.rest.insert("data".into(), "e31=".into());
        assert_eq!(descriptor.data(), None);
    }

    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        let text = |inside: &str| format!(r#"{{"schemaVersion":2,{inside}}}"#);
        let config = serde_json::to_string(&descriptor()).unwrap();
        let both = text(&format!(r#""config":{config},"layers":[],"manifests":[]"#));
        let rows = [
            (both, "", ManifestError::Ambiguous { both: true }),
            (
                text(r#""layers":[]"#),
                "",
                ManifestError::Ambiguous { both: false },
            ),
            (
                text(r#""manifests":[]"#),
                media::MANIFEST,
                ManifestError::MediaTypeMismatch {
                    inside: media::INDEX.into(),
                    outside: media::MANIFEST.into(),
                },
            ),
            (
                text(r#""manifests":[]"#),
                "text/html; charset=utf-8",
                ManifestError::UnknownMediaType {
                    found: "text/html".into(),
                },
            ),
            (
                r#"{"schemaVersion":1,"manifests":[]}"#.to_owned(),
                "",
                ManifestError::SchemaVersion { found: 1 },
            ),
        ];
        for (text, media_type, expected) in rows {
            assert_eq!(
                Manifest::parse(text.as_bytes(), media_type),
                Err(expected),
                "{text}"
            );
        }
        let twice = text(r#""manifests":[],"manifests":[]"#);
        assert!(matches!(
            Manifest::parse(twice.as_bytes(), ""),
            Err(ManifestError::Json(_))
        ));
    }
}
