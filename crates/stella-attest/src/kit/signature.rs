//! The organisation's word for a kit: bundles beside its list, and in it the keysets by which an anchor of any age reaches them.
//!
//! Whether they count is judged by `stella_archive::history::judge_kit`.

use std::io;
use std::path::Path;

use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::fingerprint::Fingerprint;
use stella_archive::history::{self, History, HistoryError, JudgedKit, KitSignatureError};
use stella_archive::statement::OrgStatement;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_keys::OrgKey;

use super::{KitError, List, SUMS, failed};
use crate::file;
use crate::keyset::KeysetFolder;
use crate::org;
use crate::session::Session;

/// The folder of the organisation's keysets in a kit.
pub const ORGANISATION: &str = "org";
/// What the names of bundles beside the list end in.
const ENDING: &str = ".sigstore.json";
/// Hex digits of a key's id in such a name.
const ID_DIGITS: usize = 8;
/// Bundles beside the list: one for each key that signs, and there are two of these by default.
const MAX_BUNDLES: usize = 32;
/// Bytes of a bundle.
const MAX_BUNDLE: usize = 1 << 20;

/// Who signs a kit, and by what others will know it.
#[derive(Clone, Copy)]
pub struct Signers<'a> {
    /// The services that stamp.
    pub session: &'a Session<'a>,
    /// The organisation's keysets.
    pub keysets: &'a KeysetFolder,
    /// A key for each that signs under the newest keyset.
    pub keys: &'a [OrgKey],
    /// The trusted root that knows the authorities of the session.
    pub root: Option<&'a [u8]>,
}

impl Signers<'_> {
    /// Returns the files that a kit lists for them: every keyset with its signatures, and whose clocks count.
    ///
    /// # Errors
    /// `Keysets`.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, KitError> {
        let mut files = self.keysets.files()?;
        if let Some(root) = self.root {
            let name = format!("trust/{}.json", hex::encode(Fingerprint::of(root).sha256));
            if !files.iter().any(|(path, _)| *path == name) {
                files.push((name, root.to_vec()));
            }
        }
        let inside = |(path, bytes)| (format!("{ORGANISATION}/{path}"), bytes);
        Ok(files.into_iter().map(inside).collect())
    }

    /// Signs the list of a kit's files with each key; returns the names of the bundles beside it, and their bytes. What leaves
    /// was judged as strangers will judge it.
    ///
    /// # Errors
    /// `Sign`, `Keysets`; `Signature` when the keys are not those that must sign.
    pub async fn sign(&self, list: &List) -> Result<Vec<(String, Vec<u8>)>, KitError> {
        let keyset = self.keysets.newest()?;
        let statement = OrgStatement::of_kit(&keyset.origin, list.bytes());
        let bundles = org::sign(self.session, self.keys, &statement).await?;
        let mut history = self.keysets.history();
        let root = self.root.and_then(|root| TrustedRoot::parse(root).ok());
        history.roots.extend(root);
        let anchor = self.keysets.anchor(Some(1));
        let anchor = anchor.ok_or_else(|| wrong(HistoryError::Anchor.into(), &[]))?;
        let (anchor, now) = (Anchor::Organisation(anchor), (self.session.now)());
        judge(list, &bundles, &[], &history, &anchor, now)?;
        let names = self.keys.iter().map(|key| {
            let id = hex::encode(key.public_key().key_id());
            format!("{SUMS}.{}{ENDING}", &id[..ID_DIGITS])
        });
        Ok(names.zip(bundles).collect())
    }
}

/// Says whether a path is that of a bundle beside the list: the only files that are in a kit and not in its list.
pub(super) fn is_signature(path: &str) -> bool {
    let id = path
        .strip_prefix(SUMS)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_suffix(ENDING));
    let is_digit = |each: u8| matches!(each, b'0'..=b'9' | b'a'..=b'f');
    id.is_some_and(|id| id.len() == ID_DIGITS && id.bytes().all(is_digit))
}

/// Requires that the organisation of an anchor signed this list, by the bundles beside it and the keysets in the kit.
pub(super) fn require_signed(
    folder: &Path,
    list: &List,
    anchor: &Anchor,
    now: UnixTime,
) -> Result<JudgedKit, KitError> {
    let names = signatures(folder)?;
    if names.is_empty() {
        let what = "bundle beside SHA256SUMS";
        return Err(KitError::Unsigned { what });
    }
    if names.len() > MAX_BUNDLES {
        let path = names[MAX_BUNDLES].clone();
        return Err(KitError::Unlisted { path });
    }
    let mut bundles = Vec::new();
    for name in &names {
        let path = folder.join(name);
        bundles.push(file::read(&path, MAX_BUNDLE).map_err(failed("read", &path))?);
    }
    let organisation = folder.join(ORGANISATION);
    if !organisation.join("keysets/1.json").is_file() {
        let what = "org/keysets/1.json";
        return Err(KitError::Unsigned { what });
    }
    let history = KeysetFolder::read(&organisation)?.history();
    judge(list, &bundles, &names, &history, anchor, now)
}

/// Returns the names of the bundles beside the list, sorted.
pub(super) fn signatures(folder: &Path) -> Result<Vec<String>, KitError> {
    let entries = std::fs::read_dir(folder).map_err(failed("read", folder))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: io::Result<Vec<String>> = names.collect();
    let mut names = names.map_err(failed("read", folder))?;
    names.retain(|name| is_signature(name));
    names.sort();
    Ok(names)
}

fn judge(
    list: &List,
    bundles: &[Vec<u8>],
    names: &[String],
    history: &History,
    anchor: &Anchor,
    now: UnixTime,
) -> Result<JudgedKit, KitError> {
    let judged = history::judge_kit(
        list.bytes(),
        bundles,
        history,
        anchor,
        &Falls::default(),
        now,
    );
    judged.map_err(|error| wrong(error, names))
}

/// Names the bundle that is wrong, where it is one of them.
fn wrong(error: KitSignatureError, names: &[String]) -> KitError {
    let bundle = match &error {
        KitSignatureError::Signature { error, .. } => error.bundle(),
        _ => None,
    };
    KitError::Signature {
        file: bundle.and_then(|index| names.get(index)).cloned(),
        error: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bundles_beside_the_list_are_signatures() {
        assert!(is_signature("SHA256SUMS.01abcdef.sigstore.json"));
        for path in [
            "SHA256SUMS",
            "SHA256SUMS.sigstore.json",
            "SHA256SUMS.01abcde.sigstore.json",
            "SHA256SUMS.01ABCDEF.sigstore.json",
            "SHA256SUMS.01abcdef.sigstore.json.exe",
            "SHA256SUMS.01abcdeg.sigstore.json",
            "SHA256SUMS-01abcdef.sigstore.json",
            "images/SHA256SUMS.01abcdef.sigstore.json",
        ] {
            assert!(!is_signature(path), "{path}");
        }
    }
}
