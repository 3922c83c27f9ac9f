//! Trust policies: which logs and witnesses are known, and how many must have cosigned (C2SP tlog-policy).
//!
//! How a single cosignature is checked is in `cosignature`; asking witnesses for one is network, and not here.

use std::collections::HashMap;

use crate::checkpoint::Checkpoint;
use crate::cosignature::{self, UnixSeconds};
use crate::decimal;
use crate::note::{Note, NoteError};
use crate::vkey::{SignatureType, VerifierKey, VerifierKeyError};

/// The greatest policy in bytes: three hundred lines with ML-DSA-44 keys.
pub const MAX_POLICY: usize = 1024 * 1024;

/// The greatest number of logs, of witnesses and of groups each; the specification asks for at least 32.
pub const MAX_DEFINITIONS: usize = 256;

/// The predefined name of the quorum that asks for nobody.
const NONE: &str = "none";

/// A parsed policy.
///
/// Names are UTF-8 here, which the specification recommends and does not demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A known log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The key; its name is the log's origin.
    pub key: VerifierKey,
    /// Where the log is reached.
    pub url: Option<String>,
}

/// A known witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The name inside this policy.
    pub name: String,
    /// The key, of a cosignature type.
    pub key: VerifierKey,
    /// The witness's submission prefix.
    pub url: Option<String>,
}

/// So many members must have witnessed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    needed: usize,
    members: Vec<Member>,
}

/// A defined name, by its place among the witnesses or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Group(usize),
    Witness(usize),
}

/// A good cosignature found in a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness's name inside the policy.
    pub witness: String,
    /// When the witness signed.
    pub time: UnixSeconds,
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The key is listed already, under whatever name.
    #[error("the key is listed twice")]
    KeyTwice,
    /// The key does not parse.
    #[error("{0}")]
    Key(VerifierKeyError),
    /// The key cannot sign what a log or witness signs.
    #[error("the key's signature type does not fit")]
    KeyType,
    /// The name is a member of a group already.
    #[error("a name is a member twice")]
    MemberTwice,
    /// The name is defined already, or is `none`.
    #[error("the name is taken")]
    NameTaken,
    /// The name is not defined on a line above.
    #[error("a name is not defined above")]
    NameUnknown,
    /// The policy has no quorum line; the line is the one after the last.
    #[error("there is no quorum line")]
    QuorumMissing,
    /// There is a second quorum line.
    #[error("there is a second quorum line")]
    QuorumTwice,
    /// The line is none of `log`, `witness`, `group` and `quorum` with their items.
    #[error("the line cannot be read")]
    Syntax,
    /// The group's number is not between 1 and the number of its members.
    #[error("the group's number does not fit its members")]
    Threshold,
    /// There is more than this reader takes.
    #[error("the policy is too large")]
    TooLarge,
}

/// Why a policy is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {fault}")]
pub struct PolicyError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: PolicyFault,
}

/// Why a note does not satisfy a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// The note's text is not a checkpoint.
    #[error("{0}")]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    /// No listed log of the checkpoint's origin has signed.
    #[error("no known log has signed the checkpoint of {origin}")]
    LogUnknown {
        /// The checkpoint's origin.
        origin: String,
    },
    /// A signature of a known log or witness is bad.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// Too few witnesses have cosigned.
    #[error("the quorum is not reached: cosigned by {}", .cosigned.len())]
    NotReached {
        /// Those who have.
        cosigned: Vec<Cosigned>,
    },
}

impl Policy {
    /// Parses a policy file.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with the first line that is wrong.
    // spec: C2SP tlog-policy, "Policy file syntax and structure".
    pub fn parse(policy: &str) -> Result<Self, PolicyError> {
        let mut parser = Parser::default();
        let at = |line, fault| PolicyError { line, fault };
        if policy.len() > MAX_POLICY {
            return Err(at(1, PolicyFault::TooLarge));
        }
        let mut lines = 0;
        for line in policy.strip_suffix('\n').unwrap_or(policy).split('\n') {
            lines += 1;
            parser.line(line).map_err(|fault| at(lines, fault))?;
        }
        let missing = at(lines + 1, PolicyFault::QuorumMissing);
        Ok(Self {
            quorum: parser.quorum.ok_or(missing)?,
            logs: parser.logs,
            witnesses: parser.witnesses,
            groups: parser.groups,
        })
    }

    /// Returns the known logs.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// Returns the known witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Says whether nobody needs to cosign.
    #[must_use]
    pub const fn is_quorum_none(&self) -> bool {
        self.quorum.is_none()
    }

