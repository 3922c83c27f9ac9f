//! Whom to believe: which trusted root a command uses, and whence it came.
//!
//! Nobody is believed unasked: without a flag, a configuration or a recorded choice there is no trust root. Where the
//! choice of `stella trust use` rests is `folder.rs`, whence it is taken `obtain.rs`.

mod folder;
pub(crate) mod obtain;
mod public;

use std::path::Path;

use serde::{Deserialize, Serialize};
use stella_attest::file;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::signing_config::{ClientTrustConfig, SigningConfig};
use stella_bundle::trusted_root::{MAX_TRUSTED_ROOT, TrustedRoot};
use stella_bundle::verify::Trust;
use stella_client::network;
use url::Url;

pub(crate) use self::folder::{Folder, Lock, Metadata, Pin, Record, Walked};
pub(crate) use self::public::PUBLIC;

use crate::config::TrustChoice;
use crate::exit::Failure;

/// Set by CI systems.
const CI: &str = "CI";

/// A trusted root in use, and the services that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct TrustMaterial {
    /// The trusted root's exact bytes.
    pub(crate) root_bytes: Vec<u8>,
    /// The trusted root.
    pub(crate) root: TrustedRoot,
    /// Where to sign, when that is known too.
    pub(crate) signing: Option<SigningConfig>,
    /// Whence it came, for reports.
    pub(crate) source: String,
    /// What that is.
    pub(crate) kind: TrustKind,
}

/// What a trusted root was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrustKind {
    /// A folder of trust files.
    Directory,
    /// A file.
    File,
    /// The instance on this machine.
    Instance,
    /// The public-good Sigstore: built in, and refreshed by TUF.
    Public,
    /// A TUF repository.
    Tuf,
    /// The address of an instance.
    Url,
}

impl TrustKind {
    /// Returns the word for reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::Instance => "instance",
            Self::Public => "public",
            Self::Tuf => "tuf",
            Self::Url => "url",
        }
    }
}

impl TrustMaterial {
    /// Reads a client trust config or a trusted root.
    pub(crate) fn parse(bytes: Vec<u8>, source: String, kind: TrustKind) -> Result<Self, Failure> {
        if let Ok(config) = ClientTrustConfig::parse(&bytes) {
            return Ok(Self::of_config(config, source, kind));
        }
        let root = TrustedRoot::parse(&bytes).map_err(|error| {
            Failure::usage(format!("cannot use {source} as a trust root: {error}"))
        })?;
        Ok(Self {
            root_bytes: bytes,
            root,
            signing: None,
            source,
            kind,
        })
    }

    /// Takes both parts of a client trust config.
    pub(crate) fn of_config(config: ClientTrustConfig, source: String, kind: TrustKind) -> Self {
        let root = config.trusted_root;
        Self {
            root_bytes: root.to_json(),
            root,
            signing: Some(config.signing_config),
            source,
            kind,
        }
    }

    /// Reads a file that the caller named.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Self::parse(
            read_bounded(path)?,
            path.display().to_string(),
            TrustKind::File,
        )
    }

    /// Returns the digest that names the trusted root.
    pub(crate) fn digest(&self) -> Digest {
        DigestAlgorithm::Sha256.digest(&self.root_bytes)
    }

    /// Makes the trusted root ready.
    pub(crate) fn prepare(&self) -> Trust {
        Trust::new(&self.root)
    }
}

/// Says whether this is an instance on this machine's own names: anyone on the machine may be behind it.
fn is_development(root: &TrustedRoot) -> bool {
    let mut authorities = root.certificate_authorities.iter();
    authorities.any(|each| names_this_machine(&each.uri))
}

/// Says whether an address names the machine that reads it, whichever that is.
fn names_this_machine(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    // spec: RFC 6761 §6.3: names that end in .localhost are loopback names too.
    network::is_loopback(host) || host.rsplit('.').next() == Some("localhost")
}

/// Says whether a CI system runs this.
pub(crate) fn is_ci() -> bool {
    std::env::var_os(CI).is_some()
}

/// Which trust roots a command accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acceptance {
    /// Their digests; whichever was chosen, when there are none.
    pub(crate) digests: Vec<Digest>,
    /// When an instance on this machine's own names must be among them.
    pub(crate) development: DevelopmentRule,
}

/// When an instance on this machine's own names must be named by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DevelopmentRule {
    /// Always: a policy file that enforces asks so.
    NamedAlways,
    /// Where CI runs this and no file was given: such a pipeline believes whatever ran before it.
    NamedInCi,
}

impl Acceptance {
    /// Returns what `--trust-fingerprint` says.
    pub(crate) fn of_flag(fingerprint: Option<&str>) -> Result<Self, Failure> {
        let parse = |text: &str| {
            Digest::parse(text).ok_or_else(|| {
                Failure::usage(format!(
                    "--trust-fingerprint {text:?} is not sha256: and 64 hex digits"
                ))
            })
        };
        Ok(Self {
            digests: fingerprint.map(parse).transpose()?.into_iter().collect(),
            development: DevelopmentRule::NamedInCi,
        })
    }

