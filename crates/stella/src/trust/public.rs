//! The public-good Sigstore: its trust files as they are compiled in, and the repository that has newer ones.
//!
//! Whence the files are, and their digests, stands in the README.md beside them.

use stella_bundle::signing_config::SigningConfig;

use super::{TrustKind, TrustMaterial};
use crate::exit::Failure;

/// The public-good Sigstore.
pub(crate) const PUBLIC: Public = Public {
    repository: "https://tuf-repo-cdn.sigstore.dev",
    date: "2026-08-21",
    trusted_root: include_bytes!("../../trust/public/trusted_root.json"),
    signing_config: include_bytes!("../../trust/public/signing_config.v0.2.json"),
    tuf_root: include_bytes!("../../trust/public/root.json"),
};

/// Trust files that are compiled in.
pub(crate) struct Public {
    /// The TUF repository.
    pub(crate) repository: &'static str,
    /// Of which day the files are.
    pub(crate) date: &'static str,
    trusted_root: &'static [u8],
    signing_config: &'static [u8],
    /// The root of the repository's metadata, with which its refreshing begins.
    pub(crate) tuf_root: &'static [u8],
}

impl Public {
    /// Returns the files that are compiled in.
    pub(crate) fn material(&self) -> Result<TrustMaterial, Failure> {
        let source = format!("public (built in, of {})", self.date);
        let bytes = self.trusted_root.to_vec();
        let mut material = TrustMaterial::parse(bytes, source, TrustKind::Public)?;
        let signing = SigningConfig::parse(self.signing_config);
        material.signing = Some(signing.map_err(|error| Failure::usage(error.to_string()))?);
        Ok(material)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::digest::DigestAlgorithm;
    use stella_bundle::time::UnixTime;
    use stella_bundle::trusted_root::lint::{self, Severity};
    use stella_bundle::tuf::Root;

    use super::*;

    #[test]
    fn the_files_have_the_digests_that_are_stated_beside_them() {
        let readme = include_str!("../../trust/public/README.md");
        for (name, bytes) in [
            ("trusted_root.json", PUBLIC.trusted_root),
            ("signing_config.v0.2.json", PUBLIC.signing_config),
            ("root.json", PUBLIC.tuf_root),
        ] {
            let row = readme
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}`")))
                .unwrap();
            let digest = DigestAlgorithm::Sha256.digest(bytes).hex();
            assert!(row.contains(&format!("`{digest}`")), "{name}: {digest}");
        }
        assert!(readme.contains(PUBLIC.date));
    }

    #[test]
    fn the_root_of_the_metadata_carries_its_own_signatures() {
        let root = Root::trust(PUBLIC.tuf_root).unwrap();
        assert_eq!((root.version(), root.is_consistent()), (15, true));
    }

    #[test]
    fn every_key_of_the_trusted_root_can_be_used() {
        let material = PUBLIC.material().unwrap();
        assert_eq!(material.prepare().unusable(), []);
        assert!(material.signing.is_some());
        let now = UnixTime::parse_rfc3339("2026-08-21T00:00:00Z").unwrap();
        let findings = lint::lint(PUBLIC.trusted_root, now).unwrap();
        let errors: Vec<_> = findings
            .iter()
            .filter(|each| each.severity() == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}
