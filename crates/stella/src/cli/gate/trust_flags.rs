//! Whom to believe, as flags say it.

use std::path::PathBuf;

use crate::cli::Context;
use crate::config::{Flags, TrustElsewhere};
use crate::exit::Failure;
use crate::trust::{self, Acceptance, TrustMaterial};

/// Whom to believe.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustFlags {
    /// Believe this trusted root or client trust config
    #[arg(long, visible_alias = "trust-config", value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// The digest that the trusted root must have: sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    trust_fingerprint: Option<String>,
}

impl TrustFlags {
    /// Returns the digest that the trusted root must have.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.trust_fingerprint.as_deref()
    }

    /// Finds the trust root of this command.
    pub(crate) fn choose(&self, context: &Context) -> Result<TrustMaterial, Failure> {
        self.choose_accepted(context, &Acceptance::of_flag(self.fingerprint())?)
    }

    /// Finds the trust root of this command among those that are accepted.
    pub(crate) fn choose_accepted(
        &self,
        context: &Context,
        acceptance: &Acceptance,
    ) -> Result<TrustMaterial, Failure> {
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
