//! sigstore-verify, the official Rust verifier, asked as a policy of the same form asks.

use serde_json::Value;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, DerPublicKey};
use sigstore_verify::{Policy, PublicKeyVerificationPolicy, VerificationPolicy, Verifier};
use stella_testkit::forge::{ARTIFACT, SIGNER};

use crate::corpus::Set;
use crate::verdicts::Answer;

/// A verifier with the policy of one form.
pub(crate) struct Oracle {
    verifier: Verifier,
    policy: Box<dyn Policy>,
}

impl Oracle {
    pub(crate) fn new(root: &Value, set: &Set) -> Self {
        let root = TrustedRoot::from_json(&root.to_string()).unwrap();
        let is_logged = !set.form.entries.is_empty();
        let policy: Box<dyn Policy> = match set.good.key_pem() {
            Some(pem) => {
                let policy =
                    PublicKeyVerificationPolicy::new(DerPublicKey::from_pem(&pem).unwrap());
                Box::new(if is_logged {
                    policy
                } else {
                    policy.skip_tlog_unsafe()
                })
            }
            None => Box::new(VerificationPolicy::new(SIGNER.name, SIGNER.issuer)),
        };
        Self {
            verifier: Verifier::new(&root).unwrap(),
            policy,
        }
    }

    pub(crate) fn verify(&self, text: &str) -> Answer {
        let bundle = match Bundle::from_json(text) {
            Ok(bundle) => bundle,
            Err(error) => return Answer::Refused(format!("does not parse: {error}")),
        };
        match self
            .verifier
            .verify(ARTIFACT, &bundle, self.policy.as_ref())
        {
            Ok(_) => Answer::Accepted,
            Err(error) => Answer::Refused(error.to_string()),
        }
    }
}
