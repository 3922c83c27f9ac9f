//! The doctor's look at whom this machine believes, and for how long that will do.

use std::time::Duration;

use stella_bundle::certificate::Certificate;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::trusted_root::inventory::{self, Entry, EntryState};
use stella_bundle::tuf::Timestamp;
use stella_bundle::verify::TrustPart;

use super::Finding;
use crate::config::Keyless;
use crate::exit::{self, Failure};
use crate::trust::{self, Acceptance, Folder, TrustMaterial};

const CHECK: &str = "trust";
const VALIDITY: &str = "validity";
const METADATA: &str = "metadata";

const DAY: Duration = Duration::from_secs(86_400);
/// Whoever renews an authority needs about so long.
const SOON: Duration = Duration::from_secs(30 * 86_400);
const REFRESH: &str = "stella trust update";

/// Looks at the trust root in use; returns it where there is one.
pub(super) fn look(keyless: &Keyless, now: UnixTime) -> (Option<TrustMaterial>, Vec<Finding>) {
    let configured = keyless.trust.as_ref();
    let material = match trust::choose_for_signing(None, configured) {
        Ok(material) => material,
        Err(failure) => return (None, vec![Finding::failure(CHECK, failure)]),
    };
    let (kind, source, digest) = (material.kind.name(), &material.source, material.digest());
    let found = format!("{kind} {source}, {digest}");
    let verifying = Acceptance::of_flag(None)
        .and_then(|acceptance| trust::choose(None, configured, &acceptance));
    let mut findings = vec![match verifying {
        Ok(_) => Finding::good(CHECK, found),
        // Signing takes it, and verifying refuses it: a local instance in CI.
        Err(failure) => Finding::warning_of(CHECK, failure),
    }];
    findings.extend(validity(&material.root, now));
    if configured.is_none() {
        findings.extend(metadata(&Folder::usual(), now));
    }
    (Some(material), findings)
}

/// Says how long there is somebody of each kind who may sign.
fn validity(root: &TrustedRoot, now: UnixTime) -> Vec<Finding> {
    let entries = inventory::list(root);
    let mut findings = Vec::new();
    let mut first: Option<(UnixTime, TrustPart)> = None;
    for (part, code) in [
        (TrustPart::CertificateAuthorities, exit::CHAIN),
        (TrustPart::TimestampAuthorities, exit::CHAIN),
        (TrustPart::Tlogs, exit::LOG),
        (TrustPart::Ctlogs, exit::LOG),
    ] {
        let signs = |entry: &&Entry| {
            let is_over = matches!(end(root, entry), Some(end) if end < now);
            entry.place.part == part && entry.state(now) == EntryState::InUse && !is_over
        };
        let ends = entries.iter().filter(signs).map(|entry| end(root, entry));
        let ends: Vec<Option<UnixTime>> = ends.collect();
        if ends.is_empty() {
            let message = format!(
                "no {} of the trust root is in use now",
                inventory::noun(part)
            );
            let failure = Failure::new(code, message).hint(REFRESH);
            findings.push(Finding::failure(VALIDITY, failure));
            continue;
        }
        // Of several the last to end counts; one without an end goes on for ever.
        let last = ends.into_iter().collect::<Option<Vec<_>>>();
        let last = last.and_then(|ends| ends.into_iter().max());
        let last = last.map(|end| (end, part));
        first = first.into_iter().chain(last).min_by_key(|(end, _)| *end);
    }
    match first {
        Some((end, part)) => findings.push(first_end(end, part, now)),
        None if findings.is_empty() => findings.push(Finding::good(VALIDITY, "no end is set")),
        None => {}
    }
    findings
}

/// Returns when an entry ends: at its own end, and with the first certificate of its chain that ends.
fn end(root: &TrustedRoot, entry: &Entry) -> Option<UnixTime> {
    let authorities = match entry.place.part {
        TrustPart::CertificateAuthorities => root.certificate_authorities.as_slice(),
        TrustPart::TimestampAuthorities => root.timestamp_authorities.as_slice(),
        TrustPart::Ctlogs | TrustPart::Tlogs => &[],
    };
    let chain = authorities.get(entry.place.index).into_iter();
    let certificates = chain.flat_map(|each| &each.cert_chain.certificates);
    let ends = certificates.filter_map(|each| {
        let certificate = Certificate::parse(&each.raw_bytes).ok()?;
        Some(certificate.not_after())
    });
    let own = entry.validity.and_then(|validity| validity.end);
    own.into_iter().chain(ends).min()
}

fn first_end(end: UnixTime, part: TrustPart, now: UnixTime) -> Finding {
    let (what, days) = (
        inventory::noun(part),
        end.since(now).as_secs() / DAY.as_secs(),
    );
    let found = format!("first to end is the {what}, at {end}, in {days} days");
    match end > now.plus(SOON) {
        true => Finding::good(VALIDITY, found),
        false => Finding::warning(VALIDITY, found, REFRESH),
    }
}

/// Says how long the metadata of a TUF repository is good.
fn metadata(folder: &Folder, now: UnixTime) -> Option<Finding> {
    let metadata = folder
        .record()
        .and_then(|record| record.map_or(Ok(None), |record| folder.metadata(&record)));
    let metadata = match metadata {
        Ok(metadata) => metadata?,
        Err(failure) => return Some(Finding::failure(METADATA, failure)),
    };
    let root = metadata.root.expires();
    let timestamp = metadata.timestamp.as_ref().map(Timestamp::expires);
    let (what, end) = match timestamp {
        Some(timestamp) if timestamp < root => ("timestamp", timestamp),
        _ => ("root", root),
    };
    Some(match end > now {
        true => Finding::good(METADATA, format!("TUF {what} is good until {end}")),
        false => Finding::warning(METADATA, format!("TUF {what} ended {end}"), REFRESH),
    })
}
