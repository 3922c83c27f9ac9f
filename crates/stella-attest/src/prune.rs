//! Prune the attestations of an image: which of them may go, and their removal without hurting the others.
//!
//! What is not a bundle's manifest is never touched, and neither is one whose age nobody says.

use std::collections::HashMap;

use stella_bundle::digest::Digest;
use stella_bundle::time::UnixTime;
use stella_client::error::ClientError;
use stella_client::registry::Repository;
use stella_wire::registry::Descriptor;
use stella_wire::registry::attachment::{CREATED, PREDICATE_TYPE, is_bundle};

use crate::referrers;

/// What is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many of each predicate type, the newest, are kept whatever their age.
    pub keep: usize,
    /// What was made since then is kept.
    pub since: UnixTime,
    /// Only statements of this type go; none stands for every type.
    pub predicate_type: Option<String>,
}

/// Returns what may go, the oldest first. What the list says of age and type decides: this is housekeeping, no evidence.
pub fn plan<'a>(listed: &'a [Descriptor], retention: &Retention) -> Vec<&'a Descriptor> {
    let mut by_type: HashMap<&str, Vec<(UnixTime, &Descriptor)>> = HashMap::new();
    for each in listed {
        let artifact_type = each.artifact_type.as_deref().unwrap_or_default();
        let created = each.annotations.get(CREATED);
        let created = created.and_then(|text| UnixTime::parse_rfc3339(text));
        let stated = each.annotations.get(PREDICATE_TYPE);
        let (Some(created), Some(stated), true) = (created, stated, is_bundle(artifact_type))
        else {
            continue;
        };
        by_type.entry(stated).or_default().push((created, each));
    }
    let mut gone = Vec::new();
    for (stated, mut attestations) in by_type {
        if retention
            .predicate_type
            .as_deref()
            .is_some_and(|wanted| wanted != stated)
        {
            continue;
        }
        attestations.sort_by_key(|each| std::cmp::Reverse(each.0));
        let older = attestations.into_iter().skip(retention.keep);
        gone.extend(older.filter(|(created, _)| *created < retention.since));
    }
    gone.sort_by_key(|(created, each)| (*created, each.digest.clone()));
    gone.into_iter().map(|(_, each)| each).collect()
}

/// Removes attestations of `subject`; the index that stands in for a list names them no longer.
///
/// # Errors
/// Any [`ClientError`] of a request: some registries never delete. The same call again goes on.
pub async fn remove(
    repository: &Repository,
    subject: &Digest,
    gone: &[&Descriptor],
) -> Result<(), ClientError> {
    // The index first: what it names must be there.
    referrers::forget(repository, subject, gone).await?;
    for each in gone {
        repository.delete_manifest(&each.digest.to_string()).await?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::digest::DigestAlgorithm;
    use stella_wire::registry::attachment::BUNDLE;
    use stella_wire::registry::manifest::media;

    use super::*;

    fn attestation(name: &str, predicate_type: &str, day: u8) -> Descriptor {
        let digest = DigestAlgorithm::Sha256.digest(name.as_bytes());
        let mut descriptor = Descriptor::new(media::MANIFEST, digest, 1);
        descriptor.artifact_type = Some(BUNDLE.to_owned());
        let annotations = &mut descriptor.annotations;
        annotations.insert(PREDICATE_TYPE.to_owned(), predicate_type.to_owned());
        annotations.insert(CREATED.to_owned(), format!("2026-01-{day:02}T00:00:00Z"));
        descriptor
    }

    fn retention(keep: usize, day: u8) -> Retention {
        Retention {
            keep,
            since: UnixTime::parse_rfc3339(&format!("2026-01-{day:02}T00:00:00Z")).unwrap(),
            predicate_type: None,
        }
    }

    #[test]
    fn the_newest_of_each_type_and_the_young_stay() {
        let listed = [
            attestation("a1", "a", 1),
            attestation("a5", "a", 5),
            attestation("a3", "a", 3),
            attestation("b2", "b", 2),
        ];
        let names = |retention: &Retention| -> Vec<String> {
            let gone = plan(&listed, retention);
            gone.iter()
                .map(|each| each.annotations[CREATED][8..10].to_owned())
                .collect()
        };
        assert_eq!(names(&retention(1, 31)), ["01", "03"]);
        assert_eq!(names(&retention(0, 3)), ["01", "02"]);
        let only = Retention {
            predicate_type: Some("b".to_owned()),
            ..retention(0, 31)
        };
        assert_eq!(names(&only), ["02"]);
    }

    #[test]
    fn what_is_no_bundle_or_does_not_say_its_age_stays() {
        let mut sbom = attestation("sbom", "a", 1);
        sbom.artifact_type = Some("application/spdx+json".to_owned());
        let mut ageless = attestation("ageless", "a", 1);
        ageless.annotations.remove(CREATED);
        let mut typeless = attestation("typeless", "a", 1);
        typeless.artifact_type = None;
        assert!(plan(&[sbom, ageless, typeless], &retention(0, 31)).is_empty());
    }
}
