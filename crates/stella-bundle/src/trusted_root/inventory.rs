//! What is in a trusted root, entry by entry, and how two of them differ: for people who decide whom to believe.
//!
//! Verification does not come here; it makes its own use of the same entries in [`crate::verify`].

use std::fmt;

use super::{CertificateAuthority, TimeRange, TransparencyLog, TrustedRoot};
use crate::digest::{Digest, DigestAlgorithm};
use crate::time::{UnixTime, Validity};
use crate::verify::{Trust, TrustPart, Unusable, UnusableReason};

/// Where an entry stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which list.
    pub part: TrustPart,
    /// Which entry of it, from 0.
    pub index: usize,
}

impl fmt::Display for Place {
    /// Prints `tlogs[0]`, as the file has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}]", field(self.part), self.index)
    }
}

/// Returns the name of a list in the file.
pub const fn field(part: TrustPart) -> &'static str {
    match part {
        TrustPart::CertificateAuthorities => "certificateAuthorities",
        TrustPart::Ctlogs => "ctlogs",
        TrustPart::TimestampAuthorities => "timestampAuthorities",
        TrustPart::Tlogs => "tlogs",
    }
}

/// Returns the word for one entry of a list.
pub const fn noun(part: TrustPart) -> &'static str {
    match part {
        TrustPart::CertificateAuthorities => "certificate authority",
        TrustPart::Ctlogs => "CT log",
        TrustPart::TimestampAuthorities => "timestamp authority",
        TrustPart::Tlogs => "log",
    }
}

/// One authority or log of a trusted root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// Its address.
    pub url: String,
    /// SHA-256 of a log's key, or of an authority's issuing certificate; of nothing where there is none.
    pub fingerprint: Digest,
    /// When it is trusted; none where its dates are missing or malformed.
    pub validity: Option<Validity>,
    /// Why it cannot be used, if so.
    pub unusable: Option<UnusableReason>,
}

/// Whether an entry is of use at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// Its time is over; what was signed within it still counts.
    Ended,
    /// It signs.
    InUse,
    /// Its time is to come.
    NotYet,
    /// It cannot be used at all.
    Unusable,
}

impl EntryState {
    /// Returns the word for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::InUse => "in use",
            Self::NotYet => "not yet",
            Self::Unusable => "unusable",
        }
    }
}

impl Entry {
    /// Says whether the entry is of use at `time`.
    pub fn state(&self, time: UnixTime) -> EntryState {
        let Some(validity) = self.validity.filter(|_| self.unusable.is_none()) else {
            return EntryState::Unusable;
        };
        if validity.contains(time) {
            return EntryState::InUse;
        }
        if validity.end.is_some_and(|end| end < time) {
            EntryState::Ended
        } else {
            EntryState::NotYet
        }
    }

    /// Returns the window in words.
    pub fn window(&self) -> String {
        self.validity
            .map_or_else(|| "without dates".to_owned(), |each| each.to_string())
    }
}

/// Lists every entry: authorities, timestamp authorities, logs, CT logs, each in the file's order.
pub fn list(root: &TrustedRoot) -> Vec<Entry> {
    let trust = Trust::new(root);
    let authorities = |part, entries: &[CertificateAuthority]| {
        let entry = |(index, each): (usize, &CertificateAuthority)| {
            let issuing = each.cert_chain.certificates.first();
            let der = issuing.map_or(&[][..], |each| &each.raw_bytes);
            let range = each.valid_for.as_ref();
            entry(&trust, Place { part, index }, &each.uri, der, range)
        };
        entries.iter().enumerate().map(entry).collect::<Vec<_>>()
    };
    let logs = |part, entries: &[TransparencyLog]| {
        let entry = |(index, each): (usize, &TransparencyLog)| {
            let (key, range) = (
                &each.public_key.raw_bytes,
                each.public_key.valid_for.as_ref(),
            );
            entry(&trust, Place { part, index }, &each.base_url, key, range)
        };
        entries.iter().enumerate().map(entry).collect::<Vec<_>>()
    };
    [
        authorities(
            TrustPart::CertificateAuthorities,
            &root.certificate_authorities,
        ),
        authorities(TrustPart::TimestampAuthorities, &root.timestamp_authorities),
        logs(TrustPart::Tlogs, &root.tlogs),
        logs(TrustPart::Ctlogs, &root.ctlogs),
    ]
    .concat()
}

