//! A signing config made of words: the services that were given, beside those of another file.
//!
//! Whether the result is of use is said by [`super::lint`].

use super::selection::ServiceKind;
use super::{MEDIA_TYPE, Selection, Service, SigningConfig};
use crate::pairs::{self, Pairs, PairsError};

/// The key of the API version.
const VERSION: &str = "api-version";
/// The key of who runs the service.
const OPERATOR: &str = "operator";
/// What a service may be told to be; all but the end must be said, as cosign asks.
pub const KEYS: &[&str] = &[pairs::URL, VERSION, pairs::START, pairs::END, OPERATOR];

impl Service {
    /// Reads `url=…,api-version=1,start-time=…,end-time=…,operator=…`.
    ///
    /// # Errors
    /// Any [`PairsError`].
    pub fn from_words(text: &str) -> Result<Self, PairsError> {
        let pairs = Pairs::parse(text, KEYS)?;
        Ok(Self {
            url: pairs.url()?.to_owned(),
            major_api_version: pairs.version(VERSION)?,
            valid_for: Some(pairs.range(None)?),
            operator: pairs.required(OPERATOR)?.to_owned(),
        })
    }
}

/// The file with which the making begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Its services of a kind stay where none of that kind is given.
    Base(SigningConfig),
    /// Its services stay beside those that are given.
    Defaults(SigningConfig),
    /// None.
    Nothing,
}

/// What a signing config is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The file with which it begins.
    pub beginning: Beginning,
    /// The kinds of which nothing is taken from there.
    pub without: Vec<ServiceKind>,
    /// The services that were given.
    pub services: Vec<(ServiceKind, Service)>,
    /// How many logs; none where the beginning says it.
    pub rekor: Option<Selection>,
    /// How many timestamp authorities; none where the beginning says it.
    pub tsa: Option<Selection>,
}

/// Makes the signing config.
pub fn create(parts: Parts) -> SigningConfig {
    let mut config = match &parts.beginning {
        Beginning::Base(config) | Beginning::Defaults(config) => config.clone(),
        Beginning::Nothing => SigningConfig::default(),
    };
    config.media_type = MEDIA_TYPE.to_owned();
    for kind in ServiceKind::ALL {
        let is_given = parts.services.iter().any(|(given, _)| *given == kind);
        let is_replaced = is_given && matches!(parts.beginning, Beginning::Base(_));
        if is_replaced || parts.without.contains(&kind) {
            config.services_mut(kind).clear();
        }
    }
    for (kind, service) in parts.services {
        config.services_mut(kind).push(service);
    }
    for (kind, said, selection) in [
        (
            ServiceKind::Rekor,
            parts.rekor,
            &mut config.rekor_tlog_config,
        ),
        (ServiceKind::Tsa, parts.tsa, &mut config.tsa_config),
    ] {
        match said {
            Some(said) => *selection = said,
            None if parts.without.contains(&kind) => *selection = Selection::default(),
            None => {}
        }
    }
    config
}

impl SigningConfig {
    const fn services_mut(&mut self, kind: ServiceKind) -> &mut Vec<Service> {
        match kind {
            ServiceKind::Fulcio => &mut self.ca_urls,
            ServiceKind::Oidc => &mut self.oidc_urls,
            ServiceKind::Rekor => &mut self.rekor_tlog_urls,
            ServiceKind::Tsa => &mut self.tsa_urls,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::Selector;
    use super::*;

    const WORDS: &str =
        "url=https://a.example,api-version=1,start-time=2026-01-01T00:00:00Z,operator=a.example";

    fn service(url: &str) -> Service {
        let mut service = Service::from_words(WORDS).unwrap();
        service.url = url.to_owned();
        service
    }

    fn other() -> SigningConfig {
        SigningConfig {
            media_type: "older".to_owned(),
            ca_urls: vec![service("https://fulcio.other")],
            rekor_tlog_urls: vec![service("https://rekor.other")],
            rekor_tlog_config: Selection::parse("ALL").unwrap(),
            ..SigningConfig::default()
        }
    }

    fn parts(beginning: Beginning) -> Parts {
        Parts {
            beginning,
            without: vec![],
            services: vec![(ServiceKind::Rekor, service("https://rekor.ours"))],
            rekor: Some(Selection::parse("EXACT:1").unwrap()),
            tsa: None,
        }
    }

    fn urls(services: &[Service]) -> Vec<&str> {
        services.iter().map(|each| each.url.as_str()).collect()
    }

    #[test]
    fn a_service_is_read_from_words() {
        let service = Service::from_words(WORDS).unwrap();
        assert_eq!(service.url, "https://a.example");
        assert_eq!(service.major_api_version, 1);
        assert_eq!(service.operator, "a.example");
        let range = service.valid_for.unwrap();
        assert_eq!(
            (range.start.as_deref(), range.end),
            (Some("2026-01-01T00:00:00Z"), None)
        );
    }

    #[test]
    fn every_key_but_the_end_must_be_said() {
        for key in ["url", "api-version", "start-time", "operator"] {
            let rest: Vec<&str> = WORDS
                .split(',')
                .filter(|pair| !pair.starts_with(key))
                .collect();
            let error = Service::from_words(&rest.join(","));
            assert_eq!(error, Err(PairsError::Missing { key }), "{key}");
        }
    }

    #[test]
    fn what_is_given_takes_the_place_of_a_base_and_stands_beside_defaults() {
        let made = create(parts(Beginning::Base(other())));
        assert_eq!(made.media_type, MEDIA_TYPE);
        assert_eq!(urls(&made.ca_urls), ["https://fulcio.other"]);
        assert_eq!(urls(&made.rekor_tlog_urls), ["https://rekor.ours"]);
        assert_eq!(made.rekor_tlog_config.selector, Selector::Exact);
        let made = create(parts(Beginning::Defaults(other())));
        let both = ["https://rekor.other", "https://rekor.ours"];
        assert_eq!(urls(&made.rekor_tlog_urls), both);
        let made = create(parts(Beginning::Nothing));
        assert!(made.ca_urls.is_empty());
        assert_eq!(urls(&made.rekor_tlog_urls), ["https://rekor.ours"]);
    }

    #[test]
    fn kinds_may_be_left_out_and_selections_stay_unless_said() {
        let mut parts = parts(Beginning::Defaults(other()));
        parts.without = vec![ServiceKind::Fulcio];
        parts.rekor = None;
        parts.services.clear();
        let made = create(parts.clone());
        assert!(made.ca_urls.is_empty());
        assert_eq!(made.rekor_tlog_config.selector, Selector::All);
        parts.without = vec![ServiceKind::Rekor];
        let made = create(parts);
        assert_eq!(made.rekor_tlog_config, Selection::default());
    }
}
