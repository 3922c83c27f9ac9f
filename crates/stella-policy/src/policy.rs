//! The policy: one model for flags and files. Safe values are the defaults; the others are spelled.
//!
//! Its YAML is in [`crate::file`]; who decides by it is [`crate::gate`].

use stella_bundle::digest::Digest;
use stella_bundle::identity::{AnyOf, CertificateIdentity};
use stella_bundle::predicate::PredicateType;
use stella_bundle::verify::{
    self, CertificateRule, Evidence, Facts, Identities, IdentityRule, KeyRule, LogRule, ManagedKey,
    Promise, SctRule,
};
use stella_tlog::quorum;

use crate::mode::{Leniency, Mode, OnUnavailable, Rekor};
use crate::requirement::Requirement;
use crate::signer::{Signer, Who};

/// What is asked of an artifact before it may be released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What a refusal does.
    pub mode: Mode,
    /// What a service that is away means.
    pub on_unavailable: OnUnavailable,
    /// The trust roots that are accepted, by digest; any that the caller chose, when there are none.
    pub trust: Vec<Digest>,
    /// Who may sign; nobody said, when there are none.
    pub signers: Vec<Signer>,
    /// What must be attested; one attestation of any type, when there is nothing.
    pub requirements: Vec<Requirement>,
    /// What certificates must come with.
    pub certificates: CertificateDemand,
    /// What signatures of managed keys must come with.
    pub keys: KeyDemand,
    /// Whether Rekor's proof is beyond discussion.
    pub rekor: Rekor,
    /// Which policy results by accepted signers refuse.
    pub denials: Denials,
}

/// What certificates must come with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDemand {
    /// What the CT log must have said.
    pub sct: SctRule,
    /// What logs and clocks must have said.
    pub evidence: EvidenceDemand,
}

/// What signatures of managed keys must come with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDemand {
    /// What logs and clocks must have said.
    pub evidence: EvidenceDemand,
}

impl Default for CertificateDemand {
    fn default() -> Self {
        Self {
            sct: SctRule::Require,
            evidence: EvidenceDemand {
                log: Evidence::STRICT.log,
                times: 1,
                timestamps: 0,
                witnesses: None,
            },
        }
    }
}

impl Default for KeyDemand {
    /// Returns no demand: whoever gave the key to the verifier said enough. Entries that are there must still be good.
    fn default() -> Self {
        Self {
            evidence: EvidenceDemand {
                log: LogRule::WithoutLogUnsafe,
                times: 0,
                timestamps: 0,
                witnesses: None,
            },
        }
    }
}

/// What logs and clocks must have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceDemand {
    /// What logs must prove.
    pub log: LogRule,
    /// How many authorities must have told the time.
    pub times: usize,
    /// How many timestamp authorities must be among them.
    pub timestamps: usize,
    /// Which witnesses must have cosigned the checkpoint.
    pub witnesses: Option<Witnesses>,
}

impl EvidenceDemand {
    fn to_evidence(&self, rekor: Rekor) -> Evidence {
        Evidence {
            log: match rekor {
                Rekor::AsEvidenceSays => self.log,
                Rekor::Required => with_proof(self.log),
            },
            times: self.times,
            timestamps: self.timestamps,
            witnesses: self.witnesses.as_ref().map(|each| each.quorum.clone()),
        }
    }
}

/// Returns the rule that asks for proofs of inclusion, in as many logs as before but at least in one.
const fn with_proof(log: LogRule) -> LogRule {
    let logs = match log {
        LogRule::Require { logs, .. } if logs > 1 => logs,
        LogRule::Require { .. } | LogRule::WithoutLogUnsafe => 1,
    };
    let promise = Promise::DoesNotCount;
    LogRule::Require { logs, promise }
}

/// Witnesses and their quorum, with the text that names them (C2SP tlog-policy).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses {
    /// The text.
    pub text: String,
    /// What it says.
    pub quorum: quorum::Policy,
}

impl Witnesses {
    /// Reads a policy file of C2SP.
    ///
    /// # Errors
    /// What `stella_tlog::quorum` refuses.
    pub fn parse(text: String) -> Result<Self, quorum::PolicyError> {
        let quorum = quorum::Policy::parse(&text)?;
        Ok(Self { text, quorum })
    }
}

