//! The gate over facts as verification finds them; one bundle is really verified, the others are told.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde_json::{Value, json};
use stella_bundle::bundle::Bundle;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::identity::CertificateIdentity;
use stella_bundle::key::PublicKey;
use stella_bundle::statement::Statement;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{
    Artifact, AuthenticTime, Clock, KeyFact, Trust, Verifier, VerifyError,
};

use super::*;
use crate::age::Age;
use crate::condition::Condition;
use crate::requirement::{Count, Counted, SignerChoice};
use crate::signer::{Signer, Who};

const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const SBOM: &str = "https://cyclonedx.org/bom/v1.6";

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";

/// What one attestation says, by whom, and how many days ago.
struct Told {
    signer: usize,
    predicate_type: String,
    predicate: Value,
    days: Option<u32>,
}

fn told(signer: usize, predicate_type: &str, predicate: Value, days: u32) -> Told {
    Told {
        signer,
        predicate_type: predicate_type.to_owned(),
        predicate,
        days: Some(days),
    }
}

fn verdict(signer: usize, result: &str, days: u32) -> Told {
    let predicate = json!({"result": result, "policy": {"name": "release"}, "n": days});
    told(signer, PredicateType::PolicyResult.uri(), predicate, days)
}

impl Told {
    fn to_facts(&self) -> Facts {
        let mut facts = Facts::default();
        // Who signed is told by a key: a certificate's facts come from verification alone.
        facts.key = Some(KeyFact {
            index: self.signer,
            key: PublicKey::from_pem(KEY).unwrap(),
            hint: String::new(),
        });
        facts.matched = vec![self.signer];
        facts.statement = Some(Statement::new(
            Vec::new(),
            &self.predicate_type,
            &self.predicate,
        ));
        facts.times.extend(self.days.map(|days| AuthenticTime {
            time: NOW.minus(DAY * days),
            authority: "tsa".to_owned(),
            clock: Clock::TimestampAuthority,
        }));
        facts
    }
}

/// Returns a policy with the signers a, b and c.
fn policy(requirements: Vec<Requirement>) -> Policy {
    let signer = |name: &str| Signer {
        name: name.to_owned(),
        who: Who::Certificate(CertificateIdentity::of_alternative_name(name, "issuer").unwrap()),
    };
    Policy {
        signers: ["a", "b", "c"].map(signer).to_vec(),
        requirements,
        ..Policy::default()
    }
}

fn require(kind: &str) -> Requirement {
    Requirement::of_type(TypePattern::parse(kind).unwrap())
}

fn decide_told(policy: &Policy, told: &[Told]) -> Decision {
    let facts: Vec<Facts> = told.iter().map(Told::to_facts).collect();
    let digest = DigestAlgorithm::Sha256.digest(b"");
    let items = vec![
        Item {
            digest: &digest,
            finding: Finding::Damaged
        };
        told.len()
    ];
    let candidate = |(item, facts)| Candidate {
        item,
        facts,
        signers: policy.signers_of(facts),
        since: counted_from(facts),
    };
    let candidates: Vec<_> = facts.iter().enumerate().map(candidate).collect();
    decide(policy, &items, &candidates, NOW)
}

#[test]
fn one_attestation_of_any_type_is_enough_where_nothing_is_required() {
    let decision = decide_told(&policy(vec![]), &[told(0, SBOM, json!({}), 1)]);
    assert_eq!(decision.verdict, Ok(()));
    assert_eq!(decision.signers, [["a"]]);
}

#[test]
fn all_requirements_must_hold_and_the_first_that_does_not_names_the_refusal() {
    let policy = policy(vec![
        require("verdict"),
        require("https://cyclonedx.org/bom/*"),
    ]);
    let both = [verdict(0, "allow", 1), told(0, SBOM, json!({}), 1)];
    assert_eq!(decide_told(&policy, &both).verdict, Ok(()));
    let decision = decide_told(&policy, &both[1..]);
    assert!(
        matches!(&decision.verdict, Err(Refusal::PredicateAbsent { found, .. }) if *found == [SBOM]),
        "{decision:?}"
    );
    assert_eq!(decision.verdict.unwrap_err().code(), 21);
    let decision = decide_told(&policy, &both[..1]);
    assert!(matches!(
        decision.verdict,
        Err(Refusal::PredicateAbsent { .. })
    ));
    assert_eq!(decision.requirements[0].satisfied_by, [0]);
}

#[test]
fn a_signer_of_the_policy_who_is_not_the_requirements_is_refused_with_20() {
    let mut verdicts = require("verdict");
    verdicts.signers = SignerChoice::Named(vec!["b".to_owned()]);
    let policy = policy(vec![verdicts]);
    let decision = decide_told(&policy, &[verdict(0, "allow", 1)]);
    let refusal = decision.verdict.unwrap_err();
    assert!(
        matches!(&refusal, Refusal::SignerNotAccepted { wanted, found, .. } if *wanted == ["b"] && *found == ["a"])
    );
    assert_eq!(refusal.code(), 20);
    assert_eq!(
        decide_told(&policy, &[verdict(1, "allow", 1)]).verdict,
        Ok(())
    );
}

