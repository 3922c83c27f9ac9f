//! The bundles that were named by `--bundle`, read once for all artifacts: each artifact is compared with those that may
//! speak of it.
//!
//! Leaving a bundle out decides nothing: what it says of its subjects is only a reason not to look. Where none speaks of an
//! artifact all are asked, so that the refusal says what they speak of.

use std::path::PathBuf;

use stella_attest::verify::{Candidate, Found};
use stella_bundle::bundle::Content;
use stella_bundle::digest::Digest;
use stella_bundle::legacy;
use stella_bundle::statement::Statement;

use super::archived::Believed;
use crate::cli::attest::source;
use crate::exit::Failure;

/// Every bundle of the named files.
pub(super) struct Named(Vec<(Candidate, Option<Vec<Digest>>)>);

impl Named {
    /// Reads the files; what an archive says of them counts where its organisation is believed.
    pub(super) fn read(
        paths: &[PathBuf],
        believed: Option<&Believed<'_>>,
    ) -> Result<Self, Failure> {
        let mut candidates = Vec::new();
        for path in paths {
            let held = believed.map(|believed| believed.candidates(path));
            candidates.extend(match held.transpose()?.flatten() {
                Some(held) => held,
                None => source::candidates_in(std::slice::from_ref(path))?,
            });
        }
        let with_subjects = |candidate: Candidate| {
            let subjects = subjects(&candidate);
            (candidate, subjects)
        };
        Ok(Self(candidates.into_iter().map(with_subjects).collect()))
    }

    /// Returns those that may speak of an artifact, or all where none does.
    pub(super) fn about(&self, artifact: &[Digest]) -> Vec<Candidate> {
        let may_speak = |subjects: &Option<Vec<Digest>>| {
            let named =
                |subjects: &Vec<Digest>| subjects.iter().any(|each| artifact.contains(each));
            subjects.as_ref().is_none_or(named)
        };
        let all = || self.0.iter().map(|(candidate, _)| candidate.clone());
        let about = self.0.iter().filter(|(_, subjects)| may_speak(subjects));
        let about: Vec<Candidate> = about.map(|(candidate, _)| candidate.clone()).collect();
        if about.is_empty() {
            return all().collect();
        }
        about
    }
}

/// Returns what a bundle says that it is about; none where it does not say, and so may be about anything.
fn subjects(candidate: &Candidate) -> Option<Vec<Digest>> {
    let Found::Bytes(Ok(bytes)) = &candidate.found else {
        return None;
    };
    match legacy::read(bytes).ok()?.0.content {
        Content::Envelope(envelope) => {
            let statement = Statement::parse(&envelope.payload).ok()?;
            let digests = statement.subject.iter().flat_map(|each| each.digests());
            Some(digests.collect())
        }
        Content::Message { .. } | Content::SimpleSigning { .. } => None,
    }
}
