//! Where archives lie: the folder or file of an OCI layout, or a repository; and which of them is meant.

use std::sync::Arc;

use stella_attest::archive::ArchiveError;
use stella_attest::archive::open::{self, Archive};
use stella_attest::storage::Storage;

use crate::cli::mirror::place::{self, Purpose};
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;

/// Which archive is read.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceFlags {
    /// Where archives are: an OCI layout's folder or tar file, or a repository
    pub(super) archive: String,

    /// The period, such as 2026-11; by default the newest
    #[arg(long, value_name = "NAME")]
    period: Option<String>,

    #[command(flatten)]
    registry: RegistryFlags,
}

impl PlaceFlags {
    /// Returns the newest archive of another place.
    pub(super) fn elsewhere(&self, archive: &str) -> Self {
        Self {
            archive: archive.to_owned(),
            period: None,
            registry: self.registry.clone(),
        }
    }

    /// Returns the period that was named.
    pub(super) fn period(&self) -> Option<&str> {
        self.period.as_deref()
    }

    /// Opens the place.
    pub(super) fn storage(&self) -> Result<Arc<dyn Storage>, Failure> {
        storage(&self.archive, Purpose::Read, &self.registry)
    }

    /// Opens the archive that is meant, and the newest of the place where that is another.
    pub(super) async fn open_with_newest(&self) -> Result<(Archive, Option<Archive>), Failure> {
        let storage = self.storage()?;
        let open = |name: String| {
            let storage = Arc::clone(&storage);
            async move { Archive::open(storage, &name).await.map_err(failure) }
        };
        let listed = open::list(&storage).await.map_err(failure)?;
        let newest = listed.last().map(|each| each.name.clone());
        let newest = newest.ok_or_else(|| {
            Failure::new(
                exit::NO_ATTESTATION,
                format!("{} has no archive", storage.name()),
            )
            .hint("`stella archive run` makes one")
        })?;
        match &self.period {
            Some(name) if *name != newest => {
                Ok((open(name.clone()).await?, Some(open(newest).await?)))
            }
            _ => Ok((open(newest).await?, None)),
        }
    }
}

/// Opens a place of archives.
pub(in crate::cli) fn storage(
    text: &str,
    purpose: Purpose,
    registry: &RegistryFlags,
) -> Result<Arc<dyn Storage>, Failure> {
    let registries = registry.open()?;
    Ok(place::open(&spelled(text), purpose, &registries)?.storage)
}

/// Says whether a text names a folder or file on this machine.
pub(in crate::cli) fn is_folder(text: &str) -> bool {
    place::is_path(&spelled(text))
}

/// A bare name is a folder: archives of an organisation lie beside its keysets.
fn spelled(text: &str) -> String {
    match text.contains(['/', ':', '.']) {
        true => text.to_owned(),
        false => format!("oci:{text}"),
    }
}

/// Says what an error of an archive means.
pub(in crate::cli) fn failure(error: ArchiveError) -> Failure {
    use ArchiveError as E;
    let error = match error {
        E::Sign(error) => return error.into(),
        E::Ceremony(error) => return super::ceremony::failure(error),
        E::Key(error) => return crate::key::failure(&error),
        E::Witness(error) => return error.into(),
        other => other,
    };
    let message = error.to_string();
    match error {
        E::Absent { .. } | E::NotFound(_) => Failure::new(exit::NO_ATTESTATION, message)
            .hint("`stella archive list` shows what is there"),
        E::Frame { .. }
        | E::Frontier(_)
        | E::Growth(_)
        | E::History(_)
        | E::Index(_)
        | E::Leaf { .. }
        | E::Mismatch(_)
        | E::OtherTree(_)
        | E::Part(_)
        | E::Proof(_)
        | E::Shrunk { .. }
        | E::Unreadable { .. } => Failure::new(exit::SIGNATURE, message)
            .hint("bring the archive again from where it was made, and check the anchor"),
        E::Busy(_) => {
            Failure::new(exit::INTERNAL, message).hint("wait for it, or name another --work")
        }
        E::CheckpointKey => Failure::new(exit::KEY, message)
            .hint("`stella archive keyset show` shows them, `stella archive keyset add --role checkpoint` adds one, which counts from the next `stella archive run` or `renew` on"),
        E::Note { .. } => Failure::usage(message).hint("name fewer witnesses in the policy"),
        E::Quorum { .. } => Failure::new(exit::LOG, message)
            .hint("ask them again: `stella archive cosign`; the archive itself stays as it is"),
        E::WitnessDiffers { .. } => Failure::new(exit::LOG, message)
            .hint("find out who else has the checkpoint key, or which archive this place lacks"),
        E::Keys { .. } => Failure::new(exit::KEY, message)
            .hint("name them with --key and --pq-key; `stella archive keyset show` shows them"),
        E::Reversed { .. } => {
            Failure::usage(message).hint("`stella archive list` shows their order")
        }
        E::Published { .. } => {
            Failure::new(exit::USAGE, message).hint("choose another --release or another place")
        }
        E::Undated => Failure::usage(message).hint(
            "pin the authorities of the trusted root by `stella archive keyset authorities`, stamped by those that are pinned now",
        ),
        E::RolledBack { .. } => Failure::new(exit::SIGNATURE, message).hint(
            "bring the archives back from a copy; where they are lost for good, head.json in the folder of keysets says what there was: remove it to begin anew",
        ),
        E::Claim { .. } => Failure::new(exit::SIGNATURE, message)
            .hint("collect that share again, on a machine that is to be trusted, and find out who else writes to the place of shares"),
        E::Share { .. } => Failure::new(exit::SIGNATURE, message).hint(
            "collect every share with the same period, trust root, policy and version of stella as this run; with --release name the same --until",
        ),
        E::Retention(_) => Failure::new(exit::SIGNATURE, message)
            .hint("nothing is let go until every hold can be read: bring back the archive or the folder that has it"),
        E::Overtaken { .. } => Failure::new(exit::INTERNAL, message).hint("run it again: it begins anew after the other one"),
        _ => Failure::new(exit::INTERNAL, message),
    }
}
