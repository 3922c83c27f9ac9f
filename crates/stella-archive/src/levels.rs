//! What an archive proves about one attestation: that it was archived, that it verifies again, that it verifies without the
//! organisation's word.

use stella_bundle::bundle::{Bundle, BundleError, KeyMaterial};
use stella_bundle::certificate::Certificate;
use stella_bundle::key::{PublicKey, sha256};
use stella_bundle::memo::Memo;
use stella_bundle::time::UnixTime;
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, Policy, Report, Trust, Verified, Verifier, VerifyError};
use stella_tlog::hash::Hash;
use stella_tlog::proof::{self, ProofError};
use stella_tlog::tree::{LeafIndex, TreeSize};

use crate::fall::{Falls, algorithm};
use crate::fingerprint::Fingerprint;
use crate::history::{Existence, JudgedStatement, Judgement, Reach};
use crate::leaf::{Kind, Leaf, LeafError, Status};

/// One attestation's place in the archive.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its line, the end left out.
    pub line: &'a [u8],
    /// Its index in the tree.
    pub index: LeafIndex,
    /// The size of a tree that some statement commits to.
    pub size: TreeSize,
    /// From the leaf's sibling up to the root's child.
    pub path: &'a [Hash],
    /// The exact bytes of the bundle; none where they were let go.
    pub bundle: Option<&'a [u8]>,
}

/// The ways in which an attestation is not what the archive should hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The line is no leaf.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The leaf is about something else.
    #[error("the leaf is about something else than an attestation")]
    NotAnAttestation,
    /// The bytes are others than the leaf names.
    #[error("the attestation is not the one that the leaf names")]
    OtherBytes,
    /// No statement whose period added the leaf commits to a tree of this size.
    #[error("no statement that added the leaf commits to a tree of {0} leaves")]
    NoSuchTree(TreeSize),
    /// The leaf is not in the tree.
    #[error("the leaf is not in the tree: {0}")]
    NotIncluded(#[from] ProofError),
    /// The organisation refused it when it was archived.
    #[error("it was refused when it was archived: {0}")]
    RejectedThen(String),
    /// The bytes are no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It does not verify.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The signer's key had fallen before the signature provably existed.
    #[error("it is signed with {0}, and provably existed only after that had fallen")]
    SignerFell(&'static str),
}

impl Refusal {
    /// Says whether it is only that the verifier was not given the kept key.
    #[must_use]
    pub const fn is_about_a_missing_key(&self) -> bool {
        matches!(
            self,
            Self::Verify(VerifyError::NoCertificate | VerifyError::KeyHintMismatch { .. })
        )
    }
}

/// What is missing to say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// The bytes were let go.
    #[error("the attestation's bytes are not there")]
    Bytes,
    /// The trusted root of its profile is not there.
    #[error("the trusted root by which it was verified is not there")]
    TrustedRoot,
    /// The verifier has no trusted root of its own.
    #[error("no trusted root of the verifier's own was given")]
    OwnTrustedRoot,
    /// A lower level does not hold.
    #[error("it is not archived")]
    Archived,
    /// The verifier has one key of the organisation, which says nothing about roots and clocks.
    #[error("a key alone says nothing about it: bring the organisation's anchor")]
    Anchor,
    /// It is signed with a kept key that the verifier was not given.
    #[error("it is signed with a kept key that was not given")]
    Key,
}

/// How a level stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Level<T> {
    /// It holds.
    Holds(T),
    /// It does not.
    Refused(Refusal),
    /// It cannot be known.
    Unknown(Missing),
}

impl<T> Level<T> {
    /// Says whether it holds.
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Holds(_))
    }
}

/// Archived: the organisation held exactly this, and recorded that it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// What the line says.
    pub leaf: Leaf,
    /// The number of the statement whose period added it.
    pub sequence: u64,
    /// By when it was archived.
    pub existence: Existence,
}

/// What an archive proves about one attestation.
#[derive(Clone, Debug)]
pub struct Levels {
    /// L0: it was archived.
    pub archived: Level<Archived>,
    /// L1: it verifies by the trusted root of its time.
    pub reverified: Level<Verified>,
    /// L2: it verifies by the verifier's own trusted root.
    pub independent: Level<Verified>,
}

/// Verifies attestations again: by a trusted root, less what had fallen when they provably existed already.
pub struct Reverifier {
    verifier: Verifier,
    falls: Falls,
    existed: UnixTime,
}

impl Reverifier {
    /// Takes a trusted root, what fell, and the time at which all attestations existed.
    #[must_use]
    pub fn new(root: &TrustedRoot, falls: &Falls, existed: UnixTime, policy: &Policy) -> Self {
        let trust = Trust::new(&falls.surviving(root, existed));
        Self {
            verifier: Verifier::new(trust, policy.clone()),
            falls: falls.clone(),
            existed,
        }
    }

