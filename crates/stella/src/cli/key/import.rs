//! `stella key import`, also spelled `stella import-key-pair`.

use super::OutputFlags;
use crate::exit::{self, Failure};
use crate::key::PassphraseFlags;

/// Take a key that openssl, ssh-keygen or cosign wrote
///
/// RSA, ECDSA and Ed25519 from PKCS#8, PKCS#1, SEC1 and OpenSSH, in PEM or DER, encrypted or not. It is written behind a
/// passphrase in cosign's form; the file that was read stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella import-key-pair --key key.pem
  stella key import --key ~/.ssh/id_ed25519 --output release")]
pub(crate) struct Args {
    /// The key: a path, file:PATH or env:VARIABLE
    #[arg(long, short, value_name = "KEY")]
    key: String,

    /// Read the passphrase of the key that is read from this file, where it has another one than the new key
    #[arg(long, value_name = "FILE")]
    old_passphrase_file: Option<std::path::PathBuf>,

    #[command(flatten)]
    passphrase: PassphraseFlags,

    #[command(flatten)]
    output: OutputFlags,
}

pub(crate) fn run(args: &Args, usual_name: &str) -> Result<u8, Failure> {
    let old = match &args.old_passphrase_file {
        Some(path) => PassphraseFlags::of_file(path.clone()),
        None => args.passphrase.clone(),
    };
    let key = old.stored(&args.key)?;
    args.output.write(&key, &args.passphrase, usual_name)?;
    Ok(exit::OK)
}
