//! Keys that people keep, as the command reaches them: what a reference names, and the passphrase before it.

mod surroundings;

use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use stella_attest::file;
use stella_bundle::key::PublicKey;
use stella_client::kms::{RemoteKey, RemoteReference};
use stella_keys::device::uri::{Uri, UriError};
use stella_keys::device::words::{Attested, FailureKind, Listed, Open};
use stella_keys::device::{self, DeviceKey};
use stella_keys::plugin::{self, PluginKey};
use stella_keys::reference::KeyReference;
use stella_keys::stored::{self, SoftwareKey, StoredKey};
use stella_keys::{KeyError, ServiceFailure, Signer};
use zeroize::Zeroizing;

use crate::exit::{self, Failure};
use crate::{prompt, terminal};

/// Where a passphrase may be, in this order.
const VARIABLES: [&str; 2] = ["STELLA_KEY_PASSPHRASE", "COSIGN_PASSWORD"];
/// Where a device's PIN may be, in this order.
const PINS: [&str; 2] = ["STELLA_PKCS11_PIN", "COSIGN_PKCS11_PIN"];
/// Where a PKCS#11 module may be named, in this order.
const MODULES: [&str; 2] = ["STELLA_PKCS11_MODULE", "COSIGN_PKCS11_MODULE_PATH"];
/// The program in which modules run, and the variable that names another.
const HELPER: &str = "stella-pkcs11";
const HELPER_VARIABLE: &str = "STELLA_PKCS11";
/// Bytes of a passphrase.
const MAX_PASSPHRASE: usize = 4096;

/// The passphrase of a key.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PassphraseFlags {
    /// Read the key's passphrase from this file, such as /dev/fd/3, up to one newline at its end; without it from
    /// STELLA_KEY_PASSPHRASE or COSIGN_PASSWORD, else it is asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,

    #[arg(skip)]
    said: Said,
}

/// What a passphrase file said, once it was read: a pipe says it once, and a command may open several keys.
#[derive(Clone, Default)]
struct Said(Arc<OnceLock<Zeroizing<String>>>);

impl fmt::Debug for Said {
    /// Prints no passphrase.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Said").finish_non_exhaustive()
    }
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
    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self {
            passphrase_file: Some(path),
            said: Said::default(),
        }
    }

    /// Opens the key that a reference names, to sign with it.
    pub(crate) fn open(&self, reference: &str, purpose: For) -> Result<Box<dyn Signer>, Failure> {
        Ok(match KeyReference::parse(reference) {
            KeyReference::Pkcs11(uri) => Box::new(self.device(&uri, purpose)?),
            KeyReference::Plugin { name, resource } => behind(&name, &resource, purpose)?,
            _ => Box::new(self.software(reference, purpose)?),
        })
    }

    /// Returns the public half of the key that a reference names.
    pub(crate) fn public(&self, reference: &str) -> Result<PublicKey, Failure> {
        match KeyReference::parse(reference) {
            KeyReference::Pkcs11(uri) => {
                Ok(self.device(&uri, For::ItselfAlone)?.public_key().clone())
            }
            KeyReference::Plugin { name, resource } => {
                let key = behind(&name, &resource, For::ItselfAlone)?;
                Ok(key.public_key().clone())
            }
            _ => Ok(self.stored(reference)?.public_key().clone()),
        }
    }

    /// Opens a key in a device.
    fn device(&self, uri: &str, purpose: For) -> Result<DeviceKey, Failure> {
        let open = self.reach(uri, Uri::require_key)?;
        let key = DeviceKey::open(&helper(), open, purpose == For::Log);
        key.map_err(|error| failure(&error))
    }

    /// Says how a key in a device is kept.
    pub(crate) fn attest(&self, uri: &str) -> Result<Attested, Failure> {
        let open = self.reach(uri, Uri::require_key)?;
        device::attest(&helper(), open).map_err(|error| failure(&error))
    }

    /// Lists the keys of the tokens that a URI means.
    pub(crate) fn list(&self, uri: &str) -> Result<Vec<Listed>, Failure> {
        let open = self.reach(uri, Ok)?;
        device::list(&helper(), open).map_err(|error| failure(&error))
    }

    /// Says how a device is reached: by the URI, and by what the environment knows.
    fn reach(
        &self,
        text: &str,
        require: impl FnOnce(Uri) -> Result<Uri, UriError>,
    ) -> Result<Open, Failure> {
        let uri = Uri::parse(text).and_then(require);
        let uri = uri.map_err(|error| Failure::usage(error.to_string()))?;
        let mut open = uri.open;
        open.module = module(open.module)?;
        open.pin = match uri.pin_source {
            Some(path) => Self::of_file(path).given()?,
            None => self.pin(text)?,
        };
        Ok(open)
    }

    /// Returns the PIN of a device; none when there is none to be had.
    fn pin(&self, uri: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        if self.passphrase_file.is_none() {
            let found = PINS.iter().find_map(|name| env::var(name).ok());
            if let Some(found) = found {
                // A secret that is missing is no PIN to be tried.
                return Ok(Some(Zeroizing::new(found)).filter(|pin| !pin.is_empty()));
            }
            if !prompt::is_possible() {
                return Ok(None);
            }
            let named = uri.split('?').next().unwrap_or_default();
            let question = format!("PIN of {named}");
            let answer = prompt::secret(&question).map_err(|error| unreadable(&error))?;
            return Ok(answer.filter(|pin| !pin.is_empty()));
        }
        Ok(self.given()?.filter(|pin| !pin.is_empty()))
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
            KeyReference::Pkcs11(_) | KeyReference::Plugin { .. } => {
                return Err(Failure::usage(
                    "a key behind a device or a program cannot be taken out of it",
                )
                .hint("`stella key public` shows its public half"));
            }
            _ => return Err(unknown_reference(reference)),
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
            return not_empty(given);
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
        not_empty(first)
    }

    /// Returns the passphrase of a flag or of the environment.
    fn given(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(path) = &self.passphrase_file else {
            let found = VARIABLES.iter().find_map(|name| env::var(name).ok());
            return Ok(found.map(Zeroizing::new));
        };
        if let Some(said) = self.said.0.get() {
            return Ok(Some(said.clone()));
        }
        let bytes = file::read(path, MAX_PASSPHRASE);
        let bytes = Zeroizing::new(bytes.map_err(|error| Failure::io("read", path, &error))?);
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Failure::usage(format!("the passphrase in {} is not UTF-8", path.display()))
        })?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let said = self.said.0.get_or_init(|| Zeroizing::new(text.to_owned()));
        Ok(Some(said.clone()))
    }
}

