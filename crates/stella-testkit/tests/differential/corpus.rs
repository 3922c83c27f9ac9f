//! The inputs: for each form a good bundle and every change of it, with stella's verdict.

use serde_json::Value;
use stella_bundle::bundle::Bundle;
use stella_bundle::verify::{Artifact, Verifier};
use stella_testkit::forge::mutants::{self, Kind, Mutant};
use stella_testkit::forge::{self, Forge, Forged, Form};

/// All inputs of one forge.
pub(crate) struct Corpus {
    /// Whom to trust.
    pub(crate) trusted_root: Value,
    /// One for each form.
    pub(crate) sets: Vec<Set>,
}

/// The inputs of one form. Their texts are made anew each time: all of them at once would fill the memory.
pub(crate) struct Set {
    pub(crate) form: Form,
    pub(crate) good: Forged,
    others: [Value; 2],
    seed: u64,
    /// Stella's verdicts, the good bundle's first.
    accepted: Vec<bool>,
}

/// One bundle.
pub(crate) struct Input {
    /// Its place among those of the form; the good bundle's is 0.
    pub(crate) number: usize,
    /// What was changed; nothing in the good bundle.
    pub(crate) change: Option<(String, Kind)>,
    pub(crate) text: String,
    /// Whether stella accepts it.
    pub(crate) is_accepted: bool,
}

impl Corpus {
    /// Makes the inputs and asks stella about each.
    pub(crate) fn new() -> Self {
        let (forge, stranger) = (Forge::new(), Forge::new());
        let trusted_root = forge.trusted_root();
        let set = |(seed, form): (u64, Form)| {
            let good = forge.make(&form);
            let others = [forge.make(&form).bundle, stranger.make(&form).bundle];
            let verifier = Verifier::new(forge::trust(&trusted_root), good.policy.clone());
            let accepts = |text: String| {
                Bundle::parse(text.as_bytes()).is_ok_and(|bundle| {
                    let artifact = Artifact::Bytes(forge::ARTIFACT);
                    let report = verifier.verify(&bundle, &artifact, forge::NOW);
                    report.verdict.is_ok()
                })
            };
            let changed = mutants::all(&good.bundle, &others, seed);
            let texts = changed.into_iter().map(|mutant| mutant.text);
            let accepted: Vec<bool> = std::iter::once(good.bundle.to_string())
                .chain(texts)
                .map(accepts)
                .collect();
            assert!(accepted[0], "{}", form.name);
            Set {
                form,
                good,
                others,
                seed,
                accepted,
            }
        };
        let sets = (1..).zip(Form::all()).map(set).collect();
        Self { trusted_root, sets }
    }
}

impl Set {
    /// Returns the good bundle and every change of it.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = Input> {
        let good = (None, self.good.bundle.to_string());
        let changed = |mutant: Mutant| (Some((mutant.path, mutant.kind)), mutant.text);
        let changes = mutants::all(&self.good.bundle, &self.others, self.seed);
        std::iter::once(good)
            .chain(changes.into_iter().map(changed))
            .zip(&self.accepted)
            .enumerate()
            .map(|(number, ((change, text), &is_accepted))| Input {
                number,
                change,
                text,
                is_accepted,
            })
    }
}
