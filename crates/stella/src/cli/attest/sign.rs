//! `stella attest sign`: gathers what was typed and configured, lets `stella_attest::sign` tell the story, keeps the bundle.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use stella_attest::file;
use stella_attest::session::{Services, Session};
use stella_attest::sign::{self, Signed};
use stella_bundle::certificate::Certificate;
use stella_bundle::digest::Digest;
use stella_bundle::key::KeyDetails;
use stella_bundle::pem;
use stella_bundle::statement::{COSIGN_SIGN_V1, Statement, Subject};
use stella_bundle::time::UnixTime;
use stella_bundle::verify::SctRule;
use stella_client::error::ClientError;
use stella_client::fulcio::Fulcio;
use stella_client::network::{Network, NetworkOptions};
use stella_client::rekor::Rekor;
use stella_client::retry::{RetryPolicy, Retrying};
use stella_client::tsa::{Nonce, Tsa};
use stella_server::{Clock as _, SystemClock};
use stella_wire::transport::Transport;

use super::source::shelf_failure;
use crate::artifact::Artifact;
use crate::cli::Context;
use crate::config::{Algorithm, Flags, Key, Keyless, Loaded, Mode, SctCheck, TrustElsewhere};
use crate::exit::{self, Failure};
use crate::local::Local;
use crate::trust::{self, TrustMaterial};
use crate::{places, terminal, token};

/// Predicates larger than this are refused.
const MAX_PREDICATE: usize = 64 << 20;

/// Sign a statement about an artifact
///
/// Without --predicate the statement says that the artifact was signed. With it, the predicate is checked against the
/// schema of its type first. The bundle rests in this machine's store, and in a file where --bundle names one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella attest sign --keyless --artifact sha256:…
  stella attest sign --keyless --artifact ./app --predicate verdict.json --type verdict --bundle app.sigstore.json")]
pub(crate) struct Args {
    /// Sign with a key for this signature alone, certified for the identity in a token
    #[arg(long)]
    keyless: bool,

    /// The artifact: a file, or its digest as sha256:HEX
    #[arg(long, value_name = "ARTIFACT", required = true)]
    artifact: Vec<String>,

    /// What to say about it: a JSON file; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "predicate_type")]
    predicate: Option<PathBuf>,

    /// What the predicate is: a short name (verdict, sbom-delta, reachability) or a URI
    #[arg(long = "type", value_name = "TYPE", requires = "predicate")]
    predicate_type: Option<String>,

    /// The identity token, or @FILE, or `-` for standard input
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    identity_token: Option<String>,

    /// Write the bundle to this file too
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Sign with the services of this client trust config, and believe its trusted root
    #[arg(long, visible_alias = "trusted-root", value_name = "FILE")]
    trust_config: Option<PathBuf>,

    /// Sign with the instance in this directory on this machine
    #[arg(long, value_name = "DIR", conflicts_with = "trust_config")]
    dir: Option<PathBuf>,

    /// The folder of attestations on this machine
    #[arg(long, value_name = "DIR", env = "STELLA_STORE")]
    store: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    // 1. What to say: checked before anyone is asked for anything.
    let artifacts: Vec<Artifact> = args
        .artifact
        .iter()
        .map(|each| Artifact::read(each))
        .collect::<Result<_, _>>()?;
    let statement = statement(&artifacts, &args)?;
    // 2. How: the configuration, whom to believe, which services.
    let loaded = context.load(flags(&args)?)?;
    let keyless = require_keyless(&loaded, &args)?;
    if keyless.sct == SctCheck::SkipWhenSigning {
        terminal::tell(&format!(
            "note: {} is false: a certificate without an SCT is taken, which verifiers refuse",
            Key::CertificateRequireSct.path()
        ));
    }
    let table = Table::lay(&args, keyless).await?;
    let material = &table.material;
    let trust = material.prepare();
    let root_bundle = keyless
        .root_bundle
        .as_deref()
        .map(read_root_bundle)
        .transpose()?;
    // 3. Who: the identity token.
    let now = SystemClock.now();
    let token =
        token::acquire(&loaded, table.transport.as_ref(), table.local.as_ref(), now).await?;
    // 4. The story.
    let session = Session {
        transport: table.transport.as_ref(),
        services: services(keyless, material, now)?,
        trust: &trust,
        sct: match keyless.sct {
            SctCheck::Require => SctRule::Require,
            SctCheck::SkipWhenSigning => SctRule::WithoutSctUnsafe,
        },
        root_bundle: root_bundle.as_deref(),
        now: &|| SystemClock.now(),
        nonce: &nonce,
        done: &|step| tracing::debug!(?step, "done"),
    };
    let message = sign::Message::Statement(&statement);
    let signed = sign::sign(&session, &token, message, algorithm(keyless.preferred)).await?;
    // 5. Keep it.
    let subjects: Vec<Digest> = statement
        .subject
        .iter()
        .flat_map(Subject::digests)
        .collect();
    let shelf = stella_attest::shelf::Shelf::new(places::store(args.store.clone()));
    let digest = shelf
        .put(&signed.bytes, &subjects)
        .map_err(|error| shelf_failure(&error))?;
    if let Some(path) = &args.bundle {
        fs::write(path, &signed.bytes).map_err(|error| {
            Failure::io("write", path, &error).hint(format!(
                "nothing is lost: it was signed and logged, and rests as {digest} in {}",
                shelf.folder().display()
            ))
        })?;
    }
    report(&args, &signed, &digest, &subjects);
    table.clear();
    Ok(exit::OK)
}