#[test]
fn a_condition_that_fails_is_refused_with_22_and_what_was_found() {
    let mut verdicts = require("verdict");
    let (_, condition) = Condition::parse_flag("verdict:/result=allow").unwrap();
    verdicts.conditions.extend(condition);
    let policy = policy(vec![verdicts]);
    let refusal = decide_told(&policy, &[verdict(0, "warn", 1)])
        .verdict
        .unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Condition { unmet, .. } if unmet.found.as_deref() == Some("\"warn\""))
    );
    assert_eq!(refusal.code(), 22);
    assert_eq!(
        refusal.to_string(),
        "policy-result: at /result: expected \"allow\", found \"warn\""
    );
    // The one that came nearest names the refusal, and one that fits is enough.
    let both = [verdict(0, "warn", 1), verdict(1, "allow", 1)];
    let decision = decide_told(&policy, &both);
    assert_eq!(decision.verdict, Ok(()));
    assert!(matches!(
        decision.requirements[0].others[..],
        [(0, WhyNot::Condition(_))]
    ));
}

#[test]
fn what_is_too_old_or_of_unknown_age_is_refused_with_25() {
    let mut verdicts = require("verdict");
    verdicts.max_age = Some(Age::parse("30d").unwrap());
    let policy = policy(vec![verdicts]);
    assert_eq!(
        decide_told(&policy, &[verdict(0, "allow", 30)]).verdict,
        Ok(())
    );
    let refusal = decide_told(&policy, &[verdict(0, "allow", 31)])
        .verdict
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Stale { age: Some(age), .. } if age == DAY * 31));
    assert_eq!(refusal.code(), 25);
    let mut dateless = verdict(0, "allow", 1);
    dateless.days = None;
    let refusal = decide_told(&policy, &[dateless]).verdict.unwrap_err();
    assert!(matches!(refusal, Refusal::Stale { age: None, .. }));
    // A fresh timestamp does not make an old evaluation young.
    let mut stamped_anew = verdict(0, "allow", 1);
    stamped_anew.predicate["evaluatedAt"] = json!(NOW.minus(DAY * 40).to_string());
    let refusal = decide_told(&policy, &[stamped_anew]).verdict.unwrap_err();
    assert!(matches!(refusal, Refusal::Stale { age: Some(age), .. } if age == DAY * 40));
}

#[test]
fn a_result_that_its_signer_let_end_satisfies_nothing() {
    let mut ended = verdict(0, "allow", 1);
    ended.predicate["validUntil"] = json!(NOW.minus(Duration::from_secs(1)).to_string());
    let refusal = decide_told(&policy(vec![require("verdict")]), &[ended])
        .verdict
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Expired { .. }));
    assert_eq!(refusal.code(), 25);
}

#[test]
fn the_same_statement_signed_twice_counts_once() {
    let mut verdicts = require("verdict");
    verdicts.count = Count {
        least: 2,
        of: Counted::Attestations,
    };
    let policy = policy(vec![verdicts]);
    let decision = decide_told(&policy, &[verdict(0, "allow", 1), verdict(0, "allow", 1)]);
    assert!(matches!(
        decision.requirements[0].others[..],
        [(1, WhyNot::SameAs { item: 0 })]
    ));
    let refusal = decision.verdict.unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::TooFew {
            wanted: 2,
            found: 1,
            ..
        }
    ));
    assert_eq!(refusal.code(), 21);
    let by_two = [verdict(0, "allow", 1), verdict(1, "allow", 1)];
    assert_eq!(decide_told(&policy, &by_two).verdict, Ok(()));
}

#[test]
fn one_attestation_is_never_that_of_two_signers() {
    let mut verdicts = require("verdict");
    verdicts.count = Count {
        least: 2,
        of: Counted::Signers,
    };
    let policy = policy(vec![verdicts]);
    let facts = |told: Told, matched: &[usize]| {
        let mut facts = told.to_facts();
        facts.matched = matched.to_vec();
        facts
    };
    let count = |facts: &[Facts]| {
        let candidate = |(item, facts)| Candidate {
            item,
            facts,
            signers: policy.signers_of(facts),
            since: None,
        };
        let candidates: Vec<_> = facts.iter().enumerate().map(candidate).collect();
        weighing::weigh(&policy.requirements[0], &candidates, facts.len(), NOW).found
    };
    let wide = || facts(verdict(0, "allow", 1), &[0, 1]);
    assert_eq!(count(&[wide()]), 1);
    assert_eq!(count(&[wide(), facts(verdict(0, "allow", 2), &[0])]), 2);
    assert_eq!(
        count(&[
            facts(verdict(0, "allow", 2), &[0]),
            facts(verdict(0, "allow", 3), &[0])
        ]),
        1
    );
    let third = || facts(verdict(2, "allow", 1), &[0, 1, 2]);
    assert_eq!(
        count(&[third(), wide(), facts(verdict(1, "allow", 4), &[0])]),
        3
    );
}

