//! Which changes of a good bundle may be accepted: `testdata/mutation/exceptions.json`, each line with its reason, and
//! changes that are none because what is read is the same.
//!
//! The changes themselves are [`super::mutants`].

use serde::Deserialize;
use stella_bundle::bundle::Bundle;
use stella_bundle::timestamp::SignedTimestamp;

use super::Form;
use super::mutants::Kind;

const EXCEPTIONS: &str = include_str!("../../../../testdata/mutation/exceptions.json");

/// An accepted change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// JSON pointer; `*` stands for one step.
    pub path: String,
    /// Words of [`Kind::name`].
    pub kinds: Vec<String>,
    /// Which part of the form's name it is for; all when absent.
    pub form: Option<String>,
    /// Why the bundle is still good.
    pub reason: String,
}

impl Exception {
    /// Says whether this line speaks of a change of a form.
    #[must_use]
    pub fn covers(&self, form: &Form, path: &str, kind: Kind) -> bool {
        let is_form = |part: &String| form.name.contains(part.as_str());
        self.form.as_ref().is_none_or(is_form)
            && self.kinds.iter().any(|each| each == kind.name())
            && is_match(&self.path, path)
    }
}

/// Returns the whole list.
///
/// # Panics
/// When the file is not such a list.
#[must_use]
pub fn all() -> Vec<Exception> {
    super::must(serde_json::from_str(EXCEPTIONS))
}

/// Says whether a JSON pointer is of a pattern, in which `*` stands for one step.
#[must_use]
pub fn is_match(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == "*" || wanted == found => {}
            _ => return false,
        }
    }
}

/// Says whether a change leaves all that is read: another spelling, or parts of a token that nobody signs.
#[must_use]
pub fn is_same(original: &Bundle, mut changed: Bundle) -> bool {
    if changed.timestamps.len() == original.timestamps.len() {
        for (found, good) in changed.timestamps.iter_mut().zip(&original.timestamps) {
            if signed_parts(found).is_some_and(|found| Some(found) == signed_parts(good)) {
                found.clone_from(good);
            }
        }
    }
    changed == *original
}

/// A token without the certificates that came along: the trusted root has the signer itself.
fn signed_parts(response: &[u8]) -> Option<SignedTimestamp> {
    let mut token = SignedTimestamp::parse(response).ok()?;
    token.certificates.clear();
    Some(token)
}
