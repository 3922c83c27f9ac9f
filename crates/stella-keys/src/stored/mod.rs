//! A long-lived key that rests as text: in a file, in a variable of the environment. Every form that openssl, ssh-keygen and
//! cosign write is read; what we write is cosign's own form behind a passphrase, or plain PKCS#8.

mod cosign;
mod openssh;
mod text;

use stella_bundle::asn1::{self, tag};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::key::{
    EC_PUBLIC_KEY, ED25519, KeyDetails, KeyKind, ML_DSA_44, ML_DSA_65, ML_DSA_87, PublicKey,
    RSA_ENCRYPTION, SECP256R1, SECP384R1, SECP521R1,
};
use stella_bundle::pem;
use zeroize::Zeroizing;

use crate::private::PrivateKey;
use crate::signer::{KeyError, Signer};

/// Bytes of a text with a key; RSA 4096 needs 3.3 KiB, ten times that in cosign's form at most.
pub const MAX_TEXT: usize = 64 << 10;

/// PEM label of an unencrypted key (RFC 5958 §5).
const PLAIN: &str = "PRIVATE KEY";

/// Asks for the passphrase of a key; none when there is none to be had.
pub type Passphrase<'a> = &'a mut dyn FnMut() -> Option<Zeroizing<String>>;

/// A private key as it is stored.
pub struct StoredKey {
    /// PrivateKeyInfo in DER (RFC 5958).
    pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

impl StoredKey {
    /// Makes a new key for `details`.
    ///
    /// # Errors
    /// `Unsupported`, `Library`.
    pub fn generate(details: KeyDetails) -> Result<Self, KeyError> {
        let key = PrivateKey::generate(details)?;
        Ok(Self {
            pkcs8: key.to_pkcs8()?,
            public: key.public_key().clone(),
        })
    }

    /// Reads a key: PKCS#8 (plain, or encrypted by PBES2), PKCS#1, SEC1 and OpenSSH (encrypted or not), in PEM or DER, and
    /// cosign's own form. Asks for the passphrase only when one is needed.
    ///
    /// # Errors
    /// `Text` when it is none of these or is damaged; `PassphraseNeeded`, `PassphraseWrong`; `Cost` when to try the passphrase
    /// would take too much time or memory; `UnsupportedKind` for curves and sizes that Sigstore does not use.
    pub fn read(text: &[u8], passphrase: Passphrase<'_>) -> Result<Self, KeyError> {
        if text.len() > MAX_TEXT {
            return Err(KeyError::Text("a text that is too long for a key"));
        }
        Self::from_pkcs8(text::to_pkcs8(text, passphrase)?)
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let mut tried = Err(KeyError::UnsupportedKind);
        for details in candidates(&pkcs8)? {
            tried = PrivateKey::from_pkcs8(&pkcs8, *details);
            if tried.is_ok() {
                break;
            }
        }
        let public = match tried {
            Ok(key) => key.public_key().clone(),
            // What is wrong with a key of a kind that we know is not its kind.
            Err(KeyError::Unsupported(_)) => return Err(KeyError::UnsupportedKind),
            Err(error) => return Err(error),
        };
        Ok(Self { pkcs8, public })
    }

    /// Returns the public half.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the key ready to sign by one row of the registry.
    ///
    /// # Errors
    /// `Unsupported` when the row is for another kind of key.
    pub fn signer(&self, details: KeyDetails) -> Result<SoftwareKey, KeyError> {
        PrivateKey::from_pkcs8(&self.pkcs8, details).map(SoftwareKey)
    }

    /// Writes the key as PEM: in cosign's form behind a passphrase, plain as PKCS#8 without one.
    ///
    /// # Errors
    /// `Library` when there is no randomness.
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<Zeroizing<String>, KeyError> {
        match passphrase {
            Some(passphrase) => cosign::seal(&self.pkcs8, passphrase),
            None => Ok(Zeroizing::new(pem::encode(PLAIN, &self.pkcs8))),
        }
    }
}

impl std::fmt::Debug for StoredKey {
    /// Prints the public half only.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.public.kind();
        formatter
            .debug_struct("StoredKey")
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

/// A key in this process, on its way to sign.
#[derive(Debug)]
pub struct SoftwareKey(PrivateKey);

impl Signer for SoftwareKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn details(&self) -> KeyDetails {
        self.0.details()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(message)
    }

    fn prehash(&self) -> Option<DigestAlgorithm> {
        self.0.details().hash()
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        self.0.sign_digest(digest)
    }

