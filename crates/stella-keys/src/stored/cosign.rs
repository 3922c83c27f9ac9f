//! cosign's form of a private key behind a passphrase: scrypt, then NaCl's secretbox over PKCS#8, as JSON in PEM.

use aws_lc_rs::rand;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use stella_bundle::{json, pem};
use zeroize::Zeroizing;

use super::Passphrase;
use crate::signer::KeyError;

/// The label that is written.
const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// The labels that are read; the second is older.
pub(super) const LABELS: [&str; 2] = [LABEL, "ENCRYPTED COSIGN PRIVATE KEY"];

/// What scrypt is asked for, by the two settings that were ever written. Any other could be made to cost gigabytes.
const COSTS: [u32; 2] = [32_768, 65_536];
const BLOCK_SIZE: u32 = 8;
const PARALLEL: u32 = 1;
const SALT: usize = 32;
const NONCE: usize = 24;
const KEY: usize = 32;

#[derive(Serialize, Deserialize)]
struct Words {
    kdf: Kdf,
    cipher: Cipher,
    #[serde(with = "json::base64_bytes")]
    ciphertext: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Costs,
    #[serde(with = "json::base64_bytes")]
    salt: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Costs {
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    #[serde(with = "json::base64_bytes")]
    nonce: Vec<u8>,
}

/// Opens the content of a PEM block; returns PKCS#8.
pub(super) fn open(
    content: &[u8],
    passphrase: Passphrase<'_>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let damaged = KeyError::Text("a damaged key of cosign");
    let words: Words = serde_json::from_slice(content).map_err(|_| damaged.clone())?;
    if words.kdf.name != "scrypt" || words.cipher.name != "nacl/secretbox" {
        return Err(KeyError::Text("a key of cosign by unknown ciphers"));
    }
    let Costs { n, r, p } = words.kdf.params;
    if !COSTS.contains(&n) || r != BLOCK_SIZE || p != PARALLEL {
        return Err(KeyError::Cost);
    }
    if words.kdf.salt.len() != SALT || words.cipher.nonce.len() != NONCE {
        return Err(damaged);
    }
    let passphrase = passphrase().ok_or(KeyError::PassphraseNeeded)?;
    let key = stretch(&passphrase, &words.kdf.salt, n)?;
    let nonce = Nonce::from_slice(&words.cipher.nonce);
    let opened = XSalsa20Poly1305::new(Key::from_slice(key.as_slice()))
        .decrypt(nonce, words.ciphertext.as_slice())
        .map_err(|_| KeyError::PassphraseWrong)?;
    Ok(Zeroizing::new(opened))
}

/// Closes PKCS#8 behind a passphrase; returns PEM.
pub(super) fn seal(pkcs8: &[u8], passphrase: &str) -> Result<Zeroizing<String>, KeyError> {
    let (mut salt, mut nonce) = (vec![0; SALT], vec![0; NONCE]);
    for bytes in [&mut salt, &mut nonce] {
        rand::fill(bytes).map_err(|_| KeyError::Library)?;
    }
    let n = COSTS[1];
    let key = stretch(passphrase, &salt, n)?;
    let ciphertext = XSalsa20Poly1305::new(Key::from_slice(key.as_slice()))
        .encrypt(Nonce::from_slice(&nonce), pkcs8)
        .map_err(|_| KeyError::Library)?;
    let words = Words {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: Costs {
                n,
                r: BLOCK_SIZE,
                p: PARALLEL,
            },
            salt,
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce,
        },
        ciphertext,
    };
    let words = serde_json::to_vec(&words).map_err(|_| KeyError::Library)?;
    Ok(Zeroizing::new(pem::encode(LABEL, &words)))
}

fn stretch(passphrase: &str, salt: &[u8], n: u32) -> Result<Zeroizing<[u8; KEY]>, KeyError> {
    let log_n = u8::try_from(n.ilog2()).map_err(|_| KeyError::Cost)?;
    let params =
        scrypt::Params::new(log_n, BLOCK_SIZE, PARALLEL, KEY).map_err(|_| KeyError::Cost)?;
    let mut key = Zeroizing::new([0; KEY]);
    scrypt::scrypt(passphrase.as_bytes(), salt, &params, key.as_mut_slice())
        .map_err(|_| KeyError::Library)?;
    Ok(key)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_cost_that_nobody_writes_is_not_paid() {
        let text = seal(b"key", "x").unwrap();
        let content = pem::decode_all(&text).unwrap().swap_remove(0).der;
        let content = String::from_utf8(content).unwrap();
        for (from, to) in [
            ("\"N\":65536", "\"N\":1073741824"),
            ("\"N\":65536", "\"N\":65537"),
            ("\"r\":8", "\"r\":8000000"),
            ("\"p\":1", "\"p\":4000"),
        ] {
            let changed = content.replace(from, to);
            assert_ne!(changed, content);
            let mut never = || -> Option<Zeroizing<String>> { unreachable!("it costs too much") };
            assert_eq!(
                open(changed.as_bytes(), &mut never).unwrap_err(),
                KeyError::Cost
            );
        }
        for (from, to) in [
            ("scrypt", "argon2"),
            ("secretbox", "box"),
            ("\"salt\":\"", "\"salt\":\"AAAA"),
        ] {
            let mut asked = || Some(Zeroizing::new("x".to_owned()));
            let changed = content.replace(from, to);
            assert!(open(changed.as_bytes(), &mut asked).is_err(), "{from}");
        }
        // An older setting is read.
        let cheaper = content.replace("65536", "32768");
        let mut asked = || Some(Zeroizing::new("x".to_owned()));
        assert_eq!(
            open(cheaper.as_bytes(), &mut asked).unwrap_err(),
            KeyError::PassphraseWrong
        );
    }
}
