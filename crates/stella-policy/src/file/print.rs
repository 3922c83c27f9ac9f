//! A policy as a file again: every choice spelled, nothing left to defaults that matters.

use serde_json::{Map, Value, json};
use stella_bundle::identity::{CertificateIdentity, IdentityValue, Reach};
use stella_bundle::key::KeyDetails;
use stella_bundle::verify::{LogRule, ManagedKey, Promise, SctRule};

use super::VERSION;
use crate::condition::{Condition, Scalar, Test};
use crate::mode::Rekor;
use crate::policy::{Denials, EvidenceDemand, Policy};
use crate::requirement::{Counted, Requirement, SignerChoice};
use crate::signer::{Signer, Who};
use crate::type_pattern::TypePattern;

/// Returns the policy as YAML that reads as the same policy.
pub fn to_yaml(policy: &Policy) -> String {
    let mut text = String::new();
    for (key, value) in parts(policy) {
        // JSON is YAML; one key a line keeps long policies readable.
        match &value {
            Value::Array(list) if !list.is_empty() => {
                text.push_str(&format!("{key}:\n"));
                text.extend(list.iter().map(|each| format!("  - {each}\n")));
            }
            Value::Object(fields) if !fields.is_empty() => {
                text.push_str(&format!("{key}:\n"));
                text.extend(
                    fields
                        .iter()
                        .map(|(name, each)| format!("  {}: {each}\n", json!(name))),
                );
            }
            Value::String(word) if is_plain(word) => text.push_str(&format!("{key}: {word}\n")),
            other => text.push_str(&format!("{key}: {other}\n")),
        }
    }
    text
}

/// Returns the policy as a JSON value of the same shape.
pub fn to_value(policy: &Policy) -> Value {
    let fields = parts(policy)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Value::Object(fields.collect())
}

fn is_plain(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-./".contains(&byte))
}

fn parts(policy: &Policy) -> Vec<(&'static str, Value)> {
    let mut parts = vec![
        ("policy", json!(VERSION)),
        ("mode", json!(policy.mode.name())),
        ("on-unavailable", json!(policy.on_unavailable.name())),
    ];
    if !policy.trust.is_empty() {
        let digests: Vec<String> = policy.trust.iter().map(ToString::to_string).collect();
        parts.push(("trust", json!(digests)));
    }
    if !policy.signers.is_empty() {
        let signers: Map<String, Value> = policy.signers.iter().map(signer).collect();
        parts.push(("signers", Value::Object(signers)));
    }
    if !policy.requirements.is_empty() {
        parts.push((
            "require",
            policy.requirements.iter().map(requirement).collect(),
        ));
    }
    let mut certificates = evidence(&policy.certificates.evidence);
    if policy.certificates.evidence.log == LogRule::WithoutLogUnsafe {
        certificates.insert("insecure-ignore-log".to_owned(), json!(true));
    }
    if policy.certificates.sct == SctRule::WithoutSctUnsafe {
        certificates.insert("insecure-ignore-sct".to_owned(), json!(true));
    }
    parts.push(("evidence", Value::Object(certificates)));
    let keys = evidence(&policy.keys.evidence);
    if !keys.is_empty() {
        parts.push(("key-evidence", Value::Object(keys)));
    }
    if policy.rekor == Rekor::Required {
        parts.push(("rekor", json!("required")));
    }
    let denials = match policy.denials {
        Denials::Every => "every",
        Denials::Newest => "newest",
    };
    parts.push(("denials", json!(denials)));
    parts
}

fn signer(signer: &Signer) -> (String, Value) {
    let value = match &signer.who {
        Who::AnyoneUnsafe => json!({"insecure-any-identity": true}),
        Who::Certificate(identity) => certificate(identity),
        Who::Key(key) => managed_key(key),
    };
    (signer.name.clone(), value)
}

fn certificate(identity: &CertificateIdentity) -> Value {
    let mut value = match identity.value() {
        IdentityValue::AlternativeName(name) => json!({"san": name}),
        IdentityValue::Expression(expression) => match expression.reach() {
            Reach::AnyoneUnsafe => {
                json!({"identity-regexp": expression.text(), "insecure-any-identity": true})
            }
            Reach::OneOwner => json!({"identity-regexp": expression.text()}),
        },
        IdentityValue::Pattern(pattern) => json!({"identity": pattern.text()}),
        IdentityValue::TokenSubject(subject) => json!({"subject": subject}),
    };
    value["issuer"] = json!(identity.issuer());
    for (claim, wanted) in identity.claims() {
        value["claims"][claim.name()] = json!(wanted);
    }
    value
}

fn managed_key(key: &ManagedKey) -> Value {
    let mut value = json!({"key": key.key.to_pem()});
    if let Some(hint) = &key.hint {
        value["hint"] = json!(hint);
    }
    if let Some(scheme) = key.scheme {
        let fits = |details: &KeyDetails| {
            details.scheme() == scheme && key.key.require_kind_of(*details).is_ok()
        };
        let details = KeyDetails::all().find(fits);
        value["algorithm"] = json!(details.map(KeyDetails::name));
    }
    for (name, end) in [("from", key.validity.start), ("until", key.validity.end)] {
        if let Some(time) = end {
            value["valid"][name] = json!(time.to_string());
        }
    }
    value
}

fn requirement(requirement: &Requirement) -> Value {
    let mut value = json!({"name": requirement.name});
    if requirement.types != TypePattern::Any {
        value["type"] = json!(requirement.types.to_string());
    }
    if let SignerChoice::Named(names) = &requirement.signers {
        value["signers"] = json!(names);
    }
    for Condition { pointer, test } in &requirement.conditions {
        let (name, wanted) = operator(test);
        value["where"][pointer.to_string()][name] = wanted;
    }
    if requirement.count.least > 1 {
        value["min-count"] = json!(requirement.count.least);
    }
    if requirement.count.of == Counted::Signers {
        value["count"] = json!("signers");
    }
    if let Some(age) = requirement.max_age {
        value["max-age"] = json!(age.to_string());
    }
    value
}

fn operator(test: &Test) -> (&'static str, Value) {
    let list = |scalars: &[Scalar]| scalars.iter().map(Scalar::to_value).collect();
    match test {
        Test::Absent => ("absent", json!(true)),
        Test::AtLeast(bound) => ("at-least", Scalar::Number(bound.clone()).to_value()),
        Test::AtMost(bound) => ("at-most", Scalar::Number(bound.clone()).to_value()),
        Test::Contains(wanted) => ("contains", wanted.to_value()),
        Test::Not(unwanted) => ("not", list(unwanted)),
        Test::OneOf(wanted) => match wanted.as_slice() {
            [only] => ("equal", only.to_value()),
            wanted => ("one-of", list(wanted)),
        },
        Test::Present => ("present", json!(true)),
    }
}

fn evidence(demand: &EvidenceDemand) -> Map<String, Value> {
    let mut fields = Map::new();
    if let LogRule::Require { logs, promise } = demand.log {
        fields.insert("logs".to_owned(), json!(logs));
        let inclusion = match promise {
            Promise::Counts => "promise",
            Promise::DoesNotCount => "proof",
        };
        fields.insert("inclusion".to_owned(), json!(inclusion));
    }
    for (name, count) in [("times", demand.times), ("timestamps", demand.timestamps)] {
        if count > 0 {
            fields.insert(name.to_owned(), json!(count));
        }
    }
    if let Some(witnesses) = &demand.witnesses {
        fields.insert("witnesses".to_owned(), json!(witnesses.text));
    }
    fields
}
