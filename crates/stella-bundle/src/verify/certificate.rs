//! Step 2: the chain at every authenticated time, and what CT logs said of the leaf.

use super::error::VerifyError;
use super::policy::SctRule;
use super::report::{Recorder, SctFact, Standing};
use super::trust::Trust;
use crate::certificate::Certificate;
use crate::chain::{ChainError, Path, Purpose};
use crate::identity;
use crate::memo::{Fact, Memo};
use crate::sct;
use crate::time::UnixTime;

/// Finds the leaf's path into a trusted authority that held at every time.
pub(super) fn find_path<'a>(
    trust: &'a Trust,
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    times: &[UnixTime],
    memo: &Memo,
) -> Result<Path<'a>, VerifyError> {
    if let Some(index) = intermediates.iter().position(Certificate::is_self_issued) {
        return Err(VerifyError::RootInBundle { index: index + 1 });
    }
    if identity::only_identity(leaf).is_none() {
        return Err(VerifyError::NotOneName {
            found: leaf.names().len(),
        });
    }
    let mut refusal = None;
    // One chain may be listed several times, with different windows: any that fits will do.
    for authority in trust.authorities() {
        let Ok(path) = Path::find(leaf, intermediates, std::slice::from_ref(authority), memo)
        else {
            continue;
        };
        let holds_at = |time: &UnixTime| {
            path.require(Purpose::CodeSigning, *time)?;
            path.require_none_retired(trust.authorities(), *time)
        };
        match times.iter().try_for_each(holds_at) {
            Ok(()) => return Ok(path),
            Err(error) => refusal = Some(error),
        }
    }
    let unknown = || ChainError::UnknownIssuer {
        issuer: leaf.issuer_text(),
    };
    Err(refusal.unwrap_or_else(unknown).into())
}

/// Verifies the embedded SCTs: one by a known log in service is needed, and no such log's may have a bad signature.
pub(super) fn verify_scts(
    trust: &Trust,
    rule: SctRule,
    leaf: &Certificate,
    path: &Path<'_>,
    memo: &Memo,
    record: &mut Recorder,
) -> Result<Standing, VerifyError> {
    if rule == SctRule::WithoutSctUnsafe {
        return Ok(Standing::Skipped);
    }
    let scts = sct::embedded(leaf)?;
    let mut known = 0;
    let mut retired = None;
    for (index, each) in scts.iter().enumerate() {
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
            // As good as one of an unknown log, unless it is all there is.
            let (validity, time) = (log.validity, each.timestamp);
            retired = Some(VerifyError::SctLogNotValidAt { validity, time });
            continue;
        }
        let issuer = path.issuer();
        let promised = || Fact::Promised {
            certificate: *leaf.fingerprint(),
            issuer: *issuer.fingerprint(),
            log: log.id,
            index,
        };
        let verify = || each.verify(&log.key, leaf, issuer.public_key());
        memo.once(promised, verify)?;
        known += 1;
    }
    match (known, retired) {
        (0, Some(error)) => Err(error),
        (0, None) => Err(VerifyError::NotEnoughScts {
            present: scts.len(),
            known,
        }),
        _ => Ok(Standing::Holds),
    }
}
