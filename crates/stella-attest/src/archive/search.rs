//! Look for attestations in an archive. What is found is what they say of themselves; verification says what is true.

use stella_archive::frames::Class;
use stella_archive::index::{Keys, subject_key};
use stella_archive::leaf::Leaf;
use stella_bundle::bundle::{Bundle, Content, KeyMaterial};
use stella_bundle::certificate::Certificate;
use stella_bundle::digest::Digest;
use stella_bundle::identity::only_identity;
use stella_bundle::statement::Statement;
use stella_bundle::time::UnixTime;

use super::error::ArchiveError;
use super::open::Archive;

/// What is looked for: everything that is said must be so.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// What it speaks of.
    pub artifact: Option<Digest>,
    /// A part of the signer's name or of its issuer.
    pub signer: Option<String>,
    /// Its predicate type.
    pub predicate_type: Option<String>,
    /// Signed at this time or later.
    pub since: Option<UnixTime>,
    /// Signed before this time.
    pub until: Option<UnixTime>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The index of its leaf.
    pub index: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// When it was signed, as the leaf says.
    pub time: Option<UnixTime>,
    /// Who signed, by the certificate.
    pub signer: String,
    /// Who says so.
    pub issuer: String,
    /// What is said; empty for a signature over an artifact alone.
    pub predicate_type: String,
    /// What it speaks of.
    pub subjects: Vec<String>,
}

/// Looks through an archive; `each` hears of every hit, in the order of the leaves.
///
/// # Errors
/// Whatever hinders reading.
pub async fn search(
    archive: &Archive,
    query: &Query,
    mut each: impl FnMut(Hit),
) -> Result<(), ArchiveError> {
    // An artifact is in the index: only its leaves are read.
    let wanted = match &query.artifact {
        Some(artifact) => Some(archive.find(Keys::Subjects, &subject_key(artifact)).await?),
        None => None,
    };
    if wanted.as_ref().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let start = archive.frontier().await?.size().0;
    let mut leaves = Vec::new();
    archive.each_leaf(|leaf| leaves.push(leaf)).await?;
    let leaves: Vec<_> = { (start..).zip(leaves) }
        .filter(|(_, leaf)| leaf.class() == Class::Evidence)
        .collect();
    if archive.blobs(Class::Evidence).next().is_none() {
        // The bytes were let go: nobody can say any longer what they said.
        return Ok(());
    }
    let read = archive.each_thing(Class::Evidence, &leaves, |index, leaf, bytes| {
        let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.contains(&index));
        let hit = is_wanted.then(|| look(query, index, leaf, bytes)).flatten();
        hit.into_iter().for_each(&mut each);
        Ok(())
    });
    read.await
}

/// Says what an attestation is, if it is one that is looked for.
fn look(query: &Query, index: u64, leaf: &Leaf, bytes: &[u8]) -> Option<Hit> {
    let time = leaf.signed_at();
    let is_in_time = query
        .since
        .is_none_or(|since| time.is_some_and(|time| time >= since))
        && query
            .until
            .is_none_or(|until| time.is_some_and(|time| time < until));
    if !is_in_time {
        return None;
    }
    let said = say(bytes);
    let is_type = query
        .predicate_type
        .as_ref()
        .is_none_or(|wanted| *wanted == said.predicate_type);
    let is_signer = query
        .signer
        .as_ref()
        .is_none_or(|part| said.signer.contains(part) || said.issuer.contains(part));
    (said.is_bundle && is_type && is_signer).then_some(Hit {
        index,
        sha256: leaf.digest.sha256,
        time,
        signer: said.signer,
        issuer: said.issuer,
        predicate_type: said.predicate_type,
        subjects: said.subjects,
    })
}

/// What an attestation says of itself; nothing where it is none.
#[derive(Default)]
pub(super) struct Said {
    is_bundle: bool,
    pub(super) signer: String,
    pub(super) issuer: String,
    predicate_type: String,
    /// `sha256:<hex>`, or another algorithm's name.
    pub(super) subjects: Vec<String>,
}

/// Reads what an attestation says of itself.
pub(super) fn say(bytes: &[u8]) -> Said {
    let Ok(bundle) = Bundle::parse(bytes) else {
        return Said::default();
    };
    let (signer, issuer) = signer(&bundle);
    let statement = match &bundle.content {
        Content::Envelope(envelope) => Statement::parse(&envelope.payload).ok(),
        Content::Message { .. } | Content::SimpleSigning { .. } => None,
    };
    let named = statement.iter().flat_map(|each| &each.subject);
    let named = named.flat_map(|subject| subject.digests());
    let noted = match &bundle.content {
        Content::Message { digest, .. } => digest.clone(),
        _ => None,
    };
    Said {
        is_bundle: true,
        signer,
        issuer,
        predicate_type: { statement.as_ref() }
            .map_or("", |each| &each.predicate_type)
            .to_owned(),
        subjects: { named.chain(noted) }
            .map(|digest| digest.to_string())
            .collect(),
    }
}

/// Returns who signed and who says so, or the hint at a kept key.
fn signer(bundle: &Bundle) -> (String, String) {
    match &bundle.key {
        KeyMaterial::PublicKey { hint } => (hint.clone(), String::new()),
        KeyMaterial::Certificates(chain) => {
            let leaf = chain.first().and_then(|der| Certificate::parse(der).ok());
            let name = leaf
                .as_ref()
                .and_then(only_identity)
                .unwrap_or_default()
                .to_owned();
            let issuer = leaf.as_ref().and_then(|leaf| leaf.oidc_issuer());
            (name, issuer.unwrap_or_default().to_owned())
        }
    }
}
