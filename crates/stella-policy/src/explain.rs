//! Why an artifact passes or not, as a story for people and programs: each attestation, each signer, each requirement.
//!
//! Nothing is decided here: the story is told from a [`Decision`]. Text from evidence stands in it as it was found;
//! whoever prints it escapes it.

use serde::Serialize;
use stella_bundle::identity::{Compared, IdentityValue};
use stella_bundle::verify::{Check, Facts, Outcome, Report, VerifyError};

use crate::gate::{Decision, Finding, Item, WhyNot};
use crate::policy::Policy;
use crate::signer::{Signer, Who};

/// Why an artifact passes or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether it passes.
    pub passes: bool,
    /// The code of the refusal, 0 when it passes.
    pub code: u8,
    /// The refusal.
    pub reason: Option<String>,
    /// What became of each requirement.
    pub requirements: Vec<RequirementStory>,
    /// What became of each attestation.
    pub attestations: Vec<AttestationStory>,
    /// Policy results that do not allow.
    pub denials: Vec<DenialStory>,
}

/// What became of a requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequirementStory {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// How many are needed.
    pub wanted: usize,
    /// How many count.
    pub found: usize,
    /// What is counted.
    pub counted: String,
    /// The digests of the attestations that satisfy it.
    pub satisfied_by: Vec<String>,
    /// Why the others do not.
    pub others: Vec<OtherStory>,
}

/// Why an attestation does not satisfy a requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherStory {
    /// The attestation's digest.
    pub attestation: String,
    /// Why not.
    pub why: String,
}

/// What became of an attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestationStory {
    /// SHA-256 of its bytes.
    pub digest: String,
    /// Whether verification let it through.
    pub verified: bool,
    /// Why not.
    pub error: Option<String>,
    /// Its predicate type; none for a message signature, and where it was not read.
    pub predicate_type: Option<String>,
    /// The earliest time that an authority vouches for.
    pub time: Option<String>,
    /// How it compares with each signer of the policy.
    pub signers: Vec<SignerStory>,
}

/// How an attestation compares with one signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerStory {
    /// The signer's name in the policy.
    pub name: String,
    /// Whether it is theirs.
    pub matches: bool,
    /// The comparisons made, where they are known.
    pub comparisons: Vec<ComparisonStory>,
    /// What was done with the pattern.
    pub note: Option<&'static str>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonStory {
    /// What was compared.
    pub what: &'static str,
    /// What the policy wants.
    pub expected: String,
    /// What the certificate has.
    pub found: Option<String>,
    /// Whether they agree.
    pub agrees: bool,
}

/// A policy result that does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DenialStory {
    /// The attestation's digest.
    pub attestation: String,
    /// What it says.
    pub result: Option<String>,
    /// The digest of the later result that stands in for it.
    pub superseded_by: Option<String>,
}

/// What is said of a pattern that was compared claim by claim.
const TRANSLATED: &str =
    "the certificate has no token subject, so the pattern was translated into claims";

