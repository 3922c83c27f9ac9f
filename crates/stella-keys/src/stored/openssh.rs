//! Keys as ssh-keygen writes them (`openssh-key-v1`), made into PKCS#8.
//!
//! spec: openssh-portable, `PROTOCOL.key`; RFC 4251 §5 for strings and numbers

use aws_lc_rs::constant_time::verify_slices_are_equal;
use ssh_cipher::Cipher;
use stella_bundle::asn1;
use stella_bundle::key::{EC_PUBLIC_KEY, ED25519, SECP256R1, SECP384R1, SECP521R1};
use zeroize::Zeroizing;

use super::Passphrase;
use super::text::{of_rsa, wrap};
use crate::signer::KeyError;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Rounds of bcrypt; ssh-keygen writes 16 or 24, and each costs tens of milliseconds.
const MAX_ROUNDS: u32 = 1000;
/// Bytes of an RSA number: 4096 bits and a sign.
const MAX_NUMBER: usize = 513;
/// Bytes of an Ed25519 seed; the public half follows it.
const SEED: usize = 32;

/// Reads the content of a PEM block; returns PKCS#8.
pub(super) fn read(
    content: &[u8],
    passphrase: Passphrase<'_>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut reader = Reader(content.strip_prefix(MAGIC).ok_or(DAMAGED)?);
    let (cipher, kdf, options) = (reader.string()?, reader.string()?, reader.string()?);
    if reader.number()? != 1 {
        return Err(KeyError::Text("several OpenSSH keys where one is expected"));
    }
    reader.string()?;
    let sealed = reader.string()?;
    if cipher == b"none" {
        return of_section(sealed, DAMAGED);
    }
    let opened = decrypt(cipher, kdf, options, sealed, passphrase)?;
    // The two equal numbers at its beginning are there to tell.
    of_section(&opened, KeyError::PassphraseWrong)
}

const DAMAGED: KeyError = KeyError::Text("a damaged OpenSSH key");

fn decrypt(
    cipher: &[u8],
    kdf: &[u8],
    options: &[u8],
    sealed: &[u8],
    passphrase: Passphrase<'_>,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unknown = KeyError::Text("an OpenSSH key by another cipher than AES in CTR or CBC mode");
    let cipher = std::str::from_utf8(cipher).ok();
    let cipher = cipher.and_then(|name| Cipher::new(name).ok());
    let cipher = cipher.filter(|_| kdf == b"bcrypt").ok_or(unknown.clone())?;
    let mut options = Reader(options);
    let (salt, rounds) = (options.string()?, options.number()?);
    if rounds > MAX_ROUNDS {
        return Err(KeyError::Cost);
    }
    let passphrase = passphrase().ok_or(KeyError::PassphraseNeeded)?;
    let (key_size, iv_size) = cipher.key_and_iv_size().ok_or(unknown.clone())?;
    let mut derived = Zeroizing::new(vec![0; key_size + iv_size]);
    bcrypt_pbkdf::bcrypt_pbkdf(passphrase.as_bytes(), salt, rounds, &mut derived)
        .map_err(|_| DAMAGED)?;
    let (key, iv) = derived.split_at(key_size);
    let mut opened = Zeroizing::new(sealed.to_vec());
    cipher
        .decrypt(key, iv, &mut opened, None)
        .map_err(|_| unknown)?;
    Ok(opened)
}

/// Reads the part that is encrypted; `unequal` is what it means when its first two numbers differ.
fn of_section(section: &[u8], unequal: KeyError) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut reader = Reader(section);
    let (first, second) = (reader.take(4)?, reader.take(4)?);
    verify_slices_are_equal(first, second).map_err(|_| unequal)?;
    match reader.string()? {
        b"ssh-ed25519" => of_ed25519(reader),
        b"ssh-rsa" => of_rsa_numbers(reader),
        kind if kind.starts_with(b"ecdsa-sha2-") => of_ecdsa(reader),
        _ => Err(KeyError::UnsupportedKind),
    }
}

/// spec: RFC 8410 §7
fn of_ed25519(mut reader: Reader<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    reader.string()?;
    let seed = reader.string()?.get(..SEED).ok_or(DAMAGED)?;
    let seed = Zeroizing::new(asn1::octet_string(seed));
    Ok(wrap(&[&asn1::oid(&ED25519)], &seed))
}

/// spec: RFC 5915 §3, with the public key, without the curve: the algorithm names it.
fn of_ecdsa(mut reader: Reader<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const PUBLIC: u8 = 1;
    let (curve, size) = match reader.string()? {
        b"nistp256" => (SECP256R1, 32_usize),
        b"nistp384" => (SECP384R1, 48),
        b"nistp521" => (SECP521R1, 66),
        _ => return Err(KeyError::UnsupportedKind),
    };
    let public = reader.string()?;
    // A number is as short as it can be; an octet string is as long as the curve.
    let number = reader.unsigned()?;
    let missing = size.checked_sub(number.len()).ok_or(DAMAGED)?;
    let number: Zeroizing<Vec<u8>> = Zeroizing::new([&vec![0; missing], number].concat());
    let private = Zeroizing::new(asn1::octet_string(&number));
    let public = asn1::explicit(PUBLIC, &asn1::bit_string(public));
    let key = Zeroizing::new(asn1::sequence(&[&asn1::small(1), &private, &public]));
    Ok(wrap(
        &[&asn1::oid(&EC_PUBLIC_KEY), &asn1::oid(&curve)],
        &key,
    ))
}

