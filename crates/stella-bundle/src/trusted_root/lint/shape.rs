//! The names that a trusted root may hold: what is unknown, and what is absent though a client demands it.
//!
//! Reading is tolerant (`trusted_root.rs`); some released clients are not.

use serde_json::Value;

use super::Finding;

/// What may stand somewhere.
enum Shape {
    /// A text or a number.
    Plain,
    /// Names with what stands under them.
    Names(&'static [(&'static str, Self)]),
    /// A list of one shape.
    List(&'static Self),
}

use Shape::{List, Names, Plain};

const RANGE: Shape = Names(&[("start", Plain), ("end", Plain)]);
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
    let mut findings = Vec::new();
    unknown(file, &TRUSTED_ROOT, "", &mut findings);
    if file.get("ctlogs").is_none() {
        let path = "ctlogs".to_owned();
        findings.push(Finding::FieldAbsent { path });
    }
    findings
}

fn unknown(value: &Value, shape: &Shape, path: &str, findings: &mut Vec<Finding>) {
    match (value, shape) {
        (Value::Object(map), Names(names)) => {
            for (name, inner) in map {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                let camel = camel_case(name);
                match names.iter().find(|(known, _)| *known == camel) {
                    Some((_, shape)) => unknown(inner, shape, &path, findings),
                    None => findings.push(Finding::UnknownField { path }),
                }
            }
        }
        (Value::Array(list), List(shape)) => {
            for (index, inner) in list.iter().enumerate() {
                unknown(inner, shape, &format!("{path}[{index}]"), findings);
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