/// Tells the story of a decision.
pub fn explain(policy: &Policy, items: &[Item<'_>], decision: &Decision) -> Explanation {
    let digest = |item: usize| {
        items
            .get(item)
            .map_or_else(String::new, |each| each.digest.to_string())
    };
    let refusal = decision.verdict.as_ref().err();
    let other = |(item, why): &(usize, WhyNot)| OtherStory {
        attestation: digest(*item),
        why: why.to_string(),
    };
    let requirements = decision.requirements.iter().map(|each| RequirementStory {
        name: each.requirement.name.clone(),
        holds: each.is_met(),
        wanted: each.requirement.count.least,
        found: each.found,
        counted: each.requirement.count.of.to_string(),
        satisfied_by: each.satisfied_by.iter().map(|item| digest(*item)).collect(),
        others: each.others.iter().map(other).collect(),
    });
    let denials = decision.denials.iter().map(|each| DenialStory {
        attestation: digest(each.item),
        result: each.result.clone(),
        superseded_by: each.superseded_by.map(digest),
    });
    let attestations = items.iter().zip(&decision.signers);
    Explanation {
        passes: refusal.is_none(),
        code: refusal.map_or(crate::code::OK, |refusal| refusal.code()),
        reason: refusal.map(ToString::to_string),
        requirements: requirements.collect(),
        attestations: attestations
            .map(|(item, names)| attestation(policy, item, names))
            .collect(),
        denials: denials.collect(),
    }
}

fn attestation(policy: &Policy, item: &Item<'_>, names: &[String]) -> AttestationStory {
    let mut story = AttestationStory {
        digest: item.digest.to_string(),
        verified: false,
        error: None,
        predicate_type: None,
        time: None,
        signers: Vec::new(),
    };
    let report = match item.finding {
        Finding::Damaged => {
            story.error = Some("its bytes are damaged or cannot be read".to_owned());
            return story;
        }
        Finding::NotABundle => {
            story.error = Some("its bytes are not a bundle".to_owned());
            return story;
        }
        Finding::NotArchived => {
            story.error = Some("it is not what the archive holds from which it comes".to_owned());
            return story;
        }
        Finding::Report(report) => report,
    };
    let facts = &report.facts;
    story.verified = report.verdict.is_ok();
    story.error = report.verdict.as_ref().err().map(ToString::to_string);
    story.predicate_type = facts
        .statement
        .as_ref()
        .map(|statement| statement.predicate_type.clone());
    story.time = facts.times.first().map(|each| each.time.to_string());
    story.signers = signers(policy, report, names);
    story
}

/// Tells how an attestation compares with every signer of the policy.
fn signers(policy: &Policy, report: &Report, names: &[String]) -> Vec<SignerStory> {
    let mut place = 0;
    let mut stories = Vec::with_capacity(policy.signers.len());
    for signer in &policy.signers {
        let mut compared: &[Compared] = &[];
        if matches!(signer.who, Who::Certificate(_)) {
            compared = comparisons(report, place);
            place += 1;
        }
        stories.push(SignerStory {
            name: signer.name.clone(),
            matches: names.contains(&signer.name),
            note: is_translated(signer, compared).then_some(TRANSLATED),
            comparisons: compared.iter().map(comparison).collect(),
        });
    }
    stories
}

/// Returns the comparisons with the identity at a place of the policy's list: those that failed, or of the first match.
fn comparisons(report: &Report, place: usize) -> &[Compared] {
    let facts: &Facts = &report.facts;
    if facts.matched.first() == Some(&place) {
        return &facts.identity;
    }
    match report.outcome(Check::Identity) {
        Outcome::Failed(VerifyError::IdentityMismatch { compared }) => {
            compared.get(place).map_or(&[], Vec::as_slice)
        }
        _ => &[],
    }
}

fn is_translated(signer: &Signer, compared: &[Compared]) -> bool {
    let is_pattern = matches!(&signer.who, Who::Certificate(identity) if matches!(identity.value(), IdentityValue::Pattern(_)));
    is_pattern && !compared.is_empty() && compared.iter().all(|each| each.what != "token-subject")
}

fn comparison(compared: &Compared) -> ComparisonStory {
    ComparisonStory {
        what: compared.what,
        expected: compared.expected.clone(),
        found: compared.found.clone(),
        agrees: compared.agrees,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::bundle::Bundle;
    use stella_bundle::digest::DigestAlgorithm;
    use stella_bundle::identity::CertificateIdentity;
    use stella_bundle::time::UnixTime;
    use stella_bundle::trusted_root::TrustedRoot;
    use stella_bundle::verify::{Artifact, Trust, Verifier};

    use super::*;
    use crate::gate;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    /// Explains the committed bundle by signers of these identities.
    fn explained(identities: &[&str]) -> Explanation {
        let root = include_bytes!("../../../testdata/keyless/trusted_root.json");
        let bundle = include_bytes!("../../../testdata/keyless/bundle.sigstore.json");
        let artifact = include_bytes!("../../../testdata/keyless/artifact.txt");
        let signer = |identity: &&str| Signer {
            name: (*identity).to_owned(),
            who: Who::Certificate(
                CertificateIdentity::parse(identity, "http://127.0.0.1:8470").unwrap(),
            ),
        };
        let policy = Policy {
            signers: identities.iter().map(signer).collect(),
            ..Policy::default()
        };
        let trust = Trust::new(&TrustedRoot::parse(root).unwrap());
        let verifier = Verifier::new(trust, policy.to_verification());
        let report = verifier.verify(
            &Bundle::parse(bundle).unwrap(),
            &Artifact::Bytes(artifact),
            NOW,
        );
        let digest = DigestAlgorithm::Sha256.digest(bundle);
        let items = [Item {
            digest: &digest,
            finding: Finding::Report(&report),
        }];
        explain(&policy, &items, &gate::judge(&policy, &items, NOW))
    }

    #[test]
    fn a_pass_names_the_signer_and_what_agreed() {
        let story = explained(&["repo:o/r:.*", "repo:local/demo:.*"]);
        assert!(story.passes && story.requirements[0].holds);
        let signers = &story.attestations[0].signers;
        assert!(!signers[0].matches && signers[1].matches);
        assert!(signers[1].comparisons.iter().all(|each| each.agrees));
        assert!(
            serde_json::to_string(&story)
                .unwrap()
                .contains("\"satisfiedBy\"")
        );
    }

    #[test]
    fn a_refusal_names_what_differed_for_each_signer() {
        let story = explained(&["repo:o/r:.*", "repo:local/demo:ref:refs/heads/dev"]);
        assert_eq!((story.passes, story.code), (false, 20));
        for signer in &story.attestations[0].signers {
            let differing: Vec<_> = signer
                .comparisons
                .iter()
                .filter(|each| !each.agrees)
                .collect();
            assert_eq!(differing.len(), 1, "{signer:?}");
            assert_eq!(differing[0].what, "token-subject");
        }
        assert!(story.requirements[0].others[0].why.contains("refused"));
    }
}
