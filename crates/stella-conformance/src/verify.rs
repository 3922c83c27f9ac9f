//! `verify-bundle`.

use std::path::{Path, PathBuf};

use stella_bundle::bundle::{Bundle, MAX_BUNDLE};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities};
use stella_bundle::key::PublicKey;
use stella_bundle::verify::{Artifact, IdentityRule, Policy, Trust, Verifier};

use crate::failure::{self, Failure};

/// Artifacts of the suite are small; a real one is read in a stream by `stella`.
const MAX_ARTIFACT: usize = 1 << 30;
/// Key files larger than this are refused.
const MAX_KEY: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Trust the staging instance; its trusted root must be given
    #[arg(long)]
    staging: bool,

    /// The bundle
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,

    /// The certificate's name
    #[arg(long, value_name = "IDENTITY", requires = "certificate_oidc_issuer")]
    certificate_identity: Option<String>,

    /// The issuer of the signer's token
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    certificate_oidc_issuer: Option<String>,

    /// The public key, as PEM
    #[arg(long, value_name = "FILE", conflicts_with = "certificate_identity")]
    key: Option<PathBuf>,

    /// Whom to believe; the public-good instance where nothing is said
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// The artifact: a file, or sha256:HEX where there is no such file
    #[arg(value_name = "FILE_OR_DIGEST")]
    artifact: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let root = failure::trusted_root(args.trusted_root.as_deref(), args.staging)?;
    let bundle = Bundle::parse(&failure::read(&args.bundle, MAX_BUNDLE)?)?;
    let verifier = Verifier::new(Trust::new(&root), policy(args)?);
    let path = Path::new(&args.artifact);
    let digest = Digest::parse(&args.artifact)
        .filter(|digest| digest.algorithm() == DigestAlgorithm::Sha256 && !path.exists());
    let report = match digest {
        Some(digest) => verifier.verify(&bundle, &Artifact::Digests(&[digest]), failure::now()),
        None => {
            let bytes = failure::read(path, MAX_ARTIFACT)?;
            verifier.verify(&bundle, &Artifact::Bytes(&bytes), failure::now())
        }
    };
    report.verdict?;
    Ok(())
}

fn policy(args: &Args) -> Result<Policy, Failure> {
    if let Some(path) = &args.key {
        let pem = failure::read(path, MAX_KEY)?;
        let key = PublicKey::from_pem(&String::from_utf8_lossy(&pem))?;
        return Ok(Policy::for_keys(vec![key.into()]));
    }
    let (Some(identity), Some(issuer)) =
        (&args.certificate_identity, &args.certificate_oidc_issuer)
    else {
        return Err(Failure::NoIdentity);
    };
    let identity = CertificateIdentity::parse(identity, issuer)?;
    let any = AnyOf::new(vec![identity]).ok_or(Failure::NoIdentity)?;
    Ok(Policy::for_certificates(IdentityRule::Given(
        Identities::AnyOf(any),
    )))
}
