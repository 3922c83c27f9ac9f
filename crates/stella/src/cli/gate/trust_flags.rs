//! Whom to believe, as flags say it.

use std::path::PathBuf;

use stella_bundle::digest::Digest;

use crate::cli::Context;
use crate::cli::attest::table::Place;
use crate::config::{Flags, TrustElsewhere};
use crate::exit::Failure;
use crate::trust::{self, Acceptance, TrustMaterial};

/// Whom to believe.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TrustFlags {
    /// Believe this trusted root or client trust config
    #[arg(long, visible_alias = "trust-config", value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// The digest that the trusted root must have: sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    trust_fingerprint: Option<String>,
}

impl TrustFlags {
    /// Returns what `--trusted-root FILE --trust-fingerprint DIGEST` say.
    pub(crate) fn pinned(path: PathBuf, digest: &Digest) -> Self {
        Self {
            trusted_root: Some(path),
            trust_fingerprint: Some(digest.to_string()),
        }
    }

    /// Returns the digest that the trusted root must have.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.trust_fingerprint.as_deref()
    }

    /// Says whether a trusted root was named.
    pub(super) const fn is_root_given(&self) -> bool {
        self.trusted_root.is_some()
    }

    /// Returns by whose services something is signed where these flags say whom to believe.
    pub(crate) fn to_place(&self) -> Place {
        Place {
            trust_config: self.trusted_root.clone(),
            dir: None,
        }
    }

    /// Finds the trust root of this command.
    pub(crate) fn choose(&self, context: &Context) -> Result<TrustMaterial, Failure> {
        let acceptance = Acceptance::of_flag(self.fingerprint())?;
        trust::require_chosen(self.choose_accepted(context, &acceptance)?)
    }

    /// Finds the trust root of this command among those that are accepted; none when nobody was chosen.
    pub(crate) fn choose_accepted(
        &self,
        context: &Context,
        acceptance: &Acceptance,
    ) -> Result<Option<TrustMaterial>, Failure> {
        let flags = Flags {
            trust_elsewhere: match self.trusted_root {
                Some(_) => TrustElsewhere::Given,
                None => TrustElsewhere::None,
            },
            ..Flags::default()
        };
        let loaded = context.load(flags)?;
        let configured = loaded.meant.keyless.trust.as_ref();
        trust::choose(self.trusted_root.as_deref(), configured, acceptance)
    }
}
