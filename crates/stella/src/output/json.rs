//! `stella.verify/v1`, for programs. Its fields are documented in docs/reference/exit-codes.md.

use serde_json::{Map, Value, json};
use stella_archive::history::Existence;
use stella_attest::archive::held::InArchive;
use stella_attest::verify::{Examined, Source};
use stella_bundle::certificate::Claim;
use stella_bundle::identity::escape;
use stella_bundle::verify::{AuthenticTime, Clock, Facts, LogEvidence, LogFact, Report};
use stella_policy::gate::Decision;

use super::{Judged, Run, text};
use crate::exit::{self, Failure};

/// Returns the report of one artifact, or of several in one object.
pub(super) fn document(run: &Run) -> String {
    let value = match run.judged.as_slice() {
        [only] => artifact(run, only),
        several => json!({
            "schema": "stella.verify-set/v1",
            "result": word(run.code()),
            "code": run.code(),
            "results": several.iter().map(|each| artifact(run, each)).collect::<Vec<_>>(),
        }),
    };
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    format!("{text}\n")
}

const fn word(code: u8) -> &'static str {
    match code {
        exit::OK => "allow",
        _ => "deny",
    }
}

fn artifact(run: &Run, judged: &Judged) -> Value {
    let trust = run.trust.as_ref().map(|trust| {
        json!({
            "kind": trust.kind.name(),
            "digest": trust.digest().to_string(),
            "source": trust.source,
        })
    });
    let examined = judged
        .answer
        .as_ref()
        .map(|answer| answer.examined.as_slice());
    let decision = judged.answer.as_ref().map(|answer| &answer.decision);
    let mut attestations: Vec<Value> = examined
        .unwrap_or_default()
        .iter()
        .map(attestation)
        .collect();
    if let Some(decision) = decision {
        for (value, names) in attestations.iter_mut().zip(&decision.signers) {
            value["acceptedAs"] = json!(names);
        }
    }
    json!({
        "schema": "stella.verify/v1",
        "result": word(judged.code()),
        "code": judged.code(),
        "allowedBy": judged.ending.allowed_by.map(|mode| mode.name()),
        "mode": run.policy.mode.name(),
        "artifact": {
            "ref": judged.given,
            "digest": judged.digest.as_ref().map(ToString::to_string),
        },
        "offline": run.traffic.is_none(),
        "trustRoot": trust,
        "requirements": decision.map_or_else(Vec::new, |decision| requirements(decision, examined.unwrap_or_default())),
        "attestations": attestations,
        "errors": judged.failure.iter().map(error).collect::<Vec<_>>(),
        "stats": stats(run),
    })
}

fn requirements(decision: &Decision, examined: &[Examined]) -> Vec<Value> {
    let digest = |item: &usize| examined.get(*item).map(|each| each.digest.to_string());
    let requirement = |each: &stella_policy::gate::Weighing| {
        json!({
            "name": escape(&each.requirement.name),
            "holds": each.is_met(),
            "wanted": each.requirement.count.least,
            "found": each.found,
            "satisfiedBy": each.satisfied_by.iter().map(digest).collect::<Vec<_>>(),
        })
    };
    decision.requirements.iter().map(requirement).collect()
}

/// Returns a failure for programs.
pub(crate) fn error(failure: &Failure) -> Value {
    json!({
        "code": failure.code,
        "message": escape(&failure.message),
        "hint": failure.hint,
        "docs": failure.docs(),
    })
}

fn stats(run: &Run) -> Value {
    let (requests, bytes) = run.traffic.unwrap_or_default();
    let ms = u64::try_from(run.elapsed.as_millis()).unwrap_or(u64::MAX);
    json!({"ms": ms, "requests": requests, "bytes": bytes})
}

/// Says by when something existed, and who says so; none where no clock vouches for it any longer.
pub(crate) fn existence(existence: &Existence) -> Option<Value> {
    match existence {
        Existence::At { time, authority } => {
            Some(json!({"time": time.to_string(), "authority": escape(authority)}))
        }
        Existence::Undated => None,
    }
}

/// Says where an attestation was found.
pub(crate) const fn source(source: Source) -> &'static str {
    match source {
        Source::Archive => "archive",
        Source::FallbackIndex => "fallback",
        Source::File => "bundle",
        Source::Layout => "layout",
        Source::LegacyTag => "legacy",
        Source::OwnTag => "tag",
        Source::Referrers => "referrers",
        Source::Shelf => "local",
    }
}

/// Returns one attestation for programs.
pub(crate) fn attestation(examined: &Examined) -> Value {
    let mut value = json!({
        "digest": examined.digest.to_string(),
        "source": source(examined.source),
    });
    if let Some(form) = examined.form {
        value["format"] = json!(form.to_string());
    }
    if let Some(archived) = &examined.archived {
        value["archive"] = in_archive(archived, examined);
    }
    match &examined.result {
        Ok(report) => describe(&mut value, report),
        Err(error) => value["error"] = json!(escape(&error.to_string())),
    }
    value
}

/// Returns what an archive proves of an attestation.
fn in_archive(archived: &InArchive, examined: &Examined) -> Value {
    json!({
        "origin": escape(archived.origin()),
        "period": escape(archived.period()),
        "leaf": archived.index(),
        "existed": existence(archived.existence()),
        "level": text::level(archived, examined),
        "trustedRoot": archived.trusted_root(),
    })
}

fn describe(value: &mut Value, report: &Report) {
    let facts = &report.facts;
    let statement = facts.statement.as_ref();
    value["predicateType"] = json!(statement.map(|statement| &statement.predicate_type));
    value["checks"] = report
        .checks
        .iter()
        .map(|(check, outcome)| {
            let (status, detail) = text::ending(*check, outcome, facts);
            json!({"name": check.name(), "status": status, "detail": detail})
        })
        .collect();
    value["signer"] = signer(facts);
    let time = |each: &AuthenticTime| {
        let kind = match each.clock {
            Clock::Log => "tlog",
            Clock::TimestampAuthority => "tsa",
        };
        json!({"kind": kind, "time": each.time.to_string(), "authority": each.authority})
    };
    value["times"] = facts.times.iter().map(time).collect();
    let entry = |each: &LogFact| {
        let evidence = each.evidence.map(|evidence| match evidence {
            LogEvidence::Promise => "promise",
            LogEvidence::Proof => "proof",
        });
        json!({
            "origin": escape(&each.origin),
            "kind": escape(&each.kind.to_string()),
            "index": each.index,
            "evidence": evidence,
            "treeSize": each.tree_size,
            "witnesses": each.witnesses,
            "ignored": each.ignored.as_ref().map(ToString::to_string),
        })
    };
    value["log"] = facts.entries.iter().map(entry).collect();
    if let Some(key) = &facts.key {
        value["key"] = json!({"id": hex::encode(key.key.key_id()), "hint": escape(&key.hint)});
    }
    if let Some(image) = &facts.image {
        let (reference, digest) = (escape(&image.reference), escape(&image.digest));
        value["image"] = json!({"reference": reference, "digest": digest});
    }
    let result = statement.and_then(|each| each.predicate.to_value().get("result").cloned());
    if let Some(result) = result {
        value["verdict"] = json!({"result": result});
    }
}

fn signer(facts: &Facts) -> Value {
    if let Some(key) = &facts.key {
        return json!({"key": format!("sha256:{}", hex_of(&key.key.key_id())), "hint": escape(&key.hint)});
    }
    let Some(signer) = &facts.signer else {
        return Value::Null;
    };
    let claims: Map<String, Value> = signer
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

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
