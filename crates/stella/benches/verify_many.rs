//! Verifies ten thousand bundles at once, next to the sum of their distinct signatures and to sigstore-verify one by one.
//!
//! The bundles are made here, of the form that stella writes: P-256 certificate, statement, Rekor v2 (Ed25519), one
//! timestamp (P-256), one SCT (P-256). Times are of the wall, because several cores take part; the fastest of some runs
//! counts.
//!
//!     cargo bench --package stella --bench verify_many
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark talks, and may panic"
)]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use sigstore_verify::trust_root::TrustedRoot as TheirRoot;
use sigstore_verify::types::Bundle as TheirBundle;
use stella_bundle::bundle::Bundle;
use stella_bundle::key::KeyDetails;
use stella_bundle::verify::{Artifact, Question, Verifier};
use stella_testkit::forge::{self, ARTIFACT, Forge, Form, NOW, SIGNER};

const BUNDLES: usize = 10_000;
/// So many bundles share a certificate and a checkpoint in the second set.
const SHARED: usize = 100;
/// How often each set is verified.
const RUNS: usize = 5;

fn main() {
    let forge = Forge::new();
    let form = Form::current();
    let own: Vec<String> = (0..BUNDLES)
        .map(|_| forge.make(&form).bundle.to_string())
        .collect();
    let policy = forge.make(&form).policy;
    let verifier = Verifier::new(forge::trust(&forge.trusted_root()), policy);

    let sum = signatures() * u32::try_from(BUNDLES).unwrap();
    println!(
        "{BUNDLES} bundles; 4 P-256 and 1 Ed25519 signature each: {:.0} ms of signatures",
        millis(sum)
    );
    let one = report("each its own leaf, 1 thread", &verifier, &own, 1);
    println!(
        "    {:.2} of the sum of signatures",
        one.as_secs_f64() / sum.as_secs_f64()
    );
    let two = report("each its own leaf, 2 threads", &verifier, &own, 2);
    println!(
        "    {:.2} times 1 thread",
        one.as_secs_f64() / two.as_secs_f64()
    );
    shared("own instance, Rekor v2", &forge, &form);
    let public = Forge::with_authorities(KeyDetails::EcdsaP384Sha384);
    shared(
        "as the public-good instance (authorities on P-384), Rekor v2",
        &public,
        &form,
    );
    let old = Form::all()
        .into_iter()
        .find(|form| form.name.ends_with("dsse 0.0.1"))
        .unwrap();
    shared("as the public-good instance, Rekor v1", &public, &old);
}

/// Verifies bundles of which many share a certificate and a checkpoint.
fn shared(name: &str, forge: &Forge, form: &Form) {
    let texts: Vec<String> = (0..BUNDLES / SHARED)
        .flat_map(|_| forge.make_many(form, SHARED))
        .map(|bundle| bundle.to_string())
        .collect();
    let verifier = Verifier::new(forge::trust(&forge.trusted_root()), forge.make(form).policy);
    let root = TheirRoot::from_json(&forge.trusted_root().to_string()).unwrap();
    let theirs = sigstore_verify::Verifier::new(&root).unwrap();
    let name = format!("{SHARED} to a leaf and checkpoint, {name}, 1 thread");
    let many = report(&name, &verifier, &texts, 1);
    let alone = sigstore(&theirs, &texts[..1000]) * u32::try_from(BUNDLES / 1000).unwrap();
    println!(
        "    sigstore-verify one by one {:.0} ms: {:.2} times",
        millis(alone),
        alone.as_secs_f64() / many.as_secs_f64()
    );
}

/// Returns the time of the five signatures of one bundle, each by itself.
fn signatures() -> Duration {
    let cost = |details| {
        let key = forge::key(details);
        let message = vec![7; 1000];
        let signature = forge::sign(&key, &message);
        let verify = || {
            let begun = Instant::now();
            for _ in 0..200 {
                black_box(forge_verify(&key, &message, &signature));
            }
            begun.elapsed() / 200
        };
        (0..30).map(|_| verify()).min().unwrap()
    };
    cost(KeyDetails::EcdsaP256Sha256) * 4 + cost(KeyDetails::Ed25519)
}

fn forge_verify(key: &stella_keys::EphemeralKey, message: &[u8], signature: &[u8]) -> bool {
    use stella_keys::Signer as _;
    key.public_key().verify(message, signature).is_ok()
}

fn report(name: &str, verifier: &Verifier, texts: &[String], threads: usize) -> Duration {
    let bundles: Vec<Bundle> = texts
        .iter()
        .map(|text| Bundle::parse(text.as_bytes()).unwrap())
        .collect();
    let question = |bundle| Question {
        bundle,
        artifact: Artifact::Bytes(ARTIFACT),
    };
    let questions: Vec<_> = bundles.iter().map(question).collect();
    let threads = NonZeroUsize::new(threads).unwrap();
    let run = || {
        let begun = Instant::now();
        let reports = verifier.verify_many(&questions, NOW, threads);
        let elapsed = begun.elapsed();
        // Refusing fast would be easy.
        assert!(reports.iter().all(|report| report.verdict.is_ok()));
        elapsed
    };
    let best = (0..RUNS).map(|_| run()).min().unwrap();
    println!(
        "{name}: {:.0} ms, {:.1} µs a bundle",
        millis(best),
        best.as_secs_f64() * 1e6 / texts.len() as f64
    );
    best
}

fn sigstore(theirs: &sigstore_verify::Verifier, texts: &[String]) -> Duration {
    let policy = sigstore_verify::VerificationPolicy::new(SIGNER.name, SIGNER.issuer);
    let bundles: Vec<_> = texts
        .iter()
        .map(|text| TheirBundle::from_json(text).unwrap())
        .collect();
    let run = || {
        let begun = Instant::now();
        for bundle in &bundles {
            let answer = theirs.verify(ARTIFACT, bundle, &policy);
            assert!(answer.is_ok(), "{answer:?}");
        }
        begun.elapsed()
    };
    (0..RUNS).map(|_| run()).min().unwrap()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
