//! Steps 2 and 3: the chain at every authenticated time, and what CT logs said of the leaf.

use std::time::Duration;

use const_oid::ObjectIdentifier;
use serde_json::json;
use stella_bundle::asn1::{self, tag};
use stella_bundle::certificate::{
    BASIC_CONSTRAINTS, CODE_SIGNING, EXTENDED_KEY_USAGE, KEY_USAGE, NAME_CONSTRAINTS, SCT_LIST,
    TIME_STAMPING,
};
use stella_bundle::chain::ChainError;
use stella_bundle::json::encode_base64;
use stella_bundle::key::KeyDetails;
use stella_bundle::sct::SctError;
use stella_bundle::verify::{SctRule, VerifyError};
use stella_testkit::forge::certificate::{CERTIFICATE_SIGN, KEY_AGREEMENT, promise, sct_list};
use stella_testkit::forge::{self, Certified, Extension, Forge, Form, NOW, SIGNER, Sketch};

use super::{Bench, form, raw, report, window};

const SECOND: Duration = Duration::from_secs(1);

/// Refuses a bundle whose leaf has another shape; returns why its chain is none.
#[track_caller]
fn refused_leaf(shape: impl FnOnce(&mut Sketch)) -> ChainError {
    let forge = Forge::new();
    let forged = forge.make_shaped(&Form::current(), shape);
    match report(&forge.trusted_root(), &forged.bundle, &forged.policy).verdict {
        Err(VerifyError::Chain(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Makes a forge whose intermediate has another shape.
fn forge_with_intermediate(shape: impl FnOnce(&mut Sketch)) -> Forge {
    let mut forge = Forge::new();
    forge.intermediate = Certified::new("intermediate", &forge.root, |sketch| {
        sketch.extensions = vec![
            Extension::key_usage(CERTIFICATE_SIGN),
            Extension::purpose(&CODE_SIGNING, false),
            Extension::authority(Some(0)),
        ];
        shape(sketch);
    });
    forge
}

fn verdict(forge: &Forge) -> Option<VerifyError> {
    let forged = forge.make(&Form::current());
    report(&forge.trusted_root(), &forged.bundle, &forged.policy)
        .verdict
        .err()
}

#[track_caller]
fn refused_intermediate(shape: impl FnOnce(&mut Sketch)) -> ChainError {
    match verdict(&forge_with_intermediate(shape)) {
        Some(VerifyError::Chain(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_chain_is_valid_at_every_authenticated_time() {
    let form = Form {
        timestamps: 2,
        ..Form::current()
    };
    let mut bench = Bench::with(&form);
    let signature = bench
        .at("/dsseEnvelope/signatures/0/sig")
        .as_str()
        .unwrap()
        .to_owned();
    let signature = stella_bundle::json::decode_base64(&signature).unwrap();
    let stamps =
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/1/signedTimestamp";
    let mut stamped_at = |time| {
        let response = forge::stamp(&bench.forge.timestamping[1], &signature, time);
        *bench.at(stamps) = encode_base64(&response).into();
        bench.verify().verdict.err()
    };
    let end = NOW.plus(Duration::from_secs(540));
    assert_eq!(
        stamped_at(end),
        None,
        "the last second belongs to the certificate"
    );
    assert!(matches!(
        stamped_at(end.plus(SECOND)),
        Some(VerifyError::Chain(ChainError::NotValidAt { .. }))
    ));
}

#[test]
fn an_intermediate_that_had_expired_is_refused() {
    let error = refused_intermediate(|sketch| sketch.not_after = NOW.minus(SECOND));
    assert!(matches!(error, ChainError::NotValidAt { .. }));
}

#[test]
fn an_intermediate_is_a_ca_that_may_sign_certificates_for_code_signing() {
    let error = refused_intermediate(|sketch| sketch.drop_extension(BASIC_CONSTRAINTS.as_bytes()));
    assert!(matches!(error, ChainError::NotCa { .. }));
    let error = refused_intermediate(|sketch| sketch.put(Extension::key_usage(KEY_AGREEMENT)));
    assert!(matches!(
        error,
        ChainError::KeyUsage {
            needed: "keyCertSign",
            ..
        }
    ));
    let error =
        refused_intermediate(|sketch| sketch.put(Extension::purpose(&TIME_STAMPING, false)));
    assert!(matches!(error, ChainError::Purpose { .. }));
}

#[test]
fn an_intermediate_with_an_unknown_critical_extension_is_refused() {
    let unknown = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1");
    let error =
        refused_intermediate(|sketch| sketch.put(Extension::new(&unknown, true, asn1::null())));
    assert!(matches!(error, ChainError::UnknownCriticalExtension { .. }));
    let tolerated =
        forge_with_intermediate(|sketch| sketch.put(Extension::new(&unknown, false, asn1::null())));
    assert_eq!(verdict(&tolerated), None);
}

#[test]
fn more_cas_below_an_issuer_than_it_allows_are_refused() {
    // root, allowed one CA below; intermediate; a second one that came with the bundle.
    let mut forge = Forge::new();
    let root = Certified::new(
        "narrow root",
        &Certified::root("above", KeyDetails::EcdsaP256Sha256),
        |sketch| {
            sketch.extensions = vec![
                Extension::key_usage(CERTIFICATE_SIGN),
                Extension::authority(Some(0)),
            ];
        },
    );
    forge.intermediate = Certified::intermediate("intermediate", &root);
    let error = match verdict_with_root(&forge, &root) {
        Some(VerifyError::Chain(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        error,
        ChainError::PathLength {
            allowed: 0,
            found: 1,
            ..
        }
    ));
}

fn verdict_with_root(forge: &Forge, root: &Certified) -> Option<VerifyError> {
    let forged = forge.make(&Form::current());
    let mut trusted = forge.trusted_root();
    trusted["certificateAuthorities"][0]["certChain"]["certificates"] = json!([
        raw(forge.intermediate.certificate.der()),
        raw(root.certificate.der())
    ]);
    report(&trusted, &forged.bundle, &forged.policy)
        .verdict
        .err()
}

#[test]
fn names_outside_of_an_issuers_constraints_are_refused_and_those_inside_are_not() {
    let constrained = |host: &str| {
        let base = asn1::tlv(tag::context_primitive(6), host.as_bytes());
        let permitted = asn1::tlv(tag::context(0), &asn1::sequence(&[&base]));
        let constraints = Extension::new(&NAME_CONSTRAINTS, true, asn1::sequence(&[&permitted]));
        forge_with_intermediate(|sketch| sketch.put(constraints))
    };
    assert_eq!(verdict(&constrained("ci.example.com")), None);
    assert!(matches!(
        verdict(&constrained("ci.example.org")),
        Some(VerifyError::Chain(ChainError::NameConstraint { .. }))
    ));
}

#[test]
fn a_leaf_is_for_code_signing_and_may_sign() {
    assert!(matches!(
        refused_leaf(|sketch| sketch.put(Extension::key_usage(KEY_AGREEMENT))),
        ChainError::KeyUsage {
            needed: "digitalSignature",
            ..
        }
    ));
    assert!(matches!(
        refused_leaf(|sketch| sketch.drop_extension(KEY_USAGE.as_bytes())),
        ChainError::KeyUsage { .. }
    ));
    assert!(matches!(
        refused_leaf(|sketch| sketch.drop_extension(EXTENDED_KEY_USAGE.as_bytes())),
        ChainError::Purpose { .. }
    ));
    assert!(matches!(
        refused_leaf(|sketch| sketch.put(Extension::purpose(&TIME_STAMPING, false))),
        ChainError::Purpose { .. }
    ));
}

#[test]
fn a_leaf_that_is_a_ca_is_refused() {
    let error = refused_leaf(|sketch| sketch.put(Extension::authority(None)));
    assert_eq!(error, ChainError::LeafIsCa);
}

#[test]
fn a_leaf_with_an_unknown_critical_extension_is_refused() {
    let unknown = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1");
    let error = refused_leaf(|sketch| sketch.put(Extension::new(&unknown, true, asn1::null())));
    assert!(matches!(error, ChainError::UnknownCriticalExtension { .. }));
}

#[test]
fn a_leaf_with_two_names_one_of_which_matches_is_refused() {
    let forge = Forge::new();
    for names in [
        &[SIGNER.name, "https://evil.example.com"][..],
        &["https://evil.example.com", SIGNER.name],
        &[],
    ] {
        let forged = forge.make_shaped(&Form::current(), |sketch| {
            sketch.put(Extension::uris(names))
        });
        let error = report(&forge.trusted_root(), &forged.bundle, &forged.policy)
            .verdict
            .unwrap_err();
        assert_eq!(error, VerifyError::NotOneName { found: names.len() });
    }
}

#[test]
fn the_authoritys_window_holds_the_signing_time() {
    let mut bench = Bench::new();
    bench.root["certificateAuthorities"][0]["validFor"] = window(0, 0);
    bench.accepted();
    for outside in [window(1, 9), window(-9, -1)] {
        bench.root["certificateAuthorities"][0]["validFor"] = outside;
        assert!(matches!(
            bench.refused(),
            VerifyError::Chain(ChainError::AuthorityNotValidAt { .. })
        ));
    }
}

#[test]
fn a_root_inside_the_bundle_is_refused() {
    let mut bench = Bench::with(&form("v0.2 chain, message"));
    let root = raw(bench.forge.root.certificate.der());
    let chain = "/verificationMaterial/x509CertificateChain/certificates";
    bench.at(chain).as_array_mut().unwrap().push(root);
    assert_eq!(bench.refused(), VerifyError::RootInBundle { index: 2 });
}

#[test]
fn a_certificate_of_nobodys_is_refused() {
    let (bench, stranger) = (Bench::new(), Forge::new());
    let forged = stranger.make(&Form::current());
    let mut root = bench.root;
    // The stranger's other services are trusted, their authority is not.
    let theirs = stranger.trusted_root();
    for part in ["tlogs", "ctlogs", "timestampAuthorities"] {
        root[part] = theirs[part].clone();
    }
    let error = report(&root, &forged.bundle, &forged.policy)
        .verdict
        .unwrap_err();
    assert!(matches!(
        error,
        VerifyError::Chain(ChainError::UnknownIssuer { .. })
    ));
}

#[test]
fn one_sct_by_a_known_log_is_needed_and_several_may_be_there() {
    let none = Bench::with(&Form {
        scts: 0,
        ..Form::current()
    });
    assert_eq!(
        none.refused(),
        VerifyError::NotEnoughScts {
            present: 0,
            known: 0
        }
    );
    let mut two = Bench::with(&Form {
        scts: 2,
        ..Form::current()
    });
    assert_eq!(two.accepted().facts.scts.len(), 2);
    two.root["ctlogs"].as_array_mut().unwrap().remove(0);
    two.accepted();
    two.root["ctlogs"] = json!([]);
    assert_eq!(
        two.refused(),
        VerifyError::NotEnoughScts {
            present: 2,
            known: 0
        }
    );
}

#[test]
fn doing_without_scts_is_spelled_out() {
    let mut bench = Bench::with(&Form {
        scts: 0,
        ..Form::current()
    });
    bench.good.policy.certificates.as_mut().unwrap().sct = SctRule::WithoutSctUnsafe;
    bench.accepted();
}

/// Makes a leaf whose SCT was given for another certificate.
fn with_sct_for(
    forge: &Forge,
    other: impl FnOnce(&mut Sketch, &Certified) -> Certified,
) -> VerifyError {
    let stranger = Certified::intermediate("intermediate", &forge.root);
    let forged = forge.make_shaped(
        &Form {
            scts: 0,
            ..Form::current()
        },
        |sketch| {
            let mut promised = sketch.clone();
            let issuer = other(&mut promised, &stranger);
            let sct = promise(&promised, &issuer, &forge.ct[0], 7);
            sketch.put(sct_list(&[sct]));
        },
    );
    report(&forge.trusted_root(), &forged.bundle, &forged.policy)
        .verdict
        .unwrap_err()
}

#[test]
fn an_sct_for_another_precertificate_or_issuer_is_refused() {
    let forge = Forge::new();
    let again = || {
        Certified::intermediate(
            "intermediate",
            &Certified::root("root", KeyDetails::EcdsaP256Sha256),
        )
    };
    let another_certificate = with_sct_for(&forge, |promised, _| {
        promised.put(Extension::uris(&["https://evil.example.com"]));
        again()
    });
    assert_eq!(
        another_certificate,
        VerifyError::Sct(SctError::BadSignature)
    );
    // The right certificate, under the hash of another issuer's key.
    let another_issuer = with_sct_for(&forge, |_, _| again());
    assert_eq!(another_issuer, VerifyError::Sct(SctError::BadSignature));
}

#[test]
fn the_extensions_of_an_sct_are_signed() {
    let forge = Forge::new();
    let forged = forge.make_shaped(
        &Form {
            scts: 0,
            ..Form::current()
        },
        |sketch| {
            let mut sct = promise(sketch, &forge.intermediate, &forge.ct[0], 7);
            sct.extensions[7] = 8;
            sketch.put(sct_list(&[sct]));
        },
    );
    let error = report(&forge.trusted_root(), &forged.bundle, &forged.policy)
        .verdict
        .unwrap_err();
    assert_eq!(error, VerifyError::Sct(SctError::BadSignature));
}

#[test]
fn a_ct_log_is_in_service_at_the_time_of_its_sct() {
    let mut bench = Bench::new();
    bench.root["ctlogs"][0]["publicKey"]["validFor"] = window(-60, -60);
    bench.accepted();
    bench.root["ctlogs"][0]["publicKey"]["validFor"] = window(-59, 9);
    assert!(matches!(
        bench.refused(),
        VerifyError::SctLogNotValidAt { .. }
    ));
}

#[test]
fn a_list_of_scts_that_is_none_is_refused() {
    let forge = Forge::new();
    let forged = forge.make_shaped(
        &Form {
            scts: 0,
            ..Form::current()
        },
        |sketch| {
            sketch.put(Extension::new(
                &SCT_LIST,
                false,
                asn1::octet_string(&[0, 9, 0]),
            ));
        },
    );
    let error = report(&forge.trusted_root(), &forged.bundle, &forged.policy)
        .verdict
        .unwrap_err();
    assert!(
        matches!(error, VerifyError::Sct(SctError::Malformed)),
        "{error:?}"
    );
}
