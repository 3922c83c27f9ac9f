//! Why a command of the suite is not carried out.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use stella_attest::sign::SignError;
use stella_bundle::bundle::BundleError;
use stella_bundle::identity::IdentityError;
use stella_bundle::key::KeyError;
use stella_bundle::signing_config::selection::ChoiceError;
use stella_bundle::statement::StatementError;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::{MAX_TRUSTED_ROOT, TrustFileError, TrustedRoot};
use stella_bundle::verify::VerifyError;
use stella_client::oidc::TokenError;

/// Why a command of the suite is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    #[error("cannot use {}: {error}", path.display())]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("give --key, or --certificate-identity with --certificate-oidc-issuer")]
    NoIdentity,
    #[error("signing needs a signing config: give --signing-config FILE")]
    NoSigningConfig,
    #[error(transparent)]
    Refused(#[from] VerifyError),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("the staging instance's trusted root is not built in: give --trusted-root FILE")]
    StagingRoot,
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Trust(#[from] TrustFileError),
}

/// The public-good instance's trusted root, which is meant where the suite names none.
const PUBLIC_ROOT: &[u8] = include_bytes!("../../stella/trust/public/trusted_root.json");

/// Reads the trusted root that was named, else the public-good one.
pub(crate) fn trusted_root(named: Option<&Path>, staging: bool) -> Result<TrustedRoot, Failure> {
    match named {
        Some(path) => Ok(TrustedRoot::parse(&read(path, MAX_TRUSTED_ROOT)?)?),
        None if staging => Err(Failure::StagingRoot),
        None => Ok(TrustedRoot::parse(PUBLIC_ROOT)?),
    }
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    stella_attest::file::read(path, limit).map_err(|error| Failure::File {
        path: path.to_owned(),
        error,
    })
}

/// Returns the time of this machine.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime::from_seconds(0).plus(since.unwrap_or_default())
}
