//! From the tree to the policy: what each key means.

use serde_saphyr::Spanned;
use stella_bundle::certificate::Claim;
use stella_bundle::digest::Digest;
use stella_bundle::identity::{CertificateIdentity, Reach};
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::time::Validity;
use stella_bundle::verify::{LogRule, ManagedKey, Promise, SctRule};

use super::error::{PolicyFileError, Problem, nearest};
use super::node::Node;
use super::table::{Field, Table};
use super::{ReadFile, VERSION};
use crate::age::Age;
use crate::condition::{Condition, MAX_ALTERNATIVES, MAX_TEXT, Scalar, Test};
use crate::mode::{Mode, OnUnavailable, Rekor};
use crate::number::Number;
use crate::pointer::Pointer;
use crate::policy::{CertificateDemand, Denials, EvidenceDemand, KeyDemand, Policy, Witnesses};
use crate::requirement::{
    Count, Counted, MAX_CONDITIONS, MAX_REQUIREMENTS, Requirement, SignerChoice,
};
use crate::signer::{MAX_SIGNERS, Signer, Who};
use crate::type_pattern::TypePattern;

/// The keys of a policy.
pub(super) const TOP: [&str; 10] = [
    "policy",
    "mode",
    "on-unavailable",
    "trust",
    "signers",
    "require",
    "evidence",
    "key-evidence",
    "rekor",
    "denials",
];
/// The keys of a signer.
pub(super) const SIGNER: [&str; 11] = [
    "identity",
    "subject",
    "san",
    "identity-regexp",
    "issuer",
    "claims",
    "key",
    "hint",
    "algorithm",
    "valid",
    "insecure-any-identity",
];
/// The keys of a window of time.
pub(super) const VALID: [&str; 2] = ["from", "until"];
/// The keys of a requirement.
pub(super) const REQUIREMENT: [&str; 7] = [
    "name",
    "type",
    "signers",
    "where",
    "min-count",
    "count",
    "max-age",
];
/// The tests of a condition.
pub(super) const TESTS: [&str; 8] = [
    "equal", "one-of", "not", "present", "absent", "at-most", "at-least", "contains",
];
/// The keys of what certificates must show.
pub(super) const EVIDENCE: [&str; 7] = [
    "logs",
    "inclusion",
    "times",
    "timestamps",
    "witnesses",
    "insecure-ignore-log",
    "insecure-ignore-sct",
];
/// The keys of what signatures of managed keys must show.
pub(super) const KEY_EVIDENCE: [&str; 5] =
    ["logs", "inclusion", "times", "timestamps", "witnesses"];

/// What names a signer.
const NAMES: [&str; 5] = ["identity", "subject", "san", "identity-regexp", "key"];
/// A policy accepts at most so many trust roots.
const MAX_TRUST: usize = 64;
/// How the size of a policy's words is bounded, in bytes.
const MAX_NAME: usize = 256;

/// Reads the whole document.
pub(super) fn policy(
    document: &Spanned<Node>,
    read: ReadFile<'_>,
) -> Result<Policy, PolicyFileError> {
    let document = Field::of_document(document);
    let top = document.table(&TOP)?;
    match top.iter().next() {
        Some(("policy", version)) if version.text()? == VERSION => {}
        _ => return Err(document.refuse(Problem::NoVersion)),
    }
    let signers = signers(&top, read)?;
    let mut policy = Policy {
        requirements: requirements(&top, &signers)?,
        trust: trust(&top)?,
        signers,
        ..Policy::default()
    };
    if let Some(field) = top.get("mode") {
        let word = field.word(&["enforce", "warn", "audit"])?;
        policy.mode = Mode::from_name(word).unwrap_or_default();
    }
    if let Some(field) = top.get("on-unavailable") {
        policy.on_unavailable = match field.word(&["deny", "allow"])? {
            "allow" => OnUnavailable::Allow,
            _ => OnUnavailable::Deny,
        };
    }
    if let Some(field) = top.get("rekor") {
        field.word(&["required"])?;
        policy.rekor = Rekor::Required;
    }
    if let Some(field) = top.get("denials") {
        policy.denials = match field.word(&["every", "newest"])? {
            "newest" => Denials::Newest,
            _ => Denials::Every,
        };
    }
    if let Some(field) = top.get("evidence") {
        policy.certificates = certificates(field, policy.rekor, read)?;
    }
    if let Some(field) = top.get("key-evidence") {
        let table = field.table(&KEY_EVIDENCE)?;
        policy.keys = KeyDemand {
            evidence: evidence(&table, KeyDemand::default().evidence, read)?,
        };
    }
    Ok(policy)
}

