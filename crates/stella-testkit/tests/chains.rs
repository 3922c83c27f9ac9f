//! Authorities that share a root: a key that was retired does not come back through its successor's entry.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use stella_bundle::certificate::Certificate;
use stella_bundle::chain::ChainError;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::trusted_root::{
    CertificateAuthority, CertificateChain, RawCertificate, TimeRange, TrustedRoot,
};
use stella_bundle::verify::{Trust, VerifyError, answer};
use stella_testkit::forge::{self, Certified, DAY, NOW, SIGNER, YEAR};

const MESSAGE: &[u8] = b"a signature";

fn root() -> Certified {
    Certified::root("root", KeyDetails::EcdsaP256Sha256)
}

/// Issues a leaf.
fn leaf_below(issuer: &Certified) -> Certificate {
    let key = forge::key(KeyDetails::EcdsaP256Sha256);
    forge::parsed(&forge::certificate::leaf(&key, issuer, &SIGNER).sign(&issuer.key))
}

/// Stamps [`MESSAGE`]; the authority's certificate comes along.
fn stamp(authority: &Certified) -> SignedTimestamp {
    SignedTimestamp::parse(&forge::stamp(authority, MESSAGE, NOW)).unwrap()
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
    let root = root();
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
        let leaf = leaf_below(issuer);
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
    let root = root();
    let (old, new) = (
        Certified::timestamping("old", &root),
        Certified::timestamping("new", &root),
    );
    let (begin, end) = (NOW.minus(YEAR), NOW.minus(DAY));
    let retired = entry(&[&old, &root], begin, Some(end));
    let current = entry(&[&new, &root], begin, None);
    let both = trust(Vec::new(), vec![retired, current.clone()]);
    let only_new = trust(Vec::new(), vec![current]);
    let stamped =
        |trust: &Trust, signer: &Certified| answer::timestamp(trust, &stamp(signer), MESSAGE);
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
