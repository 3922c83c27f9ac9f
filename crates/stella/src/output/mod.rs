//! Reports: printed on success and on refusal alike, in the formats that were asked for.
//!
//! `json` speaks to programs, `text` to people, `junit` and `github` to CI systems. What a report says is decided before.

pub(crate) mod github;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod text;

use std::path::PathBuf;
use std::time::Duration;

use stella_attest::verify::Answer;
use stella_bundle::digest::Digest;
use stella_policy::mode::{Ending, Leniency};
use stella_policy::policy::Policy;

use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::TrustMaterial;

/// One artifact, and what it came to.
#[derive(Debug)]
pub(crate) struct Judged {
    /// What was typed.
    pub(crate) given: String,
    /// Its digest, none when it could not be read.
    pub(crate) digest: Option<Digest>,
    /// What was found, none when nothing could be judged.
    pub(crate) answer: Option<Answer>,
    /// Why it does not pass, none when it does.
    pub(crate) failure: Option<Failure>,
    /// How it ends, with the mode's word in it.
    pub(crate) ending: Ending,
}

impl Judged {
    /// Returns the result; the mode decides what a refusal does.
    pub(crate) fn new(
        given: String,
        digest: Option<Digest>,
        answer: Option<Answer>,
        failure: Option<Failure>,
        leniency: Leniency,
    ) -> Self {
        let code = failure.as_ref().map_or(exit::OK, |failure| failure.code);
        Self {
            given,
            digest,
            answer,
            failure,
            ending: leniency.ending(code),
        }
    }

    /// Returns the true code, whatever a mode made of it.
    pub(crate) fn code(&self) -> u8 {
        self.failure
            .as_ref()
            .map_or(exit::OK, |failure| failure.code)
    }
}

/// Everything that reports speak of.
#[derive(Debug)]
pub(crate) struct Run {
    /// The artifacts, in the order given.
    pub(crate) judged: Vec<Judged>,
    /// Whom the verifier believed, none when that could not be found out.
    pub(crate) trust: Option<TrustMaterial>,
    /// What was asked.
    pub(crate) policy: Policy,
    /// Requests to registries and bytes that came back; none when no registry was asked.
    pub(crate) traffic: Option<(u64, u64)>,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Run {
    /// Returns the run in which nothing could be judged.
    pub(crate) fn not_judged(given: &[String], failure: &Failure, elapsed: Duration) -> Self {
        let policy = Policy::default();
        let judged = |name: &String| {
            Judged::new(
                name.clone(),
                None,
                None,
                Some(failure.clone()),
                policy.leniency(),
            )
        };
        Self {
            judged: given.iter().map(judged).collect(),
            trust: None,
            traffic: None,
            elapsed,
            policy,
        }
    }

    /// Returns the exit code: that of the first artifact, in the order given, that does not pass.
    pub(crate) fn exit(&self) -> u8 {
        let mut codes = self.judged.iter().map(|each| each.ending.exit);
        codes.find(|code| *code != exit::OK).unwrap_or(exit::OK)
    }

    /// Returns the true code of the first artifact that is refused.
    pub(crate) fn code(&self) -> u8 {
        let mut codes = self.judged.iter().map(Judged::code);
        codes.find(|code| *code != exit::OK).unwrap_or(exit::OK)
    }
}

/// The formats of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Workflow commands of GitHub Actions.
    Github,
    /// `stella.verify/v1`.
    Json,
    /// JUnit XML.
    Junit,
    /// For people.
    Text,
}

impl Format {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Github, "github"),
        (Self::Json, "json"),
        (Self::Junit, "junit"),
        (Self::Text, "text"),
    ];

    fn document(self, run: &Run) -> String {
        match self {
            Self::Github => github::document(run),
            Self::Json => json::document(run),
            Self::Junit => junit::document(run),
            Self::Text => text::document(run),
        }
    }
}

/// Where reports go.
#[derive(Debug)]
pub(crate) struct Sinks {
    stdout: Format,
    files: Vec<(Format, PathBuf)>,
}

impl Sinks {
    /// Reads `-o FORMAT[=FILE]…` and `--json`. What goes nowhere else is printed as text.
    pub(crate) fn parse(outputs: &[String], json: bool) -> Result<Self, Failure> {
        let mut stdout: Vec<Format> = if json { vec![Format::Json] } else { Vec::new() };
        let mut files = Vec::new();
        for text in outputs {
            let (name, file) = match text.split_once('=') {
                Some((name, file)) => (name, Some(file)),
                None => (text.as_str(), None),
            };
            let format = Format::ALL.iter().find(|(_, word)| *word == name);
            let (format, _) = format.ok_or_else(|| {
                Failure::usage(format!("-o {text:?} is none of text, json, junit, github"))
                    .hint("a report goes to standard output, or to a file: -o junit=report.xml")
            })?;
            match file {
                Some("") => return Err(Failure::usage(format!("-o {text:?} names no file"))),
                Some(file) => files.push((*format, PathBuf::from(file))),
                None => stdout.push(*format),
            }
        }
        stdout.dedup();
        match stdout.as_slice() {
            [] => Ok(Self {
                stdout: Format::Text,
                files,
            }),
            [only] => Ok(Self {
                stdout: *only,
                files,
            }),
            _ => Err(Failure::usage("standard output takes one report")
                .hint("write the others to files: -o junit=report.xml")),
        }
    }

    /// Says whether standard output is read by a program that finds errors in the report.
    pub(crate) fn speaks_to_programs(&self) -> bool {
        self.stdout == Format::Json
    }

    /// Writes every report.
    pub(crate) fn write(&self, run: &Run) -> Result<(), Failure> {
        for (format, path) in &self.files {
            std::fs::write(path, format.document(run))
                .map_err(|error| Failure::io("write", path, &error))?;
        }
        terminal::say_bytes(self.stdout.document(run).as_bytes());
        Ok(())
    }
}