    fn prove_possession(&self, challenge: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.prove_possession(challenge)
    }
}

/// Returns the registry's rows of a kind of key, its own way of signing first; `log` asks for one that signs a digest, as
/// entries of a log need it.
#[must_use]
pub fn details_for(kind: KeyKind, log: bool) -> Option<KeyDetails> {
    Some(match kind {
        KeyKind::EcdsaP256 => KeyDetails::EcdsaP256Sha256,
        KeyKind::EcdsaP384 => KeyDetails::EcdsaP384Sha384,
        KeyKind::EcdsaP521 => KeyDetails::EcdsaP521Sha512,
        KeyKind::Ed25519 if log => KeyDetails::Ed25519Ph,
        KeyKind::Ed25519 => KeyDetails::Ed25519,
        KeyKind::MlDsa44 => KeyDetails::MlDsa44,
        KeyKind::MlDsa65 => KeyDetails::MlDsa65,
        KeyKind::MlDsa87 => KeyDetails::MlDsa87,
        KeyKind::Rsa { bits: 2048 } => KeyDetails::RsaPkcs1v15_2048Sha256,
        KeyKind::Rsa { bits: 3072 } => KeyDetails::RsaPkcs1v15_3072Sha256,
        KeyKind::Rsa { bits: 4096 } => KeyDetails::RsaPkcs1v15_4096Sha256,
        KeyKind::Rsa { .. } => return None,
    })
}

/// Returns what a PrivateKeyInfo may be, by its algorithm; of an RSA key the size is known only once it was read.
fn candidates(pkcs8: &[u8]) -> Result<&'static [KeyDetails], KeyError> {
    use KeyDetails as D;
    let damaged = |_| KeyError::Text("a damaged PKCS#8 key");
    let mut reader = asn1::only_sequence(pkcs8).map_err(damaged)?;
    reader.expect(tag::INTEGER).map_err(damaged)?;
    let mut algorithm = reader.sequence().map_err(damaged)?;
    let mut oid = || algorithm.tlv().and_then(|each| each.to_oid());
    Ok(match oid().map_err(damaged)? {
        EC_PUBLIC_KEY => match oid().map_err(damaged)? {
            SECP256R1 => &[D::EcdsaP256Sha256],
            SECP384R1 => &[D::EcdsaP384Sha384],
            SECP521R1 => &[D::EcdsaP521Sha512],
            _ => return Err(KeyError::UnsupportedKind),
        },
        RSA_ENCRYPTION => &[
            D::RsaPkcs1v15_2048Sha256,
            D::RsaPkcs1v15_3072Sha256,
            D::RsaPkcs1v15_4096Sha256,
        ],
        ED25519 => &[D::Ed25519],
        ML_DSA_44 => &[D::MlDsa44],
        ML_DSA_65 => &[D::MlDsa65],
        ML_DSA_87 => &[D::MlDsa87],
        _ => return Err(KeyError::UnsupportedKind),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const NOBODY: fn() -> Option<Zeroizing<String>> = || None;

    fn said(text: &'static str) -> impl FnMut() -> Option<Zeroizing<String>> {
        move || Some(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn every_kind_comes_back_from_both_forms_and_signs_as_before() {
        for details in [
            KeyDetails::EcdsaP256Sha256,
            KeyDetails::EcdsaP384Sha384,
            KeyDetails::EcdsaP521Sha512,
            KeyDetails::Ed25519,
            KeyDetails::MlDsa65,
            KeyDetails::RsaPkcs1v15_3072Sha256,
        ] {
            let key = StoredKey::generate(details).unwrap();
            for passphrase in [None, Some("open sesame"), Some("")] {
                let text = key.to_pem(passphrase).unwrap();
                let mut ask = || passphrase.map(|text| Zeroizing::new(text.to_owned()));
                let read = StoredKey::read(text.as_bytes(), &mut ask).unwrap();
                assert!(read.public_key() == key.public_key());
                let signature = read.signer(details).unwrap().sign(b"message").unwrap();
                let public = key.public_key();
                public.verify_as(details, b"message", &signature).unwrap();
            }
        }
    }

    #[test]
    fn without_the_passphrase_nothing_is_read_and_a_wrong_one_is_told() {
        let key = StoredKey::generate(KeyDetails::Ed25519).unwrap();
        let text = key.to_pem(Some("right")).unwrap();
        let read = |ask: Passphrase<'_>| StoredKey::read(text.as_bytes(), ask).map(|_| ());
        assert_eq!(read(&mut NOBODY.clone()), Err(KeyError::PassphraseNeeded));
        assert_eq!(read(&mut said("wrong")), Err(KeyError::PassphraseWrong));
        assert_eq!(read(&mut said("right")), Ok(()));
        // A plain key asks for none.
        let plain = key.to_pem(None).unwrap();
        let mut never = || -> Option<Zeroizing<String>> { unreachable!("it is not encrypted") };
        StoredKey::read(plain.as_bytes(), &mut never).unwrap();
    }

    #[test]
    fn what_is_cut_off_or_no_key_at_all_is_refused() {
        let key = StoredKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
        for passphrase in [None, Some("x")] {
            let text = key.to_pem(passphrase).unwrap();
            for length in (0..text.len() - 30).step_by(7) {
                let read = StoredKey::read(&text.as_bytes()[..length], &mut said("x"));
                assert!(read.is_err(), "{length}");
            }
        }
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "ssh-ed25519 AAAA",
        ] {
            assert!(
                StoredKey::read(text.as_bytes(), &mut said("x")).is_err(),
                "{text}"
            );
        }
        let long = vec![b' '; MAX_TEXT + 1];
        assert!(matches!(
            StoredKey::read(&long, &mut said("x")),
            Err(KeyError::Text(_))
        ));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = StoredKey::generate(KeyDetails::Ed25519).unwrap();
        let printed = format!("{key:?} {:?}", key.signer(KeyDetails::Ed25519).unwrap());
        assert!(printed.len() < 120, "{printed}");
    }
}
