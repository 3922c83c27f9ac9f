//! Verification: one story, told in [`Verifier::verify`], in the order of the rule book.
//!
//! Time first, because everything else is judged at it; then the certificate, its SCT, the log, the signature, what
//! was signed, and who signed. Each step lives in the file of its name. Nothing here reads a clock or a file; parsing
//! the bundle is [`crate::bundle`], and what to do with the verdict is the caller's.
//!
//! ```
//! use stella_bundle::bundle::Bundle;
//! use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities};
//! use stella_bundle::time::UnixTime;
//! use stella_bundle::trusted_root::TrustedRoot;
//! use stella_bundle::verify::{Artifact, IdentityRule, Policy, Trust, Verifier};
//!
//! fn may_be_released(bundle: &[u8], root: &[u8], file: &[u8]) -> Result<bool, Box<dyn std::error::Error>> {
//!     let identity = CertificateIdentity::parse(
//!         "repo:myorg/myrepo:ref:refs/heads/main",
//!         "https://token.actions.githubusercontent.com",
//!     )?;
//!     let identities = AnyOf::new(vec![identity]).map(Identities::AnyOf).ok_or("no identity")?;
//!     let trust = Trust::new(&TrustedRoot::parse(root)?);
//!     let verifier = Verifier::new(trust, Policy::for_certificates(IdentityRule::Given(identities)));
//!     let now = UnixTime::from_seconds(1_795_000_000);
//!     let report = verifier.verify(&Bundle::parse(bundle)?, &Artifact::Bytes(file), now);
//!     Ok(report.verdict.is_ok())
//! }
//! ```

pub mod answer;
mod body;
mod certificate;
mod error;
mod log;
mod many;
mod policy;
mod report;
mod signature;
mod subject;
mod time;
mod trust;

pub use error::{BodyPart, EntryError, VerifyError};
pub use many::Question;
pub use policy::{
    Artifact, CertificateRule, Evidence, Identities, IdentityRule, KeyRule, LogRule, ManagedKey,
    Policy, Promise, SctRule,
};
pub use report::{
    AuthenticTime, Check, Clock, Facts, KeyFact, LogEvidence, LogFact, Outcome, Report, SctFact,
    SignerFact, Standing, Verified,
};
pub use trust::{CtLog, Log, Trust, TrustPart, Unusable, UnusableReason};

use std::sync::Arc;

use crate::bundle::{Bundle, KeyMaterial};
use crate::certificate::Certificate;
use crate::chain::Path;
use crate::key::PublicKey;
use crate::memo::Memo;
use crate::time::UnixTime;
use report::Recorder;
use signature::Message;

/// A trusted root and a policy, made once and used for many bundles. It holds no state and may be shared by threads.
#[derive(Clone, Debug)]
pub struct Verifier {
    trust: Trust,
    policy: Policy,
}

/// Whose key verifies the signature, and the rule of the policy for such signers.
enum Signer<'a> {
    Certificate {
        leaf: Arc<Certificate>,
        intermediates: Vec<Certificate>,
        rule: &'a CertificateRule,
    },
    Key {
        index: usize,
        key: &'a ManagedKey,
        rule: &'a KeyRule,
        /// A certificate around the key: nobody is asked about it, and entries of logs record it in the key's place.
        certificate: Option<Arc<Certificate>>,
    },
}

impl Signer<'_> {
    fn key(&self) -> &PublicKey {
        match self {
            Self::Certificate { leaf, .. } => leaf.public_key(),
            Self::Key { key, .. } => &key.key,
        }
    }

    const fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate { .. })
    }

    const fn evidence(&self) -> &Evidence {
        match self {
            Self::Certificate { rule, .. } => &rule.evidence,
            Self::Key { rule, .. } => &rule.evidence,
        }
    }
}

/// One bundle over one artifact, with all that the steps look at.
struct Case<'a> {
    trust: &'a Trust,
    evidence: &'a Evidence,
    bundle: &'a Bundle,
    artifact: &'a Artifact<'a>,
    signer: &'a Signer<'a>,
    message: &'a Message,
    memo: &'a Memo,
}

impl Verifier {
    /// Returns the verifier of this policy over this trust.
    pub const fn new(trust: Trust, policy: Policy) -> Self {
        Self { trust, policy }
    }

    /// Returns whom this verifier believes.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Returns what it demands.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Verifies one bundle over one artifact.
    ///
    /// `now` serves to notice evidence from the future, never to judge an old signature. Checks that do not depend on
    /// a failed one still run, so that the report says all that can be said.
    pub fn verify(&self, bundle: &Bundle, artifact: &Artifact<'_>, now: UnixTime) -> Report {
        self.tell(bundle, artifact, now, &Memo::default())
    }

    /// As [`Self::verify`], remembering in `memo` what bundles share: one memo belongs to one verifier and one thread.
    pub fn verify_remembering(
        &self,
        bundle: &Bundle,
        artifact: &Artifact<'_>,
        now: UnixTime,
        memo: &Memo,
    ) -> Report {
        self.tell(bundle, artifact, now, memo)
    }

