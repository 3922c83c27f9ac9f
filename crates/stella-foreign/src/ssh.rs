//! SSH signatures: what `ssh-keygen -Y sign` writes (OpenSSH, PROTOCOL.sshsig), and keys as lines of `.pub` files.
//!
//! Security keys (`sk-…`) and OpenSSH certificates are refused by name.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::{PublicKey, Scheme, sha256};
use stella_bundle::pem;

use crate::artifact::Artifact;
use crate::cursor::Cursor;
use crate::primitive::{Message, Primitive};
use crate::public_key::{self, Curve};
use crate::verified::{Found, Signed, Signer};
use crate::{ForeignError, Format};

/// The namespace of signatures over files, by the convention of `ssh-keygen`.
pub const FILE_NAMESPACE: &str = "file";

const FORMAT: Format = Format::Ssh;
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const LABEL: &str = "SSH SIGNATURE";
/// Signatures larger than this are refused: RSA of 4096 bits needs 1.2 KiB.
const MAX_SIGNATURE: usize = 16 * 1024;
/// More keys than this in a file are refused: it is one signer's, not a list of everybody's.
const MAX_KEYS: usize = 64;
/// Numbers longer than this are refused: RSA moduli end at 4096 bits, and one octet keeps them positive.
const MAX_NUMBER: usize = 513;

/// Verifies an SSH signature for `namespace`.
pub(crate) fn verify(
    signature: &[u8],
    key: &[u8],
    artifact: &mut Artifact<'_>,
    namespace: &str,
) -> Result<Found, ForeignError> {
    // 1. Read both files.
    let blob = dearmor(signature)?;
    let signature = SshSignature::parse(&blob)?;
    let keys = read_keys(key)?;
    // 2. It is for this purpose and by a given key.
    if signature.namespace != namespace.as_bytes() {
        return Err(ForeignError::Namespace {
            expected: namespace.to_owned(),
            found: String::from_utf8_lossy(signature.namespace).into_owned(),
        });
    }
    let Some(given) = keys.iter().find(|given| given.blob == signature.key) else {
        let expected: Vec<String> = keys.iter().map(|given| fingerprint(&given.blob)).collect();
        return Err(ForeignError::WrongKey {
            expected: expected.join(" or "),
            found: fingerprint(signature.key),
        });
    };
    let key = read_key(&given.blob)?;
    // 3. It is over the artifact.
    let (scheme, primitive) = read_primitive(signature.signature, &key)?;
    let digest = artifact.digest(signature.hash)?;
    let message = signature.message(digest.bytes())?;
    let proven = Primitive {
        key,
        certificate: None,
        scheme,
        message: Message::whole_for(scheme, &message),
        signature: primitive,
    }
    .verify()?;
    Ok(Found {
        signer: Signer::Ssh {
            fingerprint: fingerprint(&given.blob),
            comment: given.comment.clone(),
            namespace: namespace.to_owned(),
        },
        signed: Signed::Message(message),
        created: None,
        proven,
    })
}

fn dearmor(file: &[u8]) -> Result<Vec<u8>, ForeignError> {
    let expected = "one PEM block SSH SIGNATURE";
    let text = std::str::from_utf8(file)
        .map_err(|_| ForeignError::unexpected(FORMAT, expected, "bytes that are no text"))?;
    let blocks = pem::decode_all(text)?;
    match blocks.as_slice() {
        [only] if only.label == LABEL && only.der.len() <= MAX_SIGNATURE => Ok(only.der.clone()),
        [only] => {
            let found = format!("{} of {} bytes", only.label, only.der.len());
            Err(ForeignError::unexpected(FORMAT, expected, found))
        }
        several => {
            let found = format!("{} blocks", several.len());
            Err(ForeignError::unexpected(FORMAT, expected, found))
        }
    }
}

/// The fields of a signature (PROTOCOL.sshsig, "Blob format").
struct SshSignature<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    reserved: &'a [u8],
    hash: DigestAlgorithm,
    signature: &'a [u8],
}

impl<'a> SshSignature<'a> {
    fn parse(blob: &'a [u8]) -> Result<Self, ForeignError> {
        let mut fields = Cursor::new(FORMAT, blob);
        let magic = fields.take(MAGIC.len(), "SSHSIG")?;
        if magic != MAGIC {
            let found = hex::encode(magic);
            return Err(ForeignError::unexpected(FORMAT, "SSHSIG", found));
        }
        let version = fields.u32("a version")?;
        if version != VERSION {
            return Err(ForeignError::unsupported(
                FORMAT,
                format!("version {version}"),
            ));
        }
        let key = fields.string("a public key")?;
        let namespace = fields.string("a namespace")?;
        let reserved = fields.string("a reserved field")?;
        let hash = match fields.string("a hash algorithm")? {
            b"sha256" => DigestAlgorithm::Sha256,
            b"sha512" => DigestAlgorithm::Sha512,
            // spec: PROTOCOL.sshsig: no other hash is allowed.
            other => {
                let other = String::from_utf8_lossy(other);
                return Err(ForeignError::unsupported(FORMAT, format!("hash {other:?}")));
            }
        };
        let signature = fields.string("a signature")?;
        fields.finish()?;
        Ok(Self {
            key,
            namespace,
            reserved,
            hash,
            signature,
        })
    }

