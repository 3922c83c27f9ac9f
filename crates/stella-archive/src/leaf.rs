//! Leaves: one line of the tree about one thing that is archived.

use std::fmt;

use stella_bundle::time::UnixTime;
use stella_tlog::hash::{self, Hash};

use crate::fingerprint::{Fingerprint, hex32};
use crate::frames::Class;

/// Bytes of a line, its end left out.
pub const MAX_LINE: usize = 512;
/// Letters of a reason.
const MAX_REASON: usize = 64;

/// What a leaf is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A Sigstore bundle.
    Attestation,
    /// A legal hold, set or released.
    Hold,
    /// An event of the keyset.
    Keyset,
    /// Bytes that were let go.
    Prune,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Attestation, Self::Hold, Self::Keyset, Self::Prune];

    /// Returns its word in a line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attestation => "attestation",
            Self::Hold => "hold",
            Self::Keyset => "keyset",
            Self::Prune => "prune",
        }
    }
}

/// What the organisation's own verification found when it was archived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It held.
    Verified,
    /// It was refused, for a reason in letters, digits and hyphens.
    Rejected(String),
}

impl Status {
    /// Returns the status of what was refused; what a reason cannot hold becomes a hyphen.
    #[must_use]
    pub fn rejected(reason: &str) -> Self {
        let word = |each: char| match each.is_ascii_alphanumeric() {
            true => each.to_ascii_lowercase(),
            false => '-',
        };
        Self::Rejected(reason.chars().take(MAX_REASON).map(word).collect())
    }

    fn parse(text: &str) -> Option<Self> {
        let is_word = |reason: &&str| {
            let bytes = reason.bytes();
            (1..=MAX_REASON).contains(&reason.len()) && { bytes }
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        match text.strip_prefix("rejected:") {
            Some(reason) => Some(Self::Rejected(Some(reason).filter(is_word)?.to_owned())),
            None => (text == "verified").then_some(Self::Verified),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => formatter.write_str("verified"),
            Self::Rejected(reason) => write!(formatter, "rejected:{reason}"),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What it is about.
    pub kind: Kind,
    /// What verification found.
    pub status: Status,
    /// Its place in the statement's list of profiles.
    pub profile: u32,
    /// Of the exact bytes.
    pub digest: Fingerprint,
    /// How many bytes.
    pub size: u64,
    /// The earliest authenticated time, in whole seconds; none where there is none.
    pub time: Option<i64>,
}

/// 32 bytes in hex; a month has millions of them.
struct Hex32<'a>(&'a [u8; 32]);

impl fmt::Display for Hex32<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        formatter.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

/// A number, or the word for none.
struct OrNull(Option<i64>);

impl fmt::Display for OrNull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(formatter),
            None => formatter.write_str("null"),
        }
    }
}

/// A line is no leaf as this format writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a leaf of an archive is not written as the format demands")]
pub struct LeafError;

impl Leaf {
    /// Reads a line, its end left out: exactly as [`Self::to_line`] writes it, or not at all.
    ///
    /// # Errors
    /// [`LeafError`].
    pub fn parse(line: &[u8]) -> Result<Self, LeafError> {
        let line = std::str::from_utf8(line)
            .ok()
            .filter(|line| line.len() <= MAX_LINE);
        let line = line.ok_or(LeafError)?;
        let leaf = read(line).ok_or(LeafError)?;
        // Two spellings of one leaf would be two leaves.
        match leaf.to_line() == line {
            true => Ok(leaf),
            false => Err(LeafError),
        }
    }

    /// Writes the line, its end left out.
    #[must_use]
    pub fn to_line(&self) -> String {
        format!(
            r#"{{"v":1,"kind":"{}","status":"{}","profile":{},"sha256":"{}","sha3":"{}","size":{},"time":{}}}"#,
            self.kind.name(),
            self.status,
            self.profile,
            Hex32(&self.digest.sha256),
            Hex32(&self.digest.sha3),
            self.size,
            OrNull(self.time),
        )
    }

