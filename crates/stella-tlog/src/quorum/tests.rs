//! Policies: the specification's example, each fault, and checkpoints with too few or bad cosignatures.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::note::{KeyName, NoteSignature};

const TEXT: &str = "log.example\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Signer {
    fn new(name: &str, signature_type: SignatureType) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let name = KeyName::new(name).unwrap();
        let public = pair.public_key().as_ref();
        let key = VerifierKey::new(name, signature_type, public).unwrap();
        Self { pair, key }
    }

    fn cosign(&self) -> NoteSignature {
        let time = UnixSeconds(1_700_000_000);
        let message = cosignature::to_be_signed(&self.key, time, TEXT).unwrap();
        let signature = self.pair.sign(&message);
        NoteSignature::new(
            &self.key,
            cosignature::note_signature(time, signature.as_ref()),
        )
    }

    fn sign(&self) -> NoteSignature {
        NoteSignature::new(&self.key, self.pair.sign(TEXT.as_bytes()).as_ref().to_vec())
    }
}

struct Scene {
    log: Signer,
    witnesses: Vec<Signer>,
    policy: Policy,
}

/// The example of the specification: two of X1–X3 and one of Y1–Y3.
fn scene() -> Scene {
    let log = Signer::new("log.example", SignatureType::Ed25519);
    let names = ["X1", "X2", "X3", "Y1", "Y2", "Y3"];
    let witnesses: Vec<Signer> = names
        .iter()
        .map(|name| Signer::new(name, SignatureType::CosignatureEd25519))
        .collect();
    let mut text = format!("# a comment\nlog {} https://log.example/\n\n", log.key);
    for (name, witness) in names.iter().zip(&witnesses) {
        text += &format!(" \twitness\t{name}  {} \n", witness.key);
    }
    text += "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n";
    text += "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n";
    let policy = Policy::parse(&text).unwrap();
    Scene {
        log,
        witnesses,
        policy,
    }
}

#[test]
fn the_example_of_the_specification_counts_groups() {
    let Scene { policy, .. } = scene();
    let check = |names: &[&str], expected: bool| {
        let reached = policy.is_reached_by(|witness| names.contains(&witness.name.as_str()));
        assert_eq!(reached, expected, "{names:?}");
    };
    check(&[], false);
    check(&["X1", "Y1"], false);
    check(&["X1", "X2", "X3"], false);
    check(&["X1", "X3", "Y2"], true);
    assert_eq!(policy.logs().len(), 1);
    assert_eq!(policy.witnesses().len(), 6);
}

#[test]
fn a_cosigned_checkpoint_satisfies_the_policy_and_one_with_too_few_does_not() {
    let Scene {
        log,
        witnesses,
        policy,
    } = scene();
    let mut note = Note {
        text: TEXT.to_owned(),
        signatures: vec![witnesses[0].cosign(), witnesses[1].cosign(), log.sign()],
    };
    let refused = policy.satisfied_by(&note);
    assert!(matches!(refused, Err(QuorumError::NotReached { cosigned }) if cosigned.len() == 2));

    note.signatures.push(witnesses[5].cosign());
    let cosigned = policy.satisfied_by(&note).unwrap();
    let names: Vec<&str> = cosigned
        .iter()
        .map(|found| found.witness.as_str())
        .collect();
    assert_eq!(names, ["X1", "X2", "Y3"]);
    assert_eq!(cosigned[0].time, UnixSeconds(1_700_000_000));

    let mut bad = note.clone();
    bad.signatures[0].signature[20] ^= 1;
    assert!(matches!(
        policy.satisfied_by(&bad),
        Err(QuorumError::Note(_))
    ));

    note.signatures.remove(2);
    let unknown = QuorumError::LogUnknown {
        origin: "log.example".to_owned(),
    };
    assert_eq!(policy.satisfied_by(&note), Err(unknown));
}

#[test]
fn a_quorum_of_none_asks_for_nobody() {
    let policy = Policy::parse("quorum none").unwrap();
    assert!(policy.is_quorum_none());
    assert!(policy.is_reached_by(|_| false));
}

#[test]
fn a_bad_policy_is_refused_by_line_and_fault() {
    let witness = Signer::new("w", SignatureType::CosignatureEd25519).key;
    let other = Signer::new("v", SignatureType::CosignatureEd25519).key;
    let log = Signer::new("l", SignatureType::Ed25519).key;
    let refused = |policy: &str, line: usize, fault: PolicyFault| {
        let expected = Err(PolicyError { line, fault });
        assert_eq!(Policy::parse(policy), expected, "{policy}");
    };
    refused("", 2, PolicyFault::QuorumMissing);
    refused("quorum none\nquorum none\n", 2, PolicyFault::QuorumTwice);
    refused("quorum w\n", 1, PolicyFault::NameUnknown);
    refused("Quorum none\n", 1, PolicyFault::Syntax);
    refused("quorum none # now\n", 1, PolicyFault::Syntax);
    refused("quorum\u{b}none\n", 1, PolicyFault::Syntax);
    refused(
        "log nonsense\n",
        1,
        PolicyFault::Key(VerifierKeyError::Syntax),
    );
    refused(&format!("log {witness}\n"), 1, PolicyFault::KeyType);
    refused(&format!("witness w {log}\n"), 1, PolicyFault::KeyType);
    refused(&format!("log {log}\nlog {log}\n"), 2, PolicyFault::KeyTwice);
    let one = format!("witness w {witness}\n");
    refused(
        &format!("{one}witness v {witness}\n"),
        2,
        PolicyFault::KeyTwice,
    );
    refused(
        &format!("{one}witness w {other}\n"),
        2,
        PolicyFault::NameTaken,
    );
    refused(
        &format!("witness none {witness}\n"),
        1,
        PolicyFault::NameTaken,
    );
    refused(
        &format!("{one}group g any w w\n"),
        2,
        PolicyFault::MemberTwice,
    );
    refused(
        &format!("{one}group g any w\ngroup h any w\n"),
        3,
        PolicyFault::MemberTwice,
    );
    refused(
        &format!("{one}group g any none\n"),
        2,
        PolicyFault::NameUnknown,
    );
    refused(&format!("{one}group g 2 w\n"), 2, PolicyFault::Threshold);
    refused(&format!("{one}group g 0 w\n"), 2, PolicyFault::Threshold);
    refused(&format!("{one}group g all\n"), 2, PolicyFault::Threshold);
    refused(&format!("{one}group g some w\n"), 2, PolicyFault::Syntax);
    refused(&"#".repeat(MAX_POLICY + 1), 1, PolicyFault::TooLarge);
}
