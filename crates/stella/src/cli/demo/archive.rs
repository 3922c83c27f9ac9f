//! The demo's archive: sealed with two keys while the instance runs, verified by the anchor alone when it is gone.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use stella_archive::anchor::{Anchor, OrgAnchor};
use stella_archive::fall::Falls;
use stella_archive::fingerprint::Fingerprint;
use stella_archive::keyset::{Keyset, OrgKeyEntry, Role};
use stella_archive::statement::{Manifest, Period};
use stella_attest::archive::run::{Job, Logs, Prune};
use stella_attest::archive::verify::{Checked, Demands, Depth};
use stella_attest::archive::{Archive, ArchiveError, run, verify};
use stella_attest::keyset::{self, CeremonyError};
use stella_attest::layout::Layout;
use stella_attest::session::{Services, Session};
use stella_attest::storage::Storage;
use stella_bundle::identity::Identities;
use stella_bundle::key::{KeyDetails, sha256};
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{IdentityRule, Policy, SctRule};
use stella_client::tsa::Tsa;
use stella_keys::stored::StoredKey;
use stella_keys::{KeyError, OrgKey};
use stella_server::{Clock as _, Sigstore, SystemClock};

use super::URL;
use crate::exit::{self, Failure};
use crate::trust::TrustMaterial;

/// The name of the only period.
const PERIOD: &str = "demo";
/// How long the demo's keys last.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Seals attestations into an archive below `directory`; returns what was signed, and the anchor.
pub(super) async fn seal(
    sigstore: &Sigstore,
    material: &TrustMaterial,
    directory: &Path,
    bundles: Vec<Vec<u8>>,
) -> Result<(Manifest, Anchor), Failure> {
    let trust = material.prepare();
    let session = Session {
        transport: sigstore,
        services: Services {
            timestamp_authorities: vec![Tsa::new(&format!("{URL}/api/v1/timestamp"))],
            ..Services::default()
        },
        trust: &trust,
        sct: SctRule::Require,
        root_bundle: None,
        now: &|| SystemClock.now(),
        nonce: &crate::cli::attest::nonce,
        done: &|step| tracing::debug!(?step, "done"),
    };
    // 1. The organisation: two keys that live for this demo, and the clock that counts.
    let keys = [KeyDetails::EcdsaP256Sha256, KeyDetails::MlDsa65].map(key);
    let keys = keys.into_iter().collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| crate::key::failure(&error))?;
    let keyset = first_keyset(&keys, material)?;
    let anchor = OrgAnchor::of(&keyset, Fingerprint::of(&keyset.to_bytes()).sha256);
    let anchor = anchor.ok_or_else(|| internal("a keyset without keys"))?;
    let org = directory.join("org");
    let root = Some(&material.root_bytes[..]);
    let keysets = keyset::found(&session, &org, &keyset, &keys, root).await;
    let keysets = keysets.map_err(|error: CeremonyError| internal(error))?;
    // 2. The archive.
    let layout = Layout::create_folder(&directory.join("archive")).map_err(internal)?;
    let storage: Arc<dyn Storage> = Arc::new(layout);
    let job = Job {
        session: &session,
        keysets: &keysets,
        keys: &keys,
        storage,
        work: &directory.join("archive.work"),
        period: Period {
            name: PERIOD.to_owned(),
            start: UnixTime::from_seconds(0),
            end: SystemClock
                .now()
                .floor_seconds()
                .plus(Duration::from_secs(1)),
        },
        since: None,
        trusted_root: &material.root_bytes,
        tuf: None,
        policy: &anyone(),
        policy_digest: None,
        logs: Logs::Shared,
        months: 24,
        prune: Prune::Keep,
        threads: NonZeroUsize::MIN,
        done: &|phase, _| tracing::debug!(?phase, "archive"),
    };
    let incoming = stream::iter(bundles.into_iter().map(|bytes| Ok(bytes.into())));
    let outcome = run::run(&job, Box::pin(incoming))
        .await
        .map_err(of_archive)?;
    Ok((outcome.manifest, Anchor::Organisation(anchor)))
}

/// Verifies the archive as a stranger, with nothing but the anchor.
pub(super) async fn check(directory: &Path, anchor: &Anchor) -> Result<Checked, Failure> {
    let layout = Layout::open(&directory.join("archive")).map_err(internal)?;
    let archive = Archive::open(Arc::new(layout), PERIOD)
        .await
        .map_err(of_archive)?;
    let demands = Demands {
        anchor,
        known: &Falls::default(),
        own: None,
        policy: &anyone(),
        newer: None,
        depth: Depth::Reverified,
        now: SystemClock.now(),
        threads: NonZeroUsize::MIN,
        done: &|_, _| (),
    };
    verify::verify(&archive, &demands).await.map_err(of_archive)
}

fn key(details: KeyDetails) -> Result<OrgKey, KeyError> {
    let key = StoredKey::generate(details)?.signer(details)?;
    Ok(OrgKey::new(Box::new(key)))
}

fn first_keyset(keys: &[OrgKey], material: &TrustMaterial) -> Result<Keyset, Failure> {
    let now = SystemClock.now();
    let entries = keys.iter().zip([Role::Classical, Role::PostQuantum]);
    let entries =
        entries.map(|(key, role)| OrgKeyEntry::new(key.public_key(), role, now, now.plus(YEAR)));
    let authorities = material.root.timestamp_authorities.iter();
    let tops = authorities.filter_map(|each| each.cert_chain.certificates.last());
    let pins = tops.map(|top| sha256(&top.raw_bytes)).collect();
    Keyset::create(
        "demo.localhost/archive",
        now,
        "the demo",
        2,
        entries.collect(),
        pins,
    )
    .map_err(internal)
}

fn anyone() -> Policy {
    Policy::for_certificates(IdentityRule::Given(Identities::AnyoneUnsafe))
}

fn of_archive(error: ArchiveError) -> Failure {
    internal(error)
}

fn internal(error: impl ToString) -> Failure {
    Failure::new(exit::INTERNAL, error.to_string())
}
