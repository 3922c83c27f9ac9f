//! `stella policy test`: a policy on cases with a known outcome, so that a change of the policy shows what it changes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use stella_attest::file;
use stella_attest::verify::{Gate, Question};
use stella_bundle::time::UnixTime;
use stella_policy::policy::Policy;
use stella_server::{Clock as _, SystemClock};

use crate::artifact::Artifact;
use crate::cli::attest::source;
use crate::cli::gate;
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::TrustMaterial;

/// Files of cases are no larger than policies.
const MAX_CASES: usize = 1024 * 1024;

/// Try a policy on cases with a known outcome
///
/// Runs offline; the policy's mode and trust roots are left aside, each case names its own root. The exit code is 1
/// when any case ends otherwise than expected.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The policy file
    #[arg(value_name = "FILE")]
    policy: PathBuf,

    /// A file of cases, or a folder of such files (*.yaml)
    #[arg(long, value_name = "PATH")]
    cases: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
}

/// One case; its paths are relative to the file's folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    /// A file, or a digest.
    artifact: String,
    /// Files of bundles.
    #[serde(default)]
    bundles: Vec<String>,
    trusted_root: String,
    /// When it is judged; now, when nothing is said.
    at: Option<String>,
    /// `allow`, or the code of the refusal.
    expect: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Expected(u8);

impl TryFrom<String> for Expected {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "allow" => Ok(Self(exit::OK)),
            code => code
                .parse()
                .map(Self)
                .map_err(|_| format!("expected allow or a code, found {code:?}")),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let policy = gate::read_policy(&args.policy)?;
    let mut rows = Vec::new();
    for path in files(&args.cases)? {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        for case in read(&path)?.cases {
            let found = judge(&policy, &folder, &case)?;
            rows.push((case.name, case.expect.0, found));
        }
    }
    let differing = rows
        .iter()
        .filter(|(_, expected, found)| expected != found)
        .count();
    if args.json {
        let row = |(name, expected, found): &(String, u8, u8)| json!({"name": name, "expected": expected, "found": found, "ok": expected == found});
        terminal::say_json(
            &json!({"cases": rows.iter().map(row).collect::<Vec<_>>(), "differing": differing}),
        );
    } else {
        for (name, expected, found) in &rows {
            let word = if expected == found { "ok" } else { "differs" };
            terminal::say(&format!(
                "{word:<8} expected {:<5} found {:<5} {name}",
                shown(*expected),
                shown(*found)
            ));
        }
        terminal::say(&format!(
            "{} of {} cases end as expected",
            rows.len() - differing,
            rows.len()
        ));
    }
    Ok(if differing == 0 {
        exit::OK
    } else {
        exit::INTERNAL
    })
}

fn shown(code: u8) -> String {
    match code {
        exit::OK => "allow".to_owned(),
        code => code.to_string(),
    }
}

/// Returns the file, or the files of a folder in alphabetical order.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let refuse = |error| Failure::io("read", path, &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Cases, Failure> {
    let refuse =
        |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
    let bytes = file::read(path, MAX_CASES).map_err(|error| refuse(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| refuse(&error))?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_documents: 1, max_anchors: 0, max_aliases: 0 },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(&text, options).map_err(|error| refuse(&error))
}

/// Returns the code with which a case ends.
fn judge(policy: &Policy, folder: &Path, case: &Case) -> Result<u8, Failure> {
    let below = |name: &str| folder.join(name);
    let material = TrustMaterial::read(&below(&case.trusted_root))?;
    let named = below(&case.artifact).display().to_string();
    let is_digest = stella_bundle::digest::Digest::parse(&case.artifact).is_some();
    let artifact = match Artifact::read(if is_digest { &case.artifact } else { &named }) {
        Ok(artifact) => artifact,
        Err(failure) => return Ok(failure.code),
    };
    let bundles: Vec<PathBuf> = case.bundles.iter().map(|name| below(name)).collect();
    let candidates = match source::candidates_in(&bundles) {
        Ok(candidates) => candidates,
        Err(failure) => return Ok(failure.code),
    };
    let now = match &case.at {
        None => SystemClock.now(),
        Some(text) => UnixTime::parse_rfc3339(text).ok_or_else(|| {
            Failure::usage(format!(
                "{}: {text:?} is no moment such as 2026-01-01T00:00:00Z",
                case.name
            ))
        })?,
    };
    let question = Question {
        artifact: artifact.digests,
        content: None,
        candidates,
    };
    let answer = Gate::new(material.prepare(), policy.clone()).verify(question, now);
    Ok(exit::refusal(policy, &answer).map_or(exit::OK, |failure| failure.code))
}
