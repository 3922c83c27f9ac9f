//! How to sign, for every command that signs: keyless, with a kept key, or with a kept key under an identity.

use stella_attest::session::{Services, Session};
use stella_attest::sign::Signatory;
use stella_bundle::certificate::Certificate;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::KeyDetails;
use stella_bundle::verify::{SctRule, Trust};
use stella_client::network::Network;
use stella_client::oidc::IdentityToken;
use stella_client::tsa::Nonce;
use stella_keys::Signer;
use stella_server::{Clock as _, SystemClock};
use stella_wire::transport::Transport;
use url::Url;

use super::table::{self, Place, Table};
use crate::cli::Context;
use crate::config::{Flags, Key, Loaded, Mode, SctCheck, TrustElsewhere};
use crate::exit::Failure;
use crate::key::{For, PassphraseFlags};
use crate::{terminal, token};

/// How to sign.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SigningFlags {
    /// Sign with a key for this signature alone, certified for the identity in a token
    #[arg(long)]
    keyless: bool,

    /// Sign with this key: a path, file:PATH, env:VARIABLE, pkcs11:token=LABEL;object=LABEL for a device (RFC 7512), or one in a
    /// service: awskms:///alias/NAME, hashivault://NAME, openbao://NAME, gcpkms://projects/…, azurekms://VAULT.vault.azure.net/NAME
    #[arg(long, value_name = "KEY", conflicts_with = "keyless")]
    pub(in crate::cli) key: Option<String>,

    #[command(flatten)]
    passphrase: PassphraseFlags,

    /// Have a signature with a kept key recorded in the transparency log, and stamped
    #[arg(long, conflicts_with = "keyless")]
    log: bool,

    /// Have the kept key certified for the identity in a token: verifiers may know either
    #[arg(long, conflicts_with = "keyless")]
    identity: bool,

    /// The identity token, or @FILE, or `-` for standard input
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    identity_token: Option<String>,

    #[command(flatten)]
    place: Place,
}

/// Everything that signing needs.
pub(in crate::cli) struct Prepared {
    /// The services' side; none where a key signs alone.
    table: Option<Table>,
    /// For a key that signs alone: never used.
    nobody: Network,
    services: Services,
    trust: Trust,
    sct: SctRule,
    root_bundle: Option<Vec<Certificate>>,
    key: Option<Box<dyn Signer>>,
    token: Option<IdentityToken>,
    algorithm: KeyDetails,
}

/// Reaches the services that witness signatures, without signing: configuration, whom to believe, which ones; the log at
/// `rekor` where that is named.
pub(in crate::cli) async fn reach(
    place: &Place,
    rekor: Option<&Url>,
    context: &Context,
) -> Result<(Table, Services), Failure> {
    let is_given = place.trust_config.is_some() || place.dir.is_some();
    let flags = Flags {
        trust_elsewhere: match is_given {
            true => TrustElsewhere::Given,
            false => TrustElsewhere::None,
        },
        ..Flags::default()
    };
    let loaded = context.load(flags)?;
    let mut keyless = loaded.meant.keyless.clone();
    keyless.rekor = rekor.cloned().or(keyless.rekor);
    let table = Table::lay(place, &keyless).await?;
    let services = table::services(&keyless, &table.material, SystemClock.now(), false)?;
    Ok((table, services))
}

impl SigningFlags {
    /// Returns with whose services.
    pub(in crate::cli) const fn place(&self) -> &Place {
        &self.place
    }

    /// Says whether the flags name who signs, and have it logged.
    pub(in crate::cli) const fn is_logged(&self) -> bool {
        self.keyless || (self.key.is_some() && (self.log || self.identity))
    }

    /// Finds out how to sign: keys and services are opened, a token is fetched.
    pub(in crate::cli) async fn prepare(&self, context: &Context) -> Result<Prepared, Failure> {
        let loaded = context.load(self.flags())?;
        let key = self.kept_key(&loaded)?;
        match key {
            Some(key) if !self.log && !self.identity => self.with_key_alone(key),
            _ => self.with_services(&loaded, key).await,
        }
    }

    /// Returns the key that is kept: the one of the flag, else of a configuration that signs so.
    fn kept_key<'a>(&'a self, loaded: &'a Loaded) -> Result<Option<&'a str>, Failure> {
        if self.keyless {
            return Ok(None);
        }
        let is_configured = loaded.meant.mode == Mode::Key;
        let configured = loaded.meant.key.as_deref().filter(|_| is_configured);
        let key = self.key.as_deref().or(configured);
        if key.is_none() && (is_configured || self.log || self.identity) {
            return Err(crate::cli::config::key_mode_needs_a_key());
        }
        Ok(key)
    }

