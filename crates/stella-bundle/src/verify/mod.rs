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
//! use stella_bundle::verify::{Artifact, IdentityRule, Policy, SignerPolicy, Trust, Verifier};
//!
//! fn may_be_released(bundle: &[u8], root: &[u8], file: &[u8]) -> Result<bool, Box<dyn std::error::Error>> {
//!     let identity = CertificateIdentity::parse(
//!         "repo:myorg/myrepo:ref:refs/heads/main",
//!         "https://token.actions.githubusercontent.com",
//!     )?;
//!     let identities = AnyOf::new(vec![identity]).map(Identities::AnyOf).ok_or("no identity")?;
//!     let trust = Trust::new(&TrustedRoot::parse(root)?);
//!     let verifier = Verifier::new(trust, Policy::new(SignerPolicy::Certificate(IdentityRule::Given(identities))));
//!     let now = UnixTime::from_seconds(1_795_000_000);
//!     let report = verifier.verify(&Bundle::parse(bundle)?, &Artifact::Bytes(file), now);
//!     Ok(report.verdict.is_ok())
//! }
//! ```

pub mod answer;
mod certificate;
mod error;
mod log;
mod policy;
mod report;
mod signature;
mod subject;
mod time;
mod trust;

pub use error::{EntryError, VerifyError};
pub use policy::{Artifact, Identities, IdentityRule, LogRule, Policy, SctRule, SignerPolicy};
pub use report::{
    AuthenticTime, Check, Facts, LogFact, Outcome, Report, SctFact, SignerFact, Standing, Verified,
};
pub use trust::{CtLog, Log, Trust, TrustPart, Unusable, UnusableReason};

use crate::bundle::{Bundle, KeyMaterial};
use crate::certificate::Certificate;
use crate::chain::Path;
use crate::key::PublicKey;
use crate::time::UnixTime;
use report::Recorder;

/// A trusted root and a policy, made once and used for many bundles. It holds no state and may be shared by threads.
#[derive(Clone, Debug)]
pub struct Verifier {
    trust: Trust,
    policy: Policy,
}

/// Whose key verifies the signature.
enum Signer<'a> {
    Certificate {
        leaf: Box<Certificate>,
        intermediates: Vec<Certificate>,
    },
    Key(&'a PublicKey),
}

impl Signer<'_> {
    fn key(&self) -> &PublicKey {
        match self {
            Self::Certificate { leaf, .. } => leaf.public_key(),
            Self::Key(key) => key,
        }
    }
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

    /// Verifies one bundle over one artifact.
    ///
    /// `now` serves to notice evidence from the future, never to judge an old signature. Checks that do not depend on
    /// a failed one still run, so that the report says all that can be said.
    pub fn verify(&self, bundle: &Bundle, artifact: &Artifact<'_>, now: UnixTime) -> Report {
        let mut record = Recorder::default();
        let signer = match self.signer(bundle) {
            Ok(signer) => signer,
            Err(error) => return record.finish_with(Check::Certificate, error),
        };

        // 1. Establish the time: everything below is judged at it.
        let times = time::establish(&self.trust, &self.policy, bundle, now, &mut record);
        let mut times = record.keep(Check::Time, times);
        if let Some(times) = times.as_mut().filter(|times| times.is_empty()) {
            // Only a key that the caller gave comes here without a time: then what is trusted must be trusted now.
            times.push(now);
        }

        // 2. Walk the chain at that time, and ask the CT logs about the leaf.
        if let Signer::Certificate {
            leaf,
            intermediates,
        } = &signer
        {
            record.facts.signer = Some(SignerFact::of(leaf));
            let path = times
                .as_deref()
                .map(|times| certificate::find_path(&self.trust, leaf, intermediates, times));
            let path: Option<Path<'_>> =
                path.and_then(|path| record.keep(Check::Certificate, path));
            if let Some(path) = path {
                let scts =
                    certificate::verify_scts(&self.trust, &self.policy, leaf, &path, &mut record);
                record.keep_outcome(Check::Sct, scts);
            }
        } else {
            record.skip(Check::Certificate);
            record.skip(Check::Sct);
        }

        // 3. Rebuild the log entry from this bundle, and follow its proof to a signed checkpoint.
        let message = signature::message(bundle, artifact, signer.key());
        let logged = times.as_deref().map(|times| {
            log::verify_entries(
                &self.trust,
                &self.policy,
                bundle,
                &signer,
                &message,
                times,
                &mut record,
            )
        });
        if let Some(logged) = logged {
            record.keep_outcome(Check::Log, logged);
        }

        // 4. The signature itself.
        let signed = signature::verify(bundle, artifact, signer.key(), &message);
        record.keep(Check::Signature, signed);

        // 5. What was signed is this artifact.
        let subject = subject::verify(bundle, artifact, &mut record);
        record.keep(Check::Subject, subject);

        // 6. Who signed is someone who may.
        let identity = subject::verify_identity(&self.policy, &signer, &mut record);
        record.keep_outcome(Check::Identity, identity);
        record.finish()
    }

    /// Parses the certificates, or finds the managed key that the policy names.
    fn signer<'a>(&'a self, bundle: &Bundle) -> Result<Signer<'a>, VerifyError> {
        match (&bundle.key, &self.policy.signer) {
            (KeyMaterial::Certificates(chain), SignerPolicy::Certificate(_)) => {
                let mut parsed = Vec::with_capacity(chain.len());
                for (index, der) in chain.iter().enumerate() {
                    let certificate = Certificate::parse(der)
                        .map_err(|error| VerifyError::MalformedCertificate { index, error })?;
                    parsed.push(certificate);
                }
                if parsed.is_empty() {
                    return Err(VerifyError::NoCertificate);
                }
                let leaf = Box::new(parsed.remove(0));
                Ok(Signer::Certificate {
                    leaf,
                    intermediates: parsed,
                })
            }
            (KeyMaterial::PublicKey { hint }, SignerPolicy::Key(keys)) => {
                policy::choose_key(keys, hint, bundle).map(Signer::Key)
            }
            (KeyMaterial::Certificates(_), SignerPolicy::Key(_)) => {
                Err(VerifyError::CertificateNotWanted)
            }
            (KeyMaterial::PublicKey { .. }, SignerPolicy::Certificate(_)) => {
                Err(VerifyError::NoCertificate)
            }
        }
    }
}
