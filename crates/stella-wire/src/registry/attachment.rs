//! How an attestation is attached to an image: the manifest that cosign v3 writes, and the tags that stand in where a
//! registry lists no referrers.
//!
//! Whatever a manifest or a list says here is a hint to find bundles by; only the bundle is evidence.

use std::collections::BTreeMap;

use stella_bundle::digest::{Digest, DigestAlgorithm};

use super::manifest::{Descriptor, Manifest, ManifestKind, media};

/// The type of a bundle, as artifact and as layer, that clients write today.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// How the type of a bundle of any version begins.
const BUNDLE_FAMILY: &str = "application/vnd.dev.sigstore.bundle";

/// The annotation that says when the manifest was made, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// The annotation that says what the bundle holds.
pub const CONTENT: &str = "dev.sigstore.bundle.content";
/// Its value for statements.
pub const DSSE_ENVELOPE: &str = "dsse-envelope";
/// The annotation that names the predicate's type.
pub const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// Bundles up to this size in bytes also stand in the manifest itself, so that who lists needs one request less.
pub const MAX_INLINE: usize = 64 << 10;

/// The content of the empty configuration.
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// How many hex digits of the attestation's digest stand in its own tag.
const OWN_TAG_DIGITS: usize = 16;

/// A bundle on its way to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What it is attached to.
    pub subject: Descriptor,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// How lists show the manifest.
    pub descriptor: Descriptor,
    /// The bundle's digest.
    pub bundle: Digest,
}

impl Attachment {
    /// Makes the manifest of a bundle with a statement; `created` is RFC 3339 in UTC.
    #[must_use]
    pub fn new(subject: &Descriptor, bundle: &[u8], predicate_type: &str, created: &str) -> Self {
        let digest = DigestAlgorithm::Sha256.digest(bundle);
        let mut layer = Descriptor::new(BUNDLE, digest.clone(), bundle.len() as u64);
        if bundle.len() <= MAX_INLINE {
            let data = stella_bundle::json::encode_base64(bundle);
            layer.rest.insert("data".to_owned(), data.into());
        }
        // cosign's `clean` looks for the artifact type here.
        let mut config = empty_config();
        config.artifact_type = Some(BUNDLE.to_owned());
        let annotations = BTreeMap::from([
            (CREATED.to_owned(), created.to_owned()),
            (CONTENT.to_owned(), DSSE_ENVELOPE.to_owned()),
            (PREDICATE_TYPE.to_owned(), predicate_type.to_owned()),
        ]);
        let subject = Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size);
        let manifest = Manifest {
            media_type: media::MANIFEST.to_owned(),
            artifact_type: Some(BUNDLE.to_owned()),
            kind: ManifestKind::Image {
                config,
                layers: vec![layer],
            },
            subject: Some(subject.clone()),
            annotations,
        };
        let bytes = manifest.to_bytes();
        let own = DigestAlgorithm::Sha256.digest(&bytes);
        Self {
            subject,
            descriptor: as_listed(&manifest, own, bytes.len() as u64),
            manifest: bytes,
            bundle: digest,
        }
    }
}

/// Returns the descriptor of the empty configuration.
#[must_use]
pub fn empty_config() -> Descriptor {
    let digest = DigestAlgorithm::Sha256.digest(EMPTY_CONFIG);
    Descriptor::new(media::EMPTY, digest, EMPTY_CONFIG.len() as u64)
}

/// Returns how a list of referrers shows a manifest: with its artifact type and its annotations.
// spec: distribution spec, "Listing referrers".
#[must_use]
pub fn as_listed(manifest: &Manifest, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        artifact_type: manifest.listed_type().map(str::to_owned),
        annotations: manifest.annotations.clone(),
        ..Descriptor::new(&manifest.media_type, digest, size)
    }
}

/// Says whether a media or artifact type is that of a bundle, of any version.
#[must_use]
pub fn is_bundle(media_type: &str) -> bool {
    media_type.starts_with(BUNDLE_FAMILY)
}

/// Returns the tag under which a registry without the referrers list keeps an index of referrers.
// spec: distribution spec, "Referrers Tag Schema".
#[must_use]
pub fn fallback_tag(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm().name(), subject.hex())
}