    /// Says whether the witnesses that `has_cosigned` names are a quorum.
    pub fn is_reached_by(&self, has_cosigned: impl Fn(&Witness) -> bool) -> bool {
        let witnesses: Vec<bool> = self.witnesses.iter().map(has_cosigned).collect();
        // Groups name only groups above them, so one pass in order decides them all.
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let have = group
                .members
                .iter()
                .filter(|member| has_witnessed(**member, &witnesses, &groups))
                .count();
            groups.push(have >= group.needed);
        }
        self.quorum
            .is_none_or(|quorum| has_witnessed(quorum, &witnesses, &groups))
    }

    /// Verifies that a known log signed the checkpoint and a quorum of witnesses cosigned it; returns who did.
    ///
    /// A policy without logs leaves the log's signature to the caller.
    ///
    /// # Errors
    ///
    /// [`QuorumError`]; a bad signature of a known key refuses the whole note.
    // spec: C2SP tlog-policy, "What is a policy"; signed-note, "Signatures".
    pub fn satisfied_by(&self, note: &Note) -> Result<Vec<Cosigned>, QuorumError> {
        let origin = Checkpoint::parse(&note.text)?.origin;
        let mut is_log_known = self.logs.is_empty();
        for log in &self.logs {
            if log.key.name().as_str() == origin {
                is_log_known |= is_signed(note.verify(&log.key))?.is_some();
            }
        }
        if !is_log_known {
            return Err(QuorumError::LogUnknown { origin });
        }
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            if let Some(time) = is_signed(cosignature::verify(note, &witness.key))? {
                let witness = witness.name.clone();
                cosigned.push(Cosigned { witness, time });
            }
        }
        let has_cosigned =
            |witness: &Witness| cosigned.iter().any(|found| found.witness == witness.name);
        if !self.is_reached_by(has_cosigned) {
            return Err(QuorumError::NotReached { cosigned });
        }
        Ok(cosigned)
    }
}

/// Turns "not signed" into `None`; a bad signature stays an error.
fn is_signed<T>(verified: Result<T, NoteError>) -> Result<Option<T>, NoteError> {
    match verified {
        Ok(found) => Ok(Some(found)),
        Err(NoteError::NotSigned { .. }) => Ok(None),
        Err(bad) => Err(bad),
    }
}

fn has_witnessed(member: Member, witnesses: &[bool], groups: &[bool]) -> bool {
    let found = match member {
        Member::Group(at) => groups.get(at),
        Member::Witness(at) => witnesses.get(at),
    };
    found.copied().unwrap_or(false)
}

#[derive(Default)]
struct Parser {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Option<Member>>,
    /// Each defined name, and whether a group has it as a member.
    names: HashMap<String, (Member, bool)>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), PolicyFault> {
        // spec: C2SP tlog-policy, "Character set".
        if line
            .bytes()
            .any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
        {
            return Err(PolicyFault::Syntax);
        }
        let items: Vec<&str> = line
            .split([' ', '\t'])
            .filter(|item| !item.is_empty())
            .collect();
        match items.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some(url)),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, needed, members @ ..] => self.group(name, needed, members),
            ["quorum", name] => self.quorum(name),
            _ => Err(PolicyFault::Syntax),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<(), PolicyFault> {
        let key = VerifierKey::parse(key).map_err(PolicyFault::Key)?;
        // spec: C2SP tlog-checkpoint, "Signatures": any type, but a timed Ed25519 cosignature is a witness's.
        if key.signature_type() == SignatureType::CosignatureEd25519 {
            return Err(PolicyFault::KeyType);
        }
        let known = self.logs.iter().map(|log| &log.key);
        require_new_key(&key, known)?;
        require_room(self.logs.len())?;
        let url = url.map(str::to_owned);
        self.logs.push(Log { key, url });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), PolicyFault> {
        let key = VerifierKey::parse(key).map_err(PolicyFault::Key)?;
        let is_cosigner = matches!(
            key.signature_type(),
            SignatureType::CosignatureEd25519 | SignatureType::CosignatureMlDsa44
        );
        if !is_cosigner {
            return Err(PolicyFault::KeyType);
        }
        let known = self.witnesses.iter().map(|witness| &witness.key);
        require_new_key(&key, known)?;
        require_room(self.witnesses.len())?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness {
            name: name.to_owned(),
            key,
            url: url.map(str::to_owned),
        });
        Ok(())
    }

    fn group(&mut self, name: &str, needed: &str, members: &[&str]) -> Result<(), PolicyFault> {
        let needed = match needed {
            "all" => members.len(),
            "any" => 1,
            number => decimal::parse(number)
                .and_then(|number| usize::try_from(number).ok())
                .ok_or(PolicyFault::Syntax)?,
        };
        if needed == 0 || needed > members.len() {
            return Err(PolicyFault::Threshold);
        }
        require_room(self.groups.len())?;
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let (place, is_member) = self
                .names
                .get_mut(*member)
                .ok_or(PolicyFault::NameUnknown)?;
            if std::mem::replace(is_member, true) {
                return Err(PolicyFault::MemberTwice);
            }
            found.push(*place);
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group {
            needed,
            members: found,
        });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), PolicyFault> {
        if self.quorum.is_some() {
            return Err(PolicyFault::QuorumTwice);
        }
        let defined = self.names.get(name).map(|(member, _)| *member);
        if name != NONE && defined.is_none() {
            return Err(PolicyFault::NameUnknown);
        }
        self.quorum = Some(defined);
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), PolicyFault> {
        if name == NONE || self.names.contains_key(name) {
            return Err(PolicyFault::NameTaken);
        }
        self.names.insert(name.to_owned(), (member, false));
        Ok(())
    }
}

/// Keys are the same if their bytes are, whatever their names.
fn require_new_key<'a>(
    key: &VerifierKey,
    mut known: impl Iterator<Item = &'a VerifierKey>,
) -> Result<(), PolicyFault> {
    if known.any(|known| known.public_key() == key.public_key()) {
        return Err(PolicyFault::KeyTwice);
    }
    Ok(())
}

const fn require_room(defined: usize) -> Result<(), PolicyFault> {
    if defined >= MAX_DEFINITIONS {
        return Err(PolicyFault::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
