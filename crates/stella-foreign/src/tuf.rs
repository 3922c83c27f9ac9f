//! Metadata of a TUF repository, whose signatures lie inside it, with a root that names their keys.
//!
//! The rules are those of [`stella_bundle::tuf`]; whether the metadata is the newest is not asked.

use stella_bundle::time::UnixTime;
use stella_bundle::tuf::{MAX_TARGETS, Root, SignedRole};

use crate::artifact::Artifact;
use crate::primitive::{Message, Primitive, Proven};
use crate::verified::{Found, Signed, Signer};
use crate::{ForeignError, Format, Loggable, Reason};

/// Verifies metadata with a root.
pub(crate) fn verify(
    signature: &[u8],
    root: &[u8],
    artifact: &mut Artifact<'_>,
    now: UnixTime,
) -> Result<Found, ForeignError> {
    let metadata = artifact.whole_up_to(MAX_TARGETS)?;
    if !signature.is_empty() && signature != metadata {
        return Err(ForeignError::unexpected(
            Format::Tuf,
            "no signature beside metadata, or the metadata itself",
            "another file",
        ));
    }
    let root = Root::trust(root)?;
    root.require_current(now)?;
    let role = root.verify_role(&metadata, now)?;
    Ok(Found {
        proven: prove(&role)?,
        signer: Signer::Tuf {
            role: role.role,
            version: role.version,
            key_ids: role
                .signatures
                .into_iter()
                .map(|each| each.key_id)
                .collect(),
        },
        signed: Signed::Message(role.message),
        created: None,
    })
}

/// Takes the signature that a log can carry, else the first.
fn prove(role: &SignedRole) -> Result<Proven, ForeignError> {
    let mut proven = Vec::new();
    for each in &role.signatures {
        let primitive = Primitive {
            key: each.key.clone(),
            certificate: None,
            scheme: each.scheme,
            message: Message::whole_for(each.scheme, &role.message),
            signature: each.signature.clone(),
        };
        proven.push(primitive.verify()?);
    }
    let is_native = |each: &Proven| matches!(each.loggable, Loggable::Native(_));
    let at = proven.iter().position(is_native).unwrap_or(0);
    let chosen = proven.into_iter().nth(at);
    let mut chosen = chosen.ok_or(ForeignError::BadSignature)?;
    // One signature of several says nothing: an entry with it would claim too much.
    if role.threshold > 1 {
        let needed = role.threshold;
        chosen.loggable = Loggable::CounterAttest(Reason::Threshold { needed });
    }
    Ok(chosen)
}