    /// Tells the story of one bundle.
    fn tell(&self, bundle: &Bundle, artifact: &Artifact<'_>, now: UnixTime, memo: &Memo) -> Report {
        let mut record = Recorder::default();
        let signer = match self.signer(bundle, memo) {
            Ok(signer) => signer,
            Err(error) => return record.finish_with(Check::Certificate, error),
        };
        let case = Case {
            trust: &self.trust,
            evidence: signer.evidence(),
            bundle,
            artifact,
            signer: &signer,
            message: &signature::message(bundle, artifact, &signer),
            memo,
        };

        // 1. Establish the time: everything below is judged at it. Logs promise one for entries about this bundle.
        let entries = log::examine(&case);
        let times = time::establish(&case, &entries, now, &mut record);
        let mut times = match times {
            Ok(times) if times.is_empty() => {
                record.skip(Check::Time);
                Some(times)
            }
            other => record.keep(Check::Time, other),
        };
        if let Some(times) = times.as_mut().filter(|times| times.is_empty()) {
            // Only a key that the caller gave comes here without a time: then what is trusted must be trusted now.
            times.push(now);
        }

        // 2. Walk the chain at that time and ask the CT logs about the leaf; or see that the key was valid.
        self.judge_signer(&case, times.as_deref(), &mut record);

        // 3. Follow each entry's proof to a signed checkpoint.
        if let Some(times) = times.as_deref() {
            let logged = log::verify_entries(&case, &entries, times, &mut record);
            record.keep_outcome(Check::Log, logged);
        }

        // 4. The signature itself.
        let signed = signature::verify(&case);
        record.keep(Check::Signature, signed);

        // 5. What was signed is this artifact.
        let subject = subject::verify(bundle, artifact, &mut record);
        record.keep(Check::Subject, subject);

        // 6. Who signed is someone who may. A key that verified the signature is one that the caller gave.
        let identity = match &signer {
            Signer::Certificate { leaf, rule, .. } => {
                subject::verify_identity(&rule.identities, leaf, &mut record)
            }
            Signer::Key { .. } => Ok(Standing::Holds),
        };
        record.keep_outcome(Check::Identity, identity);
        record.finish()
    }

    /// Step 2: was the certificate good at every authenticated time, and known to a CT log? Was the key valid?
    fn judge_signer(&self, case: &Case<'_>, times: Option<&[UnixTime]>, record: &mut Recorder) {
        match case.signer {
            Signer::Certificate {
                leaf,
                intermediates,
                rule,
            } => {
                record.facts.signer = Some(SignerFact::of(leaf));
                let find = |times| {
                    certificate::find_path(&self.trust, leaf, intermediates, times, case.memo)
                };
                let path: Option<Path<'_>> =
                    times.and_then(|times| record.keep(Check::Certificate, find(times)));
                if let Some(path) = path {
                    let scts = certificate::verify_scts(
                        &self.trust,
                        rule.sct,
                        leaf,
                        &path,
                        case.memo,
                        record,
                    );
                    record.keep_outcome(Check::Sct, scts);
                }
            }
            Signer::Key { index, key, .. } => {
                record.facts.key = Some(KeyFact {
                    index: *index,
                    key: key.key.clone(),
                    hint: case.bundle.key.hint().unwrap_or_default().to_owned(),
                });
                if let Some(times) = times {
                    record.keep_outcome(Check::Certificate, require_valid(key, times));
                }
                record.skip(Check::Sct);
            }
        }
    }

    /// Parses the certificates, or finds the managed key: the one that the bundle names, or that its certificate is for.
    fn signer<'a>(&'a self, bundle: &Bundle, memo: &Memo) -> Result<Signer<'a>, VerifyError> {
        match (&bundle.key, &self.policy.keys) {
            (KeyMaterial::Certificates(chain), _) => self.certified(chain, memo),
            (KeyMaterial::PublicKey { hint }, Some(rule)) => {
                let (index, key) = policy::choose_key(&rule.keys, hint, bundle)?;
                Ok(Signer::Key {
                    index,
                    key,
                    rule,
                    certificate: None,
                })
            }
            (KeyMaterial::PublicKey { .. }, None) => Err(VerifyError::NoCertificate),
        }
    }

    fn certified<'a>(&'a self, chain: &[Vec<u8>], memo: &Memo) -> Result<Signer<'a>, VerifyError> {
        let malformed = |index, error| VerifyError::MalformedCertificate { index, error };
        let (leaf, rest) = chain.split_first().ok_or(VerifyError::NoCertificate)?;
        let leaf = memo
            .certificate(leaf)
            .map_err(|error| malformed(0, error))?;
        // 1. A key that the verifier was given needs nobody to vouch for it.
        if let Some(rule) = &self.policy.keys
            && let Some(index) = rule
                .keys
                .iter()
                .position(|each| each.key == *leaf.public_key())
        {
            return Ok(Signer::Key {
                index,
                key: &rule.keys[index],
                rule,
                certificate: Some(leaf),
            });
        }
        // 2. Else the certificate says whose it is, if that is asked for at all.
        let rule = self.policy.certificates.as_ref();
        let rule = rule.ok_or(VerifyError::CertificateNotWanted)?;
        let parse = |(at, der): (usize, &Vec<u8>)| {
            Certificate::parse(der).map_err(|error| malformed(at + 1, error))
        };
        let intermediates = rest.iter().enumerate().map(parse);
        Ok(Signer::Certificate {
            leaf,
            intermediates: intermediates.collect::<Result<_, _>>()?,
            rule,
        })
    }
}

/// Requires that a managed key was valid at every time.
fn require_valid(key: &ManagedKey, times: &[UnixTime]) -> Result<Standing, VerifyError> {
    let validity = key.validity;
    if validity == crate::time::Validity::default() {
        return Ok(Standing::Skipped);
    }
    match times.iter().find(|time| !validity.contains(**time)) {
        Some(time) => Err(VerifyError::KeyNotValidAt {
            validity,
            time: *time,
        }),
        None => Ok(Standing::Holds),
    }
}
