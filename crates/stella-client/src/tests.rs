//! Answers that are used, and those that are refused: by their error's variant, never by its text.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use stella_bundle::certificate::Certificate;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::{EntryVerifier, HashedRekord, LogEntry};
use stella_bundle::key::KeyDetails;
use stella_bundle::signing_config::{ClientTrustConfig, SigningConfig};
use stella_bundle::verify::{BodyPart, EntryError, SctRule, VerifyError};
use stella_keys::{EphemeralKey, Signer as _};
use stella_wire::problem::{Code, Problem};
use stella_wire::transport::{Transport, TransportError};

use crate::error::*;
use crate::fulcio::{CertificateDemands, Fulcio, SigningCertificate};
use crate::retry::{RetryPolicy, Retrying};
use crate::scripted::*;
use crate::tsa::{Nonce, Timestamp, Tsa};
use crate::{Rekor, trust};

fn certificate_with(
    site: &Site,
    transport: &dyn Transport,
    change: impl FnOnce(&mut CertificateDemands<'_>),
) -> Result<SigningCertificate, ClientError> {
    let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
    let trust = site.trust();
    let mut demands = CertificateDemands {
        trust: &trust,
        root_bundle: None,
        sct: SctRule::Require,
        now: NOW,
    };
    change(&mut demands);
    let fulcio = Fulcio::new(&format!("{BASE}/"));
    run(fulcio.certificate(transport, &key, &token(), &demands))
}

fn certificate(flaw: Flaw) -> Result<SigningCertificate, ClientError> {
    let site = Site::new();
    let transport = Answering(|request: &_| site.answer(request, flaw));
    certificate_with(&site, &transport, |_| {})
}

#[test]
fn a_certificate_for_our_key_and_identity_is_used() {
    let certificate = certificate(Flaw::None).unwrap();
    assert_eq!(certificate.leaf.oidc_issuer(), Some(ISSUER));
    // The root stays out: bundles must not carry it.
    assert_eq!(certificate.intermediates.len(), 1);
    self::certificate(Flaw::SlightlyAhead).unwrap();
}

#[test]
fn each_flaw_of_a_certificate_is_refused_by_name() {
    use CertificateProblem as P;
    let check = |flaw: Flaw, class: ErrorClass, is_it: fn(&P) -> bool| {
        let error = certificate(flaw).unwrap_err();
        assert_eq!(error.class(), class, "{flaw:?}: {error}");
        assert!(!error.is_transient());
        let ClientError::Certificate(problem) = error else {
            panic!("{flaw:?}: {error:?}")
        };
        assert!(is_it(&problem), "{flaw:?}: {problem:?}");
    };
    check(Flaw::AnotherKey, ErrorClass::Chain, |problem| {
        *problem == P::KeyMismatch
    });
    check(Flaw::AnotherRoot, ErrorClass::Chain, |problem| {
        matches!(problem, P::Chain(_))
    });
    check(Flaw::ExpiredCertificate, ErrorClass::Chain, |problem| {
        matches!(problem, P::NotValidNow { .. })
    });
    check(Flaw::AnotherIssuer, ErrorClass::Identity, |problem| {
        matches!(
            problem,
            P::IdentityMismatch {
                part: IdentityPart::Issuer,
                ..
            }
        )
    });
    check(Flaw::AnotherSubject, ErrorClass::Identity, |problem| {
        let P::IdentityMismatch {
            part,
            expected,
            found,
        } = problem
        else {
            return false;
        };
        (*part, expected.as_str(), found.as_str())
            == (IdentityPart::TokenSubject, SUBJECT, "another")
    });
    check(Flaw::NoSct, ErrorClass::Log, |problem| {
        matches!(problem, P::Untrusted(VerifyError::NotEnoughScts { .. }))
    });
    check(Flaw::BadSct, ErrorClass::Log, |problem| {
        matches!(problem, P::Untrusted(VerifyError::Sct(_)))
    });
}

#[test]
fn the_sct_may_be_left_out_of_the_check_and_nothing_else() {
    let site = Site::new();
    let with = |flaw| {
        let transport = Answering(|request: &_| site.answer(request, flaw));
        certificate_with(&site, &transport, |demands| {
            demands.sct = SctRule::WithoutSctUnsafe
        })
    };
    assert!(with(Flaw::NoSct).is_ok());
    assert!(with(Flaw::AnotherRoot).is_err());
}

#[test]
fn a_root_bundle_narrows_the_trusted_root() {
    let (site, other) = (Site::new(), Site::new());
    let transport = Answering(|request: &_| site.answer(request, Flaw::None));
    let with = |root: &[u8]| {
        let bundle = [Certificate::parse(root).unwrap()];
        let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
        let trust = site.trust();
        let demands = CertificateDemands {
            trust: &trust,
            root_bundle: Some(&bundle),
            sct: SctRule::Require,
            now: NOW,
        };
        run(Fulcio::new(BASE).certificate(&transport, &key, &token(), &demands)).map(|_| ())
    };
    assert_eq!(with(&site.root_certificate), Ok(()));
    assert!(matches!(
        with(&other.root_certificate),
        Err(ClientError::Certificate(
            CertificateProblem::AnchorNotInRootBundle { .. }
        ))
    ));
}

#[test]
fn refused_and_unavailable_never_mix() {
    let check = |answer: Result<_, TransportError>, class: ErrorClass, transient: bool| {
        let site = Site::new();
        let error = certificate_with(&site, &Script::new([answer]), |_| {}).unwrap_err();
        assert_eq!(
            (error.class(), error.is_transient()),
            (class, transient),
            "{error}"
        );
        error
    };
    let problem = |reason| Problem::new(Code::InvalidArgument, "no", reason).to_bytes();
    let error = check(
        status(400, problem("TOKEN_EXPIRED")),
        ErrorClass::Token,
        false,
    );
    assert!(matches!(
        error,
        ClientError::Refused {
            service: Service::Fulcio,
            status: 400,
            reason: Some(_),
            ..
        }
    ));
    check(status(400, problem("KEY_WEAK")), ErrorClass::Refused, false);
    check(status(404, ""), ErrorClass::Refused, false);
    check(status(501, ""), ErrorClass::Refused, false);
    check(status(401, ""), ErrorClass::Access, false);
    check(status(403, ""), ErrorClass::Access, false);
    for code in [408, 429, 500, 502, 503, 504] {
        check(status(code, "<html>"), ErrorClass::Unavailable, true);
    }
    check(status(599, ""), ErrorClass::Unavailable, false);
    check(refused(), ErrorClass::Unavailable, true);
    let host = "fulcio".to_owned();
    let problem = stella_wire::TlsProblem::IssuerUnknown;
    check(
        Err(TransportError::Tls { host, problem }),
        ErrorClass::Unavailable,
        false,
    );
    check(status(200, "hello"), ErrorClass::Refused, false);
    check(status(200, vec![b' '; 2 << 20]), ErrorClass::Refused, false);
    check(status(304, ""), ErrorClass::Refused, false);
}

#[test]
fn an_address_that_is_none_is_a_usage_error() {
    for bad in ["", "fulcio", "/api", "https://"] {
        let site = Site::new();
        let trust = site.trust();
        let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
        let demands = CertificateDemands {
            trust: &trust,
            root_bundle: None,
            sct: SctRule::Require,
            now: NOW,
        };
        let script = Script::default();
        let error = run(Fulcio::new(bad).certificate(&script, &key, &token(), &demands));
        assert_eq!(error.unwrap_err().class(), ErrorClass::Usage, "{bad}");
    }
}

#[test]
fn a_key_for_prehashed_ed25519_proves_possession_in_the_pure_form() {
    let site = Site::new();
    let transport = Answering(|request: &_| site.answer(request, Flaw::None));
    let key = EphemeralKey::generate(KeyDetails::Ed25519Ph).unwrap();
    let trust = site.trust();
    let demands = CertificateDemands {
        trust: &trust,
        root_bundle: None,
        sct: SctRule::Require,
        now: NOW,
    };
    run(Fulcio::new(BASE).certificate(&transport, &key, &token(), &demands)).unwrap();
}

fn logged(flaw: Flaw) -> Result<LogEntry, ClientError> {
    let site = Site::new();
    let transport = Answering(|request: &_| site.answer(request, flaw));
    let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
    let record = HashedRekord {
        digest: DigestAlgorithm::Sha256.digest(b"message"),
        signature: key.sign(b"message").unwrap(),
        verifier: EntryVerifier::PublicKey(key.public_key().spki().to_vec()),
        details: key.details(),
    };
    run(Rekor::new(BASE).add(&transport, &record, &site.trust(), NOW))
}

#[test]
fn an_entry_with_its_proof_is_used() {
    assert_eq!(logged(Flaw::None).unwrap().log_index, 1);
}

#[test]
fn each_flaw_of_an_entry_is_refused_by_name() {
    use EntryProblem as P;
    let check = |flaw: Flaw, is_it: fn(&P) -> bool| {
        let error = logged(flaw).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Log);
        let ClientError::Entry(problem) = error else {
            panic!("{flaw:?}: {error:?}")
        };
        assert!(is_it(&problem), "{flaw:?}: {problem:?}");
    };
    check(Flaw::NoProof, |problem| {
        *problem == P::ProofMissing { index: 1 }
    });
    check(Flaw::AnotherBody, |problem| {
        *problem
            == P::Untrusted(EntryError::BodyMismatch {
                part: BodyPart::Whole,
            })
    });
    check(Flaw::NoBody, |problem| {
        *problem
            == P::Untrusted(EntryError::BodyMismatch {
                part: BodyPart::Whole,
            })
    });
    check(Flaw::BadProof, |problem| {
        matches!(problem, P::Untrusted(EntryError::Proof(_)))
    });
    check(Flaw::BadCheckpointSignature, |problem| {
        matches!(problem, P::Untrusted(EntryError::Note(_)))
    });
    check(Flaw::UnknownLog, |problem| {
        matches!(problem, P::Untrusted(EntryError::UnknownLog { .. }))
    });
    check(Flaw::TwoKinds, |problem| {
        matches!(problem, P::Untrusted(EntryError::UnsupportedKind(_)))
    });
}