/// spec: RFC 8017 A.1.2. OpenSSH leaves out the exponents for the primes, which follow from the others.
fn of_rsa_numbers(mut reader: Reader<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut number = || reader.unsigned();
    let (n, e, d) = (number()?, number()?, number()?);
    let (inverse, p, q) = (number()?, number()?, number()?);
    let exponent = |prime: &[u8]| Some(remainder(d, &less_one(prime)?));
    let dp = exponent(p).ok_or(DAMAGED)?;
    let dq = exponent(q).ok_or(DAMAGED)?;
    let mut content = Zeroizing::new(asn1::small(0));
    for number in [n, e, d, p, q, &dp, &dq, inverse] {
        let element = Zeroizing::new(asn1::unsigned(number));
        content.extend_from_slice(&element);
    }
    let sequence = Zeroizing::new(asn1::sequence(&[&content]));
    Ok(of_rsa(&sequence))
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], KeyError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, KeyError> {
        let bytes = self.take(4)?.first_chunk().ok_or(DAMAGED)?;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn string(&mut self) -> Result<&'a [u8], KeyError> {
        let length = self.number()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Reads a number that is not negative, without the zeros before it.
    fn unsigned(&mut self) -> Result<&'a [u8], KeyError> {
        let bytes = self.string()?;
        let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
        if is_negative || bytes.len() > MAX_NUMBER {
            return Err(DAMAGED);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(&bytes[zeros..])
    }
}

/// Subtracts one from an odd number, big-endian; none for anything even.
fn less_one(number: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut less = Zeroizing::new(number.to_vec());
    let last = less.last_mut().filter(|last| **last & 1 == 1)?;
    *last &= !1;
    less.iter().any(|byte| *byte != 0).then_some(less)
}

/// Returns `number mod modulus`, both big-endian, bit by bit: an import may take milliseconds.
fn remainder(number: &[u8], modulus: &[u8]) -> Zeroizing<Vec<u8>> {
    // One byte more, for the doubled remainder.
    let mut rest = Zeroizing::new(vec![0_u8; modulus.len() + 1]);
    let modulus: Zeroizing<Vec<u8>> = Zeroizing::new([&[0], modulus].concat());
    let bits = |byte: &u8| {
        let byte = *byte;
        (0..8).rev().map(move |at| (byte >> at) & 1)
    };
    for bit in number.iter().flat_map(bits) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            let above = *byte >> 7;
            *byte = (*byte << 1) | carry;
            carry = above;
        }
        if *rest >= *modulus {
            let mut borrow = 0;
            for (byte, less) in rest.iter_mut().zip(modulus.iter()).rev() {
                let (value, first) = byte.overflowing_sub(*less);
                let (value, second) = value.overflowing_sub(borrow);
                (*byte, borrow) = (value, u8::from(first || second));
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_right() {
        let pairs: [(u128, u128); 6] = [
            (0, 1),
            (5, 7),
            (7, 7),
            (1 << 100, 999_999_999_989),
            (u128::MAX, (1 << 127) + 1),
            (u128::MAX, 3),
        ];
        for (number, modulus) in pairs {
            let trimmed = modulus.to_be_bytes();
            let zeros = trimmed.iter().take_while(|byte| **byte == 0).count();
            let rest = remainder(&number.to_be_bytes(), &trimmed[zeros..]);
            let rest = rest.iter();
            let rest = rest.fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
            assert_eq!(rest, number % modulus, "{number} {modulus}");
        }
        assert_eq!(
            less_one(&[1, 1]).map(|less| less.to_vec()),
            Some(vec![1, 0])
        );
        assert_eq!(less_one(&[2]), None);
        assert_eq!(less_one(&[1]), None);
    }

    #[test]
    fn short_numbers_of_a_curve_are_made_as_long_as_it() {
        let string = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).unwrap_or_default();
            [&length.to_be_bytes(), bytes].concat()
        };
        let point = [4; 65];
        let section = [string(b"nistp256"), string(&point), string(&[7; 30])].concat();
        let key = of_ecdsa(Reader(&section)).map(|key| key.to_vec());
        let padded = [&[0x04, 0x20, 0, 0], [7; 30].as_slice()].concat();
        let is_in = |key: Vec<u8>| key.windows(padded.len()).any(|part| part == padded);
        assert_eq!(key.map(is_in), Ok(true));
    }
}