/// Looks whether there is such a key, as far as that can be seen without its passphrase or PIN; says what was seen.
pub(crate) fn look(reference: &str) -> Result<String, Failure> {
    match KeyReference::parse(reference) {
        KeyReference::File(path) => look_into(&read_file(&path)?),
        KeyReference::Environment(name) => look_into(&read_variable(&name)?),
        KeyReference::Pkcs11(uri) => {
            let uri = Uri::parse(&uri).and_then(Uri::require_key);
            let uri = uri.map_err(|error| Failure::usage(error.to_string()))?;
            let module = module(uri.open.module)?;
            if !Path::new(&module).is_file() {
                return Err(absent(format!("there is no PKCS#11 module {module}")));
            }
            match helper_found() {
                Some(_) => Ok(format!("a key in a device, through {module}; not opened")),
                None => Err(
                    Failure::new(exit::KEY, format!("there is no program {HELPER}"))
                        .hint("it must lie beside stella or in the path"),
                ),
            }
        }
        KeyReference::Plugin { name, .. } => {
            let program = format!("{}{name}", plugin::PREFIX);
            match in_path(&program) {
                Some(path) => Ok(format!("a key behind {}; not opened", path.display())),
                None => Err(Failure::new(exit::KEY, format!("there is no program {program}"))
                    .hint("NAME://KEY is a key of the program sigstore-kms-NAME, which must be in the path")),
            }
        }
        _ => Err(unknown_reference(reference)),
    }
}

fn look_into(text: &[u8]) -> Result<String, Failure> {
    match StoredKey::read(text, &mut || None) {
        Ok(_) => Ok("a key without a passphrase".to_owned()),
        Err(KeyError::PassphraseNeeded) => Ok("a key with a passphrase; not opened".to_owned()),
        Err(error) => Err(failure(&error)),
    }
}

/// Opens a key behind a service that is known here, else behind a program: what is built in is no other's to replace.
fn behind(name: &str, resource: &str, purpose: For) -> Result<Box<dyn Signer>, Failure> {
    match RemoteReference::parse(name, resource) {
        Some(reference) => {
            let reference = reference.map_err(|error| Failure::usage(error.to_string()))?;
            Ok(Box::new(remote(name, &reference, purpose)?))
        }
        None => Ok(Box::new(plugin(name, resource, purpose)?)),
    }
}

/// Opens a key in a service.
fn remote(name: &str, reference: &RemoteReference, purpose: For) -> Result<RemoteKey, Failure> {
    let surroundings = surroundings::of(name)?;
    let key = RemoteKey::open(reference, surroundings, purpose == For::Log);
    key.map_err(|error| failure(&error))
}

