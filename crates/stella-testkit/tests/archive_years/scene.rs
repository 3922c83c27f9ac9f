//! What a verifier is shown, and what it says.

use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::history::{History, HistoryError, judge};
use stella_archive::levels::{Level, Levels, Place, Scales, read_roots};
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::Artifact;
use stella_testkit::forge::ARTIFACT;
use stella_tlog::hash::Hash;
use stella_tlog::tree::{LeafIndex, TreeSize};

use super::{Promise, Row};

/// What a verifier is shown, and what it has itself.
pub(crate) struct Scene {
    pub(crate) anchor: Anchor,
    pub(crate) history: History,
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) line: String,
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) path: Vec<Hash>,
    pub(crate) bundle: Option<Vec<u8>>,
    pub(crate) own: TrustedRoot,
    pub(crate) known: Falls,
    pub(crate) now: UnixTime,
    pub(crate) policy: stella_bundle::verify::Policy,
}

impl Scene {
    /// Says how each level stands.
    pub(crate) fn weigh(&self) -> Result<Levels, HistoryError> {
        let judgement = judge(
            &self.history,
            &self.anchor,
            &self.known,
            Some(&self.own),
            self.now,
        )?;
        let scales = Scales {
            judgement: &judgement,
            roots: &read_roots(&self.roots),
            own: Some(&self.own),
            known: &self.known,
            policy: &self.policy,
            now: self.now,
        };
        let place = Place {
            line: self.line.as_bytes(),
            index: LeafIndex(self.index),
            size: TreeSize(self.size),
            path: &self.path,
            bundle: self.bundle.as_deref(),
        };
        Ok(scales.weigh(&place, &Artifact::Bytes(ARTIFACT)))
    }

    pub(crate) fn require(&self, name: &str, row: Row) {
        let weighed = self.weigh();
        let held = match &weighed {
            Ok(levels) => [
                levels.archived.holds(),
                levels.reverified.holds(),
                levels.independent.holds(),
            ],
            Err(_) => [false; 3],
        };
        for (level, (promise, held)) in row.into_iter().zip(held).enumerate() {
            let is_kept = match promise {
                Promise::Nothing => true,
                Promise::Refuse => !held,
                Promise::Verify => held,
            };
            assert!(
                is_kept,
                "{name}: L{level} should {promise:?}: {}",
                told(&weighed)
            );
        }
    }
}

/// Tells how levels stand, in few words.
pub(crate) fn told(weighed: &Result<Levels, HistoryError>) -> String {
    pub(crate) fn level<T>(level: &Level<T>) -> String {
        match level {
            Level::Holds(_) => "holds".into(),
            Level::Refused(refusal) => format!("refused: {refusal}"),
            Level::Unknown(missing) => format!("unknown: {missing}"),
        }
    }
    match weighed {
        Err(error) => format!("no archive: {error}"),
        Ok(levels) => {
            let (zero, one) = (level(&levels.archived), level(&levels.reverified));
            format!("{zero}; {one}; {}", level(&levels.independent))
        }
    }
}
