//! The images that a file names: a Dockerfile, a compose file, Kubernetes manifests, a list.
//!
//! What cannot be resolved is an error: an image that is left out would be an image that nobody verified.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use stella_attest::file;

use crate::exit::Failure;

/// Larger files than this are refused, in bytes.
const MAX_FILE: usize = 4 << 20;
/// Deeper documents than this are refused.
const MAX_DEPTH: usize = 64;
/// More documents than this in one file are refused.
const MAX_DOCUMENTS: usize = 10_000;
/// The base of an image that has none.
const SCRATCH: &str = "scratch";

/// Returns the images that a file names, each once, in order.
pub(super) fn images_in(path: &Path) -> Result<Vec<String>, Failure> {
    let shown = path.display();
    let bytes = file::read(path, MAX_FILE)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{shown} is not text of UTF-8")))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    let found = if name.contains("dockerfile") || name.contains("containerfile") {
        in_dockerfile(&text)
    } else if name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json") {
        in_yaml(&text)
    } else {
        Ok(in_list(&text))
    };
    let mut images = found.map_err(|problem| Failure::usage(format!("{shown}: {problem}")))?;
    let mut seen = std::collections::HashSet::new();
    images.retain(|image| seen.insert(image.clone()));
    if images.is_empty() {
        return Err(Failure::usage(format!("{shown} names no image")).hint(
            "a Dockerfile is read by its FROM and COPY --from, YAML by the key `image`, any other file line by line",
        ));
    }
    Ok(images)
}

/// The ways in which a file does not say which images it means.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    /// A variable has no value here.
    #[error(
        "line {line}: {variable} has no value: give it a default, or name the image with --image"
    )]
    Variable { line: usize, variable: String },
    /// Not YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
}

/// Reads `FROM` and `COPY --from` (Dockerfile reference); names of stages are no images.
fn in_dockerfile(text: &str) -> Result<Vec<String>, Problem> {
    let mut arguments: HashMap<String, String> = HashMap::new();
    let mut stages: Vec<String> = Vec::new();
    let mut images = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        let words: Vec<&str> = words.collect();
        match keyword.as_str() {
            "ARG" if stages.is_empty() => {
                if let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) {
                    arguments.insert(name.to_owned(), value.trim_matches('"').to_owned());
                }
            }
            "FROM" => {
                let mut words = words.into_iter().filter(|word| !word.starts_with("--"));
                let Some(base) = words.next() else { continue };
                let base = substitute(base, &arguments, line_number)?;
                if base != SCRATCH && !stages.contains(&base) {
                    images.push(base);
                }
                let is_named = words
                    .next()
                    .is_some_and(|word| word.eq_ignore_ascii_case("as"));
                let stage = words.next().filter(|_| is_named).unwrap_or_default();
                stages.push(stage.to_owned());
            }
            "COPY" => {
                let from = words.iter().find_map(|word| word.strip_prefix("--from="));
                let is_stage = |from: &str| {
                    from.bytes().all(|byte| byte.is_ascii_digit())
                        || stages.iter().any(|stage| stage == from)
                };
                if let Some(from) = from.filter(|from| !is_stage(from)) {
                    images.push(substitute(from, &arguments, line_number)?);
                }
            }
            _ => {}
        }
    }
    Ok(images)
}

/// Reads every value of a key `image` at any depth, in every document.
fn in_yaml(text: &str) -> Result<Vec<String>, Problem> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_documents: MAX_DOCUMENTS },
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| Problem::Yaml(error.to_string()))?;
    let mut images = Vec::new();
    for document in &documents {
        walk(document, &mut images)?;
    }
    Ok(images)
}

fn walk(value: &Value, images: &mut Vec<String>) -> Result<(), Problem> {
    match value {
        Value::Array(list) => list.iter().try_for_each(|each| walk(each, images)),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| match value {
            Value::String(image) if name == "image" => {
                images.push(substitute(image, &HashMap::new(), 0)?);
                Ok(())
            }
            other => walk(other, images),
        }),
        _ => Ok(()),
    }
}

/// Reads one image a line; `#` begins a comment.
fn in_list(text: &str) -> Vec<String> {
    let words = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().next()
    });
    words.map(str::to_owned).collect()
}

/// Puts values for `$NAME`, `${NAME}` and `${NAME:-default}`.
fn substitute(
    text: &str,
    values: &HashMap<String, String>,
    line: usize,
) -> Result<String, Problem> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, default, following) = match after.strip_prefix('{') {
            Some(braced) => {
                let (inside, following) = braced.split_once('}').unwrap_or((braced, ""));
                let (name, default) = match inside.split_once(['-', ':']) {
                    Some((name, default)) => (name, Some(default.trim_start_matches('-'))),
                    None => (inside, None),
                };
                (name.trim_end_matches(':'), default, following)
            }
            None => {
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                (&after[..end], None, &after[end..])
            }
        };
        let value = values.get(name).map(String::as_str).or(default);
        out.push_str(value.ok_or_else(|| Problem::Variable {
            line,
            variable: name.to_owned(),
        })?);
        rest = following;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_names_its_bases_and_what_it_copies_from() {
        let text = "ARG VERSION=3.20\n# FROM nothing\nFROM --platform=$BUILDPLATFORM alpine:${VERSION} AS build\n\
            FROM build AS test\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=0 /a /a\n\
            COPY --from=ghcr.io/org/tool:v1 /t /t\nRUN from here\n";
        assert_eq!(
            in_dockerfile(text).unwrap(),
            ["alpine:3.20", "ghcr.io/org/tool:v1"]
        );
    }

    #[test]
    fn a_base_without_a_value_is_said_with_its_line() {
        let expected = Problem::Variable {
            line: 2,
            variable: "BASE".into(),
        };
        assert_eq!(in_dockerfile("ARG BASE\nFROM ${BASE}\n"), Err(expected));
        assert_eq!(
            in_dockerfile("ARG BASE\nFROM ${BASE:-a/b}\n").unwrap(),
            ["a/b"]
        );
    }

    #[test]
    fn compose_files_and_kubernetes_manifests_name_images_at_any_depth() {
        let text = "services:\n  web:\n    image: org/web:${TAG:-v1}\n  db:\n    build: .\n---\n\
            spec:\n  template:\n    spec:\n      containers:\n      - image: org/api@sha256:00\n      initContainers:\n      - {image: org/init}\n";
        let images = in_yaml(text).unwrap();
        assert_eq!(images.len(), 3);
        for image in ["org/web:v1", "org/api@sha256:00", "org/init"] {
            assert!(images.iter().any(|each| each == image), "{image}");
        }
        assert!(matches!(in_yaml("a: [b"), Err(Problem::Yaml(_))));
    }

    #[test]
    fn a_list_has_one_image_a_line() {
        assert_eq!(
            in_list("# ours\norg/a:v1  # web\n\n org/b\n"),
            ["org/a:v1", "org/b"]
        );
    }
}
