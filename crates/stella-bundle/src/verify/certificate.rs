//! Step 2: the chain at every authenticated time, and what CT logs said of the leaf.

use super::error::VerifyError;
use super::policy::{Policy, SctRule};
use super::report::{Recorder, SctFact, Standing};
use super::trust::Trust;
use crate::certificate::Certificate;
use crate::chain::{ChainError, Path, Purpose};
use crate::identity;
use crate::sct;
use crate::time::UnixTime;

/// Finds the leaf's path into a trusted authority that held at every time.
pub(super) fn find_path<'a>(
    trust: &'a Trust,
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    times: &[UnixTime],
) -> Result<Path<'a>, VerifyError> {
    if let Some(index) = intermediates.iter().position(Certificate::is_self_issued) {
        return Err(VerifyError::RootInBundle { index: index + 1 });
    }
    if identity::only_identity(leaf).is_none() {
        return Err(VerifyError::NotOneName {
            found: leaf.names().len(),
        });
    }
    let mut refusal = ChainError::UnknownIssuer {
        issuer: leaf.issuer_text(),
    };
    // One chain may be listed several times, with different windows: any that fits will do.
    for authority in trust.authorities() {
        let Ok(path) = Path::find(leaf, intermediates, std::slice::from_ref(authority)) else {
            continue;
        };
        match times
            .iter()
            .try_for_each(|time| path.require(Purpose::CodeSigning, *time))
        {
            Ok(()) => return Ok(path),
            Err(error) => refusal = error,
        }
    }
    Err(refusal.into())
}

/// Verifies the embedded SCTs: one by a known log is needed, and none by a known log may be bad.
pub(super) fn verify_scts(
    trust: &Trust,
    policy: &Policy,
    leaf: &Certificate,
    path: &Path<'_>,
    record: &mut Recorder,
) -> Result<Standing, VerifyError> {
    if policy.sct == SctRule::WithoutSctUnsafe {
        return Ok(Standing::Skipped);
    }
    let scts = sct::embedded(leaf)?;
    let mut known = 0;
    for each in &scts {
        let logs: Vec<_> = trust
            .ct_logs()
            .iter()
            .filter(|log| log.id == each.log_id)
            .collect();
        let log = logs
            .iter()
            .find(|log| log.validity.contains(each.timestamp))
            .or(logs.first());
        let name = log.map(|log| log.url.clone());
        record.facts.scts.push(SctFact {
            log: name,
            time: each.timestamp,
        });
        let Some(log) = log else { continue };
        if !log.validity.contains(each.timestamp) {
            let (validity, time) = (log.validity, each.timestamp);
            return Err(VerifyError::SctLogNotValidAt { validity, time });
        }
        each.verify(&log.key, leaf, path.issuer().public_key())?;
        known += 1;
    }
    if known == 0 {
        return Err(VerifyError::NotEnoughScts {
            present: scts.len(),
            known,
        });
    }
    Ok(Standing::Holds)
}
