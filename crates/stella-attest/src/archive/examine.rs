//! What the organisation's own verification finds about attestations that come in.

use std::num::NonZeroUsize;
use std::thread;

use stella_archive::fingerprint::Fingerprint;
use stella_archive::index::subject_key;
use stella_archive::leaf::Status;
use stella_bundle::bundle::{Bundle, Content, KeyMaterial};
use stella_bundle::key::sha256;
use stella_bundle::memo::Memo;
use stella_bundle::statement::Subject;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{Artifact, Facts, LogFact, Verifier, VerifyError};

use super::spool::Finding;

/// Verifies attestations side by side; the findings come in their order.
pub(super) fn examine_all(
    verifier: &Verifier,
    batch: &[Vec<u8>],
    now: UnixTime,
    threads: NonZeroUsize,
) -> Vec<Finding> {
    let share = batch.len().div_ceil(threads.get()).max(1);
    let work = |some: &[Vec<u8>]| {
        let memo = Memo::remembering();
        let examine = |bytes: &Vec<u8>| examine(verifier, bytes, now, &memo);
        some.iter().map(examine).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let workers = batch
            .chunks(share)
            .map(|some| scope.spawn(move || work(some)));
        let workers: Vec<_> = workers.collect();
        let joined = workers.into_iter().map(|worker| {
            let joined = worker.join();
            joined.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        });
        joined.flatten().collect()
    })
}

fn examine(verifier: &Verifier, bytes: &[u8], now: UnixTime, memo: &Memo) -> Finding {
    let digest = Fingerprint::of(bytes);
    let refused = |reason: &str| Finding {
        digest,
        status: Status::rejected(reason),
        time: None,
        signer: 0,
        subjects: Vec::new(),
        entries: Vec::new(),
    };
    let Ok(bundle) = Bundle::parse(bytes) else {
        return refused("not-a-bundle");
    };
    let report = verifier.verify_remembering(&bundle, &Artifact::AsSigned, now, memo);
    match report.verdict {
        Ok(verified) => Finding {
            digest,
            status: Status::Verified,
            time: verified
                .facts()
                .times
                .first()
                .map(|each| each.time.seconds()),
            signer: signer(&bundle),
            subjects: subjects(&bundle, verified.facts()),
            entries: entries(verified.facts()),
        },
        Err(error) => refused(&variant(&error)),
    }
}

/// Returns the beginning of the SHA-256 of the signer's certificate, or of the key's hint.
fn signer(bundle: &Bundle) -> u64 {
    let digest = match &bundle.key {
        KeyMaterial::Certificates(chain) => sha256(chain.first().map_or(&[], Vec::as_slice)),
        KeyMaterial::PublicKey { hint } => sha256(hint.as_bytes()),
    };
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Returns where an attestation is provably logged.
fn entries(facts: &Facts) -> Vec<(String, u64)> {
    let counted = facts.entries.iter().filter(|each| each.ignored.is_none());
    let place = |each: &LogFact| Some((each.origin.clone(), u64::try_from(each.index).ok()?));
    counted.filter_map(place).collect()
}

/// Returns the keys of what an attestation speaks of.
fn subjects(bundle: &Bundle, facts: &Facts) -> Vec<[u8; 32]> {
    let named = facts.statement.iter().flat_map(|each| &each.subject);
    let mut digests: Vec<_> = named.flat_map(Subject::digests).collect();
    if let Content::Message {
        digest: Some(digest),
        ..
    } = &bundle.content
    {
        digests.push(digest.clone());
    }
    digests.iter().map(subject_key).collect()
}

/// Names an error by its variant: `BadSignature` becomes `bad-signature`.
fn variant(error: &VerifyError) -> String {
    let text = format!("{error:?}");
    let name = text
        .split(|each: char| !each.is_ascii_alphanumeric())
        .next();
    let mut word = String::new();
    for letter in name.unwrap_or_default().chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}
