//! `sign-bundle`.

use std::path::PathBuf;

use stella_attest::session::{Services, Session};
use stella_attest::sign::{self, Message, Signatory};
use stella_bundle::key::KeyDetails;
use stella_bundle::signing_config::SigningConfig;
use stella_bundle::statement::Statement;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::MAX_TRUSTED_ROOT;
use stella_bundle::verify::{SctRule, Trust};
use stella_client::fulcio::Fulcio;
use stella_client::network::{Network, NetworkOptions};
use stella_client::oidc::{IdentityToken, TokenDemands, TokenOrigin};
use stella_client::rekor::Rekor;
use stella_client::tsa::{Nonce, Tsa};
use zeroize::Zeroizing;

use crate::failure::{self, Failure};

/// What is signed is read whole.
const MAX_ARTIFACT: usize = 1 << 30;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Use the staging instance; its files must be given
    #[arg(long)]
    staging: bool,

    /// The file is an in-toto statement
    #[arg(long)]
    in_toto: bool,

    /// The identity token
    #[arg(long, value_name = "TOKEN")]
    identity_token: String,

    /// Where the bundle is written
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,

    /// Whom to believe
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// Where to sign
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,

    /// What to sign
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(Failure::Runtime)?.block_on(sign(args))
}

async fn sign(args: &Args) -> Result<(), Failure> {
    let trust = Trust::new(&failure::trusted_root(
        args.trusted_root.as_deref(),
        args.staging,
    )?);
    let config = args
        .signing_config
        .as_deref()
        .ok_or(Failure::NoSigningConfig)?;
    let config = SigningConfig::parse(&failure::read(config, MAX_TRUSTED_ROOT)?)?;
    let bytes = failure::read(&args.file, MAX_ARTIFACT)?;
    let now = failure::now();
    let demands = TokenDemands {
        audience: "sigstore",
        issuer: None,
    };
    let token = Zeroizing::new(args.identity_token.clone());
    let token = IdentityToken::check(token, TokenOrigin::GivenByHand, &demands, now)?;
    let network = Network::new(NetworkOptions::default());
    let session = Session {
        transport: &network,
        services: services(&config, now)?,
        trust: &trust,
        sct: SctRule::Require,
        root_bundle: None,
        now: &failure::now,
        nonce: &nonce,
        done: &|_| {},
    };
    let statement;
    let message = if args.in_toto {
        statement = Statement::parse(&bytes)?;
        Message::Statement(&statement)
    } else {
        Message::Artifact(&bytes)
    };
    let signatory = Signatory::Keyless {
        token: &token,
        algorithm: KeyDetails::EcdsaP256Sha256,
    };
    let signed = sign::sign(&session, signatory, message).await?;
    std::fs::write(&args.bundle, &signed.bytes).map_err(|error| Failure::File {
        path: args.bundle.clone(),
        error,
    })
}

fn services(config: &SigningConfig, now: UnixTime) -> Result<Services, Failure> {
    let fulcio = config.certificate_authority(now)?;
    let logs = config.logs(now)?;
    let stamping = config.timestamp_authorities(now)?;
    Ok(Services {
        fulcio: Some(Fulcio::new(&fulcio.url)),
        logs: logs.iter().map(|each| Rekor::new(&each.url)).collect(),
        timestamp_authorities: stamping.iter().map(|each| Tsa::new(&each.url)).collect(),
    })
}

fn nonce() -> Nonce {
    let mut nonce = [0; 8];
    // Without randomness a nonce of zeros is only less fresh: the answer's time is still compared.
    let _ = getrandom::fill(&mut nonce);
    Nonce(nonce)
}
