//! The names that a trusted root may hold: what is unknown, and what is absent though a client demands it.
//!
//! Reading is tolerant (`trusted_root.rs`); some released clients are not. Signing configs share the search.

use serde_json::Value;

use super::Finding;

/// What may stand somewhere.
pub(crate) enum Shape {
    /// A text or a number.
    Plain,
    /// Names with what stands under them.
    Names(&'static [(&'static str, Self)]),
    /// A list of one shape.
    List(&'static Self),
}

use Shape::{List, Names, Plain};

/// A window of time.
pub(crate) const RANGE: Shape = Names(&[("start", Plain), ("end", Plain)]);
const ID: Shape = Names(&[("keyId", Plain)]);
const LOG: Shape = Names(&[
    ("baseUrl", Plain),
    ("hashAlgorithm", Plain),
    (
        "publicKey",
        Names(&[
            ("rawBytes", Plain),
            ("keyDetails", Plain),
            ("validFor", RANGE),
        ]),
    ),
    ("logId", ID),
    ("checkpointKeyId", ID),
    ("operator", Plain),
]);
const CERTIFICATE: Shape = Names(&[("rawBytes", Plain)]);
const AUTHORITY: Shape = Names(&[
    (
        "subject",
        Names(&[("organization", Plain), ("commonName", Plain)]),
    ),
    ("uri", Plain),
    ("certChain", Names(&[("certificates", List(&CERTIFICATE))])),
    ("validFor", RANGE),
    ("operator", Plain),
]);
/// spec: protobuf-specs `sigstore_trustroot.proto`, TrustedRoot.
const TRUSTED_ROOT: Shape = Names(&[
    ("mediaType", Plain),
    ("tlogs", List(&LOG)),
    ("certificateAuthorities", List(&AUTHORITY)),
    ("ctlogs", List(&LOG)),
    ("timestampAuthorities", List(&AUTHORITY)),
]);

/// Lists unknown names, and lists that a client wants to see though they be empty.
pub(super) fn findings(file: &Value) -> Vec<Finding> {
    let unknown = unknown(file, &TRUSTED_ROOT).into_iter();
    let mut findings: Vec<Finding> = unknown.map(|path| Finding::UnknownField { path }).collect();
    if file.get("ctlogs").is_none() {
        let path = "ctlogs".to_owned();
        findings.push(Finding::FieldAbsent { path });
    }
    findings
}

/// Lists the paths of names that a shape does not know.
pub(crate) fn unknown(value: &Value, shape: &Shape) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, shape, "", &mut found);
    found
}

fn collect(value: &Value, shape: &Shape, path: &str, found: &mut Vec<String>) {
    match (value, shape) {
        (Value::Object(map), Names(names)) => {
            for (name, inner) in map {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                let camel = camel_case(name);
                match names.iter().find(|(known, _)| *known == camel) {
                    Some((_, shape)) => collect(inner, shape, &path, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(list), List(shape)) => {
            for (index, inner) in list.iter().enumerate() {
                collect(inner, shape, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Protobuf's JSON knows each name in two spellings.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
