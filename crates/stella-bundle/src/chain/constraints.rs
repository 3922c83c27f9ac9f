//! Name constraints (RFC 5280 §4.2.1.10): e-mail addresses, URIs and host names below an issuing certificate.

use super::ChainError;
use crate::asn1::{self, tag};
use crate::certificate::{AlternativeName, Certificate, NAME_CONSTRAINTS};

/// Tag number of directoryName in a GeneralName.
const DIRECTORY_NAME: u8 = 4;
/// DER of a Name without attributes: the subject of Fulcio's leaves.
const EMPTY_NAME: &[u8] = &[0x30, 0x00];

/// Requires the names of `certificate` to be inside of what `issuer` allows (RFC 5280 §4.2.1.10).
pub(super) fn require(issuer: &Certificate, certificate: &Certificate) -> Result<(), ChainError> {
    let Some(extension) = issuer.extension(&NAME_CONSTRAINTS) else {
        return Ok(());
    };
    let unsupported = || ChainError::UnsupportedConstraint {
        subject: issuer.subject_text(),
    };
    let mut fields = asn1::only_sequence(extension.value).map_err(|_| unsupported())?;
    let mut subtrees = |number| match fields.optional(tag::context(number)) {
        Ok(Some(list)) => read_subtrees(list).ok_or_else(unsupported),
        Ok(None) => Ok(Vec::new()),
        Err(_) => Err(unsupported()),
    };
    let (permitted, excluded) = (subtrees(0)?, subtrees(1)?);
    for base in permitted.iter().chain(&excluded) {
        let AlternativeName::Other(kind) = base else {
            continue;
        };
        // A constraint of a kind that cannot be evaluated matters only where such a name is.
        let has_directory_name = *kind == DIRECTORY_NAME && certificate.subject() != EMPTY_NAME;
        if has_directory_name || certificate.names().contains(base) {
            return Err(unsupported());
        }
    }
    for name in certificate.names() {
        let outside = |name: &AlternativeName| ChainError::NameConstraint {
            subject: issuer.subject_text(),
            name: name
                .identity()
                .unwrap_or("a name of another type")
                .to_owned(),
        };
        let same_kind: Vec<_> = permitted
            .iter()
            .filter(|base| is_same_kind(base, name))
            .collect();
        let is_permitted =
            same_kind.is_empty() || same_kind.iter().any(|base| is_within(base, name));
        if !is_permitted || excluded.iter().any(|base| is_within(base, name)) {
            return Err(outside(name));
        }
    }
    Ok(())
}

/// Reads GeneralSubtrees; none when they are malformed. Kinds that are not evaluated here keep their number.
fn read_subtrees(list: asn1::Tlv<'_>) -> Option<Vec<AlternativeName>> {
    let mut reader = list.reader();
    let mut bases = Vec::new();
    while !reader.is_empty() {
        let mut subtree = reader.sequence().ok()?;
        let element = subtree.tlv().ok()?;
        // spec: RFC 5280 §4.2.1.10: minimum is 0 (absent in DER), maximum is absent.
        subtree.finish().ok()?;
        let text = std::str::from_utf8(element.content).ok()?.to_owned();
        bases.push(match element.tag {
            0x81 => AlternativeName::Email(text),
            0x82 => AlternativeName::Dns(text),
            0x86 => AlternativeName::Uri(text),
            other => AlternativeName::Other(other & 0x1f),
        });
    }
    Some(bases)
}

fn is_same_kind(base: &AlternativeName, name: &AlternativeName) -> bool {
    std::mem::discriminant(base) == std::mem::discriminant(name)
}

/// Says whether a name is inside of a base; an empty base holds every name of its kind.
fn is_within(base: &AlternativeName, name: &AlternativeName) -> bool {
    match (base, name) {
        (AlternativeName::Email(base), AlternativeName::Email(name)) => {
            mailbox_is_within(base, name)
        }
        (AlternativeName::Uri(base), AlternativeName::Uri(name)) => {
            base.is_empty() || uri_host(name).is_some_and(|host| host_is_within(base, host))
        }
        (AlternativeName::Dns(base), AlternativeName::Dns(name)) => {
            let (base, name) = (normal_host(base), normal_host(name));
            base.is_empty() || name == base || name.ends_with(&format!(".{base}"))
        }
        _ => false,
    }
}

/// A base is one mailbox, a host, or a domain with a leading dot; only the host ignores case.
fn mailbox_is_within(base: &str, name: &str) -> bool {
    let Some((local, host)) = name.rsplit_once('@') else {
        return false;
    };
    match base.rsplit_once('@') {
        Some((base_local, base_host)) => {
            local == base_local && normal_host(host) == normal_host(base_host)
        }
        None => base.is_empty() || host_is_within(base, host),
    }
}

/// A base with a leading dot is a domain, any other one host.
fn host_is_within(base: &str, host: &str) -> bool {
    let (base, host) = (normal_host(base), normal_host(host));
    if base.starts_with('.') {
        host.ends_with(&base)
    } else {
        host == base
    }
}

/// Hosts are the same whatever their case, and with or without the dot of the root.
fn normal_host(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Returns the host of a URI's authority part; a user or port is left out.
fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_and_port = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host_and_port.split(':').next()?;
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> AlternativeName {
        AlternativeName::Uri(text.to_owned())
    }

    #[test]
    fn constraints_on_uris_speak_of_the_host_alone() {
        assert!(is_within(
            &uri(".example.com"),
            &uri("https://ci.example.com/x")
        ));
        assert!(!is_within(
            &uri(".example.com"),
            &uri("https://example.com/x")
        ));
        assert!(is_within(
            &uri("example.com"),
            &uri("https://me@Example.com:8443/x")
        ));
        assert!(!is_within(
            &uri("example.com"),
            &uri("https://evil.com/example.com")
        ));
        assert!(!is_within(
            &uri("example.com"),
            &uri("https://example.com.evil.com/")
        ));
    }

    #[test]
    fn constraints_on_mail_are_a_mailbox_a_host_or_a_domain() {
        let mail = |text: &str| AlternativeName::Email(text.to_owned());
        assert!(is_within(&mail("a@x.org"), &mail("a@x.org")));
        assert!(!is_within(&mail("a@x.org"), &mail("b@x.org")));
        assert!(is_within(&mail("x.org"), &mail("b@x.org")));
        assert!(!is_within(&mail("x.org"), &mail("b@y.x.org")));
        assert!(is_within(&mail(".x.org"), &mail("b@y.x.org")));
        assert!(is_within(&mail("boss@corp.org"), &mail("boss@CORP.org.")));
        assert!(!is_within(&mail("boss@corp.org"), &mail("Boss@corp.org")));
        assert!(is_within(&mail(""), &mail("a@b.org")));
    }
}
