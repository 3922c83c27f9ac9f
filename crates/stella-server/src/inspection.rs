//! An instance's logs, checked from its disk while nobody serves it: what `stella log fsck` does.

use std::path::Path;
use std::sync::Arc;

use stella_tlog::note::KeyName;

use crate::ct;
use crate::directory::FileError;
use crate::disk::Local;
use crate::fsck::{Expected, Problem, fsck};
use crate::instance::Instance;
use crate::log::{CheckpointSigner, EntryFormat};
use crate::sigstore::OpenError;

/// What was found in one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// `ct` or `rekor`.
    pub log: &'static str,
    /// The number of entries that were read in order.
    pub size: u64,
    /// All that is wrong; empty for a good log.
    pub problems: Vec<Problem>,
}

/// Checks both logs of the instance in `directory`, which nobody may be serving.
///
/// # Errors
/// `Instance`, `Origin`, `Key`; `Log` when the segments cannot be read at all. All else is a problem in a report.
pub fn fsck_instance(directory: &Path) -> Result<Vec<LogReport>, OpenError> {
    let instance = Instance::open_to_read(directory)?;
    let origin = KeyName::new(instance.origin())?;
    let rekor = CheckpointSigner::text(origin, Arc::clone(&instance.rekor))?;
    let origin = KeyName::new(&format!("{}{}", instance.host(), ct::PREFIX))?;
    let ct = CheckpointSigner::tree_head(origin, Arc::clone(&instance.ct))?;
    Ok(vec![
        check(&instance, "rekor", &rekor, EntryFormat::Rekor)?,
        check(&instance, "ct", &ct, EntryFormat::StaticCt)?,
    ])
}

fn check(
    instance: &Instance,
    log: &'static str,
    signer: &CheckpointSigner,
    format: EntryFormat,
) -> Result<LogReport, OpenError> {
    let path = instance.directory.join(log);
    let disk = Local::open(&path).map_err(|error| FileError {
        action: "open",
        path,
        kind: error.kind(),
    })?;
    let key = signer.key().clone();
    let expected = Expected {
        origin: key.name().as_str().to_owned(),
        format,
        keys: vec![key],
        checkpoints: Vec::new(),
    };
    let report = fsck(&disk, &expected).map_err(|error| OpenError::Log { log, error })?;
    Ok(LogReport {
        log,
        size: report.size.0,
        problems: report.problems,
    })
}
