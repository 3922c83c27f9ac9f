//! The report for people: every check by name, and one line with the answer. Several artifacts take a line each.

use stella_attest::archive::held::{InArchive, RootOf};
use stella_attest::verify::Examined;
use stella_bundle::identity::{Compared, escape};
use stella_bundle::verify::{Check, Facts, Outcome, VerifyError};

use super::{Judged, Run};
use crate::exit;

/// Returns the report.
pub(crate) fn document(run: &Run) -> String {
    let mut lines = Vec::new();
    match run.judged.as_slice() {
        [only] => {
            let examined = only.answer.iter().flat_map(|answer| &answer.examined);
            lines.extend(examined.flat_map(attestation));
            let trust = run.trust.as_ref().map_or_else(String::new, |trust| {
                format!("; trust root {} from {}", trust.digest(), trust.source)
            });
            lines.extend(only.digest.as_ref().map(|digest| {
                let (word, says) = answer(only);
                format!("{word:<5} {digest} {says}{trust}")
            }));
        }
        several => {
            lines.extend(several.iter().map(line));
            lines.extend(several.len().checked_sub(1).map(|_| sum(several)));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn answer(judged: &Judged) -> (&'static str, String) {
    match (judged.code(), judged.ending.allowed_by) {
        (exit::OK, _) => ("ok", "is attested".to_owned()),
        (_, None) => ("fail", "is refused".to_owned()),
        (code, Some(mode)) => (
            mode.name(),
            format!(
                "is refused with code {code} and passes, because the mode is {}",
                mode.name()
            ),
        ),
    }
}

/// Returns one of several artifacts in a line.
fn line(judged: &Judged) -> String {
    let (word, _) = answer(judged);
    let given = escape(&judged.given);
    match &judged.failure {
        None => format!("{word:<5} {given}"),
        Some(failure) => format!(
            "{word:<5} {given}  {} {}",
            failure.code,
            escape(&failure.message)
        ),
    }
}

fn sum(several: &[Judged]) -> String {
    let passing = several
        .iter()
        .filter(|each| each.code() == exit::OK)
        .count();
    format!("{passing} of {} artifacts pass", several.len())
}

/// Returns one attestation: the checks by name, who signed, when, and where it is logged.
pub(crate) fn attestation(examined: &Examined) -> Vec<String> {
    let mut lines = vec![format!("attestation {}", examined.digest)];
    if let Some(archived) = &examined.archived {
        lines.extend(in_archive(archived, examined));
    }
    let report = match &examined.result {
        Ok(report) => report,
        Err(error) => {
            lines.push(format!("  fail      {}", escape(&error.to_string())));
            return lines;
        }
    };
    for (check, outcome) in &report.checks {
        let (word, detail) = ending(*check, outcome, &report.facts);
        let detail = detail.unwrap_or_default();
        let line = format!("  {word:<10}{:<10} {detail}", check.name());
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Tells what an archive proves of an attestation: that it was archived, by when, and who says so; and the level.
fn in_archive(archived: &InArchive, examined: &Examined) -> [String; 2] {
    let (origin, period) = (escape(archived.origin()), escape(archived.period()));
    let existence = archived.existence();
    let root = archived.trusted_root().unwrap_or_default();
    let level = match (level(archived, examined), archived.by) {
        ("archived", _) => "L0: it was archived, and does not verify now".to_owned(),
        (_, RootOf::Archive) => {
            format!("L1: verified again by the trusted root of its time, {root}")
        }
        (_, RootOf::Verifier) => "L2: verified by your own trusted root".to_owned(),
    };
    let archived = format!("in {period} of {origin}, {existence}");
    [("archived", archived), ("level", level)]
        .map(|(name, detail)| format!("  {:<10}{name:<10} {detail}", "ok"))
}

/// Names the level that an attestation of an archive reaches.
pub(super) fn level(archived: &InArchive, examined: &Examined) -> &'static str {
    match (examined.verified(), archived.by) {
        (None, _) => "archived",
        (Some(_), RootOf::Archive) => "reverified",
        (Some(_), RootOf::Verifier) => "independent",
    }
}

/// Returns how a check ended, as reports have it, and why, or what it found.
pub(super) fn ending(
    check: Check,
    outcome: &Outcome,
    facts: &Facts,
) -> (&'static str, Option<String>) {
    let found = || found(check, facts);
    match outcome {
        // Nobody said who may sign: whoever asks learns who did.
        Outcome::Failed(error @ VerifyError::NoIdentityGiven) => {
            let signer = found().unwrap_or_else(|| "nobody that it names".to_owned());
            ("fail", Some(format!("{error}: {signer}")))
        }
        Outcome::Failed(error) => ("fail", Some(escape(&error.to_string()))),
        Outcome::NotReached => ("notReached", found()),
        Outcome::Ok => ("ok", found()),
        Outcome::SkippedByPolicy => ("skipped", found()),
    }
}

/// Says what a check found, in a few words.
fn found(check: Check, facts: &Facts) -> Option<String> {
    match check {
        Check::Time => {
            let time = facts.times.first()?;
            Some(format!("signed at {} by {}", time.time, time.authority))
        }
        Check::Certificate => {
            let signer = facts.signer.as_ref()?;
            Some(format!(
                "valid from {} to {}",
                signer.certificate().not_before(),
                signer.certificate().not_after()
            ))
        }
        Check::Sct => {
            let sct = facts.scts.first()?;
            Some(format!("{} at {}", sct.log.as_deref()?, sct.time))
        }
        Check::Log => {
            let entry = facts.entries.first()?;
            Some(format!("{} index {}", escape(&entry.origin), entry.index))
        }
        Check::Subject => {
            let statement = facts.statement.as_ref()?;
            Some(escape(&statement.predicate_type))
        }
        Check::Identity => {
            if let Some(key) = &facts.key {
                return Some(format!("key {}", hex::encode(key.key.key_id())));
            }
            let signer = facts.signer.as_ref()?;
            let (name, issuer) = (exit::name_of(signer)?, signer.issuer()?);
            let who = format!("{} by {}", escape(name), escape(issuer));
            Some(match claims(&facts.identity) {
                claims if claims.is_empty() => who,
                claims => format!("{who} ({})", claims.join(", ")),
            })
        }
        Check::Signature => None,
    }
}

/// Returns the claims that were compared: what a pattern was translated into, and what was asked besides.
fn claims(compared: &[Compared]) -> Vec<String> {
    let is_claim =
        |each: &&Compared| !matches!(each.what, "issuer" | "subjectAltName" | "token-subject");
    let show = |each: &Compared| {
        let found = each.found.as_deref().unwrap_or("none");
        format!("{} {}", each.what, escape(found))
    };
    compared.iter().filter(is_claim).map(show).collect()
}