#[test]
fn a_key_that_no_log_takes_is_refused_before_the_request() {
    let site = Site::new();
    let record = HashedRekord {
        digest: DigestAlgorithm::Sha256.digest(b"message"),
        signature: vec![1; 64],
        verifier: EntryVerifier::PublicKey(vec![0x30, 0]),
        details: KeyDetails::Ed25519,
    };
    let asked = run(Rekor::new(BASE).add(&Script::default(), &record, &site.trust(), NOW));
    let details = KeyDetails::Ed25519;
    assert_eq!(asked, Err(EntryProblem::KeyNotLogged { details }.into()));
}

fn stamped(flaw: Flaw) -> Result<Timestamp, ClientError> {
    let site = Site::new();
    let transport = Answering(|request: &_| site.answer(request, flaw));
    let tsa = Tsa::new(&format!("{BASE}/api/v1/timestamp"));
    // A nonce that begins with zeros is the same number in fewer octets.
    let nonce = Nonce([0, 0, 0x80, 1, 2, 3, 4, 5]);
    run(tsa.timestamp(&transport, b"signature", nonce, &site.trust(), NOW))
}

#[test]
fn a_timestamp_over_our_signature_is_used() {
    assert_eq!(stamped(Flaw::None).unwrap().time.time, NOW);
}

