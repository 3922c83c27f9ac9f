//! A signature that another tool made, as flags name it: verified here before anything else.

use std::fs::File;
use std::path::{Path, PathBuf};

use stella_attest::file;
use stella_foreign::{Asked, Format, MAX_INPUT, Verified};
use stella_server::{Clock as _, SystemClock};

use crate::exit::{self, Failure};

/// A signature, its key and what it is over.
#[derive(Debug, clap::Args)]
pub(super) struct ForeignFlags {
    /// The file that was signed
    #[arg(long, value_name = "FILE")]
    pub(super) artifact: PathBuf,

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

/// A signature that is good.
pub(super) struct Foreign {
    pub(super) verified: Verified,
    pub(super) signature: Vec<u8>,
    pub(super) public_key: Vec<u8>,
}

impl ForeignFlags {
    /// Reads and verifies what the flags name.
    pub(super) fn verify(&self) -> Result<Foreign, Failure> {
        let public_key = self.key()?;
        let signature = match (&self.signature, self.pki_format.as_str()) {
            (Some(path), _) => read(path)?,
            (None, "tuf") => read(&self.artifact)?,
            (None, _) => return Err(Failure::usage("--signature FILE is needed")),
        };
        self.judge(signature, public_key)
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
        signature: Vec<u8>,
        public_key: Vec<u8>,
    ) -> Result<Foreign, Failure> {
        let format = self.format(&signature, &public_key)?;
        let mut artifact = File::open(&self.artifact).map_err(|error| {
            let path = self.artifact.display();
            Failure::new(exit::NO_ARTIFACT, format!("cannot read {path}: {error}"))
                .page("no-artifact")
        })?;
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

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    file::read(path, MAX_INPUT)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}
