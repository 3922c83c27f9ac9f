//! The keys of signer.yaml, each with the shape of its value, and the nearest name for one that is not there.
//!
//! What a value means is decided in `meaning.rs`.

/// One setting; its [`path`](Key::path) is what a person writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// `keyless` or `key`.
    Mode,
    /// The key that is kept, by its reference.
    Managed,
    /// Whether keyless signing may be used at all.
    KeylessEnabled,
    /// Client trust configuration, trusted root, or `public`.
    Trust,
    /// The certificate authority.
    FulcioUrl,
    /// The deadline of one answer of a service.
    FulcioTimeout,
    /// How often a failed request is repeated.
    FulcioRetries,
    /// The transparency log.
    RekorUrl,
    /// The timestamp authority, whole address.
    TsaUrl,
    /// The only issuer whose tokens are used.
    OidcIssuer,
    /// The client's name in interactive and client-credentials logins.
    OidcClientId,
    /// Whether the CI runner's token is looked for.
    OidcUseAmbientToken,
    /// What the token's `aud` must contain.
    OidcAudience,
    /// The kind of key made for each signature.
    AlgorithmsPreferred,
    /// The kinds of keys that may sign.
    AlgorithmsAllowed,
    /// Certificates that narrow the trusted root.
    CertificateRootBundlePath,
    /// Only `true` is accepted.
    CertificateValidateChain,
    /// Whether signing checks the SCT of its own certificate.
    CertificateRequireSct,
    /// How much is told on stderr; not part of signer.yaml.
    LogLevel,
}

/// What kind of value a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Whole,
    /// A list of names.
    Names,
}

impl Key {
    /// Every key, in the order of the file.
    pub(crate) const ALL: [Self; 19] = [
        Self::Mode,
        Self::Managed,
        Self::KeylessEnabled,
        Self::Trust,
        Self::FulcioUrl,
        Self::FulcioTimeout,
        Self::FulcioRetries,
        Self::RekorUrl,
        Self::TsaUrl,
        Self::OidcIssuer,
        Self::OidcClientId,
        Self::OidcUseAmbientToken,
        Self::OidcAudience,
        Self::AlgorithmsPreferred,
        Self::AlgorithmsAllowed,
        Self::CertificateRootBundlePath,
        Self::CertificateValidateChain,
        Self::CertificateRequireSct,
        Self::LogLevel,
    ];

    /// Returns the dotted path, as in `signer.signing.keyless.fulcio.url`.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Mode => "signer.signing.mode",
            Self::Managed => "signer.signing.key",
            Self::KeylessEnabled => "signer.signing.keyless.enabled",
            Self::Trust => "signer.signing.keyless.trust",
            Self::FulcioUrl => "signer.signing.keyless.fulcio.url",
            Self::FulcioTimeout => "signer.signing.keyless.fulcio.timeout",
            Self::FulcioRetries => "signer.signing.keyless.fulcio.retries",
            Self::RekorUrl => "signer.signing.keyless.rekor.url",
            Self::TsaUrl => "signer.signing.keyless.tsa.url",
            Self::OidcIssuer => "signer.signing.keyless.oidc.issuer",
            Self::OidcClientId => "signer.signing.keyless.oidc.clientId",
            Self::OidcUseAmbientToken => "signer.signing.keyless.oidc.useAmbientToken",
            Self::OidcAudience => "signer.signing.keyless.oidc.audience",
            Self::AlgorithmsPreferred => "signer.signing.keyless.algorithms.preferred",
            Self::AlgorithmsAllowed => "signer.signing.keyless.algorithms.allowed",
            Self::CertificateRootBundlePath => "signer.signing.keyless.certificate.rootBundlePath",
            Self::CertificateValidateChain => "signer.signing.keyless.certificate.validateChain",
            Self::CertificateRequireSct => "signer.signing.keyless.certificate.requireSCT",
            Self::LogLevel => "logLevel",
        }
    }

    /// Returns the shape of the value.
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Mode
            | Self::Managed
            | Self::Trust
            | Self::FulcioUrl
            | Self::FulcioTimeout
            | Self::RekorUrl
            | Self::TsaUrl
            | Self::OidcIssuer
            | Self::OidcClientId
            | Self::OidcAudience
            | Self::AlgorithmsPreferred
            | Self::CertificateRootBundlePath
            | Self::LogLevel => Shape::Text,
            Self::KeylessEnabled
            | Self::OidcUseAmbientToken
            | Self::CertificateValidateChain
            | Self::CertificateRequireSct => Shape::Switch,
            Self::FulcioRetries => Shape::Whole,
            Self::AlgorithmsAllowed => Shape::Names,
        }
    }

    /// Says whether signer.yaml may hold the key.
    pub(crate) fn is_in_file(self) -> bool {
        self != Self::LogLevel
    }

    /// Finds the key that signer.yaml spells `path`.
    pub(crate) fn in_file(path: &str) -> Option<Self> {
        file_keys().find(|key| key.path() == path)
    }
}

