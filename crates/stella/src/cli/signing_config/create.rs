//! `stella signing-config create`: a signing config made of services, with the flags of cosign.

use std::path::PathBuf;

use stella_bundle::signing_config::create::{self, Beginning, Parts};
use stella_bundle::signing_config::lint::{self, Finding};
use stella_bundle::signing_config::selection::ServiceKind;
use stella_bundle::signing_config::{Selection, Service};
use stella_bundle::trusted_root::lint::Severity;

use super::{deliver, now, read, warn, wrong_words};
use crate::exit::{self, Failure};
use crate::trust::{self, Folder};

/// Make a signing config of services
///
/// A service is told as key=value pairs: url, api-version, start-time, operator, and end-time where it has an end. Of
/// Fulcio and of OIDC providers a client uses the newest; of Rekor logs and timestamp authorities as many operators as
/// the selection says: ANY one, ALL, or EXACT:n. The API versions are 1, and 2 for Rekor v2.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  SINCE=start-time=2026-01-01T00:00:00Z,operator=example
  stella signing-config create --output-file signing_config.json \\
      --fulcio=url=https://fulcio.example,api-version=1,$SINCE \\
      --oidc-provider=url=https://oidc.example,api-version=1,$SINCE \\
      --rekor=url=https://rekor.example,api-version=2,$SINCE --rekor-config=ANY \\
      --tsa=url=https://tsa.example/api/v1/timestamp,api-version=1,$SINCE --tsa-config=EXACT:1")]
pub(crate) struct Args {
    /// A Fulcio, by its base URL; repeatable
    #[arg(long, value_name = "KEY=VALUE,...")]
    fulcio: Vec<String>,

    /// An OIDC provider; repeatable
    #[arg(long, value_name = "KEY=VALUE,...")]
    oidc_provider: Vec<String>,

    /// A Rekor log, by its base URL; repeatable
    #[arg(long, value_name = "KEY=VALUE,...", requires = "rekor_config")]
    rekor: Vec<String>,

    /// How many logs record a signature: ANY, ALL or EXACT:n
    #[arg(long, value_name = "SELECTION")]
    rekor_config: Option<String>,

    /// A timestamp authority, by its whole URL; repeatable
    #[arg(long, value_name = "KEY=VALUE,...", requires = "tsa_config")]
    tsa: Vec<String>,

    /// How many timestamp authorities stamp a signature: ANY, ALL or EXACT:n
    #[arg(long, value_name = "SELECTION")]
    tsa_config: Option<String>,

    /// Begin with this signing config; what is given takes the place of its services of that kind
    #[arg(long, value_name = "FILE", conflicts_with = "with_default_services")]
    base_config: Option<PathBuf>,

    /// Begin with the services of the public-good Sigstore; what is given stands beside them
    #[arg(long)]
    with_default_services: bool,

    /// Take no Fulcio from there
    #[arg(long)]
    no_default_fulcio: bool,

    /// Take no OIDC provider from there
    #[arg(long)]
    no_default_oidc: bool,

    /// Take no Rekor log from there
    #[arg(long)]
    no_default_rekor: bool,

    /// Take no timestamp authority from there
    #[arg(long)]
    no_default_tsa: bool,

    /// Write the file here; without it, to standard output
    #[arg(short, long, visible_alias = "out", value_name = "FILE")]
    output_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let config = create::create(args.parts()?);
    let bytes = config.to_json();
    let findings = lint::lint(&bytes, now()).map_err(|error| Failure::usage(error.to_string()))?;
    let (errors, warnings): (Vec<&Finding>, Vec<_>) = findings
        .iter()
        .partition(|each| each.severity() == Severity::Error);
    for each in warnings {
        warn(each);
    }
    if !errors.is_empty() {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Failure::usage(format!(
            "nobody can sign by this signing config: {}",
            errors.join("; ")
        )));
    }
    deliver(args.output_file.as_deref(), &bytes)?;
    Ok(exit::OK)
}

impl Args {
    fn parts(&self) -> Result<Parts, Failure> {
        let mut services = Vec::new();
        for (kind, flag, texts) in [
            (ServiceKind::Fulcio, "fulcio", &self.fulcio),
            (ServiceKind::Oidc, "oidc-provider", &self.oidc_provider),
            (ServiceKind::Rekor, "rekor", &self.rekor),
            (ServiceKind::Tsa, "tsa", &self.tsa),
        ] {
            for text in texts {
                let service = Service::from_words(text);
                let service = service.map_err(|error| wrong_words(flag, text, &error))?;
                services.push((kind, service));
            }
        }
        Ok(Parts {
            beginning: self.beginning()?,
            without: self.without(),
            services,
            rekor: selection("rekor-config", self.rekor_config.as_deref())?,
            tsa: selection("tsa-config", self.tsa_config.as_deref())?,
        })
    }

    fn beginning(&self) -> Result<Beginning, Failure> {
        if let Some(path) = &self.base_config {
            return read(path).map(Beginning::Base);
        }
        if !self.with_default_services {
            return Ok(Beginning::Nothing);
        }
        // What was recorded and refreshed is newer than what is built in.
        let material = trust::public(&Folder::usual())?;
        Ok(material
            .signing
            .map_or(Beginning::Nothing, Beginning::Defaults))
    }

    fn without(&self) -> Vec<ServiceKind> {
        let said = [
            (self.no_default_fulcio, ServiceKind::Fulcio),
            (self.no_default_oidc, ServiceKind::Oidc),
            (self.no_default_rekor, ServiceKind::Rekor),
            (self.no_default_tsa, ServiceKind::Tsa),
        ];
        let said = said.into_iter().filter(|(is_said, _)| *is_said);
        said.map(|(_, kind)| kind).collect()
    }
}

fn selection(flag: &str, text: Option<&str>) -> Result<Option<Selection>, Failure> {
    let parsed = text.map(Selection::parse).transpose();
    parsed.map_err(|error| Failure::usage(format!("--{flag}: {error}")))
}
