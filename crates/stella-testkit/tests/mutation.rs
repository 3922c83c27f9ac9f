//! Spoiled evidence: for a good bundle of every form, every field is dropped, doubled, cut short, taken from another
//! bundle, and bits of every signed byte are flipped. All of it is refused, and nothing panics.
//!
//! What is accepted all the same is listed in `testdata/mutation/exceptions.json` with the reason; a line that nothing
//! needs is refused too. A change that leaves the parsed bundle as it was is no change.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use stella_bundle::bundle::Bundle;
use stella_bundle::verify::{Artifact, Verifier};
use stella_testkit::forge::{self, Forge, Form, exceptions, mutants};

#[test]
fn every_change_of_every_form_is_refused_but_for_those_that_are_listed() {
    let exceptions = exceptions::all();
    let (forge, stranger) = (Forge::new(), Forge::new());
    let (mut wrong, mut used) = (BTreeSet::new(), BTreeSet::new());
    let mut tried = 0;
    for (seed, form) in (1..).zip(Form::all()) {
        let good = forge.make(&form);
        let others = [forge.make(&form).bundle, stranger.make(&form).bundle];
        let verifier = Verifier::new(forge::trust(&forge.trusted_root()), good.policy.clone());
        let original = accepted(&verifier, &good.bundle.to_string());
        assert!(original.is_some(), "{}", form.name);
        let original = original.unwrap();
        for mutant in mutants::all(&good.bundle, &others, seed) {
            tried += 1;
            let accepted = accepted(&verifier, &mutant.text);
            if accepted.is_none_or(|changed| exceptions::is_same(&original, changed)) {
                continue;
            }
            let covering = exceptions
                .iter()
                .position(|each| each.covers(&form, &mutant.path, mutant.kind));
            match covering {
                Some(at) => {
                    used.insert(at);
                }
                None => {
                    let kind = mutant.kind.name();
                    wrong.insert(format!("{kind} {}: {}", mutant.path, form.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "accepted: {wrong:#?}");
    let idle: Vec<_> = (0..exceptions.len())
        .filter(|at| !used.contains(at))
        .map(|at| &exceptions[at].path)
        .collect();
    assert!(idle.is_empty(), "exceptions that nothing needs: {idle:#?}");
    assert!(tried > 20_000, "only {tried} changes were tried");
}

/// Returns a bundle that verifies.
fn accepted(verifier: &Verifier, text: &str) -> Option<Bundle> {
    let bundle = Bundle::parse(text.as_bytes()).ok()?;
    let artifact = Artifact::Bytes(forge::ARTIFACT);
    let report = verifier.verify(&bundle, &artifact, forge::NOW);
    report.verdict.is_ok().then_some(bundle)
}
