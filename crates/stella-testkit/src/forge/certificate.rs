//! Certificates of any shape, good or bad: a sketch holds every field, and is signed as it stands.

use const_oid::ObjectIdentifier;
use stella_bundle::asn1::{self, tag};
use stella_bundle::certificate::{
    AUTHORITY_KEY_IDENTIFIER, BASIC_CONSTRAINTS, CODE_SIGNING, Certificate, Claim,
    EXTENDED_KEY_USAGE, KEY_USAGE, SCT_LIST, SUBJECT_ALTERNATIVE_NAME, SUBJECT_KEY_IDENTIFIER,
    TIME_STAMPING,
};
use stella_bundle::issue::certificate::Name;
use stella_bundle::issue::sct::{SctTemplate, leaf_index};
use stella_bundle::key::{ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, KeyDetails, sha256};
use stella_bundle::sct::{self, Sct};
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, Signer};

use super::{NOW, YEAR};

/// KeyUsage digitalSignature, DER content of the BIT STRING.
pub const DIGITAL_SIGNATURE: [u8; 2] = [0x07, 0x80];
/// KeyUsage keyAgreement.
pub const KEY_AGREEMENT: [u8; 2] = [0x03, 0x08];
/// KeyUsage keyCertSign and cRLSign.
pub const CERTIFICATE_SIGN: [u8; 2] = [0x01, 0x06];

/// A key with its certificate.
#[derive(Debug)]
pub struct Certified {
    /// The key.
    pub key: EphemeralKey,
    /// The certificate.
    pub certificate: Certificate,
}

/// One extension of a sketch.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Content octets of its OID.
    pub id: Vec<u8>,
    /// Whether who does not know it must refuse.
    pub critical: bool,
    /// DER of its value.
    pub value: Vec<u8>,
}

impl Extension {
    /// Returns an extension.
    #[must_use]
    pub fn new(id: &ObjectIdentifier, critical: bool, value: Vec<u8>) -> Self {
        Self {
            id: id.as_bytes().to_vec(),
            critical,
            value,
        }
    }

    /// Returns keyUsage with these bits.
    #[must_use]
    pub fn key_usage(bits: [u8; 2]) -> Self {
        Self::new(&KEY_USAGE, true, asn1::tlv(tag::BIT_STRING, &bits))
    }

    /// Returns extKeyUsage with one purpose.
    #[must_use]
    pub fn purpose(purpose: &ObjectIdentifier, critical: bool) -> Self {
        let value = asn1::sequence(&[&asn1::oid(purpose)]);
        Self::new(&EXTENDED_KEY_USAGE, critical, value)
    }

    /// Returns basicConstraints of a CA.
    #[must_use]
    pub fn authority(path_length: Option<u64>) -> Self {
        let length = path_length.map(asn1::small).unwrap_or_default();
        let value = asn1::sequence(&[&asn1::boolean(true), &length]);
        Self::new(&BASIC_CONSTRAINTS, true, value)
    }

    /// Returns subjectAltName with these URIs.
    #[must_use]
    pub fn uris(uris: &[&str]) -> Self {
        let name = |uri: &&str| asn1::tlv(tag::context_primitive(6), uri.as_bytes());
        let names: Vec<u8> = uris.iter().flat_map(name).collect();
        let value = asn1::tlv(tag::SEQUENCE, &names);
        Self::new(&SUBJECT_ALTERNATIVE_NAME, true, value)
    }

    /// Returns subjectKeyIdentifier for a key.
    // spec: RFC 5280 §4.2.1.2, required of authorities; the identifier is that of RFC 7093 §2 (1).
    #[must_use]
    pub fn subject_key(spki: &[u8]) -> Self {
        let value = asn1::octet_string(&sha256(spki)[..20]);
        Self::new(&SUBJECT_KEY_IDENTIFIER, false, value)
    }

    /// Returns authorityKeyIdentifier for the issuer's key.
    // spec: RFC 5280 §4.2.1.1, required of all that are not self-signed.
    #[must_use]
    pub fn authority_key(spki: &[u8]) -> Self {
        let identifier = asn1::tlv(tag::context_primitive(0), &sha256(spki)[..20]);
        let value = asn1::sequence(&[&identifier]);
        Self::new(&AUTHORITY_KEY_IDENTIFIER, false, value)
    }

