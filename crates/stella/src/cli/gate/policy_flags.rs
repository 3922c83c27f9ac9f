//! What is asked, as flags say it, and how flags and a policy file become one policy.
//!
//! The rule: beside a policy file, a flag makes the policy stricter, or it is refused. Who may sign is said in one place:
//! by the file, or by flags where the file names nobody.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use stella_attest::file;
use stella_bundle::digest::Digest;
use stella_bundle::verify::{LogRule, SctRule};
use stella_policy::age::Age;
use stella_policy::condition::Condition;
use stella_policy::file as policy_file;
use stella_policy::mode::{Mode, Rekor};
use stella_policy::policy::{Policy, Witnesses};
use stella_policy::requirement::Requirement;
use stella_policy::type_pattern::TypePattern;

use super::identity_flags::IdentityFlags;
use crate::exit::Failure;

/// What is asked of each artifact.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyFlags {
    #[command(flatten)]
    identity: IdentityFlags,

    /// Ask what this policy file asks; flags beside it can only make it stricter
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Demand an attestation of this predicate type: a short name (verdict, sbom-delta, reachability, signature), a URI,
    /// or the beginning of URIs, which ends in /*
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,

    /// Demand an attestation of this type, and that its predicate says this: verdict:/result=allow
    #[arg(long, value_name = "TYPE[:/POINTER=VALUE]")]
    require: Vec<String>,

    /// Demand so many attestations that differ, of each type asked for
    #[arg(long, value_name = "N")]
    min_count: Option<std::num::NonZeroUsize>,

    /// Demand attestations no older than this: 30d, 12h
    #[arg(long, value_name = "AGE")]
    max_age: Option<String>,

    /// Demand a proof of inclusion in the log, whatever a policy or a mode says, also of signatures with --key
    #[arg(long, conflicts_with = "insecure_ignore_log")]
    require_rekor: bool,

    /// Demand a timestamp of an authority in the trusted root
    #[arg(long)]
    require_timestamp: bool,

    /// Demand that witnesses cosigned the log's checkpoint: a policy file of C2SP tlog-policy
    #[arg(long, value_name = "FILE")]
    require_witnesses: Option<PathBuf>,

    /// Do without log inclusion: who steals a token can sign unseen
    #[arg(long)]
    insecure_ignore_log: bool,

    /// Do without the CT log's promise: the authority can issue in silence
    #[arg(long)]
    insecure_ignore_sct: bool,

    /// What a refusal does: enforce stops, warn tells and lets pass, audit only writes the report
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
}

/// Where a policy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file, perhaps made stricter by flags.
    File,
    /// Flags alone.
    Flags,
}

impl PolicyFlags {
    /// Returns the policy, and where it came from.
    pub(crate) fn policy(&self) -> Result<(Policy, Origin), Failure> {
        let (mut policy, origin) = match &self.policy {
            Some(path) => (read_policy(path)?, Origin::File),
            None => (Policy::default(), Origin::Flags),
        };
        self.add_signers(&mut policy)?;
        self.add_requirements(&mut policy)?;
        self.add_evidence(&mut policy, origin)?;
        self.add_mode(&mut policy, origin)?;
        Ok((policy, origin))
    }

    fn add_signers(&self, policy: &mut Policy) -> Result<(), Failure> {
        let signers = self.identity.signers()?;
        if !signers.is_empty() && !policy.signers.is_empty() {
            return Err(contradiction(
                "the policy file says who may sign, and flags say it too",
                "leave out the identity flags, or the policy's `signers`",
            ));
        }
        policy.signers.extend(signers);
        Ok(())
    }

    /// Adds what must be attested; counts and ages hold for everything, and only ever grow stricter.
    fn add_requirements(&self, policy: &mut Policy) -> Result<(), Failure> {
        let mut added: Vec<Requirement> = Vec::new();
        for text in self.types.iter().chain(&self.require) {
            let (types, condition) =
                Condition::parse_flag(text).map_err(|error| super::not_a_type(text, &error))?;
            let at = added.iter().position(|each| each.types == types);
            let at = at.unwrap_or_else(|| {
                added.push(Requirement::of_type(types));
                added.len() - 1
            });
            added[at].conditions.extend(condition);
        }
        policy.requirements.extend(added);
        let age = self.max_age.as_deref().map(Age::parse).transpose();
        let age = age.map_err(|error| Failure::usage(format!("--max-age: {error}")))?;
        if policy.requirements.is_empty() && (age.is_some() || self.min_count.is_some()) {
            policy
                .requirements
                .push(Requirement::of_type(TypePattern::Any));
        }
        for requirement in &mut policy.requirements {
            requirement.max_age = requirement.max_age.into_iter().chain(age).min();
            let least = self.min_count.map_or(1, usize::from);
            requirement.count.least = requirement.count.least.max(least);
        }
        Ok(())
    }