    fn with_key_alone(&self, key: &str) -> Result<Prepared, Failure> {
        let key = self.passphrase.open(key, For::ItselfAlone)?;
        Ok(Prepared {
            table: None,
            nobody: Network::default(),
            services: Services::default(),
            trust: Trust::default(),
            sct: SctRule::Require,
            root_bundle: None,
            algorithm: key.details(),
            key: Some(key),
            token: None,
        })
    }

    async fn with_services(&self, loaded: &Loaded, key: Option<&str>) -> Result<Prepared, Failure> {
        // 1. The key first: what cannot sign need not ask anybody.
        let key = key
            .map(|key| self.passphrase.open(key, For::Log))
            .transpose()?;
        // 2. The configuration, whom to believe, which services.
        let keyless = &loaded.meant.keyless;
        if key.is_none() && !keyless.is_enabled {
            return Err(Failure::usage(
                "keyless signing is switched off (signer.signing.keyless.enabled)",
            ));
        }
        if keyless.sct == SctCheck::SkipWhenSigning {
            terminal::tell(&format!(
                "note: {} is false: a certificate without an SCT is taken, which verifiers refuse",
                Key::CertificateRequireSct.path()
            ));
        }
        let table = Table::lay(&self.place, keyless).await?;
        let now = SystemClock.now();
        let root_bundle = keyless.root_bundle.as_deref();
        let root_bundle = root_bundle.map(table::read_root_bundle).transpose()?;
        let is_certified = key.is_none() || self.identity;
        let services = table::services(keyless, &table.material, now, is_certified)?;
        // 3. Who: the identity token.
        let token = match is_certified {
            true => {
                let (transport, local) = (table.transport.as_ref(), table.local.as_ref());
                Some(token::acquire(loaded, transport, local, now).await?)
            }
            false => None,
        };
        Ok(Prepared {
            nobody: Network::default(),
            services,
            trust: table.material.prepare(),
            sct: match keyless.sct {
                SctCheck::Require => SctRule::Require,
                SctCheck::SkipWhenSigning => SctRule::WithoutSctUnsafe,
            },
            root_bundle,
            key,
            token,
            algorithm: table::algorithm(keyless.preferred),
            table: Some(table),
        })
    }

    fn flags(&self) -> Flags {
        let is_given = self.place.trust_config.is_some() || self.place.dir.is_some();
        Flags {
            identity_token: self.identity_token.clone().map(zeroize::Zeroizing::new),
            trust_elsewhere: match is_given {
                true => TrustElsewhere::Given,
                false => TrustElsewhere::None,
            },
            ..Flags::default()
        }
    }
}

impl Prepared {
    /// Returns the sitting.
    pub(in crate::cli) fn session(&self) -> Session<'_> {
        let transport: &dyn Transport = match &self.table {
            Some(table) => table.transport.as_ref(),
            None => &self.nobody,
        };
        Session {
            transport,
            services: self.services.clone(),
            trust: &self.trust,
            sct: self.sct,
            root_bundle: self.root_bundle.as_deref(),
            now: &|| SystemClock.now(),
            nonce: &nonce,
            done: &|step| tracing::debug!(?step, "done"),
        }
    }

    /// Returns who signs.
    pub(in crate::cli) fn signatory(&self) -> Result<Signatory<'_>, Failure> {
        let algorithm = self.algorithm;
        match (self.key.as_deref(), &self.token) {
            (Some(key), Some(token)) => Ok(Signatory::Certified { key, token }),
            (Some(key), None) => Ok(Signatory::Managed { key }),
            (None, Some(token)) => Ok(Signatory::Keyless { token, algorithm }),
            (None, None) => Err(Failure::usage("neither a key nor a token to sign with")),
        }
    }

    /// Returns the hash by which the digest of an artifact is enough to sign it; none where its bytes are needed.
    pub(in crate::cli) fn prehash(&self) -> Option<DigestAlgorithm> {
        match &self.key {
            Some(key) => key.prehash(),
            None => self.algorithm.hash(),
        }
    }

    /// Closes what was opened.
    pub(in crate::cli) fn clear(&self) {
        if let Some(table) = &self.table {
            table.clear();
        }
    }
}

/// A random nonce; without randomness no key could have been made before it.
pub(in crate::cli) fn nonce() -> Nonce {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    Nonce(bytes)
}