/// Which policy results by accepted signers refuse. What is not there is never concluded from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Denials {
    /// Each one.
    #[default]
    Every,
    /// The newest of each signer about each policy: a later result stands in for an earlier one.
    Newest,
}

impl Policy {
    /// Returns the policy that looks at everything and accepts whoever signed, for those who only want to see.
    pub fn looking() -> Self {
        let anyone = Signer {
            name: "anyone".to_owned(),
            who: Who::AnyoneUnsafe,
        };
        Self {
            signers: vec![anyone],
            ..Self::default()
        }
    }

    /// Says whether an attestation of this predicate type (a URI) may change the decision: one that some requirement asks
    /// for, or a verdict, which may deny. Without requirements any may.
    pub fn may_weigh(&self, predicate_type: &str) -> bool {
        let asks = |each: &Requirement| each.types.matches(Some(predicate_type));
        self.requirements.is_empty()
            || predicate_type == PredicateType::PolicyResult.uri()
            || self.requirements.iter().any(asks)
    }

    /// Returns what may turn a refusal into a success.
    pub const fn leniency(&self) -> Leniency {
        Leniency {
            mode: self.mode,
            on_unavailable: self.on_unavailable,
            rekor: self.rekor,
        }
    }

    /// Returns what each bundle is asked: the union of all signers, with the evidence that each kind must show.
    ///
    /// With no signer every check runs, and nobody is verified.
    pub fn to_verification(&self) -> verify::Policy {
        let identities: Vec<CertificateIdentity> = self.identities().cloned().collect();
        let keys: Vec<ManagedKey> = self.managed_keys().cloned().collect();
        let rule = if self.accepts_anyone() {
            Some(IdentityRule::Given(Identities::AnyoneUnsafe))
        } else {
            match (AnyOf::new(identities), keys.is_empty()) {
                (Some(any), _) => Some(IdentityRule::Given(Identities::AnyOf(any))),
                (None, true) => Some(IdentityRule::NotGiven),
                (None, false) => None,
            }
        };
        let certificates = rule.map(|identities| CertificateRule {
            identities,
            sct: self.certificates.sct,
            evidence: self.certificates.evidence.to_evidence(self.rekor),
        });
        let evidence = self.keys.evidence.to_evidence(self.rekor);
        verify::Policy {
            certificates,
            keys: (!keys.is_empty()).then_some(KeyRule { keys, evidence }),
        }
    }

    /// Returns the names of the signers to whom a verified bundle belongs.
    pub fn signers_of(&self, facts: &Facts) -> Vec<&str> {
        let (mut certificates, mut keys) = (0, 0);
        let mut names = Vec::new();
        for signer in &self.signers {
            let is_theirs = match &signer.who {
                Who::AnyoneUnsafe => facts.signer.is_some(),
                Who::Certificate(_) => {
                    certificates += 1;
                    facts.matched.contains(&(certificates - 1))
                }
                Who::Key(_) => {
                    keys += 1;
                    facts.key.as_ref().is_some_and(|key| key.index == keys - 1)
                }
            };
            if is_theirs {
                names.push(signer.name.as_str());
            }
        }
        names
    }

    /// Says whether whoever has a certificate is accepted.
    pub fn accepts_anyone(&self) -> bool {
        self.signers
            .iter()
            .any(|signer| signer.who == Who::AnyoneUnsafe)
    }

    /// Returns the accepted identities, in order.
    pub fn identities(&self) -> impl Iterator<Item = &CertificateIdentity> {
        self.signers.iter().filter_map(|signer| match &signer.who {
            Who::Certificate(identity) => Some(identity),
            Who::AnyoneUnsafe | Who::Key(_) => None,
        })
    }

    fn managed_keys(&self) -> impl Iterator<Item = &ManagedKey> {
        self.signers.iter().filter_map(|signer| match &signer.who {
            Who::Key(key) => Some(key),
            Who::AnyoneUnsafe | Who::Certificate(_) => None,
        })
    }
}