fn trust(top: &Table<'_>) -> Result<Vec<Digest>, PolicyFileError> {
    let Some(field) = top.get("trust") else {
        return Ok(Vec::new());
    };
    let digest = |field: Field<'_>| {
        let found = field.text()?;
        Digest::parse(found).ok_or_else(|| {
            let found = found.to_owned();
            field.refuse(Problem::Fingerprint { found })
        })
    };
    field.list(MAX_TRUST)?.into_iter().map(digest).collect()
}

fn signers(top: &Table<'_>, read: ReadFile<'_>) -> Result<Vec<Signer>, PolicyFileError> {
    let Some(field) = top.get("signers") else {
        return Ok(Vec::new());
    };
    let table = field.entries()?;
    if table.len() > MAX_SIGNERS {
        return Err(field.refuse(Problem::TooMany { most: MAX_SIGNERS }));
    }
    let mut signers = Vec::with_capacity(table.len());
    for (name, field) in table.iter() {
        let name = name.to_owned();
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(field.refuse(Problem::TooMany { most: MAX_NAME }));
        }
        let who = who(field, read)?;
        signers.push(Signer { name, who });
    }
    let is_anyone = |signer: &Signer| signer.who == Who::AnyoneUnsafe;
    let has_others = signers
        .iter()
        .any(|signer| matches!(signer.who, Who::Certificate(_)));
    if signers.iter().any(is_anyone) && has_others {
        return Err(field.refuse(Problem::AnyoneBesideOthers));
    }
    Ok(signers)
}

fn who(field: &Field<'_>, read: ReadFile<'_>) -> Result<Who, PolicyFileError> {
    let table = field.table(&SIGNER)?;
    let reach = match table.get("insecure-any-identity") {
        Some(field) => {
            field.only_true()?;
            Reach::AnyoneUnsafe
        }
        None => Reach::OneOwner,
    };
    if reach == Reach::AnyoneUnsafe && table.len() == 1 {
        return Ok(Who::AnyoneUnsafe);
    }
    let (kind, named) = table.exactly_one(&NAMES)?;
    let forbid =
        |keys: &[&'static str], beside| match keys.iter().find(|key| table.get(key).is_some()) {
            Some(key) => Err(table.refuse(Problem::NotBeside { key, beside })),
            None => Ok(()),
        };
    if kind != "identity-regexp" {
        forbid(&["insecure-any-identity"], kind)?;
    }
    if kind == "key" {
        forbid(&["issuer", "claims"], kind)?;
        return managed_key(&table, named, read).map(Who::Key);
    }
    forbid(&["hint", "algorithm", "valid"], kind)?;
    let issuer = table.needed("issuer")?.text()?;
    let value = named.text()?;
    let identity = match kind {
        "subject" => CertificateIdentity::of_token_subject(value, issuer),
        "san" => CertificateIdentity::of_alternative_name(value, issuer),
        "identity-regexp" => CertificateIdentity::of_expression(value, issuer, reach),
        _ => CertificateIdentity::parse(value, issuer),
    };
    let mut identity = identity.map_err(|error| named.refuse(error))?;
    if let Some(claims) = table.get("claims") {
        for (name, value) in claims.entries()?.iter() {
            let claim =
                Claim::from_name(name).ok_or_else(|| value.refuse(Problem::UnknownClaim))?;
            identity = identity.with_claim(claim, value.text()?);
        }
    }
    Ok(Who::Certificate(identity))
}

