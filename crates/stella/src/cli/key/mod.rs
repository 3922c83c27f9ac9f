//! `stella key`: keys that people keep.

mod attest;
pub(super) mod generate;
pub(super) mod import;
mod list;
pub(super) mod public;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use stella_bundle::key::PublicKey;
use stella_keys::stored::StoredKey;

use super::Context;
use super::archive::keyset;
use crate::exit::{self, Failure};
use crate::key::{self, PassphraseFlags};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // Without a line here, the help is all that the arguments say of themselves.
    Attest(attest::Args),
    Destroy(keyset::Destroy),
    /// Make a key pair: NAME.key behind a passphrase, and NAME.pub
    Generate(generate::Args),
    /// Take a key that openssl, ssh-keygen or cosign wrote
    Import(import::Args),
    /// List the keys of a device
    List(list::Args),
    /// Write the public half of a key
    Public(public::Args),
    Rotate(keyset::Rotate),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Attest(args) => attest::run(&args),
        Command::Destroy(args) => keyset::destroy(context, &args).await,
        Command::Generate(args) => generate::run(&args, "stella"),
        Command::Import(args) => import::run(&args, "stella"),
        Command::List(args) => list::run(&args),
        Command::Public(args) => public::run(&args),
        Command::Rotate(args) => keyset::rotate(context, &args).await,
    }
}

/// Where a key pair goes, and behind what.
#[derive(Debug, clap::Args)]
struct OutputFlags {
    /// Write NAME.key and NAME.pub
    #[arg(
        long,
        short = 'o',
        visible_alias = "output-key-prefix",
        value_name = "NAME"
    )]
    output: Option<PathBuf>,

    /// Write the key unprotected, as PKCS#8: whoever reads the file can sign
    #[arg(long)]
    insecure_no_passphrase: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl OutputFlags {
    /// Writes both halves; nothing is ever overwritten.
    fn write(
        &self,
        key: &StoredKey,
        passphrase: &PassphraseFlags,
        usual_name: &str,
    ) -> Result<(), Failure> {
        let name = self.output.clone().unwrap_or_else(|| usual_name.into());
        let with = |ending: &str| {
            let mut path = name.clone().into_os_string();
            path.push(ending);
            PathBuf::from(path)
        };
        let (private, public) = (with(".key"), with(".pub"));
        for path in [&private, &public] {
            if path.exists() {
                return Err(exists(path));
            }
        }
        let text = match self.insecure_no_passphrase {
            true => key.to_pem(None),
            false => key.to_pem(Some(&passphrase.new_one()?)),
        };
        let text = text.map_err(|error| key::failure(&error))?;
        write_new(&private, text.as_bytes(), 0o600)?;
        let pem = key.public_key().to_pem();
        write_new(&public, pem.as_bytes(), 0o644)?;
        self.report(key.public_key(), &private, &public);
        Ok(())
    }

    fn report(&self, key: &PublicKey, private: &Path, public: &Path) {
        let (private, public) = (private.display().to_string(), public.display().to_string());
        if self.json {
            let facts = json!({"key": private, "public": public, "kind": kind(key), "keyId": hex::encode(key.key_id())});
            terminal::say_json(&facts);
            return;
        }
        terminal::say(&format!("{private}: the private key, {}", kind(key)));
        terminal::say(&format!(
            "{public}: its public half, {}",
            hex::encode(key.key_id())
        ));
    }
}

/// Names a kind of key for people and for `--algorithm`.
fn kind(key: &PublicKey) -> String {
    let details = stella_keys::stored::details_for(key.kind(), false);
    let row = details.and_then(|details| generate::ALGORITHMS.iter().find(|row| row.1 == details));
    row.map_or_else(|| format!("{:?}", key.kind()), |row| row.0.to_owned())
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(exit::KEY, format!("{path} is there already"))
        .hint("choose another name with --output NAME: no key is ever overwritten")
        .page("signing-key")
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => {
            let _ = fs::remove_file(path);
            Failure::io("write", path, &error)
        }
    })
}