    /// Returns the hash of a line in the tree (RFC 6962 §2.1).
    #[must_use]
    pub fn hash(line: &[u8]) -> Hash {
        hash::leaf(line)
    }

    /// Returns when it was signed, for reports.
    #[must_use]
    pub fn signed_at(&self) -> Option<UnixTime> {
        self.time.map(UnixTime::from_seconds)
    }

    /// Returns where the bytes lie that it is about; the leaves of a period stand in the order of these classes.
    #[must_use]
    pub const fn class(&self) -> Class {
        match (self.kind, &self.status) {
            (Kind::Attestation, Status::Verified) => Class::Evidence,
            (Kind::Attestation, Status::Rejected(_)) => Class::Rejected,
            _ => Class::Records,
        }
    }
}

/// Reads the members in their order; what stands between them must be exactly that.
fn read(line: &str) -> Option<Leaf> {
    let mut rest = line.strip_prefix(r#"{"v":1,"kind":""#)?;
    let mut until = |end: &str| {
        let (value, after) = rest.split_once(end)?;
        rest = after;
        Some(value)
    };
    let kind = until(r#"","status":""#)?;
    let status = until(r#"","profile":"#)?;
    let profile = until(r#","sha256":""#)?;
    let sha256 = until(r#"","sha3":""#)?;
    let sha3 = until(r#"","size":"#)?;
    let size = until(r#","time":"#)?;
    let time = until("}")?;
    Some(Leaf {
        kind: Kind::ALL.into_iter().find(|each| each.name() == kind)?,
        status: Status::parse(status)?,
        profile: profile.parse().ok()?,
        digest: Fingerprint {
            sha256: hex32::parse(sha256)?,
            sha3: hex32::parse(sha3)?,
        },
        size: size.parse().ok()?,
        time: match time {
            "null" => None,
            time => Some(time.parse().ok()?),
        },
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            kind: Kind::Attestation,
            status: Status::Verified,
            profile: 2,
            digest: Fingerprint::of(b"bundle"),
            size: 6,
            time: Some(1_795_000_000),
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_is_json() {
        for leaf in [
            leaf(),
            Leaf {
                time: None,
                status: Status::rejected("Bad Signature!"),
                ..leaf()
            },
            Leaf {
                kind: Kind::Prune,
                time: Some(-1),
                ..leaf()
            },
        ] {
            let line = leaf.to_line();
            assert_eq!(Leaf::parse(line.as_bytes()), Ok(leaf));
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(json["v"], 1);
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let line = leaf().to_line();
        for wrong in [
            line.replace(":2,", ":02,"),
            line.replace(":6,", ":+6,"),
            line.replace(",\"size\"", ", \"size\""),
            line.replace("verified", "rejected:"),
            line.replace("verified", "rejected:A"),
            line.replace("verified", "unknown"),
            line.replace("attestation", "thing"),
            line.replace("\"v\":1", "\"v\":2"),
            format!("{line} "),
            format!("{line}\n"),
            line[..line.len() - 1].to_owned(),
            line.replace("\"time\":1", "\"time\":\"1\""),
        ] {
            assert_eq!(Leaf::parse(wrong.as_bytes()), Err(LeafError), "{wrong}");
        }
        assert_eq!(Leaf::parse(&[0xff]), Err(LeafError));
    }

    #[test]
    fn what_held_comes_first_and_records_last() {
        let refused = Leaf {
            status: Status::rejected("x"),
            time: None,
            ..leaf()
        };
        let record = Leaf {
            kind: Kind::Keyset,
            ..leaf()
        };
        let classes = [leaf(), refused, record].map(|each| each.class());
        assert_eq!(classes, [Class::Evidence, Class::Rejected, Class::Records]);
        assert!(classes.is_sorted());
    }
}