    /// Says whether no key of the certificates that a token carries had fallen.
    fn counts(&self, token: &[u8]) -> bool {
        let Ok(token) = SignedTimestamp::parse(token) else {
            return true;
        };
        let carried = token.carried();
        let mut keys = carried.iter().map(Certificate::public_key);
        keys.all(|key| self.falls.counts(key, self.existed))
    }

    /// Verifies an attestation.
    ///
    /// # Errors
    /// `Bundle`, `SignerFell`, `Verify`.
    pub fn verify(
        &self,
        bundle: &[u8],
        artifact: &Artifact<'_>,
        now: UnixTime,
        memo: &Memo,
    ) -> Result<Verified, Refusal> {
        let bundle = Bundle::parse(bundle)?;
        Ok(self.report(bundle, artifact, now, memo)?.verdict?)
    }

    /// Verifies a bundle that was read, and tells of each check.
    ///
    /// # Errors
    /// `SignerFell`.
    pub fn report(
        &self,
        mut bundle: Bundle,
        artifact: &Artifact<'_>,
        now: UnixTime,
        memo: &Memo,
    ) -> Result<Report, Refusal> {
        if !self.falls.is_empty() {
            if let Some(name) = fallen_signer(&bundle, &self.falls, self.existed) {
                return Err(Refusal::SignerFell(name));
            }
            // A token may bring its signer along, which no trusted root lists.
            bundle.timestamps.retain(|token| self.counts(token));
        }
        let verifier = &self.verifier;
        Ok(verifier.verify_remembering(&bundle, artifact, now, memo))
    }
}

/// Weighs attestations of one archive.
pub struct Scales<'a> {
    /// The archive's past.
    pub judgement: &'a Judgement,
    /// The archive's trusted roots, each with the SHA-256 of its bytes.
    pub roots: &'a [([u8; 32], TrustedRoot)],
    /// The verifier's own trusted root.
    pub own: Option<&'a TrustedRoot>,
    /// What the verifier itself knows to have fallen.
    pub known: &'a Falls,
    /// Who may have signed, and what must be shown.
    pub policy: &'a Policy,
    /// The verifier's own time.
    pub now: UnixTime,
}