fn managed_key(
    table: &Table<'_>,
    named: &Field<'_>,
    read: ReadFile<'_>,
) -> Result<ManagedKey, PolicyFileError> {
    let pem = named.text_or_file(read)?;
    let key = PublicKey::from_pem(&pem).map_err(|error| named.refuse(error))?;
    let mut managed = ManagedKey::from(key);
    if let Some(hint) = table.get("hint") {
        managed.hint = Some(hint.text()?.to_owned());
    }
    if let Some(field) = table.get("algorithm") {
        let details = KeyDetails::from_name_or_number(field.text()?);
        let details = details.ok_or_else(|| {
            field.refuse(stella_bundle::key::KeyError::UnsupportedKey {
                algorithm: field.text().unwrap_or_default().to_owned(),
            })
        })?;
        let fits = managed.key.require_kind_of(details);
        fits.map_err(|error| field.refuse(error))?;
        managed.scheme = Some(details.scheme());
    }
    if let Some(field) = table.get("valid") {
        let table = field.table(&VALID)?;
        let time = |key| table.get(key).map(Field::time).transpose();
        managed.validity = Validity {
            start: time("from")?,
            end: time("until")?,
        };
    }
    Ok(managed)
}

fn requirements(top: &Table<'_>, signers: &[Signer]) -> Result<Vec<Requirement>, PolicyFileError> {
    let Some(field) = top.get("require") else {
        return Ok(Vec::new());
    };
    let fields = field.list(MAX_REQUIREMENTS)?;
    fields
        .iter()
        .map(|field| requirement(field, signers))
        .collect()
}

fn requirement(field: &Field<'_>, signers: &[Signer]) -> Result<Requirement, PolicyFileError> {
    let table = field.table(&REQUIREMENT)?;
    let types = match table.get("type") {
        Some(field) => TypePattern::parse(field.text()?).map_err(|error| field.refuse(error))?,
        None => TypePattern::Any,
    };
    let mut requirement = Requirement::of_type(types);
    if let Some(field) = table.get("name") {
        field.text()?.clone_into(&mut requirement.name);
    }
    if let Some(field) = table.get("signers") {
        let mut names = Vec::new();
        for field in field.list(MAX_SIGNERS)? {
            let name = field.text()?;
            if signers.iter().all(|signer| signer.name != name) {
                let known = signers.iter().map(|signer| signer.name.as_str());
                return Err(field.refuse(Problem::UnknownSigner {
                    name: name.to_owned(),
                    nearest: nearest(name, known),
                }));
            }
            names.push(name.to_owned());
        }
        if names.is_empty() {
            return Err(field.refuse(Problem::Zero));
        }
        requirement.signers = SignerChoice::Named(names);
    }
    if let Some(field) = table.get("where") {
        requirement.conditions = conditions(field)?;
    }
    requirement.count = Count {
        least: table.get("min-count").map_or(Ok(1), Field::count)?,
        of: match table
            .get("count")
            .map(|field| field.word(&["attestations", "signers"]))
            .transpose()?
        {
            Some("signers") => Counted::Signers,
            _ => Counted::Attestations,
        },
    };
    if let Some(field) = table.get("max-age") {
        let age = Age::parse(field.text()?).map_err(|error| field.refuse(error))?;
        requirement.max_age = Some(age);
    }
    Ok(requirement)
}

fn conditions(field: &Field<'_>) -> Result<Vec<Condition>, PolicyFileError> {
    let mut conditions = Vec::new();
    for (pointer, field) in field.entries()?.iter() {
        let pointer = Pointer::parse(pointer).map_err(|error| field.refuse(error))?;
        for test in tests(field)? {
            let pointer = pointer.clone();
            conditions.push(Condition { pointer, test });
        }
    }
    match conditions.len() {
        0 => Err(field.refuse(Problem::Zero)),
        1..=MAX_CONDITIONS => Ok(conditions),
        _ => Err(field.refuse(Problem::TooMany {
            most: MAX_CONDITIONS,
        })),
    }
}

/// Reads a value that must stand somewhere, or a table of tests that must all hold.
fn tests(field: &Field<'_>) -> Result<Vec<Test>, PolicyFileError> {
    if !matches!(field.node(), Node::Table(_)) {
        return Ok(vec![Test::OneOf(vec![scalar(field)?])]);
    }
    let table = field.table(&TESTS)?;
    if table.len() == 0 {
        return Err(field.refuse(Problem::Zero));
    }
    table
        .iter()
        .map(|(name, field)| test(name, field))
        .collect()
}