/// Returns the tag that one attestation has for itself, so that concurrent writers never meet and no garbage collection
/// takes it: `sha256-<subject>.<16 hex digits of the attestation's manifest>`.
#[must_use]
pub fn own_tag(subject: &Digest, attestation: &Digest) -> String {
    let digits = &attestation.hex()[..OWN_TAG_DIGITS];
    format!("{}.{digits}", fallback_tag(subject))
}

/// Says whether a tag is an own tag of some attestation of `subject`.
#[must_use]
pub fn is_own_tag(tag: &str, subject: &Digest) -> bool {
    let digits = tag
        .strip_prefix(&fallback_tag(subject))
        .and_then(|rest| rest.strip_prefix('.'));
    digits.is_some_and(|digits| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        digits.len() == OWN_TAG_DIGITS && digits.bytes().all(is_hex)
    })
}

/// Returns what a tag of attachments is about: an own tag, the tag of an index of referrers, or one of cosign before v3.
#[must_use]
pub fn tag_subject(tag: &str) -> Option<Digest> {
    let name = tag.split('.').next().unwrap_or_default();
    let (algorithm, digits) = name.split_once('-')?;
    let subject = Digest::from_hex(DigestAlgorithm::from_name(algorithm)?, digits)?;
    let is_one =
        tag == name || is_own_tag(tag, &subject) || legacy_tags(&subject).contains(&tag.to_owned());
    is_one.then_some(subject)
}

/// Returns the tags of cosign before v3: signatures, attestations, SBOMs.
#[must_use]
pub fn legacy_tags(subject: &Digest) -> [String; 3] {
    let tag = fallback_tag(subject);
    [
        format!("{tag}.sig"),
        format!("{tag}.att"),
        format!("{tag}.sbom"),
    ]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn subject() -> Descriptor {
        Descriptor::new(media::MANIFEST, DigestAlgorithm::Sha256.digest(b"image"), 5)
    }

    #[test]
    fn the_manifest_is_cosigns() {
        let attachment =
            Attachment::new(&subject(), b"[]", "https://e.x/p", "2026-01-02T03:04:05Z");
        let subject = subject().digest;
        let expected = format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""config":{{"mediaType":"application/vnd.oci.empty.v1+json","#,
                r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"#,
                r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"}},"#,
                r#""layers":[{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","#,
                r#""digest":"{bundle}","size":2,"data":"W10="}}],"#,
                r#""annotations":{{"dev.sigstore.bundle.content":"dsse-envelope","#,
                r#""dev.sigstore.bundle.predicateType":"https://e.x/p","#,
                r#""org.opencontainers.image.created":"2026-01-02T03:04:05Z"}},"#,
                r#""subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":5}},"#,
                r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"}}"#
            ),
            bundle = attachment.bundle,
            subject = subject,
        );
        assert_eq!(
            String::from_utf8(attachment.manifest.clone()).unwrap(),
            expected
        );
        let read = Manifest::parse(&attachment.manifest, media::MANIFEST).unwrap();
        assert_eq!(read.layers()[0].data().unwrap(), b"[]");
        assert_eq!(attachment.descriptor.artifact_type.as_deref(), Some(BUNDLE));
        assert_eq!(attachment.descriptor.annotations, read.annotations);
    }

    #[test]
    fn own_tags_are_told_from_all_others() {
        let subject = subject().digest;
        let other = DigestAlgorithm::Sha256.digest(b"x");
        let own = own_tag(&subject, &other);
        assert!(super::super::reference::is_tag(&own) && is_own_tag(&own, &subject));
        assert!(!is_own_tag(&own, &other));
        assert!(!is_own_tag(&fallback_tag(&subject), &subject));
        for tag in legacy_tags(&subject) {
            assert!(!is_own_tag(&tag, &subject), "{tag}");
            assert_eq!(tag_subject(&tag), Some(subject.clone()));
        }
        assert_eq!(tag_subject(&own), Some(subject.clone()));
        assert_eq!(tag_subject(&fallback_tag(&subject)), Some(subject.clone()));
        for tag in [
            "v1",
            "sha256-00",
            &format!("{own}x"),
            &format!("{}-x", fallback_tag(&subject)),
        ] {
            assert_eq!(tag_subject(tag), None, "{tag}");
        }
    }
}