#[test]
fn a_signed_deny_refuses_whatever_else_there_is() {
    let policy = policy(vec![require(SBOM)]);
    let refused = [
        told(0, SBOM, json!({}), 1),
        verdict(1, "deny", 3),
        verdict(1, "allow", 1),
    ];
    let decision = decide_told(&policy, &refused);
    assert!(
        matches!(&decision.verdict, Err(Refusal::Denied { item: 1, result: Some(result), .. }) if result == "deny")
    );
    let silent = [told(0, PredicateType::PolicyResult.uri(), json!({}), 1)];
    let decision = decide_told(&policy, &silent);
    assert!(matches!(
        decision.verdict,
        Err(Refusal::Denied { result: None, .. })
    ));
    assert_eq!(decision.verdict.unwrap_err().code(), 22);
}

#[test]
fn a_newer_result_stands_in_only_for_its_own_signer_policy_and_known_time() {
    let mut policy = policy(vec![]);
    policy.denials = Denials::Newest;
    let passes = |told: &[Told]| decide_told(&policy, told).verdict.is_ok();
    assert!(passes(&[verdict(0, "deny", 3), verdict(0, "allow", 1)]));
    assert!(!passes(&[verdict(0, "deny", 1), verdict(0, "allow", 3)]));
    assert!(!passes(&[verdict(0, "deny", 2), verdict(0, "allow", 2)]));
    assert!(!passes(&[verdict(0, "deny", 3), verdict(1, "allow", 1)]));
    let mut other = verdict(0, "allow", 1);
    other.predicate["policy"] = json!({"name": "licences"});
    assert!(!passes(&[verdict(0, "deny", 3), other]));
    let mut dateless = verdict(0, "deny", 3);
    dateless.days = None;
    assert!(!passes(&[dateless, verdict(0, "allow", 1)]));
    assert!(!passes(&[
        verdict(0, "deny", 5),
        verdict(0, "allow", 3),
        verdict(0, "error", 1)
    ]));
}

#[test]
fn what_was_not_verified_is_refused_by_what_came_furthest() {
    let policy = policy(vec![]);
    let digest = DigestAlgorithm::Sha256.digest(b"");
    let item = |finding| Item {
        digest: &digest,
        finding,
    };
    let verdict = |items: &[Item<'_>]| judge(&policy, items, NOW).verdict;
    assert_eq!(verdict(&[]), Err(Refusal::NoAttestation));
    assert_eq!(
        verdict(&[item(Finding::Damaged)]),
        Err(Refusal::Damaged { item: 0 })
    );
    let both = [item(Finding::Damaged), item(Finding::NotABundle)];
    assert_eq!(verdict(&both), Err(Refusal::NotABundle { item: 1 }));
    let strange = [item(Finding::NotArchived), item(Finding::NotABundle)];
    assert_eq!(verdict(&strange), Err(Refusal::NotArchived { item: 0 }));
    let codes =
        [verdict(&[]), verdict(&both[..1]), verdict(&both)].map(|each| each.unwrap_err().code());
    assert_eq!(codes, [10, 1, 12]);
}

#[test]
fn a_bundle_is_verified_by_the_union_of_all_signers_and_belongs_to_those_who_match() {
    let root = include_bytes!("../../../../testdata/keyless/trusted_root.json");
    let bundle = include_bytes!("../../../../testdata/keyless/bundle.sigstore.json");
    let artifact = include_bytes!("../../../../testdata/keyless/artifact.txt");
    let judge_as = |identities: &[&str]| {
        let signer = |(at, identity): (usize, &&str)| Signer {
            name: format!("signer {at}"),
            who: Who::Certificate(
                CertificateIdentity::parse(identity, "http://127.0.0.1:8470").unwrap(),
            ),
        };
        let policy = Policy {
            signers: identities.iter().enumerate().map(signer).collect(),
            ..Policy::default()
        };
        let trust = Trust::new(&TrustedRoot::parse(root).unwrap());
        let verifier = Verifier::new(trust, policy.to_verification());
        let bundle = Bundle::parse(bundle).unwrap();
        let report = verifier.verify(&bundle, &Artifact::Bytes(artifact), NOW);
        let digest: Digest = DigestAlgorithm::Sha256.digest(b"");
        judge(
            &policy,
            &[Item {
                digest: &digest,
                finding: Finding::Report(&report),
            }],
            NOW,
        )
    };
    let decision = judge_as(&[
        "repo:o/r:.*",
        "repo:local/demo:.*",
        "repo:local/demo:ref:refs/heads/main",
    ]);
    assert_eq!(decision.verdict, Ok(()));
    assert_eq!(decision.signers, [["signer 1", "signer 2"]]);
    let decision = judge_as(&["repo:o/r:.*"]);
    assert!(matches!(
        decision.verdict,
        Err(Refusal::Refused {
            error: VerifyError::IdentityMismatch { .. },
            ..
        })
    ));
    let decision = judge_as(&[]);
    assert!(matches!(
        decision.verdict,
        Err(Refusal::Refused {
            error: VerifyError::NoIdentityGiven,
            ..
        })
    ));
    assert_eq!(decision.verdict.unwrap_err().code(), 20);
}
