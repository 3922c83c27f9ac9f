//! `index.json`: which images a layout has, and by what names (image spec, "OCI Image Layout").
//!
//! Tools name images differently: by tag (skopeo, oras), by whole reference (cosign, containerd), or not at all (podman).
//! What cosign saved beside an image is found under the tags that it would have in a registry.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stella_bundle::digest::Digest;
use stella_bundle::json::{self, JsonError};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, attachment};

/// The name of an image (image spec, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name that containerd and Docker give beside it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// What cosign says an entry is.
const COSIGN_KIND: &str = "kind";
const COSIGN_IMAGE: [&str; 2] = [
    "dev.cosignproject.cosign/image",
    "dev.cosignproject.cosign/imageIndex",
];
const COSIGN_SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
const COSIGN_ATTESTATIONS: &str = "dev.cosignproject.cosign/atts";

/// Entries of one `index.json`; twenty thousand images with four attestations each.
const MAX_ENTRIES: usize = 100_000;
/// Bytes of one `index.json`, for that many entries.
pub(super) const MAX_INDEX: usize = 64 << 20;

/// What stands in `index.json`; fields that are not named here are kept as they came.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    #[serde(default)]
    schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(deserialize_with = "json::at_most::<MAX_ENTRIES, _, _>", default)]
    manifests: Vec<Descriptor>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A change to `index.json`.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// The manifest is named by nothing else, so it gets an entry.
    Attach(Descriptor),
    /// The name means this manifest from now on.
    Tag(String, Descriptor),
}

/// The manifests of each name; more than one where two entries contradict each other.
pub(super) type Names = BTreeMap<String, BTreeSet<Digest>>;

impl Index {
    /// Returns the index of an empty layout.
    pub(super) fn empty() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            manifests: Vec::new(),
            rest: Map::new(),
        }
    }

    /// Reads `index.json`; two entries of one name are no error until somebody asks for it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, JsonError> {
        json::require_unambiguous(text)?;
        Ok(serde_json::from_slice(text)?)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn entries(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// Returns every name, those of containerd too, and the tags under which a registry would have what cosign saved.
    pub(super) fn names(&self) -> Names {
        let mut names = Names::new();
        let mut add = |name: &str, digest: &Digest| {
            let digests = names.entry(name.to_owned()).or_default();
            digests.insert(digest.clone());
        };
        for (place, entry) in self.manifests.iter().enumerate() {
            if let Some(which) = cosign_attachment(entry) {
                let subject = self.cosign_subject(place);
                if let Some(subject) = subject {
                    add(
                        &attachment::legacy_tags(&subject.digest)[which],
                        &entry.digest,
                    );
                }
                continue;
            }
            for key in [REF_NAME, CONTAINERD_NAME] {
                if let Some(name) = entry.annotations.get(key) {
                    add(name, &entry.digest);
                }
            }
        }
        names
    }

    /// Returns what each image is best asked for by: the first of its names that means no other, else its digest. What a
    /// name says to be an attachment is not among them, nor is what `is_attached` says to be one.
    pub(super) fn images(&self, is_attached: impl Fn(&Digest) -> bool) -> Vec<String> {
        let names = self.names();
        let mut images = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in self.manifests.iter().filter(|entry| entry.is_manifest()) {
            let keys = [REF_NAME, CONTAINERD_NAME].map(|key| entry.annotations.get(key));
            let mut own = keys.into_iter().flatten();
            let is_attachment = own
                .clone()
                .any(|name| attachment::tag_subject(name).is_some());
            if is_attachment || cosign_attachment(entry).is_some() {
                continue;
            }
            let is_unnamed = own.clone().next().is_none();
            if is_unnamed && is_attached(&entry.digest) {
                continue;
            }
            let means_it = |name: &&String| names.get(*name).is_some_and(|all| all.len() == 1);
            let name = own
                .find(means_it)
                .cloned()
                .unwrap_or_else(|| entry.digest.to_string());
            if seen.insert(name.clone()) {
                images.push(name);
            }
        }
        images
    }

    /// Applies a change; says whether anything differs now.
    pub(super) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Attach(manifest) => {
                let is_there = |entry: &Descriptor| entry.digest == manifest.digest;
                if self.manifests.iter().any(is_there) {
                    return false;
                }
                self.manifests.push(manifest.clone());
            }
            Change::Tag(name, manifest) => {
                let has_name = |entry: &Descriptor| {
                    cosign_attachment(entry).is_none()
                        && entry.annotations.get(REF_NAME) == Some(name)
                };
                let mut named = self.manifests.iter().filter(|entry| has_name(entry));
                if named
                    .next()
                    .is_some_and(|one| one.digest == manifest.digest)
                    && named.next().is_none()
                {
                    return false;
                }
                self.manifests.retain(|entry| !has_name(entry));
                let mut entry = manifest.clone();
                entry.annotations = BTreeMap::from([(REF_NAME.to_owned(), name.clone())]);
                self.manifests.push(entry);
            }
        }
        true
    }

    /// Returns the image that an entry of cosign's is about: the one of the same name, else the last one before it.
    fn cosign_subject(&self, place: usize) -> Option<&Descriptor> {
        let is_image = |entry: &&Descriptor| {
            let kind = entry.annotations.get(COSIGN_KIND);
            kind.is_some_and(|kind| COSIGN_IMAGE.contains(&kind.as_str()))
        };
        if let Some(name) = self.manifests[place].annotations.get(REF_NAME) {
            let has_name = |entry: &&Descriptor| entry.annotations.get(REF_NAME) == Some(name);
            if let Some(image) = self.manifests.iter().filter(is_image).find(has_name) {
                return Some(image);
            }
        }
        self.manifests[..place].iter().rfind(is_image)
    }
}

