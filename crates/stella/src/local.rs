//! The instance on this machine: one directory, reached over HTTP when a process serves it, else opened in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stella_attest::file;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::trusted_root::MAX_TRUSTED_ROOT;
use stella_client::error::{ClientError, TrustProblem};
use stella_client::network::{Network, NetworkOptions};
use stella_client::oidc::github::RunnerEndpoint;
use stella_keys::KeyError;
use stella_server::listen::Offered;
use stella_server::log::LogError;
use stella_server::{
    Clock as _, Description, HeldKey, HeldKeys, InitOptions, InstanceError, KeyPurpose,
    KeyReferences, OpenError, Options, OwnIssuer, OwnRegistry, Sigstore, SystemClock, TOKEN_PATH,
    TokenRefusal, TokenRequest,
};
use stella_wire::transport::Transport;
use url::Url;
use zeroize::Zeroizing;

use crate::exit::{self, Failure};
use crate::key::{self, For, PassphraseFlags};
use crate::trust::{TrustKind, TrustMaterial};

/// What the instance believes, and serves.
const TRUSTED_ROOT: &str = "trusted_root.json";
/// How long to wait for another process to give the instance up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one try takes before the holder is asked over HTTP.
const GLANCE: Duration = Duration::from_millis(50);

/// What a command needs that signs: a token, and no registry.
pub(crate) const FOR_SIGNING: Offered = Offered {
    own_issuer: OwnIssuer::Offer,
    own_registry: OwnRegistry::Withhold,
};

/// A connection to the instance on this machine.
pub(crate) struct Local {
    /// How its services are reached.
    pub(crate) transport: Arc<dyn Transport>,
    /// Whom it says to believe, and where to sign.
    pub(crate) material: TrustMaterial,
    url: String,
    held: Held,
}

enum Held {
    /// By this process.
    Here(Sigstore),
    /// By another process, which serves it at its URL.
    Elsewhere { secret: Zeroizing<String> },
}

impl Local {
    /// Connects to the instance in `directory`, which must exist.
    pub(crate) async fn connect(directory: &Path) -> Result<Self, Failure> {
        let description = Description::read(directory).map_err(instance_failure)?;
        let start = Instant::now();
        loop {
            // Keys are opened for an instance that can be had: a device counts the tries.
            if !description.keys.is_empty() && is_held(directory)? {
                tokio::time::sleep(GLANCE).await;
            } else {
                let keys = hold(&description.keys, &PassphraseFlags::default())?;
                match open(directory, GLANCE, FOR_SIGNING, keys).await {
                    Ok(sigstore) => return Self::here(sigstore),
                    Err(OpenError::Instance(InstanceError::Locked { .. })) => {}
                    Err(error) => return Err(open_failure(error)),
                }
            }
            // The holder serves it, or is another short-lived command: then its turn ends soon.
            match Self::elsewhere(directory, &description.url).await {
                Ok(local) => return Ok(local),
                Err(failure) if failure.code != exit::UNAVAILABLE => return Err(failure),
                Err(failure) if start.elapsed() > PATIENCE => {
                    return Err(failure.hint(format!(
                        "another process holds {} and does not answer at {}",
                        directory.display(),
                        description.url
                    )));
                }
                Err(_) => {}
            }
        }
    }

    fn here(sigstore: Sigstore) -> Result<Self, Failure> {
        let source = format!("the instance at {}", sigstore.url());
        let material = TrustMaterial::parse(
            sigstore.client_trust_config().to_vec(),
            source,
            TrustKind::Instance,
        )?;
        let (transport, url) = (Arc::new(sigstore.clone()), sigstore.url().to_owned());
        Ok(Self {
            transport,
            material,
            url,
            held: Held::Here(sigstore),
        })
    }

