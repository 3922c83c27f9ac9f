//! Keys that people keep, as the command reaches them: what a reference names, and the passphrase before it.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use stella_attest::file;
use stella_keys::reference::KeyReference;
use stella_keys::stored::{self, SoftwareKey, StoredKey};
use stella_keys::{KeyError, Signer};
use zeroize::Zeroizing;

use crate::exit::{self, Failure};
use crate::{prompt, terminal};

/// Where a passphrase may be, in this order.
const VARIABLES: [&str; 2] = ["STELLA_KEY_PASSPHRASE", "COSIGN_PASSWORD"];
/// Bytes of a passphrase.
const MAX_PASSPHRASE: usize = 4096;

/// The passphrase of a key.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PassphraseFlags {
    /// Read the key's passphrase from this file, such as /dev/fd/3, up to one newline at its end; without it from
    /// STELLA_KEY_PASSPHRASE or COSIGN_PASSWORD, else it is asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Whether a signature is for a log: some keys sign in another way then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// It is logged, or certified: only a signature over a digest can be.
    Log,
    /// It stands alone.
    ItselfAlone,
}

impl PassphraseFlags {
    /// Returns what `--passphrase-file FILE` says.
    pub(crate) const fn of_file(path: PathBuf) -> Self {
        Self {
            passphrase_file: Some(path),
        }
    }

    /// Opens the key that a reference names, to sign with it.
    pub(crate) fn open(&self, reference: &str, purpose: For) -> Result<Box<dyn Signer>, Failure> {
        Ok(Box::new(self.software(reference, purpose)?))
    }

    fn software(&self, reference: &str, purpose: For) -> Result<SoftwareKey, Failure> {
        let key = self.stored(reference)?;
        let kind = key.public_key().kind();
        let details = stored::details_for(kind, purpose == For::Log);
        let details = details.ok_or(KeyError::UnsupportedKind);
        let signer = details.and_then(|details| key.signer(details));
        signer.map_err(|error| failure(&error))
    }

    /// Reads the key that a reference names.
    pub(crate) fn stored(&self, reference: &str) -> Result<StoredKey, Failure> {
        let text = match KeyReference::parse(reference) {
            KeyReference::File(path) => read_file(&path)?,
            KeyReference::Environment(name) => read_variable(&name)?,
            KeyReference::Elsewhere { scheme } => {
                return Err(
                    Failure::usage(format!("keys named {scheme}: are not known here"))
                        .hint("a key is named by a path, file:PATH or env:VARIABLE"),
                );
            }
            _ => {
                return Err(Failure::usage(format!(
                    "{reference} names no key that is known here"
                )));
            }
        };
        let mut failed = None;
        let read = StoredKey::read(&text, &mut || match self.existing(reference) {
            Ok(passphrase) => passphrase,
            Err(failure) => {
                failed = Some(failure);
                None
            }
        });
        read.map_err(|error| failed.unwrap_or_else(|| failure(&error)))
    }

    /// Returns the passphrase of a key that exists; none when there is none to be had.
    fn existing(&self, reference: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        if let Some(given) = self.given()? {
            return Ok(Some(given));
        }
        if !prompt::is_possible() {
            return Ok(None);
        }
        prompt::secret(&format!("passphrase of {reference}")).map_err(|error| unreadable(&error))
    }

    /// Returns the passphrase for a key that is about to be written: asked for twice, for nobody sees what is typed.
    pub(crate) fn new_one(&self) -> Result<Zeroizing<String>, Failure> {
        if let Some(given) = self.given()? {
            return Ok(given);
        }
        if !prompt::is_possible() {
            return Err(Failure::usage("no passphrase for the new key: standard input is not a terminal")
                .hint("give one with --passphrase-file FILE or STELLA_KEY_PASSPHRASE, or leave the key unprotected with --insecure-no-passphrase"));
        }
        let ask = |question: &str| {
            let answer = prompt::secret(question).map_err(|error| unreadable(&error))?;
            answer.ok_or_else(|| Failure::usage("no passphrase was given; nothing is written"))
        };
        let first = ask("passphrase for the new key")?;
        if *first != *ask("the same again")? {
            return Err(Failure::usage(
                "the two passphrases differ; nothing is written",
            ));
        }
        Ok(first)
    }

    /// Returns the passphrase of a flag or of the environment.
    fn given(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        if let Some(path) = &self.passphrase_file {
            let bytes = file::read(path, MAX_PASSPHRASE);
            let bytes = Zeroizing::new(bytes.map_err(|error| Failure::io("read", path, &error))?);
            let text = std::str::from_utf8(&bytes).map_err(|_| {
                Failure::usage(format!("the passphrase in {} is not UTF-8", path.display()))
            })?;
            let text = text.strip_suffix('\n').unwrap_or(text);
            return Ok(Some(Zeroizing::new(text.to_owned())));
        }
        let found = VARIABLES.iter().find_map(|name| env::var(name).ok());
        Ok(found.map(Zeroizing::new))
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = file::read(path, stored::MAX_TEXT).map(Zeroizing::new);
    let read = read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => absent(format!("there is no key file {}", path.display())),
        _ => Failure::new(
            exit::KEY,
            format!("cannot read the key file {}: {error}", path.display()),
        )
        .page("signing-key"),
    })?;
    if is_open_to_others(path) && read.windows(7).any(|part| part == b"PRIVATE") {
        terminal::tell(&format!(
            "warning: others may read the key file {}: chmod 600",
            path.display()
        ));
    }
    Ok(read)
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path);
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
const fn is_open_to_others(_: &Path) -> bool {
    false
}

fn read_variable(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let value = env::var(name).map_err(|_| absent(format!("there is no variable {name}")))?;
    Ok(Zeroizing::new(value.into_bytes()))
}

fn absent(message: String) -> Failure {
    Failure::new(exit::KEY_ABSENT, message)
        .hint(
            "a key is named by a path, file:PATH or env:VARIABLE; `stella key generate` makes one",
        )
        .page("signing-key")
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(
        exit::INTERNAL,
        format!("cannot read the passphrase from the terminal: {error}"),
    )
    .hint("give it with --passphrase-file FILE")
}

/// Says what to do about a key that cannot be used.
pub(crate) fn failure(error: &KeyError) -> Failure {
    let (code, hint) = match error {
        KeyError::PassphraseWrong => (
            exit::KEY_PIN,
            "nothing was signed, and it is not tried again",
        ),
        KeyError::PassphraseNeeded => (
            exit::KEY_PIN,
            "give it with --passphrase-file FILE or STELLA_KEY_PASSPHRASE",
        ),
        KeyError::File { kind, .. } if *kind == io::ErrorKind::NotFound => {
            (exit::KEY_ABSENT, "look at the path")
        }
        KeyError::Exists { .. } => (exit::KEY, "choose another name: no key is ever overwritten"),
        _ => (
            exit::KEY,
            "`stella key public --key KEY` shows whether a key can be read",
        ),
    };
    Failure::new(code, error.to_string())
        .hint(hint)
        .page("signing-key")
}
