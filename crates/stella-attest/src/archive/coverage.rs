//! Completeness: which entries of a log have their attestation in the archive, and which were nowhere to be found.
//!
//! A range ends with the last entry that was archived, so that the same set has the same range; what comes after it is the next
//! period's question. Nothing is asked of the log: its indexes alone say what is missing.

use std::collections::BTreeMap;

use stella_archive::history::History;
use stella_archive::statement::{Coverage, Manifest};
use stella_bundle::bundle::Bundle;
use stella_bundle::entry::LogEntry;

/// Missing entries that are named; all are counted.
pub(crate) const MOST_NAMED: usize = 1000;

/// Where what was archived is logged.
#[derive(Default)]
pub(crate) struct Logged(BTreeMap<String, Vec<u64>>);

/// What logs had to say about a period.
#[derive(Default)]
pub(crate) struct Reconciled {
    pub(crate) coverage: Vec<Coverage>,
    /// The first missing indexes of each log.
    pub(crate) missing: BTreeMap<String, Vec<u64>>,
}

impl Logged {
    /// Notes where an attestation is logged.
    pub(crate) fn add(&mut self, entries: &[(String, u64)]) {
        for (origin, index) in entries {
            self.0.entry(origin.clone()).or_default().push(*index);
        }
    }

    /// Compares with the ranges of the logs since the last statement; the organisation's own statements are in none of the
    /// chunks and not missing.
    pub(crate) fn reconcile(mut self, past: &History, last: Option<&Manifest>) -> Reconciled {
        let before: BTreeMap<_, _> = { last.iter().flat_map(|each| &each.coverage) }
            .map(|each| (each.log.clone(), each.to))
            .collect();
        // A log without a new entry is still one that is looked at.
        for log in before.keys() {
            self.0.entry(log.clone()).or_default();
        }
        let own = own_entries(past);
        let mut reconciled = Reconciled::default();
        for (log, mut indexes) in self.0 {
            indexes.sort_unstable();
            indexes.dedup();
            // The first entry of a private instance is its own: it shows that the log works.
            let first = u64::from(indexes.first() != Some(&0));
            let from = before.get(&log).copied().unwrap_or(first);
            indexes.retain(|index| *index >= from);
            let to = indexes.last().map_or(from, |last| (last + 1).max(from));
            let archived = indexes.len() as u64;
            indexes.extend(
                own.iter()
                    .filter(|(origin, _)| *origin == log)
                    .map(|(_, index)| *index),
            );
            indexes.retain(|index| (from..to).contains(index));
            indexes.sort_unstable();
            indexes.dedup();
            let missing = (to - from) - indexes.len() as u64;
            if missing > 0 {
                reconciled
                    .missing
                    .insert(log.clone(), gaps(from, to, &indexes));
            }
            reconciled.coverage.push(Coverage {
                log,
                from,
                to,
                archived,
                missing,
            });
        }
        reconciled
    }
}

/// Returns the first numbers of a range that are not among sorted ones.
fn gaps(from: u64, to: u64, present: &[u64]) -> Vec<u64> {
    let mut present = present.iter().peekable();
    let is_missing = |index: &u64| present.next_if(|next| *next == index).is_none();
    (from..to).filter(is_missing).take(MOST_NAMED).collect()
}

/// Returns where statements of the organisation are logged.
fn own_entries(past: &History) -> Vec<(String, u64)> {
    let bundles = past.statements.iter().flat_map(|each| &each.bundles);
    let entries = bundles
        .filter_map(|bytes| Bundle::parse(bytes).ok())
        .flat_map(|bundle| bundle.entries);
    entries.filter_map(|entry| place(&entry)).collect()
}

/// Returns the log and the place of an entry, as its own proof says.
fn place(entry: &LogEntry) -> Option<(String, u64)> {
    let proof = entry.inclusion_proof.as_ref()?;
    let origin = proof.checkpoint.envelope.lines().next()?;
    Some((origin.to_owned(), u64::try_from(proof.log_index).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(indexes: &[u64]) -> Logged {
        let mut logged = Logged::default();
        for index in indexes {
            logged.add(&[("log.example".to_owned(), *index)]);
        }
        logged
    }

    #[test]
    fn what_is_missing_is_named() {
        let reconciled = logged(&[0, 5, 1, 3, 1]).reconcile(&History::default(), None);
        let expected = Coverage {
            log: "log.example".into(),
            from: 0,
            to: 6,
            archived: 4,
            missing: 2,
        };
        assert_eq!(reconciled.coverage, [expected]);
        assert_eq!(reconciled.missing["log.example"], [2, 4]);
    }

    #[test]
    fn nothing_is_missing_where_nothing_was_logged() {
        let reconciled = Logged::default().reconcile(&History::default(), None);
        assert!(reconciled.coverage.is_empty() && reconciled.missing.is_empty());
    }
}
