//! Authorities that share a root: a key that was retired does not come back through its successor's entry.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use const_oid::ObjectIdentifier;
use stella_bundle::certificate::{AlternativeName, Certificate};
use stella_bundle::chain::ChainError;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::issue::certificate::{Authority, CertificateTemplate, Name, Serial, Subject};
use stella_bundle::issue::timestamp::{self, TimestampInfo, TimestampTemplate};
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::trusted_root::{
    CertificateAuthority, CertificateChain, RawCertificate, TimeRange, TrustedRoot,
};
use stella_bundle::verify::{Trust, VerifyError, answer};
use stella_keys::{EphemeralKey, Signer as _};

const DETAILS: KeyDetails = KeyDetails::EcdsaP256Sha256;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
const MESSAGE: &[u8] = b"a signature";

/// A key with its certificate.
struct Certified {
    key: EphemeralKey,
    certificate: Certificate,
}

impl Certified {
    fn root() -> Self {
        Self::new("root", None, |subject, _| {
            CertificateTemplate::root(subject, DETAILS).unwrap()
        })
    }

    fn intermediate(name: &str, root: &Self) -> Self {
        Self::new(name, Some(root), |subject, issuer| {
            CertificateTemplate::intermediate(subject, issuer.unwrap()).unwrap()
        })
    }

    fn timestamping(name: &str, root: &Self) -> Self {
        Self::new(name, Some(root), |subject, issuer| {
            CertificateTemplate::timestamping(subject, issuer.unwrap()).unwrap()
        })
    }

    fn signer(issuer: &Self) -> Self {
        let name = AlternativeName::Uri("https://ci.example.com/job".to_owned());
        Self::new("", Some(issuer), |subject, issuer| {
            CertificateTemplate::signer(subject, &name, Vec::new(), issuer.unwrap()).unwrap()
        })
    }

    fn new(
        name: &str,
        issuer: Option<&Self>,
        template: impl FnOnce(Subject, Option<&Authority>) -> CertificateTemplate,
    ) -> Self {
        let key = EphemeralKey::generate(DETAILS).unwrap();
        let mut serial = [7; 20];
        serial[10..].copy_from_slice(&key.public_key().key_id()[..10]);
        let subject = Subject {
            serial: Serial::from_random(serial),
            name: if name.is_empty() {
                Name::empty()
            } else {
                Name::new("test", name)
            },
            public_key: key.public_key().spki().to_vec(),
            not_before: NOW.minus(YEAR),
            not_after: NOW.plus(YEAR),
        };
        let authority = issuer.map(|issuer| Authority {
            name: Name::of(&issuer.certificate),
            public_key: issuer.key.public_key().spki().to_vec(),
            details: DETAILS,
        });
        let template = template(subject, authority.as_ref());
        let signing = issuer.map_or(&key, |issuer| &issuer.key);
        let der = template.assemble(&signing.sign(&template.to_be_signed()).unwrap());
        Self {
            certificate: Certificate::parse(&der).unwrap(),
            key,
        }
    }

    /// Stamps [`MESSAGE`] at [`NOW`], with these certificates beside the token.
    fn stamp(&self, beside: &[&Certificate]) -> SignedTimestamp {
        let digest = DigestAlgorithm::Sha256.digest(MESSAGE);
        let info = TimestampInfo {
            policy: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2"),
            imprint: timestamp::message_imprint(DigestAlgorithm::Sha256, digest.bytes()),
            serial: [1; 16],
            time: NOW,
            nonce: None,
        };
        let template = TimestampTemplate::new(&info, self.certificate.der(), DETAILS).unwrap();
        let signature = self.key.sign(template.to_be_signed()).unwrap();
        let beside: Vec<Vec<u8>> = beside.iter().map(|each| each.der().to_vec()).collect();
        let token = template.assemble(&signature, &beside);
        SignedTimestamp::parse(&timestamp::granted(&token)).unwrap()
    }
}