impl Scales<'_> {
    /// Says how each level stands.
    #[must_use]
    pub fn weigh(&self, place: &Place<'_>, artifact: &Artifact<'_>) -> Levels {
        let archived = match self.archived(place) {
            Ok(archived) => Level::Holds(archived),
            Err(refusal) => Level::Refused(refusal),
        };
        let reverified = match (&archived, place.bundle) {
            (Level::Holds(archived), Some(bundle)) => self.reverified(archived, bundle, artifact),
            (Level::Holds(_), None) => Level::Unknown(Missing::Bytes),
            _ => Level::Unknown(Missing::Archived),
        };
        Levels {
            independent: self.independent(place, artifact),
            archived,
            reverified,
        }
    }

    /// L0: keyset, statement, tree, leaf, bytes.
    ///
    /// # Errors
    /// `Leaf`, `NotAnAttestation`, `OtherBytes`, `NoSuchTree`, `NotIncluded`, `RejectedThen`.
    pub fn archived(&self, place: &Place<'_>) -> Result<Archived, Refusal> {
        let leaf = Leaf::parse(place.line)?;
        if leaf.kind != Kind::Attestation {
            return Err(Refusal::NotAnAttestation);
        }
        let is_same =
            |bytes: &[u8]| bytes.len() as u64 == leaf.size && Fingerprint::of(bytes) == leaf.digest;
        if !place.bundle.is_none_or(is_same) {
            return Err(Refusal::OtherBytes);
        }
        let statement = self.include(place)?;
        match &leaf.status {
            Status::Verified => Ok(Archived {
                sequence: statement.manifest.sequence,
                existence: statement.existence.clone(),
                leaf,
            }),
            Status::Rejected(reason) => Err(Refusal::RejectedThen(reason.clone())),
        }
    }

    /// Proves the line to be in the tree of the statement whose period added it, and returns that statement: another tree, of a
    /// later statement, might hold something else in its place.
    fn include(&self, place: &Place<'_>) -> Result<&JudgedStatement, Refusal> {
        let statement = self.judgement.statement_of(place.index.0);
        let statement = statement.filter(|each| each.manifest.tree.size == place.size.0);
        let statement = statement.ok_or(Refusal::NoSuchTree(place.size))?;
        let root = Hash::from_bytes(statement.manifest.tree.root);
        let leaf = Leaf::hash(place.line);
        proof::verify_inclusion(&leaf, place.index, place.size, &root, place.path)?;
        Ok(statement)
    }

    /// L1: by the trusted root of its profile, less what fell before it provably existed.
    fn reverified(
        &self,
        archived: &Archived,
        bundle: &[u8],
        artifact: &Artifact<'_>,
    ) -> Level<Verified> {
        if self.judgement.reach == Reach::KeyAlone {
            return Level::Unknown(Missing::Anchor);
        }
        let at = usize::try_from(archived.sequence).ok();
        let statement = at.and_then(|at| self.judgement.statements.get(at));
        let reverifier = statement.and_then(|each| self.reverifier(each, archived.leaf.profile));
        match reverifier {
            Some(reverifier) => self.level(&reverifier, bundle, artifact),
            None => Level::Unknown(Missing::TrustedRoot),
        }
    }

    /// Returns what verifies attestations of a statement's period again, for each profile; none where its root is missing.
    #[must_use]
    pub fn reverifiers(&self, sequence: u64) -> Vec<Option<Reverifier>> {
        if self.judgement.reach == Reach::KeyAlone {
            return Vec::new();
        }
        let at = usize::try_from(sequence).ok();
        let Some(statement) = at.and_then(|at| self.judgement.statements.get(at)) else {
            return Vec::new();
        };
        let profiles = (0..).take(statement.manifest.profiles.len());
        profiles
            .map(|profile| self.reverifier(statement, profile))
            .collect()
    }

    /// Returns what verifies attestations of a statement's period by the verifier's own trusted root; none where it has none.
    #[must_use]
    pub fn independent_verifier(&self, sequence: u64) -> Option<Reverifier> {
        let statement = self
            .judgement
            .statements
            .get(usize::try_from(sequence).ok()?)?;
        let existed = statement.independent.by(self.now);
        Some(Reverifier::new(self.own?, self.known, existed, self.policy))
    }

    fn reverifier(&self, statement: &JudgedStatement, profile: u32) -> Option<Reverifier> {
        let profile = statement.manifest.profiles.get(profile as usize)?;
        let mut roots = self.roots.iter();
        let (_, root) = roots.find(|(digest, _)| *digest == profile.trusted_root)?;
        let existed = statement.existence.by(self.now);
        Some(Reverifier::new(
            root,
            &self.judgement.falls,
            existed,
            self.policy,
        ))
    }

    /// L2: by the verifier's own trusted root and clocks.
    fn independent(&self, place: &Place<'_>, artifact: &Artifact<'_>) -> Level<Verified> {
        let Some(own) = self.own else {
            return Level::Unknown(Missing::OwnTrustedRoot);
        };
        let Some(bundle) = place.bundle else {
            return Level::Unknown(Missing::Bytes);
        };
        // Without a proof of its age it exists now.
        let existed = match self.include(place) {
            Ok(statement) => statement.independent.by(self.now),
            Err(_) => self.now,
        };
        let reverifier = Reverifier::new(own, self.known, existed, self.policy);
        self.level(&reverifier, bundle, artifact)
    }

    fn level(
        &self,
        reverifier: &Reverifier,
        bundle: &[u8],
        artifact: &Artifact<'_>,
    ) -> Level<Verified> {
        match reverifier.verify(bundle, artifact, self.now, &Memo::default()) {
            Ok(verified) => Level::Holds(verified),
            Err(refusal) if refusal.is_about_a_missing_key() => Level::Unknown(Missing::Key),
            Err(refusal) => Level::Refused(refusal),
        }
    }
}

/// Returns the algorithm of a key in the bundle that had fallen before the bundle provably existed.
fn fallen_signer(bundle: &Bundle, falls: &Falls, existed: UnixTime) -> Option<&'static str> {
    let KeyMaterial::Certificates(chain) = &bundle.key else {
        // A kept key is the verifier's own: it says itself until when it counts.
        return None;
    };
    let key = |der: &Vec<u8>| Some(Certificate::parse(der).ok()?.public_key().clone());
    let mut keys = chain.iter().filter_map(key);
    let fell = keys.find(|key: &PublicKey| !falls.counts(key, existed));
    fell.map(|key| algorithm(key.kind()))
}

/// Returns trusted roots with the digests of their bytes; what cannot be read is left out, and missed where it is needed.
#[must_use]
pub fn read_roots(files: &[Vec<u8>]) -> Vec<([u8; 32], TrustedRoot)> {
    let read = |bytes: &Vec<u8>| Some((sha256(bytes), TrustedRoot::parse(bytes).ok()?));
    files.iter().filter_map(read).collect()
}
