//! minisign signatures, of whole files and prehashed by BLAKE2b, with their signed comment.
//!
//! The format is described at minisign's own page: two comments, two lines of base64; signify's files lack the second
//! pair and are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use stella_bundle::key::{PublicKey, Scheme};
use stella_bundle::time::UnixTime;

use crate::artifact::Artifact;
use crate::cursor::Cursor;
use crate::primitive::{Message, Primitive};
use crate::public_key;
use crate::verified::{Found, Signed, Signer};
use crate::{ForeignError, Format};

const FORMAT: Format = Format::Minisign;
const UNTRUSTED: &str = "untrusted comment:";
const TRUSTED: &str = "trusted comment: ";
/// Of a key, and of a signature over the whole file.
const PLAIN: [u8; 2] = *b"Ed";
/// Of a signature over the file's BLAKE2b-512.
const PREHASHED: [u8; 2] = *b"ED";
/// Files larger than this are refused; minisign reads comments of 1 and 8 KiB at most.
const MAX_FILE: usize = 16 * 1024;

/// Verifies a minisign signature and its comment.
pub(crate) fn verify(
    signature: &[u8],
    key: &[u8],
    artifact: &mut Artifact<'_>,
) -> Result<Found, ForeignError> {
    let signature = MinisignSignature::parse(signature)?;
    let given = MinisignKey::parse(key)?;
    if given.id != signature.key_id {
        return Err(ForeignError::WrongKey {
            expected: id_text(given.id),
            found: id_text(signature.key_id),
        });
    }
    let (signed, message) = match signature.form {
        Form::Plain => (Signed::Artifact, artifact.whole()?),
        Form::Prehashed => {
            let mut hash = Blake2b512::new();
            artifact.each(|piece| {
                hash.update(piece);
                Ok(())
            })?;
            let hash = hash.finalize().to_vec();
            (Signed::Message(hash.clone()), hash)
        }
    };
    let primitive = |message, signature: [u8; 64]| Primitive {
        key: given.key.clone(),
        certificate: None,
        scheme: Scheme::Ed25519,
        message: Message::Whole(message),
        signature: signature.to_vec(),
    };
    let proven = primitive(message, signature.signature).verify()?;
    // The comment is signed together with the signature, by a second one.
    let comment = signature.trusted_comment;
    let both = [&signature.signature, comment.as_bytes()].concat();
    primitive(both, signature.global_signature).verify()?;
    Ok(Found {
        signer: Signer::Minisign {
            key_id: id_text(given.id),
            trusted_comment: comment.to_owned(),
        },
        signed,
        created: created(comment),
        proven,
    })
}

#[derive(Clone, Copy)]
enum Form {
    Plain,
    Prehashed,
}

/// The four lines of a signature file.
struct MinisignSignature<'a> {
    form: Form,
    key_id: [u8; 8],
    signature: [u8; 64],
    trusted_comment: &'a str,
    global_signature: [u8; 64],
}

impl<'a> MinisignSignature<'a> {
    fn parse(file: &'a [u8]) -> Result<Self, ForeignError> {
        let mut lines = text(file)?.lines();
        require_comment(lines.next())?;
        let packed = base64(lines.next(), "a signature in base64")?;
        let comment = lines.next().and_then(|line| line.strip_prefix(TRUSTED));
        let trusted_comment = comment.ok_or_else(|| {
            ForeignError::unexpected(FORMAT, "a line \"trusted comment: \"", "another or none")
        })?;
        let global = base64(lines.next(), "a signature of the comment in base64")?;
        if lines.next().is_some() {
            return Err(ForeignError::unexpected(FORMAT, "four lines", "more"));
        }
        let mut fields = Cursor::new(FORMAT, &packed);
        let form = match fields.array("an algorithm")? {
            PLAIN => Form::Plain,
            PREHASHED => Form::Prehashed,
            other => return Err(unknown_algorithm(other)),
        };
        let (key_id, signature) = (fields.array("a key id")?, fields.array("64 bytes")?);
        fields.finish()?;
        let mut fields = Cursor::new(FORMAT, &global);
        let global_signature = fields.array("64 bytes")?;
        fields.finish()?;
        Ok(Self {
            form,
            key_id,
            signature,
            trusted_comment,
            global_signature,
        })
    }
}

struct MinisignKey {
    id: [u8; 8],
    key: PublicKey,
}

impl MinisignKey {
    /// Reads a key file, or its second line alone, which minisign takes on its command line.
    fn parse(file: &[u8]) -> Result<Self, ForeignError> {
        let text = text(file)?;
        let mut lines = text.lines();
        if text.starts_with(UNTRUSTED) {
            lines.next();
        }
        let packed = base64(lines.next(), "a public key in base64")?;
        if lines.any(|line| !line.trim().is_empty()) {
            return Err(ForeignError::unexpected(
                FORMAT,
                "one public key",
                "more lines",
            ));
        }
        let mut fields = Cursor::new(FORMAT, &packed);
        let algorithm: [u8; 2] = fields.array("an algorithm")?;
        if algorithm != PLAIN {
            return Err(unknown_algorithm(algorithm));
        }
        let id = fields.array("a key id")?;
        let key = public_key::ed25519(fields.take(32, "32 bytes")?)?;
        fields.finish()?;
        Ok(Self { id, key })
    }
}

fn text(file: &[u8]) -> Result<&str, ForeignError> {
    if file.len() > MAX_FILE {
        return Err(ForeignError::TooLarge {
            what: "a minisign file",
            length: file.len(),
            limit: MAX_FILE,
        });
    }
    std::str::from_utf8(file)
        .map_err(|_| ForeignError::unexpected(FORMAT, "lines of text", "bytes that are no text"))
}

fn require_comment(line: Option<&str>) -> Result<(), ForeignError> {
    if line.is_some_and(|line| line.starts_with(UNTRUSTED)) {
        return Ok(());
    }
    let expected = "a line \"untrusted comment:\"";
    Err(ForeignError::unexpected(
        FORMAT,
        expected,
        "another or none",
    ))
}

fn base64(line: Option<&str>, expected: &'static str) -> Result<Vec<u8>, ForeignError> {
    let line = line.ok_or_else(|| ForeignError::unexpected(FORMAT, expected, "the end"))?;
    STANDARD
        .decode(line.trim_end())
        .map_err(|_| ForeignError::unexpected(FORMAT, expected, "something else"))
}

fn unknown_algorithm(found: [u8; 2]) -> ForeignError {
    let feature = format!("algorithm {:?}", String::from_utf8_lossy(&found));
    ForeignError::unsupported(FORMAT, feature)
}

/// Prints a key id as minisign does: a little-endian number in hex.
fn id_text(id: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(id))
}

/// Reads the time from the comment that minisign writes by itself: `timestamp:1700000000` and a tab.
fn created(comment: &str) -> Option<UnixTime> {
    let number = comment.split('\t').next()?.strip_prefix("timestamp:")?;
    let seconds = number.trim().parse().ok()?;
    Some(UnixTime::from_seconds(seconds))
}
