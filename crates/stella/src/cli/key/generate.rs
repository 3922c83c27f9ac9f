//! `stella key generate`, also spelled `stella generate-key-pair`.

use stella_bundle::key::KeyDetails;
use stella_keys::stored::StoredKey;

use super::OutputFlags;
use crate::exit::{self, Failure};
use crate::key::{self, PassphraseFlags};

/// The kinds of keys that can be made, by their names.
pub(super) const ALGORITHMS: [(&str, KeyDetails); 9] = [
    ("ecdsa-p256", KeyDetails::EcdsaP256Sha256),
    ("ecdsa-p384", KeyDetails::EcdsaP384Sha384),
    ("ecdsa-p521", KeyDetails::EcdsaP521Sha512),
    ("ed25519", KeyDetails::Ed25519),
    ("ml-dsa-65", KeyDetails::MlDsa65),
    ("ml-dsa-87", KeyDetails::MlDsa87),
    ("rsa-2048", KeyDetails::RsaPkcs1v15_2048Sha256),
    ("rsa-3072", KeyDetails::RsaPkcs1v15_3072Sha256),
    ("rsa-4096", KeyDetails::RsaPkcs1v15_4096Sha256),
];

/// Make a key pair: NAME.key behind a passphrase, and NAME.pub
///
/// The private key is encrypted as cosign does it, and cosign reads it. The passphrase is asked for twice, or taken from
/// --passphrase-file, STELLA_KEY_PASSPHRASE or COSIGN_PASSWORD.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella key generate
  stella key generate --algorithm ed25519 --output release --passphrase-file /dev/fd/3 3< <(pass show release)")]
pub(crate) struct Args {
    /// The kind of key
    #[arg(long, value_name = "ALGORITHM", default_value = "ecdsa-p256", value_parser = parse)]
    algorithm: KeyDetails,

    #[command(flatten)]
    passphrase: PassphraseFlags,

    #[command(flatten)]
    output: OutputFlags,
}

fn parse(text: &str) -> Result<KeyDetails, String> {
    let row = ALGORITHMS.iter().find(|row| row.0 == text);
    row.map(|row| row.1).ok_or_else(|| {
        let names = ALGORITHMS.map(|row| row.0).join(", ");
        format!("expected one of {names}")
    })
}

pub(crate) fn run(args: &Args, usual_name: &str) -> Result<u8, Failure> {
    let key = StoredKey::generate(args.algorithm).map_err(|error| key::failure(&error))?;
    args.output.write(&key, &args.passphrase, usual_name)?;
    Ok(exit::OK)
}