    /// Says whether a trusted root may count that an organisation signed whose anchor was given: the anchor is the choice, and
    /// what a policy asks of trust roots holds for it too.
    pub(crate) fn accepts_anchored(&self, digest: &[u8; 32], root: &TrustedRoot) -> bool {
        if self.digests.is_empty() {
            return self.development != DevelopmentRule::NamedAlways || !is_development(root);
        }
        let named = format!("sha256:{}", hex::encode(digest));
        self.digests.iter().any(|each| each.to_string() == named)
    }
}

/// Finds the trust root of a command: its flag, else the configuration's, else the recorded choice; none when nobody was
/// chosen.
pub(crate) fn choose(
    flag: Option<&Path>,
    configured: Option<&TrustChoice>,
    acceptance: &Acceptance,
) -> Result<Option<TrustMaterial>, Failure> {
    let Some(material) = find(flag, configured)? else {
        return Ok(None);
    };
    let digest = material.digest();
    if acceptance.digests.is_empty() {
        let (must_be_named, who, how) = match acceptance.development {
            DevelopmentRule::NamedAlways => (true, "a policy file that enforces", "trust: ["),
            DevelopmentRule::NamedInCi => (flag.is_none() && is_ci(), "CI", "--trust-fingerprint "),
        };
        if must_be_named && is_development(&material.root) {
            let end = if how.ends_with('[') { "]" } else { "" };
            return Err(Failure::usage(format!("the trust root {digest} is that of a local instance, which {who} does not believe unasked"))
                .hint(format!("name it: {how}{digest}{end}"))
                .page("trust-root"));
        }
        return Ok(Some(material));
    }
    require_accepted(material, acceptance).map(Some)
}

/// Finds the trust root to sign under. Whoever signs chooses their own services, so nothing is pinned here, and CI
/// is no exception.
pub(crate) fn choose_for_signing(
    flag: Option<&Path>,
    configured: Option<&TrustChoice>,
) -> Result<TrustMaterial, Failure> {
    require_chosen(find(flag, configured)?)
}

/// Requires that somebody was chosen.
pub(crate) fn require_chosen(material: Option<TrustMaterial>) -> Result<TrustMaterial, Failure> {
    material.ok_or_else(|| {
        Failure::usage("no trust root was chosen: nobody is believed unasked")
            .hint("record whom to trust with `stella trust use public | FILE | URL`, or give --trusted-root FILE")
            .page("trust-root")
    })
}

fn find(
    flag: Option<&Path>,
    configured: Option<&TrustChoice>,
) -> Result<Option<TrustMaterial>, Failure> {
    match (flag, configured) {
        (Some(path), _) => TrustMaterial::read(path).map(Some),
        (None, Some(TrustChoice::File(path))) => TrustMaterial::read(path).map(Some),
        (None, Some(TrustChoice::Public)) => public(&Folder::usual()).map(Some),
        (None, None) => Folder::usual().recorded(),
    }
}

fn require_accepted(
    material: TrustMaterial,
    acceptance: &Acceptance,
) -> Result<TrustMaterial, Failure> {
    let found = material.digest();
    if acceptance.digests.contains(&found) {
        return Ok(material);
    }
    let expected: Vec<String> = acceptance.digests.iter().map(ToString::to_string).collect();
    Err(Failure::usage(format!(
        "the trust root of {} has the digest {found}, expected {}",
        material.source,
        expected.join(" or ")
    ))
    .page("trust-root"))
}

/// Returns the public-good Sigstore's trust root: as it was recorded and refreshed, else as it is built in.
pub(crate) fn public(folder: &Folder) -> Result<TrustMaterial, Failure> {
    match folder.record()? {
        Some(record) if record.kind == TrustKind::Public => match folder.recorded()? {
            Some(material) => Ok(material),
            None => PUBLIC.material(),
        },
        _ => PUBLIC.material(),
    }
}

/// Reads a trust file.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    file::read(path, MAX_TRUSTED_ROOT).map_err(|error| {
        Failure::usage(format!(
            "cannot read the trust root {}: {error}",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_this_machine_is_a_development_instance() {
        for ours in [
            "http://127.0.0.1:8470",
            "http://[::1]:8470",
            "http://localhost",
            "https://LOCALHOST.",
            "http://sigstore.localhost:8470",
            "http://a.b.LocalHost./",
        ] {
            assert!(names_this_machine(ours), "{ours}");
        }
        for theirs in [
            "https://fulcio.example.com",
            "https://localhost.example.com",
            "https://notlocalhost",
            "not an address",
        ] {
            assert!(!names_this_machine(theirs), "{theirs}");
        }
    }
}