fn test(name: &str, field: &Field<'_>) -> Result<Test, PolicyFileError> {
    Ok(match name {
        "absent" => field.only_true().map(|()| Test::Absent)?,
        "at-least" => Test::AtLeast(number(field)?),
        "at-most" => Test::AtMost(number(field)?),
        "contains" => Test::Contains(scalar(field)?),
        "equal" => Test::OneOf(vec![scalar(field)?]),
        "not" => Test::Not(scalars(field)?),
        "one-of" => Test::OneOf(scalars(field)?),
        _ => field.only_true().map(|()| Test::Present)?,
    })
}

/// Reads a list of values, or one.
fn scalars(field: &Field<'_>) -> Result<Vec<Scalar>, PolicyFileError> {
    if !matches!(field.node(), Node::List(_)) {
        return Ok(vec![scalar(field)?]);
    }
    let list = field.list(MAX_ALTERNATIVES)?;
    if list.is_empty() {
        return Err(field.refuse(Problem::Zero));
    }
    list.iter().map(scalar).collect()
}

fn scalar(field: &Field<'_>) -> Result<Scalar, PolicyFileError> {
    match field.node() {
        Node::Nothing => Ok(Scalar::Null),
        Node::Number(_) => number(field).map(Scalar::Number),
        Node::Switch(switch) => Ok(Scalar::Boolean(*switch)),
        Node::Text(text) if text.len() <= MAX_TEXT => Ok(Scalar::Text(text.clone())),
        Node::Text(_) => Err(field.refuse(Problem::TooMany { most: MAX_TEXT })),
        Node::List(_) | Node::Table(_) => Err(field.refuse(Problem::Shape {
            expected: "a value that holds no others",
            found: field.node().found(),
        })),
    }
}

fn number(field: &Field<'_>) -> Result<Number, PolicyFileError> {
    match field.node() {
        Node::Number(text) => Number::parse(text).ok_or_else(|| {
            let found = text.clone();
            field.refuse(Problem::Number { found })
        }),
        other => Err(field.refuse(Problem::Shape {
            expected: "a number",
            found: other.found(),
        })),
    }
}

fn certificates(
    field: &Field<'_>,
    rekor: Rekor,
    read: ReadFile<'_>,
) -> Result<CertificateDemand, PolicyFileError> {
    let table = field.table(&EVIDENCE)?;
    let mut demand = CertificateDemand::default();
    demand.evidence = evidence(&table, demand.evidence, read)?;
    if let Some(field) = table.get("insecure-ignore-log") {
        field.only_true()?;
        let key = "insecure-ignore-log";
        if let Some(beside) = ["logs", "inclusion"]
            .into_iter()
            .find(|key| table.get(key).is_some())
        {
            return Err(field.refuse(Problem::NotBeside { key, beside }));
        }
        if rekor == Rekor::Required {
            return Err(field.refuse(Problem::NotBeside {
                key,
                beside: "rekor: required",
            }));
        }
        demand.evidence.log = LogRule::WithoutLogUnsafe;
    }
    if let Some(field) = table.get("insecure-ignore-sct") {
        field.only_true()?;
        demand.sct = SctRule::WithoutSctUnsafe;
    }
    Ok(demand)
}

fn evidence(
    table: &Table<'_>,
    mut demand: EvidenceDemand,
    read: ReadFile<'_>,
) -> Result<EvidenceDemand, PolicyFileError> {
    let logs = table.get("logs").map(Field::count).transpose()?;
    let inclusion = table
        .get("inclusion")
        .map(|field| field.word(&["promise", "proof"]));
    let promise = match inclusion.transpose()? {
        Some("proof") => Some(Promise::DoesNotCount),
        Some(_) => Some(Promise::Counts),
        None => None,
    };
    if logs.is_some() || promise.is_some() {
        demand.log = LogRule::Require {
            logs: logs.unwrap_or(1),
            promise: promise.unwrap_or(Promise::Counts),
        };
    }
    if let Some(field) = table.get("times") {
        demand.times = field.count()?;
    }
    if let Some(field) = table.get("timestamps") {
        demand.timestamps = field.count()?;
    }
    if let Some(field) = table.get("witnesses") {
        let text = field.text_or_file(read)?;
        let witnesses = Witnesses::parse(text).map_err(|error| field.refuse(error))?;
        demand.witnesses = Some(witnesses);
    }
    Ok(demand)
}