/// An entry of a trusted root: a chain, from when, until when.
fn entry(chain: &[&Certified], start: UnixTime, end: Option<UnixTime>) -> CertificateAuthority {
    let raw = |each: &&Certified| RawCertificate {
        raw_bytes: each.certificate.der().to_vec(),
    };
    CertificateAuthority {
        subject: None,
        uri: "https://authority.example.com".to_owned(),
        cert_chain: CertificateChain {
            certificates: chain.iter().map(raw).collect(),
        },
        valid_for: Some(TimeRange {
            start: Some(start.to_string()),
            end: end.map(|end| end.to_string()),
        }),
        operator: String::new(),
    }
}

fn trust(authorities: Vec<CertificateAuthority>, timestamping: Vec<CertificateAuthority>) -> Trust {
    Trust::new(&TrustedRoot {
        media_type: stella_bundle::trusted_root::MEDIA_TYPE.to_owned(),
        tlogs: Vec::new(),
        certificate_authorities: authorities,
        ctlogs: Vec::new(),
        timestamp_authorities: timestamping,
    })
}

fn is_retired(result: Result<(), VerifyError>) -> bool {
    matches!(
        result,
        Err(VerifyError::Chain(ChainError::AuthorityNotValidAt { .. })
            | VerifyError::TimestampChain {
                error: ChainError::AuthorityNotValidAt { .. },
                ..
            })
    )
}

#[test]
fn a_retired_intermediate_does_not_come_back_inside_a_bundle() {
    let root = Certified::root();
    let (old, new) = (
        Certified::intermediate("old", &root),
        Certified::intermediate("new", &root),
    );
    let (begin, end) = (NOW.minus(YEAR), NOW.minus(DAY));
    let trust = trust(
        vec![
            entry(&[&old, &root], begin, Some(end)),
            entry(&[&new, &root], begin, None),
        ],
        Vec::new(),
    );
    let issued = |issuer: &Certified, beside: &[Certificate]| {
        let leaf = Certified::signer(issuer).certificate;
        answer::certificate_path(&trust, &leaf, beside, NOW).map(|_| ())
    };
    assert_eq!(issued(&new, &[]), Ok(()));
    assert!(is_retired(issued(&old, &[])));
    assert!(is_retired(issued(
        &old,
        std::slice::from_ref(&old.certificate)
    )));
    // One that the trusted root does not list is the authority's own business.
    let unlisted = Certified::intermediate("unlisted", &root);
    assert_eq!(
        issued(&unlisted, std::slice::from_ref(&unlisted.certificate)),
        Ok(())
    );
}

#[test]
fn a_retired_timestamp_key_does_not_sign_under_its_successors_entry() {
    let root = Certified::root();
    let (old, new) = (
        Certified::timestamping("old", &root),
        Certified::timestamping("new", &root),
    );
    let (begin, end) = (NOW.minus(YEAR), NOW.minus(DAY));
    let retired = entry(&[&old, &root], begin, Some(end));
    let current = entry(&[&new, &root], begin, None);
    let both = trust(Vec::new(), vec![retired, current.clone()]);
    let only_new = trust(Vec::new(), vec![current]);
    let stamped = |trust: &Trust, signer: &Certified| {
        let token = signer.stamp(&[&signer.certificate, &root.certificate]);
        answer::timestamp(trust, &token, MESSAGE)
    };
    assert!(stamped(&both, &new).unwrap().is_some());
    assert!(is_retired(stamped(&both, &old).map(|_| ())));
    assert_eq!(
        stamped(&only_new, &old),
        Ok(None),
        "a key that is not listed is unknown"
    );
    // An entry that lists the authority alone speaks for every key below it.
    let below_root = trust(Vec::new(), vec![entry(&[&root], begin, None)]);
    assert!(stamped(&below_root, &old).unwrap().is_some());
}
