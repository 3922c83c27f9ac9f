//! How cosign before v3 kept signatures and attestations of an image: layers of another image, under a tag that names the
//! first one's digest.
//!
//! Container engines, OpenShift and older policy engines read nothing else.

use std::collections::BTreeMap;

use serde_json::json;
use stella_bundle::digest::{Digest, DigestAlgorithm};

use super::manifest::{Descriptor, Manifest, ManifestKind, media};

/// The type of a layer that holds what a simple signature is over.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The type of a layer that holds a DSSE envelope.
pub const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// Annotations of a layer.
pub mod annotation {
    /// The log's promise, as JSON of cosign.
    pub const BUNDLE: &str = "dev.sigstore.cosign/bundle";
    /// The signer's certificate in PEM.
    pub const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
    /// The certificates above it in PEM.
    pub const CHAIN: &str = "dev.sigstore.cosign/chain";
    /// The type of an attestation's predicate.
    pub const PREDICATE_TYPE: &str = "predicateType";
    /// The signature in base64; empty for an envelope, which has its own.
    pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
    /// The timestamp, as JSON of cosign.
    pub const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
}

/// A signature or an attestation: a layer and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyLayer {
    /// Its type, digest, size and annotations.
    pub descriptor: Descriptor,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl LegacyLayer {
    /// Makes a layer of this type.
    #[must_use]
    pub fn new(media_type: &str, bytes: Vec<u8>, annotations: BTreeMap<String, String>) -> Self {
        let digest = DigestAlgorithm::Sha256.digest(&bytes);
        let mut descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        descriptor.annotations = annotations;
        Self { descriptor, bytes }
    }
}

/// Returns what a simple signature of an image is over; `repository` is its name with registry.
// spec: containers/image, `docs/atomic-signature.md`; cosign, `specs/SIGNATURE_SPEC.md`
#[must_use]
pub fn simple_signing(repository: &str, image: &Digest) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": image.to_string()},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

/// Returns the manifest with one layer more, and its configuration; none when the layer is in it already. What is not
/// such an image is begun anew by nobody: `None` for `present` means that there is nothing.
#[must_use]
pub fn with_layer(present: Option<&Manifest>, layer: &Descriptor) -> Option<(Manifest, Vec<u8>)> {
    let mut layers = present.map_or(Vec::new(), |manifest| manifest.layers().to_vec());
    if layers.contains(layer) {
        return None;
    }
    layers.push(layer.clone());
    // Layers are not compressed, so that each is its own `diff_id`.
    let ids: Vec<String> = layers.iter().map(|each| each.digest.to_string()).collect();
    let configuration = json!({
        "architecture": "", "os": "", "config": {}, "created": "0001-01-01T00:00:00Z",
        "rootfs": {"type": "layers", "diff_ids": ids},
    })
    .to_string()
    .into_bytes();
    let digest = DigestAlgorithm::Sha256.digest(&configuration);
    let config = Descriptor::new(media::CONFIG, digest, configuration.len() as u64);
    let manifest = Manifest {
        media_type: media::MANIFEST.to_owned(),
        artifact_type: None,
        kind: ManifestKind::Image { config, layers },
        subject: None,
        annotations: present.map_or_else(BTreeMap::new, |manifest| manifest.annotations.clone()),
    };
    Some((manifest, configuration))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_added_once_and_what_is_there_stays() {
        let layer = |text: &str| {
            let annotations = BTreeMap::from([(annotation::SIGNATURE.to_owned(), text.to_owned())]);
            LegacyLayer::new(SIMPLE_SIGNING, b"payload".to_vec(), annotations).descriptor
        };
        let (first, _) = with_layer(None, &layer("one")).unwrap();
        // The same content with another signature is another layer.
        let (second, config) = with_layer(Some(&first), &layer("two")).unwrap();
        assert_eq!(second.layers(), [layer("one"), layer("two")]);
        assert!(with_layer(Some(&second), &layer("one")).is_none());
        let ids = String::from_utf8(config).unwrap();
        assert_eq!(ids.matches(&layer("").digest.to_string()).count(), 2);
    }

    #[test]
    fn what_is_signed_is_the_words_of_container_engines() {
        let image = DigestAlgorithm::Sha256.digest(b"image");
        let payload = simple_signing("registry.example/org/app", &image);
        let expected = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"registry.example/org/app"}},"image":{{"docker-manifest-digest":"{image}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        assert_eq!(String::from_utf8(payload).unwrap(), expected);
    }
}
