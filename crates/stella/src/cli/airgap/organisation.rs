//! The organisation behind a kit: its keys and clocks are there before anything is packed; its anchor is what the other side has.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stella_archive::anchor::{Anchor, MAX_ANCHOR};
use stella_archive::history::{Counts, Existence, JudgedKit, SignatureFact};
use stella_attest::file;
use stella_attest::keyset::KeysetFolder;
use stella_attest::kit::{KitError, List, Signers};
use stella_attest::session::Session;
use stella_bundle::identity::escape;
use stella_keys::OrgKey;

use super::of_kit;
use crate::cli::Context;
use crate::cli::archive::ceremony::{self, ClockFlags, Clocks};
use crate::cli::attest::table::Place;
use crate::exit::{self, Failure};
use crate::key::{For, PassphraseFlags};
use crate::terminal;

/// Who signs a kit.
#[derive(Debug, clap::Args)]
pub(super) struct OrgFlags {
    /// Sign the kit with this key of the organisation; repeated, until each that signs under its newest keyset is named
    #[arg(long = "org-key", value_name = "KEY")]
    keys: Vec<String>,

    /// The folder with the organisation's keysets
    #[arg(long, value_name = "DIR", default_value = "org")]
    keysets: PathBuf,

    #[command(flatten)]
    passphrase: PassphraseFlags,

    #[command(flatten)]
    clocks: ClockFlags,
}

/// An organisation that is ready to sign.
pub(super) struct Organisation {
    keysets: KeysetFolder,
    keys: Vec<OrgKey>,
    clocks: Clocks,
}

impl OrgFlags {
    /// Opens keysets, keys and clocks; none where no key is named.
    pub(super) async fn open(
        &self,
        place: &Place,
        context: &Context,
    ) -> Result<Option<Organisation>, Failure> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let keysets = KeysetFolder::read(&self.keysets).map_err(ceremony::failure)?;
        keysets.judge(ceremony::now()).map_err(ceremony::failure)?;
        let open = |reference: &String| {
            let signer = self.passphrase.open(reference, For::ItselfAlone)?;
            Ok(OrgKey::new(signer))
        };
        let keys: Vec<_> = self.keys.iter().map(open).collect::<Result<_, Failure>>()?;
        require_signers(&keysets, &keys)?;
        let clocks = self.clocks.reach(place, context).await?;
        Ok(Some(Organisation {
            keysets,
            keys,
            clocks,
        }))
    }
}

/// Requires the keys that must sign: it would be a pity to learn it after hours of packing.
fn require_signers(keysets: &KeysetFolder, keys: &[OrgKey]) -> Result<(), Failure> {
    let keyset = keysets.newest().map_err(ceremony::failure)?;
    let ids = keys.iter().map(|key| key.public_key().key_id());
    let (mut given, mut wanted): (Vec<_>, Vec<_>) = (
        ids.collect(),
        keyset.signers().map(|each| each.key_id).collect(),
    );
    given.sort_unstable();
    wanted.sort_unstable();
    if given == wanted {
        return Ok(());
    }
    let names = |ids: &[[u8; 32]]| {
        let names = ids.iter().map(|id| format!("{}…", &hex::encode(id)[..16]));
        names.collect::<Vec<_>>().join(" and ")
    };
    let message = format!(
        "a kit is signed by every key that signs under keyset {} of {}: {}; given are {}",
        keyset.version,
        escape(&keyset.origin),
        names(&wanted),
        names(&given),
    );
    Err(Failure::new(exit::KEY, message)
        .hint("name each of them with --org-key; `stella archive keyset show` says which they are"))
}

impl Organisation {
    /// Returns the files that a kit lists for it.
    pub(super) fn files(&self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let session = self.clocks.session();
        self.signers(&session).files().map_err(of_signing)
    }

    /// Signs the list of a kit's files; returns the names of the bundles and their bytes.
    pub(super) async fn sign(&self, list: &List) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let session = self.clocks.session();
        let signed = self.signers(&session).sign(list).await;
        signed.map_err(of_signing)
    }

    fn signers<'a>(&'a self, session: &'a Session<'a>) -> Signers<'a> {
        Signers {
            session,
            keysets: &self.keysets,
            keys: &self.keys,
            root: self.clocks.root(),
        }
    }
}

/// Says what is to be done about a kit that could not be signed.
fn of_signing(error: KitError) -> Failure {
    match error {
        KitError::Keysets(error) => ceremony::failure(error),
        KitError::Sign(error) => error.into(),
        error => of_kit(error),
    }
}

/// Reads an anchor, or the one public key that a verifier has.
pub(super) fn read_anchor(path: &Path) -> Result<Anchor, Failure> {
    let read = file::read(path, MAX_ANCHOR);
    let bytes = read.map_err(|error| Failure::io("read", path, &error))?;
    let text = String::from_utf8_lossy(&bytes);
    Anchor::parse(&text).map_err(|error| {
        Failure::usage(format!("{}: {error}", path.display()))
            .hint("`stella archive anchor` writes one; it comes another way than the kit")
    })
}

/// Says for people who signed a kit.
pub(super) fn say(kit: &JudgedKit) {
    let names = kit.signatures.iter().map(|each| {
        let id = &hex::encode(each.key.key_id)[..16];
        let fallen = match each.counts {
            Counts::Yes => "",
            Counts::FellBefore => " (no longer counts)",
        };
        format!("{} {id}…{fallen}", each.key.role.name())
    });
    let names = names.collect::<Vec<_>>().join(" and ");
    let when = match &kit.existence {
        Existence::At { time, authority } => format!("by {time}, as {} says", escape(authority)),
        Existence::Undated => "at a time that no authority says".to_owned(),
    };
    let (origin, keyset) = (escape(&kit.origin), kit.keyset);
    terminal::say(&format!(
        "signed for {origin}, keyset {keyset}, with {names}; {when}"
    ));
}

/// Says for programs who signed a kit.
pub(super) fn to_json(kit: &JudgedKit) -> Value {
    let key = |each: &SignatureFact| {
        json!({
            "keyId": hex::encode(each.key.key_id),
            "role": each.key.role,
            "counts": each.counts == Counts::Yes,
        })
    };
    let (time, authority) = match &kit.existence {
        Existence::At { time, authority } => (Some(time.to_string()), Some(authority)),
        Existence::Undated => (None, None),
    };
    json!({
        "origin": kit.origin,
        "keyset": kit.keyset,
        "time": time,
        "authority": authority,
        "signatures": kit.signatures.iter().map(key).collect::<Vec<_>>(),
    })
}