    /// Returns one of Fulcio's extensions.
    #[must_use]
    pub fn claim(claim: Claim, text: &str) -> Self {
        let value = if claim.is_raw() {
            text.as_bytes().to_vec()
        } else {
            asn1::utf8_string(text)
        };
        Self {
            id: claim.id().to_vec(),
            critical: false,
            value,
        }
    }

    fn to_der(&self) -> Vec<u8> {
        let critical = if self.critical {
            asn1::boolean(true)
        } else {
            Vec::new()
        };
        let value = asn1::octet_string(&self.value);
        asn1::sequence(&[&asn1::tlv(tag::OID, &self.id), &critical, &value])
    }
}

/// A certificate before its signature.
#[derive(Clone, Debug)]
pub struct Sketch {
    /// The issuer's name in DER.
    pub issuer: Vec<u8>,
    /// Its own name in DER.
    pub subject: Vec<u8>,
    /// Its key's SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// How the issuer's key signs.
    pub algorithm: KeyDetails,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
    /// The extensions, in order.
    pub extensions: Vec<Extension>,
}

impl Sketch {
    /// Returns a certificate without extensions, for ten years around [`NOW`].
    #[must_use]
    pub fn new(name: &str, key: &dyn Signer, issuer: &[u8], algorithm: KeyDetails) -> Self {
        Self {
            issuer: issuer.to_vec(),
            subject: Name::new("forge", name).to_der().to_vec(),
            spki: key.public_key().spki().to_vec(),
            algorithm,
            not_before: NOW.minus(YEAR * 5),
            not_after: NOW.plus(YEAR * 5),
            extensions: Vec::new(),
        }
    }

    /// Replaces the extension of the same id, or adds it.
    pub fn put(&mut self, extension: Extension) {
        self.drop_extension(&extension.id);
        self.extensions.push(extension);
    }

    /// Removes an extension by the content octets of its id.
    pub fn drop_extension(&mut self, id: &[u8]) {
        self.extensions.retain(|each| each.id != id);
    }

    /// Returns the TBSCertificate.
    #[must_use]
    pub fn to_be_signed(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::to_der).collect();
        // The precertificate has the same number, so it cannot depend on the extensions.
        let serial = &sha256(&self.spki)[..16];
        asn1::sequence(&[
            &asn1::explicit(0, &asn1::small(2)),
            &asn1::unsigned(serial),
            &self.algorithm(),
            &self.issuer,
            &asn1::sequence(&[
                &asn1::x509_time(self.not_before),
                &asn1::x509_time(self.not_after),
            ]),
            &self.subject,
            &self.spki,
            &asn1::explicit(3, &asn1::tlv(tag::SEQUENCE, &extensions)),
        ])
    }

    fn algorithm(&self) -> Vec<u8> {
        let oid = match self.algorithm {
            KeyDetails::EcdsaP384Sha384 => ECDSA_WITH_SHA384,
            _ => ECDSA_WITH_SHA256,
        };
        asn1::sequence(&[&asn1::oid(&oid)])
    }

    /// Returns the certificate, signed by a key of the sketch's algorithm.
    ///
    /// # Panics
    /// When the key does not sign.
    #[must_use]
    pub fn sign(&self, issuer: &dyn Signer) -> Vec<u8> {
        let to_be_signed = self.to_be_signed();
        let signature = super::sign(issuer, &to_be_signed);
        asn1::sequence(&[
            &to_be_signed,
            &self.algorithm(),
            &asn1::bit_string(&signature),
        ])
    }
}

impl Certified {
    /// Returns a self-signed root with a key of this kind, P-256 or P-384; what is below it has the same.
    #[must_use]
    pub fn root(name: &str, algorithm: KeyDetails) -> Self {
        Self::with_key(super::key(algorithm), name, None, |sketch| {
            sketch.extensions = vec![
                Extension::key_usage(CERTIFICATE_SIGN),
                Extension::authority(None),
            ];
        })
    }

    /// Returns an intermediate that issues code-signing certificates.
    #[must_use]
    pub fn intermediate(name: &str, root: &Self) -> Self {
        Self::new(name, root, |sketch| {
            sketch.extensions = vec![
                Extension::key_usage(CERTIFICATE_SIGN),
                Extension::purpose(&CODE_SIGNING, false),
                Extension::authority(Some(0)),
            ];
        })
    }

    /// Returns a timestamp authority on P-256: sigstore-verify reads no SHA-256 token of another curve.
    #[must_use]
    pub fn timestamping(name: &str, root: &Self) -> Self {
        let key = super::key(KeyDetails::EcdsaP256Sha256);
        Self::with_key(key, name, Some(root), |sketch| {
            sketch.extensions = vec![
                Extension::key_usage(DIGITAL_SIGNATURE),
                Extension::purpose(&TIME_STAMPING, true),
            ];
        })
    }

