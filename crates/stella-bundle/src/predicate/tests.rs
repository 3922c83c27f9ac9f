//! Predicates of `testdata/predicates`, and schemas that must not be used.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::schema::{Schema, SchemaError, ShapeError, ShapeProblem};
use super::*;

/// One file of `testdata/predicates`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    r#type: String,
    expect: Value,
    predicate: Value,
}

#[test]
#[expect(clippy::disallowed_methods, reason = "vectors are files")]
fn each_vector_is_accepted_or_refused_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/predicates");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let vector: Vector = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let predicate_type = PredicateType::parse(&vector.r#type).unwrap();
        let found = match predicate_type.check(&vector.predicate) {
            Ok(()) => Value::from("ok"),
            Err(PredicateError::Shape { problem, .. }) => serde_json::json!({
                "refused": variant(&problem), "pointer": problem.pointer,
            }),
            Err(other) => panic!("{}: {other:?}", path.display()),
        };
        assert_eq!(found, vector.expect, "{}", path.display());
        count += 1;
    }
    assert!(count >= 26, "only {count} vectors");
}

fn variant(error: &ShapeError) -> String {
    let debug = format!("{:?}", error.problem);
    debug.split([' ', '{']).next().unwrap().to_owned()
}

#[test]
fn each_schema_keeps_every_keyword_and_names_its_type() {
    for ours in PredicateType::OURS {
        let text = ours.schema().unwrap();
        Schema::parse(text).unwrap();
        let schema: Value = serde_json::from_str(text).unwrap();
        assert_eq!(schema["$id"], ours.uri());
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(ours.uri(), format!("{DOMAIN}/{}/v1", ours.names()[0]));
    }
}

#[test]
fn an_object_without_a_word_on_other_names_is_an_oversight() {
    fn walk(schema: &Value, path: &str) {
        if schema["type"] == "object" {
            assert!(schema.get("additionalProperties").is_some(), "{path}");
        }
        for (name, below) in schema.as_object().into_iter().flatten() {
            walk(below, &format!("{path}/{name}"));
        }
    }
    for ours in PredicateType::OURS {
        walk(
            &serde_json::from_str(ours.schema().unwrap()).unwrap(),
            ours.names()[0],
        );
    }
}

#[test]
fn a_schema_with_a_keyword_that_is_not_kept_is_refused() {
    let check = |text: &str, keyword: &str| {
        let found = match Schema::parse(text) {
            Err(
                SchemaError::UnknownKeyword { keyword, .. }
                | SchemaError::BadKeyword { keyword, .. },
            ) => keyword,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(found, keyword, "{text}");
    };
    check(r#"{"oneOf":[]}"#, "oneOf");
    check(r#"{"properties":{"a":{"pattern":"^x$"}}}"#, "pattern");
    check(r#"{"items":{"uniqueItems":true}}"#, "uniqueItems");
    check(r#"{"$defs":{"a":{"if":{}}}}"#, "if");
    check(r#"{"additionalProperties":{"not":{}}}"#, "not");
    check(r#"{"additionalProperties":true}"#, "additionalProperties");
    check(r##"{"$ref":"#/$defs/gone"}"##, "$ref");
    check(r#"{"$ref":"https://example.com/schema"}"#, "$ref");
    check(r#"{"format":"email"}"#, "format");
    check(r#"{"type":["string","null"]}"#, "type");
    check(r#"{"minimum":0.5}"#, "minimum");
    check(r#"{"items":true}"#, "(the schema itself)");
    assert_eq!(Schema::parse("{"), Err(SchemaError::NotJson { line: 1 }));
}

#[test]
fn a_reference_to_itself_ends() {
    let schema =
        Schema::parse(r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}"##).unwrap();
    let refused = schema.check(&Value::Null).unwrap_err();
    assert_eq!(refused.problem, ShapeProblem::TooDeep);
}

#[test]
fn a_constant_allows_itself_alone() {
    let schema = Schema::parse(r#"{"const":7}"#).unwrap();
    schema.check(&Value::from(7)).unwrap();
    assert!(schema.check(&Value::from(8)).is_err());
}

#[test]
fn short_names_aliases_and_foreign_uris_name_a_type() {
    let check = |text: &str, expect: PredicateType| {
        assert_eq!(PredicateType::parse(text).unwrap(), expect);
    };
    check("sbom-delta", PredicateType::SbomDelta);
    check("reachability", PredicateType::Reachability);
    check("policy-result", PredicateType::PolicyResult);
    check("verdict", PredicateType::PolicyResult);
    check(
        "https://stella-ops.org/attestation/policy-result/v1",
        PredicateType::PolicyResult,
    );
    let slsa = "https://slsa.dev/provenance/v1";
    check(slsa, PredicateType::Other(slsa.to_owned()));
    check("urn:x:y", PredicateType::Other("urn:x:y".to_owned()));
    for bad in [
        "",
        "verdikt",
        "http",
        ":x",
        "https:",
        "https://a b",
        "1a:x",
        "a:\u{202e}",
    ] {
        assert!(PredicateType::parse(bad).is_err(), "{bad}");
    }
    PredicateType::parse(slsa)
        .unwrap()
        .check(&Value::Null)
        .unwrap();
}

#[test]
fn a_predicate_that_names_something_twice_is_refused_before_it_is_looked_at() {
    let bytes = br#"{"result":"allow","result":"deny"}"#;
    let refused = PredicateType::PolicyResult.parse_predicate(bytes);
    assert!(matches!(
        refused,
        Err(PredicateError::NotJson { line: 1, .. })
    ));
    let text = br#"{"policy":{"digest":{"sha256":"00"}},"evaluatedAt":"2026-11-20T12:00:00Z","result":"pass"}"#;
    let refused = PredicateType::PolicyResult
        .parse_predicate(text)
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"not a policy-result predicate: at /result: expected one of "allow", "deny", "warn", "error", found "pass""#
    );
}
