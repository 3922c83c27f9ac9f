//! Other verifiers as a second opinion: good bundles of every form and each change of them go through stella and through
//! sigstore-verify, sigstore-python and the sigstore-js libraries.
//!
//! What stella accepts and another refuses must be covered by a line of `testdata/differential/accepted.json`, which
//! cites the clause that demands or allows it; once everything was asked, a line that nothing needs is refused too. What
//! another accepts and stella refuses is only counted: stella is stricter. sigstore-verify is asked everything, the
//! clients in other languages a sample, unless `STELLA_DIFFERENTIAL=all`. How a change is made is [`stella_testkit::forge::mutants`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may panic and talk"
)]

mod corpus;
mod foreign;
mod oracle;
mod verdicts;

use corpus::Corpus;
use verdicts::{Client, Comparison, Extent};

/// One corpus for every client.
static CORPUS: std::sync::LazyLock<Corpus> = std::sync::LazyLock::new(Corpus::new);

#[test]
fn what_stella_accepts_and_sigstore_verify_refuses_is_listed() {
    let mut comparison = Comparison::new(Client::Rust);
    for set in &CORPUS.sets {
        let oracle = oracle::Oracle::new(&CORPUS.trusted_root, set);
        for input in set.inputs() {
            comparison.add(set, &input, oracle.verify(&input.text));
        }
    }
    comparison.finish(Extent::Everything);
}

#[test]
fn what_stella_accepts_and_sigstore_python_refuses_is_listed() {
    foreign::compare(&CORPUS, Client::Python);
}

#[test]
fn what_stella_accepts_and_sigstore_js_refuses_is_listed() {
    foreign::compare(&CORPUS, Client::Javascript);
}