#[test]
fn each_flaw_of_a_timestamp_is_refused_by_name() {
    use TimestampProblem as P;
    let check = |flaw: Flaw, is_it: fn(&P) -> bool| {
        let error = stamped(flaw).unwrap_err();
        let ClientError::Timestamp(problem) = error else {
            panic!("{flaw:?}: {error:?}")
        };
        assert!(is_it(&problem), "{flaw:?}: {problem:?}");
    };
    check(Flaw::AnotherNonce, |problem| *problem == P::NonceMismatch);
    check(Flaw::NoNonce, |problem| *problem == P::NonceMismatch);
    check(Flaw::UnknownAuthority, |problem| {
        *problem == P::UnknownAuthority
    });
    check(Flaw::OldTimestamp, |problem| {
        matches!(problem, P::NotNow { .. })
    });
    for flaw in [Flaw::AnotherMessage, Flaw::BadTimestampSignature] {
        check(flaw, |problem| {
            matches!(problem, P::Untrusted(VerifyError::Timestamp { .. }))
        });
    }
}

fn retrying(
    answers: impl IntoIterator<Item = Result<stella_wire::Response, TransportError>>,
    policy: RetryPolicy,
) -> (Result<u16, TransportError>, usize, Vec<Duration>) {
    let script = Arc::new(Script::new(answers));
    let waiting = Arc::new(Counted::default());
    let transport = Retrying::with_waiting(script.clone(), policy, waiting.clone());
    let mut request = stella_wire::Request::default();
    *request.uri_mut() = format!("{BASE}/x").parse().unwrap();
    let answer = run(transport.send(request)).map(|answer| answer.status().as_u16());
    (answer, script.asked().len(), waiting.pauses())
}

fn wait(seconds: &str) -> Result<stella_wire::Response, TransportError> {
    let mut answer = status(429, "").unwrap();
    answer
        .headers_mut()
        .insert(RETRY_AFTER, seconds.parse().unwrap());
    Ok(answer)
}

#[test]
fn a_transient_failure_is_repeated_with_growing_pauses() {
    let (answer, asked, pauses) = retrying(
        [status(503, ""), refused(), status(200, "")],
        RetryPolicy::default(),
    );
    assert_eq!((answer, asked), (Ok(200), 3));
    // Half of 250 ms and 500 ms, and half of the other half by the counted jitter.
    let expected = [Duration::from_micros(187_500), Duration::from_millis(375)];
    assert_eq!(pauses, expected);
}