    /// Returns what is signed (PROTOCOL.sshsig, "Signed Data, of which the signature goes into the blob above").
    fn message(&self, artifact: &[u8]) -> Result<Vec<u8>, ForeignError> {
        let mut message = MAGIC.to_vec();
        let fields = [
            self.namespace,
            self.reserved,
            self.hash.name().as_bytes(),
            artifact,
        ];
        for field in fields {
            let length = u32::try_from(field.len()).map_err(|_| ForeignError::TooLarge {
                what: "a field of the signed data",
                length: field.len(),
                limit: MAX_SIGNATURE,
            })?;
            message.extend_from_slice(&length.to_be_bytes());
            message.extend_from_slice(field);
        }
        Ok(message)
    }
}

/// A key as a line of a `.pub` file: its blob and the comment after it.
struct GivenKey {
    blob: Vec<u8>,
    comment: String,
}

fn read_keys(file: &[u8]) -> Result<Vec<GivenKey>, ForeignError> {
    let expected = "a line with a public key";
    let text = std::str::from_utf8(file)
        .map_err(|_| ForeignError::unexpected(FORMAT, expected, "bytes that are no text"))?;
    if text.contains("PRIVATE KEY-----") {
        return Err(ForeignError::unsupported(FORMAT, "a private key"));
    }
    let is_key = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let lines: Vec<&str> = text.lines().map(str::trim).filter(is_key).collect();
    if lines.is_empty() {
        return Err(ForeignError::unexpected(FORMAT, expected, "none"));
    }
    if lines.len() > MAX_KEYS {
        return Err(ForeignError::TooLarge {
            what: "a list of keys",
            length: lines.len(),
            limit: MAX_KEYS,
        });
    }
    lines.into_iter().map(read_line).collect()
}

/// Reads `ssh-ed25519 AAAA… comment`.
fn read_line(line: &str) -> Result<GivenKey, ForeignError> {
    let expected = "a line with a public key";
    let mut words = line.splitn(3, [' ', '\t']);
    let (kind, body) = (words.next().unwrap_or_default(), words.next());
    let blob = body.and_then(|body| STANDARD.decode(body).ok());
    let Some(blob) = blob.filter(|blob| blob.len() <= MAX_SIGNATURE) else {
        let found: String = line.chars().take(40).collect();
        return Err(ForeignError::unexpected(
            FORMAT,
            expected,
            format!("{found:?}"),
        ));
    };
    let named = Cursor::new(FORMAT, &blob).string("a kind of key")?;
    if named != kind.as_bytes() {
        let found = String::from_utf8_lossy(named).into_owned();
        let expected = "a key of the kind that its line names";
        return Err(ForeignError::unexpected(FORMAT, expected, found));
    }
    Ok(GivenKey {
        blob,
        comment: words.next().unwrap_or_default().trim().to_owned(),
    })
}

/// Reads a key's blob (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4).
fn read_key(blob: &[u8]) -> Result<PublicKey, ForeignError> {
    let mut fields = Cursor::new(FORMAT, blob);
    let kind = fields.string("a kind of key")?;
    let key = match kind {
        b"ssh-ed25519" => public_key::ed25519(fields.string("a public key")?)?,
        b"ssh-rsa" => {
            let exponent = read_number(&mut fields)?;
            let modulus = read_number(&mut fields)?;
            public_key::rsa(modulus, exponent)?
        }
        b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" | b"ecdsa-sha2-nistp521" => {
            let curve = fields.string("a curve")?;
            let curve = match (kind, curve) {
                (b"ecdsa-sha2-nistp256", b"nistp256") => Curve::P256,
                (b"ecdsa-sha2-nistp384", b"nistp384") => Curve::P384,
                (b"ecdsa-sha2-nistp521", b"nistp521") => Curve::P521,
                (_, other) => {
                    let found = String::from_utf8_lossy(other).into_owned();
                    return Err(ForeignError::unexpected(FORMAT, "the kind's curve", found));
                }
            };
            public_key::ecdsa(curve, fields.string("a point")?)?
        }
        other => {
            let feature = format!("a key of kind {:?}", String::from_utf8_lossy(other));
            return Err(ForeignError::unsupported(FORMAT, feature));
        }
    };
    fields.finish()?;
    Ok(key)
}