    /// Connects to the holder of `directory`, which proves by its trusted root that it is the one that answers.
    async fn elsewhere(directory: &Path, url: &str) -> Result<Self, Failure> {
        let transport = Arc::new(Network::new(NetworkOptions::default()));
        let stranger = |reason: &dyn std::fmt::Display| {
            let directory = directory.display();
            let message =
                format!("what answers at {url} is not the instance in {directory}: {reason}");
            Failure::new(exit::UNAVAILABLE, message)
        };
        let root = file::read(&directory.join(TRUSTED_ROOT), MAX_TRUSTED_ROOT)
            .map_err(|error| stranger(&format!("its {TRUSTED_ROOT}: {error}")))?;
        let expected = DigestAlgorithm::Sha256.digest(&root);
        // Somebody else may have taken the port: who serves another root never sees the secret.
        let fetched = stella_client::trust::fetch(transport.as_ref(), url, Some(&expected)).await;
        let config = match fetched {
            Ok(fetched) => fetched.config,
            Err(
                error @ (ClientError::AccessRefused { .. }
                | ClientError::Answer { .. }
                | ClientError::Refused { .. }
                | ClientError::Trust(
                    TrustProblem::File(_) | TrustProblem::Fingerprint { .. },
                )),
            ) => return Err(stranger(&error)),
            Err(error) => return Err(error.into()),
        };
        let secret = stella_server::read_secret(directory).map_err(instance_failure)?;
        let source = format!("the instance at {url}");
        let material = TrustMaterial::of_config(config, source, TrustKind::Instance);
        Ok(Self {
            transport,
            material,
            url: url.to_owned(),
            held: Held::Elsewhere { secret },
        })
    }

    /// Returns the instance's public URL: its issuer.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks the instance's own issuer for a token shaped like a CI system's.
    pub(crate) async fn token(&self, request: &TokenRequest) -> Result<Zeroizing<String>, Failure> {
        match &self.held {
            Held::Here(sigstore) => sigstore
                .identity_token(request)
                .map(Zeroizing::new)
                .map_err(|refusal| token_failure(&refusal)),
            Held::Elsewhere { secret } => {
                let address = token_address(&self.url, request)?;
                let endpoint = RunnerEndpoint::new(address, secret.clone());
                Ok(endpoint
                    .token(self.transport.as_ref(), &request.audience)
                    .await?)
            }
        }
    }

    /// Gives the instance up.
    pub(crate) fn close(&self) {
        if let Held::Here(sigstore) = &self.held {
            sigstore.close();
        }
    }
}

fn is_held(directory: &Path) -> Result<bool, Failure> {
    stella_server::is_held(directory).map_err(instance_failure)
}

/// Makes an instance where there is none yet; of several processes that try, one makes it and the others wait.
pub(crate) fn init(directory: &Path, url: &str, keys: &HeldKeys) -> Result<(), Failure> {
    let url = parse_url(url)?;
    let start = Instant::now();
    loop {
        let options = InitOptions {
            url: url.clone(),
            now: SystemClock.now(),
        };
        match Sigstore::init_with(directory, &options, keys) {
            Ok(()) | Err(InstanceError::AlreadyInitialised { .. }) => return Ok(()),
            Err(InstanceError::Locked { .. }) if Description::read(directory).is_ok() => {
                return Ok(());
            }
            Err(InstanceError::Locked { .. }) if start.elapsed() < PATIENCE => {
                std::thread::sleep(GLANCE);
            }
            Err(error) => return Err(instance_failure(error)),
        }
    }
}

/// Reads what was typed for a URL.
pub(crate) fn parse_url(url: &str) -> Result<Url, Failure> {
    Url::parse(url).map_err(|error| Failure::usage(format!("{url:?} is not a URL: {error}")))
}

/// Opens the keys that an instance keeps elsewhere.
pub(crate) fn hold(
    references: &KeyReferences,
    passphrase: &PassphraseFlags,
) -> Result<HeldKeys, Failure> {
    let open = |(purpose, reference): (&KeyPurpose, &String)| {
        // Of what these keys sign nothing is logged itself: Ed25519 signs the message.
        let signer = passphrase.open(reference, For::ItselfAlone)?;
        let held = HeldKey {
            reference: reference.clone(),
            signer: Arc::from(signer),
        };
        Ok((*purpose, held))
    };
    references.iter().map(open).collect()
}