fn entry(trust: &Trust, place: Place, url: &str, key: &[u8], range: Option<&TimeRange>) -> Entry {
    let is_here = |each: &&Unusable| (each.part, each.index) == (place.part, place.index);
    let unusable = trust.unusable().iter().find(is_here);
    Entry {
        place,
        url: url.to_owned(),
        fingerprint: DigestAlgorithm::Sha256.digest(key),
        validity: range.and_then(TimeRange::to_validity),
        unusable: unusable.map(|each| each.reason.clone()),
    }
}

/// How an entry of one trusted root stands in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// Its address or its window is another.
    Changed,
    /// Its window got an end, or an earlier one.
    Ended,
    /// It is gone: what it signed no longer counts.
    Removed,
}

impl Change {
    /// Returns the word for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Ended => "ended",
            Self::Removed => "removed",
        }
    }
}

/// Lists what differs between two trusted roots, each with the entry as it is in the new one, or was in the old one.
pub fn differences(old: &TrustedRoot, new: &TrustedRoot) -> Vec<(Change, Entry)> {
    let mut before = list(old);
    let mut found = Vec::new();
    for entry in list(new) {
        let is_same = |each: &Entry| {
            each.place.part == entry.place.part && each.fingerprint == entry.fingerprint
        };
        // Of two entries with one key, the one that did not change is the same entry.
        let unchanged = before
            .iter()
            .position(|each| is_same(each) && change(each, &entry).is_none());
        let Some(at) = unchanged.or_else(|| before.iter().position(is_same)) else {
            found.push((Change::Added, entry));
            continue;
        };
        let was = before.remove(at);
        if let Some(change) = change(&was, &entry) {
            found.push((change, entry));
        }
    }
    found.extend(before.into_iter().map(|each| (Change::Removed, each)));
    found
}

fn change(old: &Entry, new: &Entry) -> Option<Change> {
    let end = |entry: &Entry| entry.validity.and_then(|validity| validity.end);
    let is_earlier = match (end(old), end(new)) {
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
        (_, None) => false,
    };
    if is_earlier {
        return Some(Change::Ended);
    }
    let same = old.validity == new.validity && old.url == new.url && old.unusable == new.unusable;
    (!same).then_some(Change::Changed)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::trusted_root::LogKey;

    fn log(key: u8, start: &str, end: Option<&str>) -> TransparencyLog {
        TransparencyLog {
            base_url: "https://log.example".into(),
            hash_algorithm: "SHA2_256".into(),
            public_key: LogKey {
                raw_bytes: vec![key],
                key_details: String::new(),
                valid_for: Some(TimeRange {
                    start: Some(start.into()),
                    end: end.map(str::to_owned),
                }),
            },
            log_id: crate::entry::LogId { key_id: vec![key] },
            checkpoint_key_id: None,
            operator: String::new(),
        }
    }

    fn root(tlogs: Vec<TransparencyLog>) -> TrustedRoot {
        TrustedRoot {
            media_type: crate::trusted_root::MEDIA_TYPE.into(),
            tlogs,
            certificate_authorities: vec![],
            ctlogs: vec![],
            timestamp_authorities: vec![],
        }
    }

    const START: &str = "2025-01-01T00:00:00Z";
    const END: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn added_ended_changed_and_removed_entries_are_told_apart() {
        let old = root(vec![
            log(1, START, None),
            log(2, START, None),
            log(3, START, None),
            log(4, START, None),
        ]);
        let new = root(vec![
            log(1, START, None),
            log(2, START, Some(END)),
            log(3, END, None),
            log(5, END, None),
        ]);
        let names = |list: Vec<(Change, Entry)>| {
            let name = |(change, entry): (Change, Entry)| (change.name(), entry.place.index);
            list.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(differences(&old, &new)),
            [("ended", 1), ("changed", 2), ("added", 3), ("removed", 3)]
        );
        assert_eq!(names(differences(&old, &old)), []);
    }

    #[test]
    fn one_key_with_two_windows_is_two_entries() {
        let both = root(vec![log(1, START, Some(END)), log(1, END, None)]);
        let first = root(vec![log(1, START, Some(END))]);
        assert_eq!(differences(&both, &both), []);
        let found = differences(&first, &both);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, found[0].1.place.index), (Change::Added, 1));
    }

    #[test]
    fn an_entry_that_cannot_be_used_is_said_so() {
        let entries = list(&root(vec![log(1, START, None)]));
        let now = UnixTime::parse_rfc3339(END).unwrap();
        assert_eq!(entries[0].state(now), EntryState::Unusable);
        assert_eq!(entries[0].place.to_string(), "tlogs[0]");
    }
}
