//! A signature that another tool made, as flags name it: verified here before anything else.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use stella_attest::file;
use stella_bundle::digest::DigestAlgorithm;
use stella_client::download;
use stella_client::error::ClientError;
use stella_client::network::{Network, NetworkOptions};
use stella_foreign::{Asked, Format, MAX_INPUT, Verified};
use stella_server::{Clock as _, SystemClock};
use url::Url;

use crate::exit::{self, Failure};
use crate::terminal;

/// Bytes of an artifact that is fetched; it is held in memory. Larger ones are fetched by whoever has room for them.
const MAX_FETCHED: usize = 512 << 20;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A signature, its key and what it is over.
#[derive(Debug, clap::Args)]
pub(super) struct ForeignFlags {
    /// The file that was signed, or its https address
    #[arg(long, value_name = "FILE|URL")]
    artifact: String,

    /// The detached signature; TUF metadata has its signatures inside
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    /// The public key or certificate of whoever signed; for TUF the root
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,

    /// The signature's format: pgp, minisign, ssh, pkcs7, x509 or tuf; auto looks at the files
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pki_format: String,

    /// What an SSH signature must be made for
    #[arg(long, value_name = "NAMESPACE", default_value = stella_foreign::FILE_NAMESPACE)]
    namespace: String,
}

/// What was signed, at hand.
pub(super) struct Artifact {
    /// Its file's name, for attestations; none where an address has none.
    pub(super) name: Option<String>,
    /// What files about it are named after: its path, or the last part of its address.
    stem: PathBuf,
    /// Its bytes, where they were fetched.
    fetched: Option<Bytes>,
}

/// Whether an artifact may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// An address is asked.
    Allowed,
    /// No socket is opened.
    Offline,
}

/// A signature that is good.
pub(super) struct Foreign {
    pub(super) verified: Verified,
    pub(super) signature: Vec<u8>,
    pub(super) public_key: Vec<u8>,
}

impl Artifact {
    /// Returns the path of a file about it, beside it or, for what was fetched, here.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    fn of_file(path: &Path) -> Self {
        Self {
            name: path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
            stem: path.to_owned(),
            fetched: None,
        }
    }

    /// Fetches what is at an address, and says what came.
    async fn of_address(address: &Url) -> Result<Self, Failure> {
        let options = NetworkOptions {
            deadline: PATIENCE,
            ..NetworkOptions::default()
        };
        let network = Network::new(options);
        let bytes = download::fetch(&network, address, MAX_FETCHED).await;
        let bytes = bytes.map_err(|error| match error {
            ClientError::Refused {
                status: 404 | 410, ..
            } => Failure::new(exit::NO_ARTIFACT, error.to_string()).page("no-artifact"),
            error => error.into(),
        })?;
        let digest = DigestAlgorithm::Sha256.digest(&bytes);
        terminal::tell(&format!("fetched {} bytes, {digest}", bytes.len()));
        let last = address.path_segments().and_then(Iterator::last);
        // A name of a file, and no way to another folder.
        let is_name = |name: &&str| !name.is_empty() && !name.contains(['%', '\\', ':']);
        let name = last.filter(is_name).map(str::to_owned);
        Ok(Self {
            stem: PathBuf::from(name.as_deref().unwrap_or("artifact")),
            name,
            fetched: Some(bytes),
        })
    }

    /// Opens it, to be read.
    fn open(&self) -> Result<Box<dyn Read + '_>, Failure> {
        if let Some(bytes) = &self.fetched {
            return Ok(Box::new(bytes.as_ref()));
        }
        let file = File::open(&self.stem).map_err(|error| {
            let path = self.stem.display();
            Failure::new(exit::NO_ARTIFACT, format!("cannot read {path}: {error}"))
                .page("no-artifact")
        })?;
        Ok(Box::new(file))
    }
}

impl ForeignFlags {
    /// Gets hold of the artifact.
    pub(super) async fn artifact(&self, fetch: Fetch) -> Result<Artifact, Failure> {
        let is_address = ["https://", "http://"]
            .iter()
            .any(|scheme| self.artifact.starts_with(scheme));
        if !is_address {
            return Ok(Artifact::of_file(Path::new(&self.artifact)));
        }
        if fetch == Fetch::Offline {
            let message = format!(
                "{} is at an address, and --offline opens no socket",
                self.artifact
            );
            return Err(Failure::new(exit::NETWORK_NEEDED, message)
                .hint("fetch it first, and name the file")
                .page("network-needed"));
        }
        Artifact::of_address(&crate::local::parse_url(&self.artifact)?).await
    }

    /// Reads and verifies what the flags name.
    pub(super) fn verify(&self, artifact: &Artifact) -> Result<Foreign, Failure> {
        let public_key = self.key()?;
        let signature = match (&self.signature, self.pki_format.as_str()) {
            (Some(path), _) => read(path)?,
            (None, "tuf") => whole(artifact)?,
            (None, _) => return Err(Failure::usage("--signature FILE is needed")),
        };
        self.judge(artifact, signature, public_key)
    }

    /// Reads the key, which the caller must believe.
    pub(super) fn key(&self) -> Result<Vec<u8>, Failure> {
        let path = self.public_key.as_deref();
        let path = path.ok_or_else(|| {
            Failure::usage("--public-key FILE is needed")
                .hint("the key in the proof is whoever's: name the one that you believe")
        })?;
        read(path)
    }

    /// Reads the signature, or takes the one that is known.
    pub(super) fn signature_or(&self, known: Vec<u8>) -> Result<Vec<u8>, Failure> {
        self.signature.as_deref().map_or(Ok(known), read)
    }

    /// Verifies a signature and a key that were read already.
    pub(super) fn judge(
        &self,
        artifact: &Artifact,
        signature: Vec<u8>,
        public_key: Vec<u8>,
    ) -> Result<Foreign, Failure> {
        let format = self.format(&signature, &public_key)?;
        let mut artifact = artifact.open()?;
        let asked = Asked {
            namespace: &self.namespace,
            ..Asked::at(SystemClock.now())
        };
        let verified =
            stella_foreign::verify(format, &signature, &public_key, &mut artifact, &asked);
        let verified = verified.map_err(|error| {
            Failure::new(
                exit::SIGNATURE,
                format!("the {format} signature is refused: {error}"),
            )
            .page("bad-signature")
        })?;
        Ok(Foreign {
            verified,
            signature,
            public_key,
        })
    }

    fn format(&self, signature: &[u8], public_key: &[u8]) -> Result<Format, Failure> {
        if self.pki_format == "auto" {
            return stella_foreign::detect(signature, public_key).ok_or_else(|| {
                Failure::usage("the signature looks like none that is known here")
                    .hint(format!("say what it is with --pki-format {}", names()))
            });
        }
        Format::from_name(&self.pki_format).ok_or_else(|| {
            let given = &self.pki_format;
            Failure::usage(format!(
                "--pki-format {given:?} is none of auto, {}",
                names()
            ))
        })
    }
}

fn names() -> String {
    Format::ALL.map(Format::name).join(", ")
}

/// Reads an artifact that is its own signature.
fn whole(artifact: &Artifact) -> Result<Vec<u8>, Failure> {
    match &artifact.fetched {
        Some(bytes) => Ok(bytes.to_vec()),
        None => read(&artifact.stem),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    file::read(path, MAX_INPUT)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}