/// Opens the instance in this process.
pub(crate) async fn open(
    directory: &Path,
    patience: Duration,
    offered: Offered,
    keys: HeldKeys,
) -> Result<Sigstore, OpenError> {
    let transport: Arc<dyn Transport> = Arc::new(Network::new(NetworkOptions::default()));
    let options = Options {
        transport: Some(transport),
        patience,
        own_issuer: offered.own_issuer,
        own_registry: offered.own_registry,
        keys,
        ..Options::default()
    };
    Sigstore::open(directory, options).await
}

fn token_address(url: &str, request: &TokenRequest) -> Result<Url, Failure> {
    let mut address = parse_url(url)?;
    address.set_path(TOKEN_PATH);
    if request.subject.is_some() || !request.claims.is_empty() {
        let mut query = address.query_pairs_mut();
        if let Some(subject) = &request.subject {
            query.append_pair("subject", subject);
        }
        for (name, value) in &request.claims {
            query.append_pair("claim", &format!("{name}={value}"));
        }
    }
    Ok(address)
}

/// Says why the own issuer gives no token.
fn token_failure(refusal: &TokenRefusal) -> Failure {
    let message = refusal.to_string();
    match refusal {
        TokenRefusal::ClaimReserved { .. } | TokenRefusal::ValueUnusable { .. } => {
            Failure::usage(message).hint(exit::TOKEN_REQUEST_HINT)
        }
        TokenRefusal::Key(error) => key::failure(error),
        _ => Failure::new(exit::ACCESS, message).hint(exit::SUBJECT_HINT),
    }
}

/// Says what to do about a directory that is no usable instance.
pub(crate) fn instance_failure(error: InstanceError) -> Failure {
    let message = error.to_string();
    let hint = match &error {
        InstanceError::Key(error) => return key_failure(error),
        InstanceError::KeyElsewhere { .. }
        | InstanceError::KeyMismatch { .. }
        | InstanceError::KeyUnsuitable { .. } => {
            return Failure::new(exit::KEY, message)
                .hint("`stella key public --key KEY` shows which key a name leads to; instance.json names those of an instance")
                .page("signing-key");
        }
        InstanceError::NotInitialised { directory } => {
            format!("make one with `stella serve --dir {}`", directory.display())
        }
        InstanceError::Locked { .. } => "a directory is served by one process at a time".to_owned(),
        InstanceError::NotEmpty { .. } => {
            "an instance is made in an empty directory: name another with --dir".to_owned()
        }
        InstanceError::UrlUnusable { .. } => {
            "give it as http://HOST[:PORT] or https://HOST[:PORT], without a path".to_owned()
        }
        InstanceError::SecretExposed { path } => {
            format!("take it from the others: chmod 600 {}", path.display())
        }
        InstanceError::Malformed { path, .. } => format!("correct {}", path.display()),
        InstanceError::SchemaUnknown { .. } => {
            "use the version of stella that made the directory, or a later one".to_owned()
        }
        _ => return Failure::new(exit::INTERNAL, message),
    };
    Failure::usage(message).hint(hint)
}

/// Says what to do about a key of an instance.
fn key_failure(error: &KeyError) -> Failure {
    match error {
        KeyError::Permissions { path, .. } => Failure::usage(error.to_string()).hint(format!(
            "take it from the others: chmod 600 {}",
            path.display()
        )),
        KeyError::Device { .. }
        | KeyError::Helper { .. }
        | KeyError::Plugin { .. }
        | KeyError::Service { .. } => key::failure(error),
        _ => Failure::new(exit::INTERNAL, error.to_string()),
    }
}

/// Says what to do about an instance that cannot be opened.
pub(crate) fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Instance(error) => instance_failure(error),
        OpenError::Key(error)
        | OpenError::Log {
            error: LogError::Signing(error),
            ..
        } => key_failure(&error),
        OpenError::Configuration(error) => Failure::usage(error.to_string())
            .hint("correct issuers.yaml in the instance's directory, or take it away"),
        OpenError::Log { .. } => Failure::new(exit::INTERNAL, error.to_string())
            .hint("see what is wrong with it: stella log fsck --dir DIR"),
        error => Failure::new(exit::INTERNAL, error.to_string()),
    }
}