/// Reads the signature's own blob; it names its scheme, which must be one of the key's.
fn read_primitive(blob: &[u8], key: &PublicKey) -> Result<(Scheme, Vec<u8>), ForeignError> {
    let mut fields = Cursor::new(FORMAT, blob);
    let kind = fields.string("a kind of signature")?;
    let bytes = fields.string("a signature")?;
    fields.finish()?;
    let scheme = match kind {
        b"ssh-ed25519" => Scheme::Ed25519,
        b"rsa-sha2-256" => Scheme::RsaPkcs1(DigestAlgorithm::Sha256),
        b"rsa-sha2-512" => Scheme::RsaPkcs1(DigestAlgorithm::Sha512),
        // spec: PROTOCOL.sshsig: RSA signs by RFC 8332, never over SHA-1.
        b"ssh-rsa" => return Err(ForeignError::WeakHash { name: "SHA-1" }),
        b"ecdsa-sha2-nistp256" => Scheme::Ecdsa(DigestAlgorithm::Sha256),
        b"ecdsa-sha2-nistp384" => Scheme::Ecdsa(DigestAlgorithm::Sha384),
        b"ecdsa-sha2-nistp521" => Scheme::Ecdsa(DigestAlgorithm::Sha512),
        other => {
            let feature = format!("a signature of kind {:?}", String::from_utf8_lossy(other));
            return Err(ForeignError::unsupported(FORMAT, feature));
        }
    };
    let Scheme::Ecdsa(_) = scheme else {
        return Ok((scheme, bytes.to_vec()));
    };
    if key.default_scheme() != scheme {
        let found = String::from_utf8_lossy(kind).into_owned();
        let expected = "a signature of the key's kind";
        return Err(ForeignError::unexpected(FORMAT, expected, found));
    }
    // spec: RFC 5656 §3.1.2: two numbers.
    let mut numbers = Cursor::new(FORMAT, bytes);
    let (r, s) = (read_number(&mut numbers)?, read_number(&mut numbers)?);
    numbers.finish()?;
    Ok((scheme, public_key::ecdsa_signature(r, s)))
}

/// Reads a positive mpint in its only encoding (RFC 4251 §5).
fn read_number<'a>(fields: &mut Cursor<'a>) -> Result<&'a [u8], ForeignError> {
    let expected = "a positive number without needless zeros";
    let bytes = fields.string(expected)?;
    let magnitude = match bytes {
        [0, rest @ ..] if rest.first() > Some(&0x7f) => Some(rest),
        [0x01..=0x7f, ..] => Some(bytes),
        _ => None,
    };
    magnitude
        .filter(|each| each.len() < MAX_NUMBER)
        .ok_or_else(|| {
            let found = format!("{} bytes of another form", bytes.len());
            ForeignError::unexpected(FORMAT, expected, found)
        })
}

/// Returns the fingerprint as ssh-keygen prints it.
fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(blob)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    fn strings(list: &[&[u8]]) -> Vec<u8> {
        list.iter().flat_map(|each| string(each)).collect()
    }

    fn error(key: &[u8], hash: &[u8], signature: &[u8]) -> ForeignError {
        let head = [MAGIC, &VERSION.to_be_bytes()].concat();
        let fields = strings(&[key, b"file", b"", hash, signature]);
        let armored = pem::encode(LABEL, &[head, fields].concat());
        let kind = Cursor::new(FORMAT, key).string("").unwrap();
        let kind = String::from_utf8_lossy(kind);
        let line = format!("{kind} {}\n", STANDARD.encode(key));
        let mut reader = &b"a file"[..];
        let mut artifact = Artifact::new(&mut reader);
        verify(armored.as_bytes(), line.as_bytes(), &mut artifact, "file")
            .err()
            .unwrap()
    }

    #[test]
    fn security_keys_certificates_and_sha1_are_refused_by_name() {
        let security_key = strings(&[b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:"]);
        let certificate = strings(&[b"ssh-ed25519-cert-v01@openssh.com", &[7; 32]]);
        for (key, name) in [
            (security_key, "sk-ssh-ed25519@openssh.com"),
            (certificate, "ssh-ed25519-cert-v01@openssh.com"),
        ] {
            let feature = format!("a key of kind {name:?}");
            let error = error(&key, b"sha512", &strings(&[b"", b""]));
            assert_eq!(error, ForeignError::unsupported(FORMAT, feature));
        }
        let modulus = [&[0, 0x80][..], &[1; 255]].concat();
        let rsa = strings(&[b"ssh-rsa", &[1, 0, 1], &modulus]);
        let sha1 = strings(&[b"ssh-rsa", &[1; 256]]);
        let weak = ForeignError::WeakHash { name: "SHA-1" };
        assert_eq!(error(&rsa, b"sha512", &sha1), weak);
        let feature = "hash \"sha1\"";
        let unsupported = ForeignError::unsupported(FORMAT, feature);
        assert_eq!(error(&rsa, b"sha1", &sha1), unsupported);
    }

    #[test]
    fn numbers_have_one_encoding() {
        for bytes in [
            &[][..],
            &[0],
            &[0, 1],
            &[0x80],
            &[0, 0, 0x80],
            &[1; MAX_NUMBER],
        ] {
            let field = string(bytes);
            assert!(
                read_number(&mut Cursor::new(FORMAT, &field)).is_err(),
                "{bytes:?}"
            );
        }
        for (bytes, magnitude) in [(&[1][..], &[1][..]), (&[0, 0x80], &[0x80])] {
            let field = string(bytes);
            let read = read_number(&mut Cursor::new(FORMAT, &field));
            assert_eq!(read, Ok(magnitude));
        }
    }
}
