//! What a policy file means, what is refused and on which line, and that the schema says the same.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use serde_json::Value;
use stella_bundle::predicate::schema::Schema;
use stella_bundle::verify::{LogRule, Promise, SctRule};

use super::*;
use crate::mode::{Mode, OnUnavailable, Rekor};
use crate::policy::Denials;
use crate::requirement::{Counted, SignerChoice};
use crate::signer::Who;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";

const SMALL: &str = "policy: stella.policy/v1\nsigners:\n  release: {identity: 'repo:o/r:.*', issuer: https://i.example}\n";

/// Every key at least once.
const FULL: &str = r#"policy: stella.policy/v1
mode: warn
on-unavailable: allow
trust: ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
signers:
  release:
    identity: repo:myorg/myrepo:ref:refs/heads/main
    issuer: https://token.actions.githubusercontent.com
    claims: {runner-environment: github-hosted}
  subject: {subject: "repo:o/r:ref:x", issuer: https://i.example}
  name: {san: release@example.com, issuer: https://i.example}
  workflows: {identity-regexp: 'https://github\.com/o/.*', issuer: https://i.example}
  wide: {identity-regexp: '.*@example\.com', issuer: https://i.example, insecure-any-identity: true}
  backup-key:
    key: {file: keys/backup.pub}
    hint: backup
    algorithm: PKIX_ECDSA_P256_SHA_256
    valid: {from: 2026-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}
require:
  - name: the verdict
    type: verdict
    signers: [release, backup-key]
    where:
      /result: allow
      /summary/critical: {at-most: 0, at-least: -1.5, present: true}
      /mode: {not: [audit, null]}
      /exceptions: {absent: true}
      /generator/id: {contains: stella}
      /n: {one-of: [1, 2], equal: 1}
    min-count: 2
    count: signers
    max-age: 30d
  - type: https://slsa.dev/provenance/*
  - type: signature
  - {}
evidence: {logs: 2, inclusion: promise, times: 2, timestamps: 1, witnesses: "quorum none\n", insecure-ignore-sct: true}
key-evidence: {logs: 1, inclusion: proof, times: 1, timestamps: 1, witnesses: {file: witnesses.txt}}
rekor: required
denials: newest
"#;

fn read(path: &str) -> Result<Vec<u8>, io::ErrorKind> {
    match path {
        "keys/backup.pub" => Ok(KEY.as_bytes().to_vec()),
        "witnesses.txt" => Ok(b"quorum none\n".to_vec()),
        _ => Err(io::ErrorKind::NotFound),
    }
}

fn parsed(text: &str) -> Policy {
    parse(text, &read).unwrap()
}

#[test]
fn the_least_policy_is_strict() {
    let policy = parsed(SMALL);
    assert_eq!(policy.mode, Mode::Enforce);
    assert_eq!(policy.on_unavailable, OnUnavailable::Deny);
    assert_eq!(policy.denials, Denials::Every);
    let verification = policy.to_verification();
    let rule = verification.certificates.unwrap();
    assert_eq!(rule.sct, SctRule::Require);
    assert!(matches!(
        rule.evidence.log,
        LogRule::Require {
            logs: 1,
            promise: Promise::Counts
        }
    ));
    assert!(verification.keys.is_none());
}

#[test]
fn every_key_is_understood() {
    let policy = parsed(FULL);
    assert_eq!(policy.mode, Mode::Warn);
    assert_eq!(policy.rekor, Rekor::Required);
    assert_eq!(policy.signers.len(), 6);
    assert!(
        matches!(&policy.signers[5].who, Who::Key(key) if key.hint.as_deref() == Some("backup") && key.validity.start.is_some())
    );
    let verdict = &policy.requirements[0];
    assert_eq!(verdict.name, "the verdict");
    assert_eq!(
        verdict.signers,
        SignerChoice::Named(vec!["release".into(), "backup-key".into()])
    );
    assert_eq!(verdict.conditions.len(), 9);
    assert_eq!(
        (verdict.count.least, verdict.count.of),
        (2, Counted::Signers)
    );
    let rules = policy.to_verification();
    // `rekor: required` makes of each rule one that asks for proofs.
    assert_eq!(
        rules.certificates.unwrap().evidence.log,
        LogRule::Require {
            logs: 2,
            promise: Promise::DoesNotCount
        }
    );
    assert_eq!(
        rules.keys.unwrap().evidence.log,
        LogRule::Require {
            logs: 1,
            promise: Promise::DoesNotCount
        }
    );
}

#[test]
fn a_printed_policy_reads_as_the_same_policy() {
    for text in [SMALL, FULL] {
        // Names are printed in order; printed once more, nothing changes.
        let printed = to_yaml(&parsed(text));
        let policy = parsed(&printed);
        assert_eq!(to_yaml(&policy), printed);
        assert_eq!(parsed(&to_yaml(&policy)), policy);
    }
    let policy = parsed(SMALL);
    assert_eq!(parsed(&to_yaml(&policy)), policy);
}

#[test]
fn what_is_wrong_is_refused_with_its_line_and_what_was_meant() {
    for (text, line, part) in [
        ("", 1, "begins with"),
        ("mode: warn\npolicy: stella.policy/v1\n", 1, "begins with"),
        ("policy: stella.policy/v2\n", 1, "begins with"),
        (
            "policy: stella.policy/v1\nsingers: {}\n",
            2,
            "did you mean signers?",
        ),
        (
            "policy: stella.policy/v1\nmode: strict\n",
            2,
            "expected one of enforce",
        ),
        (
            "policy: stella.policy/v1\nmode: true\n",
            2,
            "expected text, found true or false",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a:\n    identity: '.*'\n    issuer: i\n",
            4,
            "literal",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a:\n    identity: a\n",
            3,
            "needs issuer",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {issuer: i}\n",
            3,
            "exactly one of",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {identity: a, subject: b, issuer: i}\n",
            3,
            "exactly one of",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {key: x, issuer: i}\n",
            3,
            "no meaning beside key",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {identity: a, issuer: i, insecure-any-identity: true}\n",
            3,
            "no meaning beside identity",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {identity-regexp: '.*', issuer: i}\n",
            3,
            "owner to the letter",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {insecure-any-identity: true}\n  b: {identity: b, issuer: i}\n",
            2,
            "stands alone",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {insecure-any-identity: false}\n",
            3,
            "can only be true",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {key: {file: ../k}}\n",
            3,
            "below",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {key: {file: /k}}\n",
            3,
            "below",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {key: {file: k}}\n",
            3,
            "cannot read",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {key: nonsense}\n",
            3,
            "PEM",
        ),
        (
            "policy: stella.policy/v1\nsigners:\n  a: {identity: a, issuer: i, claims: {x: y}}\n",
            3,
            "no claim",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{type: nothing}]\n",
            2,
            "neither a URI",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{type: verdict, signers: [b]}]\n",
            2,
            "no signer has the name",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{where: {result: allow}}]\n",
            2,
            "JSON pointer",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{where: {/a: {at-most: x}}}]\n",
            2,
            "expected a number",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{where: {/a: [1]}}]\n",
            2,
            "holds no others",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{where: {/a: {}}}]\n",
            2,
            "above zero",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{where: {/a: {at-most: .inf}}}]\n",
            2,
            "",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{min-count: 0}]\n",
            2,
            "above zero",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{max-age: 30}]\n",
            2,
            "expected text",
        ),
        (
            "policy: stella.policy/v1\nrequire: [{max-age: soon}]\n",
            2,
            "no age",
        ),
        (
            "policy: stella.policy/v1\nevidence: {insecure-ignore-log: true, logs: 1}\n",
            2,
            "no meaning beside logs",
        ),
        (
            "policy: stella.policy/v1\nrekor: required\nevidence: {insecure-ignore-log: true}\n",
            3,
            "rekor",
        ),
        (
            "policy: stella.policy/v1\nevidence: {witnesses: nobody}\n",
            2,
            "line 1 of the policy",
        ),
        ("policy: stella.policy/v1\ntrust: [abc]\n", 2, "no digest"),
        ("policy: stella.policy/v1\nmode: warn\nmode: audit\n", 3, ""),
        ("policy: stella.policy/v1\ntrust: &a [x]\n", 2, "not YAML"),
        ("policy: [\n", 1, "not YAML"),
    ] {
        let refused = parse(text, &read).unwrap_err();
        assert_eq!(refused.line, line, "{text}: {refused}");
        assert!(refused.to_string().contains(part), "{text}: {refused}");
    }
    assert!(matches!(
        parse(&" ".repeat(MAX_POLICY + 1), &read),
        Err(PolicyFileError {
            problem: Problem::TooLarge,
            ..
        })
    ));
}

#[test]
fn the_schema_knows_exactly_the_keys_that_are_read() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for (table, keys) in KEYS {
        let place = match table {
            "" => &schema,
            "valid" => &schema["$defs"]["signers"]["properties"]["valid"],
            "file" => &schema["$defs"]["signers"]["properties"]["key"],
            table => &schema["$defs"][table],
        };
        let known: BTreeSet<&str> = place["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(known, keys.iter().copied().collect(), "{table}");
    }
}

#[test]
fn what_is_read_is_valid_by_the_schema_and_slips_are_not() {
    let schema = Schema::parse(SCHEMA).unwrap();
    let value = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    for text in [SMALL, FULL, &to_yaml(&parsed(FULL))] {
        assert_eq!(schema.check(&value(text)), Ok(()), "{text}");
    }
    for text in [
        "policy: stella.policy/v2",
        "mode: warn",
        "policy: stella.policy/v1\nmode: strict",
        "policy: stella.policy/v1\nsigners: {a: {name: b}}",
        "policy: stella.policy/v1\nrequire: [{min-count: 0}]",
        "policy: stella.policy/v1\nrequire: [{where: {/a: {below: 1}}}]",
    ] {
        assert!(schema.check(&value(text)).is_err(), "{text}");
    }
}