    fn add_evidence(&self, policy: &mut Policy, origin: Origin) -> Result<(), Failure> {
        let loose = [
            (self.insecure_ignore_log, "--insecure-ignore-log"),
            (self.insecure_ignore_sct, "--insecure-ignore-sct"),
        ];
        if let Some((_, flag)) = loose
            .iter()
            .find(|(given, _)| *given && origin == Origin::File)
        {
            return Err(contradiction(
                &format!("{flag} would make the policy file looser"),
                "write the choice into the policy's `evidence`, where its readers see it",
            ));
        }
        if self.insecure_ignore_log {
            policy.certificates.evidence.log = LogRule::WithoutLogUnsafe;
        }
        if self.insecure_ignore_sct {
            policy.certificates.sct = SctRule::WithoutSctUnsafe;
        }
        if self.require_rekor {
            policy.rekor = Rekor::Required;
        }
        let evidence = [&mut policy.certificates.evidence, &mut policy.keys.evidence];
        let witnesses = self
            .require_witnesses
            .as_deref()
            .map(read_witnesses)
            .transpose()?;
        for demand in evidence {
            if self.require_timestamp {
                demand.timestamps = demand.timestamps.max(1);
            }
            let Some(witnesses) = &witnesses else {
                continue;
            };
            if demand
                .witnesses
                .as_ref()
                .is_some_and(|known| known != witnesses)
            {
                return Err(contradiction(
                    "the policy file names other witnesses than --require-witnesses",
                    "name them in one place",
                ));
            }
            demand.witnesses = Some(witnesses.clone());
            // Only a checkpoint can be cosigned, so an entry must be there.
            if demand.log == LogRule::WithoutLogUnsafe && !self.insecure_ignore_log {
                demand.log = stella_bundle::verify::Evidence::STRICT.log;
            }
        }
        Ok(())
    }

    fn add_mode(&self, policy: &mut Policy, origin: Origin) -> Result<(), Failure> {
        let Some(name) = &self.mode else {
            return Ok(());
        };
        let mode = Mode::from_name(name).ok_or_else(|| {
            Failure::usage(format!("--mode {name:?} is none of enforce, warn, audit"))
        })?;
        if origin == Origin::File && mode.strictness() < policy.mode.strictness() {
            return Err(contradiction(
                &format!(
                    "--mode {name} is looser than the policy file's mode {}",
                    policy.mode.name()
                ),
                "change the policy's `mode`, where its readers see it",
            ));
        }
        policy.mode = mode;
        Ok(())
    }

    /// Narrows the accepted trust roots to the one that `--trust-fingerprint` names.
    pub(crate) fn narrow_trust(
        policy: &mut Policy,
        fingerprint: Option<&str>,
    ) -> Result<(), Failure> {
        let Some(text) = fingerprint else {
            return Ok(());
        };
        let digest = Digest::parse(text).ok_or_else(|| {
            Failure::usage(format!(
                "--trust-fingerprint {text:?} is not sha256: and 64 hex digits"
            ))
        })?;
        if !policy.trust.is_empty() && !policy.trust.contains(&digest) {
            return Err(contradiction(
                &format!("the policy file does not accept the trust root {digest}"),
                "the policy's `trust` lists those that it accepts",
            ));
        }
        policy.trust = vec![digest];
        Ok(())
    }
}

fn contradiction(message: &str, hint: &str) -> Failure {
    Failure::usage(message)
        .hint(hint)
        .page("policy-contradiction")
}

/// Reads a policy file, and the files beside it that it names.
pub(crate) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    Ok(read_policy_files(path)?.policy)
}

/// A policy and the files that say it.
pub(crate) struct PolicyFiles {
    /// What they mean.
    pub(crate) policy: Policy,
    /// The policy file's bytes.
    pub(crate) bytes: Vec<u8>,
    /// The files that it names, by the names it has for them.
    pub(crate) beside: BTreeMap<String, Vec<u8>>,
}

/// As [`read_policy`], keeping what was read.
pub(crate) fn read_policy_files(path: &Path) -> Result<PolicyFiles, Failure> {
    let refuse = |problem: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {problem}", path.display())).page("policy-file")
    };
    let bytes = file::read(path, policy_file::MAX_POLICY).map_err(|error| refuse(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| refuse(&error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = RefCell::default();
    let read = |name: &str| {
        let read = file::read(&folder.join(name), policy_file::MAX_POLICY);
        let read = read.map_err(|error| error.kind())?;
        let mut kept: RefMut<'_, BTreeMap<_, _>> = beside.borrow_mut();
        kept.insert(name.to_owned(), read.clone());
        Ok(read)
    };
    let policy = policy_file::parse(text, &read)
        .map_err(|error| refuse(&error).hint("see the keys with `stella policy schema`"))?;
    Ok(PolicyFiles {
        policy,
        bytes,
        beside: beside.into_inner(),
    })
}

fn read_witnesses(path: &Path) -> Result<Witnesses, Failure> {
    let refuse = |problem: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "cannot use the witnesses of {}: {problem}",
            path.display()
        ))
    };
    let bytes =
        file::read(path, policy_file::MAX_POLICY).map_err(|error: io::Error| refuse(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| refuse(&error))?;
    Witnesses::parse(text).map_err(|error| refuse(&error))
}
