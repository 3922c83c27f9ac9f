//! What `stella config show` tells: each value and whence it came, as text or as JSON.
//!
//! Who prints it is the command. Tokens are never part of it, only where one was given.

use std::fmt::Write as _;

use serde_json::{Map, json};

use super::{GivenToken, Key, Loaded, Source, Typed, Value};

/// Returns one line per key, `path = value  # source`, and what the search for the file found.
pub(crate) fn text(loaded: &Loaded) -> String {
    let mut lines: Vec<(String, String)> = Key::ALL
        .iter()
        .map(|key| match typed(loaded, *key) {
            Some(typed) => (
                format!("{} = {}", key.path(), typed.value),
                typed.source.to_string(),
            ),
            None => (format!("{} =", key.path()), absent(*key).to_owned()),
        })
        .collect();
    if let Some((token, source)) = &loaded.identity_token {
        lines.push((
            format!("identityToken = {}", token_word(token)),
            source.to_string(),
        ));
    }
    let width = lines.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let mut shown = String::new();
    for (left, source) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(shown, "{left:width$}  # {source}");
    }
    shown
}

/// Returns the same as JSON: `{"file", "searched", "notUsed", "settings": {path: {"value", "source", …}}}`.
pub(crate) fn json(loaded: &Loaded) -> serde_json::Value {
    let mut settings = Map::new();
    for key in Key::ALL {
        let shown = match typed(loaded, key) {
            Some(typed) => with_source(value_json(&typed.value), &typed.source),
            None => json!({ "value": null, "source": "unset", "note": absent(key) }),
        };
        settings.insert(key.path().to_owned(), shown);
    }
    if let Some((token, source)) = &loaded.identity_token {
        settings.insert(
            "identityToken".to_owned(),
            with_source(json!(token_word(token)), source),
        );
    }
    json!({
        "schema": "stella.config/v1",
        "file": loaded.file,
        "searched": loaded.searched,
        "notUsed": loaded.not_used,
        "settings": settings,
    })
}

fn typed(loaded: &Loaded, key: Key) -> Option<&Typed> {
    loaded.sources.iter().find(|typed| typed.key == key)
}

/// What holds for a key that nobody set.
fn absent(key: Key) -> &'static str {
    match key {
        Key::FulcioUrl | Key::RekorUrl | Key::TsaUrl => "from the signing configuration",
        Key::Managed => "the one that --key names",
        Key::Trust => "the choice recorded by `stella trust use`",
        Key::OidcIssuer => "any that the certificate authority accepts",
        Key::CertificateRootBundlePath => "the whole trusted root",
        _ => "unset",
    }
}

fn token_word(token: &GivenToken) -> String {
    match token {
        GivenToken::File(path) => format!("in {}", path.display()),
        GivenToken::Itself(_) => "(hidden)".to_owned(),
        GivenToken::Stdin => "from standard input".to_owned(),
    }
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Names(names) => json!(names),
        Value::Switch(switch) => json!(switch),
        Value::Text(text) => json!(text),
        Value::Whole(whole) => json!(whole),
    }
}

fn with_source(value: serde_json::Value, source: &Source) -> serde_json::Value {
    match source {
        Source::Default => json!({ "value": value, "source": "default" }),
        Source::Environment { variable } => {
            json!({ "value": value, "source": "environment", "variable": variable })
        }
        Source::File { path, line } => {
            json!({ "value": value, "source": "file", "file": path, "line": line.0 })
        }
        Source::Flag { flag } => json!({ "value": value, "source": "flag", "flag": flag }),
    }
}
