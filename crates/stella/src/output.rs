//! Reports: `stella.verify/v1` for machines, a few lines for people. Printed on success and on refusal alike.

use std::time::Duration;

use serde_json::{Value, json};
use stella_attest::verify::{Answer, Examined, Source};
use stella_bundle::certificate::Claim;
use stella_bundle::digest::Digest;
use stella_bundle::identity::escape;
use stella_bundle::verify::{Facts, Outcome, Report};

use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::TrustMaterial;

/// Everything a report speaks of.
pub(crate) struct Verification<'a> {
    /// What was typed for the artifact.
    pub(crate) artifact: &'a str,
    /// Its digest.
    pub(crate) digest: &'a Digest,
    /// Whether nothing could be fetched.
    pub(crate) offline: bool,
    /// Whom the verifier believed.
    pub(crate) trust: &'a TrustMaterial,
    /// What was found.
    pub(crate) answer: &'a Answer,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

/// Returns the report for machines.
pub(crate) fn verification(report: &Verification<'_>) -> Value {
    let refusal = report.answer.verdict.as_ref().err().map(exit::refusal);
    let code = refusal.as_ref().map_or(exit::OK, |failure| failure.code);
    json!({
        "schema": "stella.verify/v1",
        "result": if refusal.is_none() { "allow" } else { "deny" },
        "code": code,
        "mode": "enforce",
        "artifact": {"ref": report.artifact, "digest": report.digest.to_string()},
        "offline": report.offline,
        "trustRoot": {
            "kind": report.trust.kind.name(),
            "digest": report.trust.digest().to_string(),
            "source": report.trust.source,
        },
        "attestations": report.answer.examined.iter().map(attestation).collect::<Vec<_>>(),
        "errors": refusal.iter().map(error).collect::<Vec<_>>(),
        "stats": stats(report.elapsed),
    })
}

/// Returns the report for machines where nothing could be judged.
pub(crate) fn not_judged(artifact: &str, failure: &Failure, elapsed: Duration) -> Value {
    json!({
        "schema": "stella.verify/v1",
        "result": "deny",
        "code": failure.code,
        "mode": "enforce",
        "artifact": {"ref": artifact, "digest": null},
        "offline": true,
        "trustRoot": null,
        "attestations": [],
        "errors": [error(failure)],
        "stats": stats(elapsed),
    })
}

fn error(failure: &Failure) -> Value {
    json!({"code": failure.code, "message": escape(&failure.message), "hint": failure.hint})
}

fn stats(elapsed: Duration) -> Value {
    json!({"ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)})
}

/// Returns one attestation for machines.
pub(crate) fn attestation(examined: &Examined) -> Value {
    let mut value = json!({
        "digest": examined.digest.to_string(),
        "source": match examined.source {
            Source::File => "bundle",
            Source::Shelf => "local",
        },
    });
    if let Some(version) = examined.version {
        value["format"] = json!(format!("bundle-v{version}"));
    }
    match &examined.result {
        Ok(report) => describe(&mut value, report),
        Err(error) => value["error"] = json!(escape(&error.to_string())),
    }
    value
}

fn describe(value: &mut Value, report: &Report) {
    let facts = &report.facts;
    value["predicateType"] = json!(
        facts
            .statement
            .as_ref()
            .map(|statement| &statement.predicate_type)
    );
    value["checks"] = report
        .checks
        .iter()
        .map(|(check, outcome)| {
            let (status, detail) = status(outcome);
            let detail = detail.or_else(|| found(*check, facts));
            json!({"name": check.name(), "status": status, "detail": detail})
        })
        .collect();
    value["signer"] = signer(facts);
    let time = |each: &stella_bundle::verify::AuthenticTime| json!({"kind": "tsa", "time": each.time.to_string(), "authority": each.authority});
    value["times"] = facts.times.iter().map(time).collect();
    let entry = |each: &stella_bundle::verify::LogFact| {
        json!({
            "origin": escape(&each.origin),
            "index": each.index,
            "treeSize": each.tree_size,
            "witnesses": each.witnesses,
            "ignored": each.ignored.as_ref().map(ToString::to_string),
        })
    };
    value["log"] = facts.entries.iter().map(entry).collect();
    if let Some(result) = facts
        .statement
        .as_ref()
        .and_then(|statement| statement.predicate.to_value().get("result").cloned())
    {
        value["verdict"] = json!({"result": result});
    }
}

fn status(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Failed(error) => ("fail", Some(escape(&error.to_string()))),
        Outcome::NotReached => ("notReached", None),
        Outcome::Ok => ("ok", None),
        Outcome::SkippedByPolicy => ("skipped", None),
    }
}

fn signer(facts: &Facts) -> Value {
    let Some(signer) = &facts.signer else {
        return Value::Null;
    };
    let claims: serde_json::Map<String, Value> = signer
        .claims()
        .map(|(claim, text)| (claim.name().to_owned(), json!(escape(text))))
        .collect();
    json!({
        "issuer": signer.issuer().map(escape),
        "san": signer.name().map(escape),
        "tokenSubject": signer.claim(Claim::TokenSubject).map(escape),
        "claims": claims,
        "notBefore": signer.certificate().not_before().to_string(),
        "notAfter": signer.certificate().not_after().to_string(),
    })
}

/// Prints the report for people.
pub(crate) fn print_verification(report: &Verification<'_>) {
    for examined in &report.answer.examined {
        print_attestation(examined);
    }
    let trust = format!(
        "trust root {} from {}",
        report.trust.digest(),
        report.trust.source
    );
    match report.answer.verdict {
        Ok(()) => terminal::say(&format!("ok    {} is attested; {trust}", report.digest)),
        Err(_) => terminal::say(&format!("fail  {} is refused; {trust}", report.digest)),
    }
}

/// Prints one attestation for people: the checks by name, who signed, when, and where it is logged.
pub(crate) fn print_attestation(examined: &Examined) {
    terminal::say(&format!("attestation {}", examined.digest));
    let report = match &examined.result {
        Ok(report) => report,
        Err(error) => return terminal::say(&format!("  fail      {}", escape(&error.to_string()))),
    };
    for (check, outcome) in &report.checks {
        let (word, detail) = status(outcome);
        let detail = detail
            .or_else(|| found(*check, &report.facts))
            .unwrap_or_default();
        terminal::say(format!("  {word:<10}{:<10} {detail}", check.name()).trim_end());
    }
}

/// Says what a check found, in a few words.
fn found(check: stella_bundle::verify::Check, facts: &Facts) -> Option<String> {
    use stella_bundle::verify::Check;
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
        Check::Subject => facts
            .statement
            .as_ref()
            .map(|statement| escape(&statement.predicate_type)),
        Check::Identity => {
            let signer = facts.signer.as_ref()?;
            let name = signer.claim(Claim::TokenSubject).or(signer.name())?;
            Some(format!("{} by {}", escape(name), escape(signer.issuer()?)))
        }
        Check::Signature => None,
    }
}
