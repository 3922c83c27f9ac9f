//! The starting corpus of the fuzz targets: good inputs from `testdata/` and `etc/`, and what lies inside the bundles.
//!
//! The targets themselves are the crate `fuzz/`, which has its own lock file and needs a nightly compiler.

use std::fs;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Which target a file is a seed of, by the end of its name; the first that fits.
const FILES: [(&str, &str); 4] = [
    (".sigstore.json", BUNDLE),
    ("signing_config.json", "trusted_root_signing_config"),
    ("trusted_root.json", "trusted_root_signing_config"),
    (".yaml", "configuration"),
];

const BUNDLE: &str = "bundle";

/// Which target a string inside a bundle is a seed of, by its JSON key, and how the string holds it.
const PARTS: [(&str, &str, Form); 3] = [
    ("rawBytes", "certificate_sct", Form::Base64),
    ("signedTimestamp", "timestamp", Form::Base64),
    ("envelope", "note_checkpoint_proof", Form::Text),
];

/// How a JSON string holds a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Base64,
    Text,
}

/// One input, and the target that shall start from it.
struct Seed {
    target: &'static str,
    name: String,
    bytes: Vec<u8>,
}

/// Writes each seed to `fuzz/corpus/TARGET/`, named by its source so that no two collide.
///
/// # Errors
/// `Failure::File` when a file cannot be read or written.
pub(crate) fn write_seeds(workspace: &Workspace) -> Result<(), Failure> {
    let mut written = 0;
    for path in workspace.text_files()? {
        let Some(target) = target_of(&path) else {
            continue;
        };
        for seed in seeds(&path, target, &workspace.read(&path)?) {
            let folder = workspace.root().join("fuzz/corpus").join(seed.target);
            let file = folder.join(&seed.name);
            let write = || {
                fs::create_dir_all(&folder)?;
                fs::write(&file, &seed.bytes)
            };
            write().map_err(|error| Failure::File {
                path: file.clone(),
                error,
            })?;
            written += 1;
        }
    }
    println!("{written} seeds in fuzz/corpus");
    Ok(())
}

fn target_of(path: &str) -> Option<&'static str> {
    if !path.starts_with("testdata/") && !path.starts_with("etc/") {
        return None;
    }
    FILES
        .iter()
        .find(|(ending, _)| path.ends_with(ending))
        .map(|&(_, target)| target)
}

/// Returns the file itself, and from a bundle the certificates, tokens and checkpoints in it.
fn seeds(path: &str, target: &'static str, text: &str) -> Vec<Seed> {
    let name = path.replace('/', "-");
    let mut seeds = vec![Seed {
        target,
        name: name.clone(),
        bytes: text.as_bytes().to_vec(),
    }];
    if target != BUNDLE {
        return seeds;
    }
    for (key, target, form) in PARTS {
        for (index, string) in strings(text, key).into_iter().enumerate() {
            let bytes = match form {
                Form::Base64 => from_base64(string),
                Form::Text => Some(
                    string
                        .replace("\\n", "\n")
                        .replace("\\u2014", "—")
                        .into_bytes(),
                ),
            };
            seeds.extend(bytes.map(|bytes| Seed {
                target,
                name: format!("{name}-{key}-{index}"),
                bytes,
            }));
        }
    }
    seeds
}

/// Returns the string values of a JSON key, escapes left as they are.
fn strings<'a>(json: &'a str, key: &str) -> Vec<&'a str> {
    let value = |rest: &'a str| {
        rest.trim_start()
            .strip_prefix(':')?
            .trim_start()
            .strip_prefix('"')?
            .split('"')
            .next()
    };
    json.split(&format!("\"{key}\""))
        .skip(1)
        .filter_map(value)
        .collect()
}

/// Decodes standard base64 (RFC 4648 §4), as far as a seed needs it: none for any other sign.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for sign in text.trim_end_matches('=').bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(bits.checked_shr(count)?.to_le_bytes()[0]);
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_of_testdata_is_a_seed_and_a_source_file_is_none() {
        assert_eq!(
            target_of("testdata/conformance/x/bundle.sigstore.json"),
            Some("bundle")
        );
        assert_eq!(target_of("etc/signer.yaml"), Some("configuration"));
        assert_eq!(target_of("crates/stella/src/main.rs"), None);
    }

    #[test]
    fn what_lies_in_a_bundle_becomes_seeds_of_its_own() {
        let bundle =
            r#"{"certificate": {"rawBytes":"AAEC"}, "checkpoint": {"envelope": "log\n1\n"}}"#;
        let seeds = seeds("testdata/b.sigstore.json", "bundle", bundle);
        let found: Vec<(&str, &[u8])> = seeds
            .iter()
            .map(|seed| (seed.target, seed.bytes.as_slice()))
            .collect();
        let (certificate, note) = (
            ("certificate_sct", &[0_u8, 1, 2][..]),
            ("note_checkpoint_proof", &b"log\n1\n"[..]),
        );
        assert_eq!(found, [("bundle", bundle.as_bytes()), certificate, note]);
    }

    #[test]
    fn base64_is_decoded_and_anything_else_is_none() {
        assert_eq!(from_base64("Zm9vYg==").unwrap(), b"foob");
        assert_eq!(from_base64("Zm9v").unwrap(), b"foo");
        assert_eq!(from_base64("Zm9-"), None);
    }
}