/// Returns which of [`attachment::legacy_tags`] an entry of cosign's stands for.
fn cosign_attachment(entry: &Descriptor) -> Option<usize> {
    match entry.annotations.get(COSIGN_KIND)?.as_str() {
        COSIGN_SIGNATURES => Some(0),
        COSIGN_ATTESTATIONS => Some(1),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use stella_bundle::digest::DigestAlgorithm;

    fn entry(content: &str, annotations: &[(&str, &str)]) -> Descriptor {
        let digest = DigestAlgorithm::Sha256.digest(content.as_bytes());
        let mut entry = Descriptor::new(media::MANIFEST, digest, content.len() as u64);
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        entry.annotations = annotations.iter().map(owned).collect();
        entry
    }

    fn index(manifests: Vec<Descriptor>) -> Index {
        Index {
            manifests,
            ..Index::empty()
        }
    }

    #[test]
    fn each_tools_names_are_found() {
        let skopeo = entry("a", &[(REF_NAME, "v1")]);
        let docker = entry(
            "b",
            &[
                (REF_NAME, "v2"),
                (CONTAINERD_NAME, "docker.io/library/b:v2"),
            ],
        );
        let podman = entry("c", &[]);
        let index = index(vec![skopeo.clone(), docker.clone(), podman.clone()]);
        let names = index.names();
        assert_eq!(names["v1"], BTreeSet::from([skopeo.digest]));
        assert_eq!(names["docker.io/library/b:v2"], names["v2"]);
        let images = index.images(|_| false);
        assert_eq!(images, ["v1", "v2", &podman.digest.to_string()]);
        assert_eq!(index.images(|digest| *digest == podman.digest).len(), 2);
    }

    #[test]
    fn one_tag_of_two_images_falls_back_to_the_whole_name() {
        let one = entry("a", &[(REF_NAME, "v1"), (CONTAINERD_NAME, "x.io/a:v1")]);
        let other = entry("b", &[(REF_NAME, "v1"), (CONTAINERD_NAME, "x.io/b:v1")]);
        let index = index(vec![one, other]);
        assert_eq!(index.names()["v1"].len(), 2);
        assert_eq!(index.images(|_| false), ["x.io/a:v1", "x.io/b:v1"]);
    }

    #[test]
    fn what_cosign_saved_has_the_tags_of_a_registry() {
        for name in [&[][..], &[(REF_NAME, "x.io/a:v1")]] {
            let cosign = |content, kind| {
                let mut entry = entry(content, name);
                entry.annotations.insert(
                    COSIGN_KIND.into(),
                    format!("dev.cosignproject.cosign/{kind}"),
                );
                entry
            };
            let image = cosign("image", "imageIndex");
            let index = index(vec![
                image.clone(),
                cosign("signatures", "sigs"),
                cosign("attestations", "atts"),
            ]);
            let names = index.names();
            let [signatures, attestations, _] = attachment::legacy_tags(&image.digest);
            let content = |name: &str| DigestAlgorithm::Sha256.digest(name.as_bytes());
            assert_eq!(names[&signatures], BTreeSet::from([content("signatures")]));
            assert_eq!(
                names[&attestations],
                BTreeSet::from([content("attestations")])
            );
            assert_eq!(index.images(|_| false).len(), 1);
        }
    }

    #[test]
    fn a_name_moves_and_foreign_words_stay() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{}],"annotations":{{"x":"y"}}}}"#,
            serde_json::to_string(&entry("a", &[(REF_NAME, "v1")])).unwrap()
        );
        let mut index = Index::parse(text.as_bytes()).unwrap();
        let new = entry("b", &[]);
        assert!(index.apply(&Change::Tag("v1".into(), new.clone())));
        assert!(!index.apply(&Change::Tag("v1".into(), new.clone())));
        assert!(!index.apply(&Change::Attach(new.clone())));
        assert!(index.apply(&Change::Attach(entry("c", &[]))));
        assert_eq!(
            index.names(),
            Names::from([("v1".into(), BTreeSet::from([new.digest]))])
        );
        assert!(
            String::from_utf8(index.to_bytes())
                .unwrap()
                .contains(r#""annotations":{"x":"y"}"#)
        );
    }
}