/// What signing needs from outside: how to reach services, and whom to believe.
struct Table {
    transport: Arc<dyn Transport>,
    material: TrustMaterial,
    local: Option<Local>,
}

impl Table {
    /// Connects to the instance of this machine where nothing else is configured, else to the network.
    async fn lay(args: &Args, keyless: &Keyless) -> Result<Self, Failure> {
        let is_configured = args.trust_config.is_some()
            || keyless.trust.is_some()
            || trust::Folder::usual().record()?.is_some();
        if args.dir.is_some() || !is_configured {
            let directory = places::instance(args.dir.clone());
            if args.dir.is_none() {
                // What a pipeline invents for itself is gone with it, and proves nothing to anyone.
                if trust::is_ci() {
                    return Err(Failure::usage("no trust root was chosen, and in CI no instance is made unasked")
                        .hint("say with whom to sign: `stella trust use public | FILE | URL`, --trust-config FILE, or --dir DIR"));
                }
                terminal::tell(&format!(
                    "note: no trust root was chosen; signing with this machine's own instance in {}",
                    directory.display()
                ));
                crate::local::init(&directory, crate::cli::serve::DEFAULT_URL)?;
            }
            let local = Local::connect(&directory).await?;
            let (transport, material) = (Arc::clone(&local.transport), local.material.clone());
            return Ok(Self {
                transport,
                material,
                local: Some(local),
            });
        }
        let material =
            trust::choose_for_signing(args.trust_config.as_deref(), keyless.trust.as_ref())?;
        let options = NetworkOptions {
            deadline: keyless.timeout,
            ..NetworkOptions::default()
        };
        let policy = RetryPolicy {
            retries: keyless.retries,
            ..RetryPolicy::default()
        };
        let transport = Arc::new(Retrying::new(Arc::new(Network::new(options)), policy));
        Ok(Self {
            transport,
            material,
            local: None,
        })
    }

    fn clear(&self) {
        if let Some(local) = &self.local {
            local.close();
        }
    }
}

fn statement(artifacts: &[Artifact], args: &Args) -> Result<Statement, Failure> {
    let subject = |artifact: &Artifact| Ok(Subject::new(artifact.name.clone(), artifact.digest()?));
    let subjects = artifacts
        .iter()
        .map(subject)
        .collect::<Result<Vec<_>, Failure>>()?;
    let (Some(path), Some(predicate_type)) = (&args.predicate, &args.predicate_type) else {
        return Ok(Statement::new(subjects, COSIGN_SIGN_V1, &json!({})));
    };
    let predicate_type = super::predicate_type(predicate_type)?;
    let bytes = read_predicate(path)?;
    let predicate = predicate_type
        .parse_predicate(&bytes)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(Statement::new(subjects, predicate_type.uri(), &predicate))
}

fn read_predicate(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        Failure::usage(format!(
            "cannot read the predicate {}: {error}",
            path.display()
        ))
    };
    if path.as_os_str() == "-" {
        return file::read_from(io::stdin(), MAX_PREDICATE).map_err(failed);
    }
    file::read(path, MAX_PREDICATE).map_err(failed)
}

fn flags(args: &Args) -> Result<Flags, Failure> {
    let is_given = args.trust_config.is_some() || args.dir.is_some();
    Ok(Flags {
        identity_token: args.identity_token.clone().map(zeroize::Zeroizing::new),
        trust_elsewhere: if is_given {
            TrustElsewhere::Given
        } else {
            TrustElsewhere::None
        },
        ..Flags::default()
    })
}