    /// Returns the id of the key, 32 bytes.
    #[must_use]
    pub fn key_id(&self) -> [u8; 32] {
        self.key.public_key().key_id()
    }

    /// Returns a timestamp authority and its root, both on this curve and for fifty years.
    #[must_use]
    pub fn lasting_authority(name: &str, algorithm: KeyDetails) -> (Self, Self) {
        let lasting = |sketch: &mut Sketch| sketch.not_after = NOW.plus(YEAR * 50);
        let root = Self::with_key(super::key(algorithm), name, None, |sketch| {
            lasting(sketch);
            sketch.extensions = vec![
                Extension::key_usage(CERTIFICATE_SIGN),
                Extension::authority(None),
            ];
        });
        let authority = Self::new(&format!("{name} signer"), &root, |sketch| {
            lasting(sketch);
            sketch.extensions = vec![
                Extension::key_usage(DIGITAL_SIGNATURE),
                Extension::purpose(&TIME_STAMPING, true),
            ];
        });
        (authority, root)
    }

    /// Returns a key with a certificate of any shape below an issuer.
    ///
    /// # Panics
    /// When what was sketched is not even a certificate.
    #[must_use]
    pub fn new(name: &str, issuer: &Self, shape: impl FnOnce(&mut Sketch)) -> Self {
        let key = super::key(issuer.key.details());
        Self::with_key(key, name, Some(issuer), shape)
    }

    fn with_key(
        key: EphemeralKey,
        name: &str,
        issuer: Option<&Self>,
        shape: impl FnOnce(&mut Sketch),
    ) -> Self {
        let own = Name::new("forge", name);
        let above = issuer.map_or(own.to_der(), |issuer| issuer.certificate.subject());
        let algorithm = issuer.map_or(key.details(), |issuer| issuer.key.details());
        let mut sketch = Sketch::new(name, &key, above, algorithm);
        shape(&mut sketch);
        sketch.put(Extension::subject_key(key.public_key().spki()));
        if let Some(issuer) = issuer {
            let spki = issuer.key.public_key().spki();
            sketch.put(Extension::authority_key(spki));
        }
        let der = sketch.sign(issuer.map_or(&key, |issuer| &issuer.key));
        Self {
            certificate: super::parsed(&der),
            key,
        }
    }
}

/// Returns the sketch of a ten-minute certificate for `key`, issued a minute before [`NOW`].
#[must_use]
pub fn leaf(key: &dyn Signer, issuer: &Certified, identity: &super::Identity) -> Sketch {
    let above = issuer.certificate.subject();
    let mut sketch = Sketch::new("", key, above, issuer.key.details());
    sketch.subject = Name::empty().to_der().to_vec();
    sketch.not_before = NOW.minus(std::time::Duration::from_secs(60));
    sketch.not_after = NOW.plus(std::time::Duration::from_secs(540));
    sketch.extensions = vec![
        Extension::key_usage(DIGITAL_SIGNATURE),
        Extension::purpose(&CODE_SIGNING, false),
        Extension::subject_key(key.public_key().spki()),
        Extension::authority_key(issuer.key.public_key().spki()),
        Extension::uris(&[identity.name]),
        Extension::claim(Claim::IssuerV1, identity.issuer),
        Extension::claim(Claim::Issuer, identity.issuer),
        Extension::claim(Claim::TokenSubject, identity.subject),
    ];
    sketch
}

/// Returns the SCT that a CT log gives for a sketch, the day before or now.
#[must_use]
pub fn promise(sketch: &Sketch, issuer: &Certified, log: &dyn Signer, number: u64) -> Sct {
    let template = SctTemplate {
        timestamp: sketch.not_before,
        issuer_key_hash: sha256(issuer.key.public_key().spki()),
        tbs_certificate: sketch.to_be_signed(),
        extensions: leaf_index(number),
    };
    let signature = super::sign(log, &template.to_be_signed());
    template.assemble(log.public_key().key_id(), signature)
}

/// Returns the extension that carries SCTs.
#[must_use]
pub fn sct_list(scts: &[Sct]) -> Extension {
    let list = asn1::octet_string(&sct::list_to_bytes(scts));
    Extension::new(&SCT_LIST, false, list)
}
