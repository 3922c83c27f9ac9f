//! Sign a statement of the organisation: with each of its keys, and every signature stamped.

use stella_archive::history::Document;
use stella_archive::statement::OrgStatement;
use stella_keys::OrgKey;

use crate::session::{Services, Session};
use crate::sign::{self, SignError};

/// Signs a statement with each key; every signature is stamped by every authority of the session, and logged where a log takes
/// signatures by such keys. What leaves was verified.
///
/// # Errors
/// Any [`SignError`]; then some signatures may be logged already.
pub async fn sign(
    session: &Session<'_>,
    keys: &[OrgKey],
    statement: &OrgStatement,
) -> Result<Vec<Vec<u8>>, SignError> {
    let mut bundles = Vec::new();
    // One after the other: a device has one door, and a person may have to touch it.
    for key in keys {
        let signature = key.sign(statement)?;
        let session = session_for(session, key);
        let (details, public) = (key.details(), key.public_key());
        let signed = sign::close(&session, details, public, statement.statement(), signature);
        bundles.push(signed.await?.bytes);
    }
    Ok(bundles)
}

/// Signs a document with each key.
///
/// # Errors
/// As [`sign()`].
pub async fn sign_document(
    session: &Session<'_>,
    keys: &[OrgKey],
    statement: &OrgStatement,
    bytes: Vec<u8>,
) -> Result<Document, SignError> {
    let bundles = sign(session, keys, statement).await?;
    Ok(Document { bytes, bundles })
}

/// Returns the sitting without the logs where the key signs no digests: logs take nothing else.
fn session_for<'a>(session: &Session<'a>, key: &OrgKey) -> Session<'a> {
    let mut services: Services = session.services.clone();
    if key.details().hash().is_none() {
        services.logs.clear();
    }
    Session {
        services,
        ..*session
    }
}