fn require_keyless<'a>(loaded: &'a Loaded, args: &Args) -> Result<&'a Keyless, Failure> {
    let keyless = &loaded.meant.keyless;
    if !args.keyless && loaded.meant.mode == Mode::Key {
        return Err(crate::cli::config::key_mode_is_missing());
    }
    if !keyless.is_enabled {
        return Err(Failure::usage(
            "keyless signing is switched off (signer.signing.keyless.enabled)",
        ));
    }
    Ok(keyless)
}

/// Returns the services: those that the configuration names, else those of the signing config.
fn services(
    keyless: &Keyless,
    material: &TrustMaterial,
    now: UnixTime,
) -> Result<Services, Failure> {
    let config = material.signing.as_ref();
    let missing = |what: &str, key: &str| {
        Failure::usage(format!(
            "no {what} to sign with: {} names none",
            material.source
        ))
        .hint(format!(
            "use a client trust config (`stella trust use URL`), or set {key}"
        ))
    };
    let fulcio = match (
        &keyless.fulcio,
        config.and_then(|config| config.certificate_authority(now)),
    ) {
        (Some(url), _) => url.to_string(),
        (None, Some(service)) => service.url.clone(),
        (None, None) => return Err(missing("Fulcio", "signer.signing.keyless.fulcio.url")),
    };
    let logs = match (&keyless.rekor, config) {
        (Some(url), _) => vec![url.to_string()],
        (None, Some(config)) => urls(config.logs(now).map_err(ClientError::from)?),
        (None, None) => return Err(missing("Rekor", "signer.signing.keyless.rekor.url")),
    };
    let stamping = match (&keyless.tsa, config) {
        (Some(url), _) => vec![url.to_string()],
        (None, Some(config)) => urls(
            config
                .timestamp_authorities(now)
                .map_err(ClientError::from)?,
        ),
        (None, None) => {
            return Err(missing(
                "timestamp authority",
                "signer.signing.keyless.tsa.url",
            ));
        }
    };
    Ok(Services {
        fulcio: Fulcio::new(&fulcio),
        logs: logs.iter().map(|url| Rekor::new(url)).collect(),
        timestamp_authorities: stamping.iter().map(|url| Tsa::new(url)).collect(),
    })
}

fn urls(services: Vec<&stella_bundle::signing_config::Service>) -> Vec<String> {
    services
        .into_iter()
        .map(|service| service.url.clone())
        .collect()
}

fn read_root_bundle(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let refuse =
        |reason: String| Failure::usage(format!("rootBundlePath {}: {reason}", path.display()));
    let bytes = file::read(path, pem::MAX_TEXT).map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| refuse(error.to_string()))?;
    let blocks = pem::decode_all(&text).map_err(|error| refuse(error.to_string()))?;
    let certificates = blocks
        .iter()
        .map(|block| Certificate::parse(&block.der))
        .collect::<Result<_, _>>();
    certificates.map_err(|error| refuse(error.to_string()))
}

const fn algorithm(algorithm: Algorithm) -> KeyDetails {
    match algorithm {
        Algorithm::EcdsaP256 => KeyDetails::EcdsaP256Sha256,
        Algorithm::EcdsaP384 => KeyDetails::EcdsaP384Sha384,
        Algorithm::Ed25519 => KeyDetails::Ed25519Ph,
    }
}

/// A random nonce; without randomness no key could have been made before it.
pub(crate) fn nonce() -> Nonce {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    Nonce(bytes)
}

fn report(args: &Args, signed: &Signed, digest: &Digest, subjects: &[Digest]) {
    let facts = signed.verified.facts();
    let subjects: Vec<String> = subjects.iter().map(Digest::to_string).collect();
    let entry = facts.entries.first();
    if args.json {
        terminal::say_json(&json!({
            "schema": "stella.sign/v1",
            "bundle": digest.to_string(),
            "file": args.bundle.as_ref().map(|path| path.display().to_string()),
            "subjects": subjects,
            "predicateType": facts.statement.as_ref().map(|statement| &statement.predicate_type),
            "signer": facts.signer.as_ref().and_then(|signer| signer.name()),
            "issuer": facts.signer.as_ref().and_then(|signer| signer.issuer()),
            "time": facts.times.first().map(|time| time.time.to_string()),
            "log": entry.map(|entry| json!({"origin": entry.origin, "index": entry.index})),
        }));
        return;
    }
    terminal::say(&format!("signed {}", subjects.join(", ")));
    if let Some(entry) = entry {
        terminal::say(&format!(
            "  logged at index {} of {}",
            entry.index, entry.origin
        ));
    }
    terminal::say(&format!("  bundle {digest}"));
    if let Some(path) = &args.bundle {
        terminal::say(&format!("  in {}", path.display()));
    }
}
