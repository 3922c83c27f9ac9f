//! `stella trusted-root create`: a trusted root made of certificates and public keys, with the flags of cosign.

use std::path::{Path, PathBuf};

use stella_attest::file;
use stella_bundle::pairs::{Pairs, PairsError};
use stella_bundle::pem;
use stella_bundle::trusted_root::create::{
    self, AUTHORITY_KEYS, Additions, CHAIN, CreateError, LOG_KEYS, PUBLIC_KEY,
};
use stella_bundle::trusted_root::{CertificateAuthority, TransparencyLog, TrustedRoot};
use stella_bundle::verify::TrustPart;

use crate::cli::signing_config::{deliver, now, warn, wrong_words};
use crate::exit::{self, Failure};
use crate::trust::{self, Folder, TrustMaterial};

/// Make a trusted root of certificates and public keys
///
/// A certificate or timestamp authority is told as key=value pairs: url, certificate-chain (a PEM file, what issues or
/// stamps first, the root last), and start-time and end-time where they are not those of the certificates. A log: url,
/// public-key (a PEM file), start-time, end-time where it has an end, and for a log of Rekor v2 with an Ed25519 key its
/// origin, which is the host of its url.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  SINCE=start-time=2026-01-01T00:00:00Z
  stella trusted-root create --out trusted_root.json \\
      --fulcio=url=https://fulcio.example,certificate-chain=fulcio.pem \\
      --ctfe=url=https://ct.example,public-key=ct.pub,$SINCE \\
      --tsa=url=https://tsa.example/api/v1/timestamp,certificate-chain=tsa.pem \\
      --rekor=url=https://rekor.example,public-key=rekor.pub,origin=rekor.example,$SINCE

Look into it with `stella trust show` and `stella trust lint`.")]
pub(crate) struct Args {
    /// A Fulcio, by its base URL; repeatable
    #[arg(long, value_name = "KEY=VALUE,...")]
    fulcio: Vec<String>,

    /// A CT log; repeatable
    #[arg(long, value_name = "KEY=VALUE,...")]
    ctfe: Vec<String>,

    /// A timestamp authority, by its whole URL; repeatable
    #[arg(long, value_name = "KEY=VALUE,...")]
    tsa: Vec<String>,

    /// A Rekor log, by its base URL; repeatable
    #[arg(long, value_name = "KEY=VALUE,...")]
    rekor: Vec<String>,

    /// Begin with this trusted root; all that it believes stays
    #[arg(long, value_name = "FILE", conflicts_with = "with_default_services")]
    base: Option<PathBuf>,

    /// Begin with the trusted root of the public-good Sigstore
    #[arg(long)]
    with_default_services: bool,

    /// Take no Fulcio from there
    #[arg(long)]
    no_default_fulcio: bool,

    /// Take no CT log from there
    #[arg(long)]
    no_default_ctfe: bool,

    /// Take no timestamp authority from there
    #[arg(long)]
    no_default_tsa: bool,

    /// Take no Rekor log from there
    #[arg(long)]
    no_default_rekor: bool,

    /// Write the file here; without it, to standard output
    #[arg(short, long, visible_alias = "output-file", value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let (base, additions) = (args.begin_with()?, args.additions()?);
    if base.is_none() && additions == Additions::default() {
        return Err(
            Failure::usage("expected at least one authority or log, found none")
                .hint("give --fulcio, --ctfe, --tsa, --rekor, --base or --with-default-services"),
        );
    }
    let created = create::create(base, additions, now())
        .map_err(|error| Failure::usage(error.to_string()))?;
    if !created.refused.is_empty() {
        let errors: Vec<String> = created.refused.iter().map(ToString::to_string).collect();
        return Err(Failure::usage(format!(
            "nobody should believe this trusted root: {}",
            errors.join("; ")
        )));
    }
    for each in &created.findings {
        warn(each);
    }
    deliver(args.out.as_deref(), &created.root.to_json())?;
    Ok(exit::OK)
}

impl Args {
    fn begin_with(&self) -> Result<Option<TrustedRoot>, Failure> {
        let material = match &self.base {
            Some(path) => TrustMaterial::read(path)?,
            // What was recorded and refreshed is newer than what is built in.
            None if self.with_default_services => trust::public(&Folder::usual())?,
            None => return Ok(None),
        };
        Ok(Some(material.root))
    }

    fn additions(&self) -> Result<Additions, Failure> {
        let tsa = TrustPart::TimestampAuthorities;
        Ok(Additions {
            certificate_authorities: authorities(
                "fulcio",
                TrustPart::CertificateAuthorities,
                &self.fulcio,
            )?,
            ctlogs: logs("ctfe", TrustPart::Ctlogs, &self.ctfe)?,
            timestamp_authorities: authorities("tsa", tsa, &self.tsa)?,
            tlogs: logs("rekor", TrustPart::Tlogs, &self.rekor)?,
            without: self.without(),
        })
    }

    fn without(&self) -> Vec<TrustPart> {
        let said = [
            (self.no_default_fulcio, TrustPart::CertificateAuthorities),
            (self.no_default_ctfe, TrustPart::Ctlogs),
            (self.no_default_tsa, TrustPart::TimestampAuthorities),
            (self.no_default_rekor, TrustPart::Tlogs),
        ];
        let said = said.into_iter().filter(|(is_said, _)| *is_said);
        said.map(|(_, part)| part).collect()
    }
}

fn authorities(
    flag: &str,
    part: TrustPart,
    texts: &[String],
) -> Result<Vec<CertificateAuthority>, Failure> {
    let make = |text: &String| {
        let (pairs, chain) = words(flag, text, AUTHORITY_KEYS, CHAIN)?;
        create::authority(part, &pairs, &chain).map_err(|error| refuse(flag, text, &error))
    };
    texts.iter().map(make).collect()
}

fn logs(flag: &str, part: TrustPart, texts: &[String]) -> Result<Vec<TransparencyLog>, Failure> {
    let make = |text: &String| {
        let (pairs, key) = words(flag, text, LOG_KEYS, PUBLIC_KEY)?;
        create::log(part, &pairs, &key).map_err(|error| refuse(flag, text, &error))
    };
    texts.iter().map(make).collect()
}

/// Reads the words of an entry, and the PEM file that they name under `key`.
fn words(
    flag: &str,
    text: &str,
    known: &'static [&'static str],
    key: &'static str,
) -> Result<(Pairs, String), Failure> {
    let wrong = |error: PairsError| wrong_words(flag, text, &error);
    let pairs = Pairs::parse(text, known).map_err(wrong)?;
    let path = Path::new(pairs.required(key).map_err(wrong)?);
    let unreadable = |reason: &dyn std::fmt::Display| {
        let path = path.display();
        Failure::usage(format!("--{flag} {text:?}: cannot read {path}: {reason}"))
    };
    let bytes = file::read(path, pem::MAX_TEXT).map_err(|error| unreadable(&error))?;
    let pem = String::from_utf8(bytes).map_err(|_| unreadable(&"it is not PEM"))?;
    Ok((pairs, pem))
}

/// Says what is wrong with an entry.
fn refuse(flag: &str, text: &str, error: &CreateError) -> Failure {
    match error {
        CreateError::Pairs(error) => wrong_words(flag, text, error),
        error => Failure::usage(format!("--{flag} {text:?}: {error}")),
    }
}
