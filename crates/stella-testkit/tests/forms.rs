//! Every form of bundle that a client ever wrote verifies: one by one, and many at once with the same reports.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::num::NonZeroUsize;

use stella_bundle::bundle::Bundle;
use stella_bundle::verify::{Artifact, Clock, LogEvidence, Question, Verifier};
use stella_testkit::forge::{self, ARTIFACT, Forge, Form, NOW};

#[test]
fn every_form_verifies_and_says_by_what() {
    let forge = Forge::new();
    for form in Form::all() {
        let forged = forge.make(&form);
        let report = forge.verify(&forged.bundle, &forged.policy).unwrap();
        let verified = report
            .verdict
            .unwrap_or_else(|error| panic!("{}: {error}", form.name));
        let facts = verified.facts();
        assert_eq!(facts.entries.len(), form.entries.len(), "{}", form.name);
        for (fact, entry) in facts.entries.iter().zip(&form.entries) {
            let wanted = if entry.proof {
                LogEvidence::Proof
            } else {
                LogEvidence::Promise
            };
            assert_eq!(fact.evidence, Some(wanted), "{}", form.name);
        }
        let promises = form.entries.iter().filter(|entry| entry.promise).count();
        let by = |clock| {
            facts
                .times
                .iter()
                .filter(|time| time.clock == clock)
                .count()
        };
        assert_eq!(by(Clock::Log), promises, "{}", form.name);
        assert_eq!(
            by(Clock::TimestampAuthority),
            form.timestamps,
            "{}",
            form.name
        );
    }
}

#[test]
fn many_at_once_give_the_reports_of_one_by_one() {
    let forge = Forge::new();
    let form = Form::current();
    let forged: Vec<_> = (0..40).map(|_| forge.make(&form)).collect();
    let verifier = Verifier::new(
        forge::trust(&forge.trusted_root()),
        forged[0].policy.clone(),
    );
    let mut bundles: Vec<Bundle> = Vec::new();
    for each in &forged {
        let text = each.bundle.to_string();
        let good = Bundle::parse(text.as_bytes()).unwrap();
        // A neighbour with the same certificate and another signature: what is remembered must not speak for it.
        let mut bad = good.clone();
        let other = &forged[7].bundle["verificationMaterial"]["tlogEntries"];
        bad.entries = serde_json::from_value(other.clone()).unwrap();
        bundles.extend([good.clone(), bad, good]);
    }
    let question = |bundle| Question {
        bundle,
        artifact: Artifact::Bytes(ARTIFACT),
    };
    let questions: Vec<_> = bundles.iter().map(question).collect();
    for threads in [1, 2, 7] {
        let reports = verifier.verify_many(&questions, NOW, NonZeroUsize::new(threads).unwrap());
        assert_eq!(reports.len(), questions.len());
        for (report, each) in reports.iter().zip(&questions) {
            let alone = verifier.verify(each.bundle, &each.artifact, NOW);
            assert_eq!(report.checks, alone.checks);
            assert_eq!(report.facts, alone.facts);
        }
    }
}
