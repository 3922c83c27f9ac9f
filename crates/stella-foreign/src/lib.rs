//! Detached signatures made by other tools: read, verified, and what of each a transparency log verifies by itself.
//!
//! Pure: bytes and a time come in, a [`Verified`] goes out. Making such signatures, logging them and attesting them
//! anew is not here. The story is [`verify`]; each format has its own file.

mod artifact;
mod cursor;
mod error;
mod format;
mod given;
mod loggable;
mod minisign;
mod openpgp;
mod pkcs7;
mod primitive;
mod public_key;
mod ssh;
mod tuf;
mod verified;
mod x509;

pub use error::ForeignError;
pub use format::{Format, detect};
pub use loggable::{Loggable, Native, Reason};
pub use ssh::FILE_NAMESPACE;
pub use verified::{Signed, Signer, Verified};

use std::io::Read;

use stella_bundle::time::UnixTime;

use artifact::Artifact;

/// A signature or key file larger than this is refused; a keyring of a whole distribution is smaller.
pub const MAX_INPUT: usize = 5_000_000;

/// What the caller knows besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The time at which keys and signatures must not have ended.
    pub now: UnixTime,
    /// The namespace that an SSH signature must be made for; other formats have none.
    pub namespace: &'a str,
}

impl Asked<'_> {
    /// Returns what is asked of a signature under a file, now.
    pub const fn at(now: UnixTime) -> Self {
        Self {
            now,
            namespace: FILE_NAMESPACE,
        }
    }
}

/// Verifies a detached signature over `artifact` with the key or certificate in `key`.
///
/// The key is believed because the caller names it: chains of certificates lead nowhere but to a given certificate, and
/// webs of trust are not looked at. TUF metadata holds its own signatures; there the artifact is the metadata and
/// `signature` is empty or the same bytes.
///
/// # Errors
/// Any [`ForeignError`].
pub fn verify(
    format: Format,
    signature: &[u8],
    key: &[u8],
    artifact: &mut impl Read,
    asked: &Asked<'_>,
) -> Result<Verified, ForeignError> {
    require_size("a signature file", signature)?;
    require_size("a key file", key)?;
    let mut artifact = Artifact::new(artifact);
    let found = match format {
        Format::Minisign => minisign::verify(signature, key, &mut artifact)?,
        Format::Pgp => openpgp::verify(signature, key, &mut artifact, asked.now)?,
        Format::Pkcs7 => pkcs7::verify(signature, key, &mut artifact)?,
        Format::Ssh => ssh::verify(signature, key, &mut artifact, asked.namespace)?,
        Format::Tuf => tuf::verify(signature, key, &mut artifact, asked.now)?,
        Format::X509 => x509::verify(signature, key, &mut artifact)?,
    };
    Ok(Verified::new(format, found, artifact.finish()?))
}

fn require_size(what: &'static str, bytes: &[u8]) -> Result<(), ForeignError> {
    let length = bytes.len();
    if length <= MAX_INPUT {
        return Ok(());
    }
    Err(ForeignError::TooLarge {
        what,
        length,
        limit: MAX_INPUT,
    })
}
