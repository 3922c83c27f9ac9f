//! A token in a file: Kubernetes' projected service-account tokens, or one that a person names.
//!
//! The file is read each time, for such files are renewed in place.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use stella_wire::oidc::MAX_TOKEN;
use zeroize::Zeroizing;

use super::ProviderError;

/// Reads a token from a file; white space around it is not part of it.
///
/// # Errors
///
/// [`ProviderError::File`]: unreadable, empty, not text, or larger than any token.
pub fn read_token(path: &Path) -> Result<Zeroizing<String>, ProviderError> {
    let failed = |error: io::Error| ProviderError::File {
        path: path.to_owned(),
        kind: error.kind(),
        number: error.raw_os_error(),
    };
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN + 2));
    let file = File::open(path).map_err(failed)?;
    // A token, a final newline, and one byte more to see that there is more.
    file.take(MAX_TOKEN as u64 + 2)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let token = text.trim();
    if token.len() > MAX_TOKEN {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    if token.is_empty() {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Zeroizing::new(token.to_owned()))
}
