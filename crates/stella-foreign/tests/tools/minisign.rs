//! Signatures of minisign.

use stella_bundle::time::UnixTime;
use stella_foreign::{ForeignError, Format, Reason, Signed, Signer};

use crate::tool::Bench;
use crate::trial::{Trial, reason};

fn sign(bench: &Bench, key: &str, options: &str) -> Trial {
    bench.run(&format!("minisign -G -f -W -p {key}.pub -s {key}.key"));
    bench.run(&format!(
        "minisign -S {options}-s {key}.key -m artifact -x artifact.minisig -t timestamp:1767225600\tfile:artifact"
    ));
    let key = bench.read(&format!("{key}.pub"));
    Trial::new(Format::Minisign, &bench.read("artifact.minisig"), &key)
}

#[test]
fn plain_and_prehashed_signatures_are_verified_with_their_comment() {
    let Some(bench) = Bench::of("minisign") else {
        return;
    };
    let other = sign(&bench, "other", "").key;
    for (options, prehashed) in [("", true), ("-l ", false)] {
        let trial = sign(&bench, "one", options);
        let verified = trial.verify().unwrap();
        match verified.signed() {
            Signed::Artifact => assert!(!prehashed),
            Signed::Message(hash) => assert!(prehashed && hash.len() == 64),
            other => panic!("{other:?}"),
        }
        let Signer::Minisign {
            key_id,
            trusted_comment,
        } = verified.signer()
        else {
            panic!("{:?}", verified.signer());
        };
        assert_eq!(trusted_comment, "timestamp:1767225600\tfile:artifact");
        let said = String::from_utf8(trial.key.clone()).unwrap();
        // Its own comment leaves zeros in front out.
        assert!(
            said.contains(key_id.trim_start_matches('0')),
            "{said} {key_id}"
        );
        assert_eq!(
            verified.created(),
            Some(UnixTime::from_seconds(1_767_225_600))
        );
        assert_eq!(*reason(&verified), Reason::PureEd25519);
        // Only the first line's text may change; it says itself that it is not to be trusted.
        let first = trial
            .signature
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap();
        let base64 = |at: &usize| *at <= first || trial.signature[*at] == b'\n';
        let free = trial.stand(&other);
        assert!(free.iter().all(base64), "{free:?}");
    }
}

#[test]
fn a_key_on_the_command_line_is_its_second_line_alone() {
    let Some(bench) = Bench::of("minisign") else {
        return;
    };
    let mut trial = sign(&bench, "one", "");
    let text = String::from_utf8(trial.key).unwrap();
    trial.key = text.lines().nth(1).unwrap().as_bytes().to_vec();
    trial.verify().unwrap();
}

#[test]
fn another_key_is_named() {
    let Some(bench) = Bench::of("minisign") else {
        return;
    };
    let other = sign(&bench, "other", "").key;
    let mut trial = sign(&bench, "one", "");
    trial.key = other;
    assert!(matches!(trial.verify(), Err(ForeignError::WrongKey { .. })));
}