#[test]
fn a_refusal_is_not_repeated() {
    for code in [400, 401, 403, 404, 409, 501] {
        let (answer, asked, _) = retrying([status(code, "")], RetryPolicy::default());
        assert_eq!((answer, asked), (Ok(code), 1));
    }
    let host = BASE.to_owned();
    let large = Err(TransportError::TooLarge { host, limit: 1 });
    assert_eq!(retrying([large], RetryPolicy::default()).1, 1);
}

#[test]
fn after_the_last_repetition_the_last_failure_is_told() {
    let answers = [status(500, ""), status(500, ""), status(500, ""), refused()];
    let (answer, asked, _) = retrying(answers, RetryPolicy::default());
    assert!(matches!(answer, Err(TransportError::Refused { .. })));
    assert_eq!(asked, 4);
    let none = RetryPolicy {
        retries: 0,
        ..RetryPolicy::default()
    };
    assert_eq!(retrying([status(503, "")], none).1, 1);
}

#[test]
fn retry_after_is_heeded_within_the_whole_time() {
    let (answer, _, pauses) = retrying([wait("7"), status(200, "")], RetryPolicy::default());
    assert_eq!((answer, pauses), (Ok(200), vec![Duration::from_secs(7)]));
    // Longer than we may wait: the answer is given back at once.
    let (answer, asked, pauses) = retrying([wait("121")], RetryPolicy::default());
    assert_eq!((answer, asked, pauses), (Ok(429), 1, vec![]));
    // An absurd number neither overflows nor waits.
    let (answer, asked, _) = retrying([wait("18446744073709551615")], RetryPolicy::default());
    assert_eq!((answer, asked), (Ok(429), 1));
    // A date is passed over: our own pause counts.
    let date = wait("Fri, 20 Nov 2026 12:00:00 GMT");
    let (_, _, pauses) = retrying([date, status(200, "")], RetryPolicy::default());
    assert_eq!(pauses, [Duration::from_micros(187_500)]);
}

#[test]
fn the_pauses_together_stay_within_the_whole_time() {
    let policy = RetryPolicy {
        retries: 100,
        total: Duration::from_secs(20),
        ..RetryPolicy::default()
    };
    let (answer, _, pauses) = retrying((0..101).map(|_| status(503, "")), policy);
    assert_eq!(answer, Ok(503));
    assert!(pauses.iter().sum::<Duration>() <= policy.total);
    assert!(pauses.len() > 4);
}

fn trust_file(site: &Site) -> Vec<u8> {
    let signing = br#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}"#;
    let signing = SigningConfig::parse(signing).unwrap();
    ClientTrustConfig::new(site.trusted_root(), signing).to_json()
}

#[test]
fn trust_from_the_loopback_is_fetched_and_named_by_its_digest() {
    let site = Site::new();
    let script = Script::new([status(200, trust_file(&site))]);
    let fetched = run(trust::fetch(&script, "http://127.0.0.1:8080", None)).unwrap();
    let root = site.trusted_root().to_json();
    assert_eq!(fetched.root_digest, DigestAlgorithm::Sha256.digest(&root));
    let asked = script.asked()[0].uri().to_string();
    assert_eq!(
        asked,
        "http://127.0.0.1:8080/.well-known/stella/client-trust-config.json"
    );
}

#[test]
fn trust_from_elsewhere_needs_https_and_its_fingerprint() {
    let site = Site::new();
    let good = DigestAlgorithm::Sha256.digest(&site.trusted_root().to_json());
    let bad = DigestAlgorithm::Sha256.digest(b"another");
    let file = || Script::new([status(200, trust_file(&site))]);
    run(trust::fetch(&file(), BASE, Some(&good))).unwrap();
    assert!(matches!(
        run(trust::fetch(&file(), BASE, Some(&bad))),
        Err(ClientError::Trust(TrustProblem::Fingerprint { .. }))
    ));
    let silent = Script::default();
    assert!(matches!(
        run(trust::fetch(&silent, BASE, None)),
        Err(ClientError::Trust(TrustProblem::FingerprintMissing { .. }))
    ));
    assert!(matches!(
        run(trust::fetch(
            &silent,
            "http://sigstore.example",
            Some(&good)
        )),
        Err(ClientError::Trust(TrustProblem::NotHttps { .. }))
    ));
    let rubbish = Script::new([status(200, "{}")]);
    assert!(matches!(
        run(trust::fetch(&rubbish, "http://localhost", None)),
        Err(ClientError::Trust(TrustProblem::File(_)))
    ));
}
