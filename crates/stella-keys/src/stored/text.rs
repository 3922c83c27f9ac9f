//! Which form a text with a private key has, and PKCS#8 out of it.

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{EncryptionScheme, Error as Pkcs5Error};
use stella_bundle::asn1::{self, tag};
use stella_bundle::key::{EC_PUBLIC_KEY, RSA_ENCRYPTION};
use stella_bundle::pem;
use zeroize::{Zeroize as _, Zeroizing};

use super::{PLAIN, Passphrase, cosign, openssh};
use crate::signer::KeyError;

/// Rounds of PBKDF2; OpenSSL writes 2048, careful people a million.
const MAX_ROUNDS: u32 = 10_000_000;
/// What scrypt may cost for PKCS#8: a gibibyte (`128 * N * r`).
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

/// Returns the PrivateKeyInfo in DER of a key in any form.
pub(super) fn to_pkcs8(
    text: &[u8],
    passphrase: Passphrase<'_>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let Some(text) = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.contains("-----BEGIN"))
    else {
        return from_der(text, passphrase);
    };
    if text.contains("Proc-Type:") {
        return Err(KeyError::Text(
            "a PEM key encrypted as OpenSSL did before PKCS#8 (convert it: openssl pkcs8 -topk8)",
        ));
    }
    let no_pem = |_| KeyError::Text("damaged PEM");
    let mut blocks = pem::decode_all(text).map_err(no_pem)?;
    // OpenSSL writes the curve before the key.
    let is_key = |block: &&pem::Block| block.label != "EC PARAMETERS";
    let mut keys = blocks.iter().filter(is_key);
    let read = match (keys.next(), keys.next()) {
        (Some(block), None) => from_block(block, passphrase),
        (None, _) => Err(KeyError::Text("PEM without a private key")),
        (Some(_), Some(_)) => Err(KeyError::Text(
            "several PEM blocks where one key is expected",
        )),
    };
    blocks.iter_mut().for_each(|block| block.der.zeroize());
    read
}

fn from_block(
    block: &pem::Block,
    passphrase: Passphrase<'_>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    match block.label.as_str() {
        PLAIN => Ok(Zeroizing::new(block.der.clone())),
        "ENCRYPTED PRIVATE KEY" => decrypt(&block.der, passphrase),
        "RSA PRIVATE KEY" => Ok(of_rsa(&block.der)),
        "EC PRIVATE KEY" => of_ec(&block.der),
        "OPENSSH PRIVATE KEY" => openssh::read(&block.der, passphrase),
        label if cosign::LABELS.contains(&label) => cosign::open(&block.der, passphrase),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            Err(KeyError::Text("a public key where a private one is needed"))
        }
        "CERTIFICATE" => Err(KeyError::Text(
            "a certificate where a private key is needed",
        )),
        _ => Err(KeyError::Text("PEM of another kind than a private key")),
    }
}

/// Reads DER: which form it is shows in its second element.
fn from_der(der: &[u8], passphrase: Passphrase<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unknown = |_| KeyError::Text("a text that is no private key in a form known here");
    let mut reader = asn1::only_sequence(der).map_err(unknown)?;
    let first = reader.tlv().map_err(unknown)?;
    let second = reader.tlv().map_err(unknown)?;
    match (first.tag, second.tag) {
        (tag::SEQUENCE, tag::OCTET_STRING) => decrypt(der, passphrase),
        (tag::INTEGER, tag::SEQUENCE) => Ok(Zeroizing::new(der.to_vec())),
        (tag::INTEGER, tag::INTEGER) => Ok(of_rsa(der)),
        (tag::INTEGER, tag::OCTET_STRING) => of_ec(der),
        _ => Err(KeyError::Text(
            "a text that is no private key in a form known here",
        )),
    }
}

/// Decrypts EncryptedPrivateKeyInfo (RFC 5958 §3) by PBES2.
fn decrypt(der: &[u8], passphrase: Passphrase<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // PBES1, which is broken, among others.
    let unknown = KeyError::Text(
        "an encrypted PKCS#8 key that is damaged, or by an old cipher (convert it: openssl pkcs8 -topk8)",
    );
    let Ok(sealed) = EncryptedPrivateKeyInfo::try_from(der) else {
        return Err(unknown);
    };
    let EncryptionScheme::Pbes2(scheme) = &sealed.encryption_algorithm else {
        return Err(unknown);
    };
    let is_bearable = match &scheme.kdf {
        Kdf::Pbkdf2(params) => params.iteration_count <= MAX_ROUNDS,
        Kdf::Scrypt(params) => {
            let bytes = params
                .cost_parameter
                .saturating_mul(128)
                .saturating_mul(params.block_size.into())
                .saturating_mul(params.parallelization.into());
            bytes <= MAX_SCRYPT_BYTES
        }
        _ => false,
    };
    if !is_bearable {
        return Err(KeyError::Cost);
    }
    let passphrase = passphrase().ok_or(KeyError::PassphraseNeeded)?;
    match sealed
        .encryption_algorithm
        .decrypt(passphrase.as_bytes(), sealed.encrypted_data)
    {
        Ok(opened) => {
            let opened = Zeroizing::new(opened);
            // A wrong passphrase comes through the padding once in 256 times.
            asn1::only_sequence(&opened).map_err(|_| KeyError::PassphraseWrong)?;
            Ok(opened)
        }
        Err(Pkcs5Error::DecryptFailed | Pkcs5Error::EncryptFailed) => {
            Err(KeyError::PassphraseWrong)
        }
        Err(_) => Err(unknown),
    }
}

/// Wraps an RSAPrivateKey (RFC 8017 A.1.2).
pub(super) fn of_rsa(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    wrap(&[&asn1::oid(&RSA_ENCRYPTION), &asn1::null()], pkcs1)
}

/// Wraps an ECPrivateKey (RFC 5915), which must name its curve.
fn of_ec(sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const PARAMETERS: u8 = 0xa0;
    let damaged = |_| KeyError::Text("a damaged EC key");
    let mut reader = asn1::only_sequence(sec1).map_err(damaged)?;
    reader.expect(tag::INTEGER).map_err(damaged)?;
    reader.expect(tag::OCTET_STRING).map_err(damaged)?;
    let curve = reader.optional(PARAMETERS).map_err(damaged)?;
    let curve = curve.ok_or(KeyError::Text("an EC key that does not name its curve"))?;
    let curve = curve.reader().tlv().and_then(|each| each.to_oid());
    let curve = asn1::oid(&curve.map_err(|_| KeyError::UnsupportedKind)?);
    Ok(wrap(&[&asn1::oid(&EC_PUBLIC_KEY), &curve], sec1))
}

/// Makes a PrivateKeyInfo of an algorithm and a key in its own form.
pub(super) fn wrap(algorithm: &[&[u8]], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = Zeroizing::new(asn1::octet_string(key));
    Zeroizing::new(asn1::sequence(&[
        &asn1::small(0),
        &asn1::sequence(algorithm),
        &key,
    ]))
}