/// Says whether `path` names a section: something that holds keys.
pub(crate) fn is_section(path: &str) -> bool {
    file_keys().any(|key| {
        key.path()
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// Returns the known path nearest to `path`, if one is near enough to be meant.
///
/// A sibling with a similar name comes first; then a key of the same name in another section.
pub(crate) fn nearest(path: &str) -> Option<String> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let wanted = folded(name);
    let sibling = siblings(section)
        .map(|sibling| {
            (
                strsim::damerau_levenshtein(&folded(sibling), &wanted),
                sibling,
            )
        })
        .min()
        .filter(|(distance, _)| *distance <= (wanted.len() / 3).max(1));
    if let Some((_, sibling)) = sibling {
        return Some(join(section, sibling));
    }
    file_keys()
        .flat_map(|key| ancestors(key.path()))
        .find(|known| {
            let last = known.rsplit_once('.').map_or(*known, |(_, last)| last);
            folded(last) == wanted
        })
        .map(str::to_owned)
}

/// Joins a section and a name; the section may be empty.
pub(crate) fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

fn file_keys() -> impl Iterator<Item = Key> {
    Key::ALL.into_iter().filter(|key| key.is_in_file())
}

/// The names directly below `section`.
fn siblings(section: &str) -> impl Iterator<Item = &'static str> {
    file_keys().filter_map(move |key| {
        let rest = if section.is_empty() {
            key.path()
        } else {
            key.path().strip_prefix(section)?.strip_prefix('.')?
        };
        rest.split('.').next()
    })
}

/// `a.b.c` and each section above it.
fn ancestors(path: &'static str) -> impl Iterator<Item = &'static str> {
    std::iter::successors(Some(path), |path| {
        path.rsplit_once('.').map(|(above, _)| above)
    })
}

/// Names are compared without case, `_` and `-`: `client_id` is `clientId`.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|character| !matches!(character, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_found_by_its_path_and_no_path_is_also_a_section() {
        for key in file_keys() {
            assert_eq!(Key::in_file(key.path()), Some(key));
            assert!(!is_section(key.path()));
        }
        assert!(is_section("signer.signing.keyless.fulcio"));
        assert_eq!(Key::in_file("logLevel"), None);
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_neighbour() {
        let keyless = "signer.signing.keyless";
        let check = |typed: &str, meant: Option<&str>| {
            assert_eq!(
                nearest(&join(keyless, typed)),
                meant.map(|meant| join(keyless, meant)),
                "{typed}"
            );
        };
        check("fulcio.uri", Some("fulcio.url"));
        check("oidc.client_id", Some("oidc.clientId"));
        check("certificate.requireSct", Some("certificate.requireSCT"));
        check("fulcoi", Some("fulcio"));
        check("clientId", Some("oidc.clientId"));
        check("fulcio.blue", None);
        assert_eq!(nearest("signers"), Some("signer".to_owned()));
        assert_eq!(nearest("keyless"), Some(keyless.to_owned()));
    }
}