/// Opens a key behind a program of the plugin protocol, which is looked for in the path.
fn plugin(name: &str, resource: &str, purpose: For) -> Result<PluginKey, Failure> {
    let program = PathBuf::from(format!("{}{name}", plugin::PREFIX));
    let key = PluginKey::open(&program, resource, purpose == For::Log);
    key.map_err(|error| failure(&error))
}

/// Returns the PKCS#11 module: the one that a URI names, else the environment's.
fn module(named: String) -> Result<String, Failure> {
    if !named.is_empty() {
        return Ok(named);
    }
    let found = MODULES.iter().find_map(|name| env::var(name).ok());
    found.ok_or_else(|| {
        Failure::usage("no PKCS#11 module was named")
            .hint("end the URI with ?module-path=/usr/lib/…/module.so, or set STELLA_PKCS11_MODULE")
    })
}

/// Returns the program in which modules run, if it is there.
pub(crate) fn helper_found() -> Option<PathBuf> {
    let helper = helper();
    match helper.components().count() {
        1 => in_path(HELPER),
        _ => Some(helper).filter(|helper| helper.is_file()),
    }
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let name = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .find(|path| path.is_file())
}

/// Returns the program in which modules run: where it was said, beside this program, else wherever it is found.
fn helper() -> PathBuf {
    if let Some(path) = env::var_os(HELPER_VARIABLE) {
        return path.into();
    }
    let beside = env::current_exe().map(|own| own.with_file_name(HELPER));
    match beside {
        Ok(path) if path.is_file() => path,
        _ => HELPER.into(),
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

/// An empty passphrase protects nothing, and is most often one that was not found.
fn not_empty(passphrase: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    if !passphrase.is_empty() {
        return Ok(passphrase);
    }
    Err(
        Failure::usage("the passphrase for the new key is empty; nothing is written")
            .hint("leave the key unprotected with --insecure-no-passphrase, if that is meant"),
    )
}

fn unknown_reference(reference: &str) -> Failure {
    if let KeyReference::Elsewhere { scheme } = KeyReference::parse(reference) {
        return Failure::usage(format!("keys named {scheme}: are not known here"))
            .hint("a key is named by a path, file:PATH, env:VARIABLE, pkcs11:…, awskms:///…, hashivault://…, openbao://…, gcpkms://…, azurekms://… or NAME://KEY for a program sigstore-kms-NAME");
    }
    Failure::usage(format!("{reference} names no key that is known here"))
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

/// Says what a key service's failure means to whoever called, and what to do about it.
const fn service_advice(failure: ServiceFailure) -> (u8, &'static str) {
    match failure {
        ServiceFailure::Absent => (
            exit::KEY_ABSENT,
            "look at the name, and at the region, project or mount in which it is looked for",
        ),
        ServiceFailure::Disabled => (
            exit::KEY_LOCKED,
            "enable the key, or cancel its deletion, with the service's own tool",
        ),
        ServiceFailure::Access => (
            exit::KEY,
            "whoever signs must be allowed to read the public key and to sign with it",
        ),
        ServiceFailure::Credentials | ServiceFailure::Setting => (
            exit::KEY,
            "docs/reference/keys.md lists the variables and files of each service",
        ),
        ServiceFailure::TooLong => (
            exit::KEY,
            "keys of ECDSA and RSA sign digests, of messages of any length",
        ),
        ServiceFailure::Unavailable => (exit::KEY, "nothing was signed; try again later"),
        ServiceFailure::Unsuitable => (
            exit::KEY,
            "make a key for signing: P-256, P-384, P-521, Ed25519, ML-DSA, or RSA with PKCS#1 v1.5",
        ),
        _ => (exit::KEY, "see what the service's own tool says"),
    }
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
        KeyError::Device { kind, .. } => match kind {
            FailureKind::Absent => (
                exit::KEY_ABSENT,
                "`stella key list --key pkcs11:?module-path=MODULE` shows tokens and keys",
            ),
            FailureKind::Pin => (
                exit::KEY_PIN,
                "nothing was signed, and it is not tried again: devices lock themselves. Give the PIN with pin-source=file:PATH in the URI, --passphrase-file or STELLA_PKCS11_PIN",
            ),
            FailureKind::Locked => (exit::KEY_LOCKED, "unlock the device with its maker's tool"),
            _ => (
                exit::KEY,
                "see what the device's own tool says, such as pkcs11-tool",
            ),
        },
        KeyError::Service { failure, .. } => service_advice(*failure),
        KeyError::WrongSignature => (
            exit::KEY,
            "nothing was written: what holds the key signed something else, or with another key",
        ),
        KeyError::Plugin { .. } => (
            exit::KEY,
            "NAME://KEY is a key of the program sigstore-kms-NAME, which must be in the path",
        ),
        KeyError::Helper { .. } => (
            exit::KEY,
            "stella-pkcs11 must lie beside stella or in the path; look at the module's own log",
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
