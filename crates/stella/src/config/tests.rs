//! Configurations that load, and those that must not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::error::{Expected, Found};
use super::source::Line;
use super::*;

/// Variables and files of a machine that does not exist.
#[derive(Default)]
struct Machine {
    variables: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, String>,
}

impl Machine {
    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.insert(name, value);
        self
    }

    fn file(mut self, path: &'static str, text: &str) -> Self {
        self.files.insert(path, text.to_owned());
        self
    }

    fn load(&self, flags: &Flags) -> Result<Loaded, ConfigError> {
        let variable = |name: &str| self.variables.get(name).map(|value| (*value).to_owned());
        let read = |path: &Path| {
            self.files
                .get(path.to_str().unwrap())
                .map(|text| text.clone().into_bytes())
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        load(
            flags,
            &Surroundings {
                variable: &variable,
                read: &read,
            },
        )
    }
}

/// Loads one file given with `--config`.
fn with_file(text: &str) -> Result<Loaded, ConfigError> {
    let flags = Flags {
        config: Some(PathBuf::from("/site/signer.yaml")),
        ..Flags::default()
    };
    Machine::default()
        .file("/site/signer.yaml", text)
        .load(&flags)
}

fn keyless(lines: &str) -> String {
    format!("signer:\n  signing:\n    keyless:\n{lines}")
}

fn at(line: u64) -> Source {
    Source::File {
        path: PathBuf::from("/site/signer.yaml"),
        line: Line(line),
    }
}

fn source_of(loaded: &Loaded, key: Key) -> Source {
    let found = loaded.sources.iter().find(|typed| typed.key == key);
    found.unwrap().source.clone()
}

#[test]
fn without_a_file_the_defaults_hold() {
    let loaded = Machine::default().load(&Flags::default()).unwrap();
    let config = &loaded.meant;
    assert_eq!(config.mode, Mode::Keyless);
    assert_eq!(config.log_level, LogLevel::Warn);
    assert_eq!(config.keyless.fulcio, None);
    assert_eq!(config.keyless.trust, None);
    assert_eq!(config.keyless.timeout, Duration::from_secs(30));
    assert_eq!(config.keyless.retries, 3);
    assert_eq!(config.keyless.oidc.audience, "sigstore");
    assert_eq!(config.keyless.oidc.ambient, AmbientToken::Use);
    assert_eq!(config.keyless.preferred, Algorithm::EcdsaP256);
    assert_eq!(
        config.keyless.allowed,
        [Algorithm::EcdsaP256, Algorithm::Ed25519]
    );
    assert_eq!(config.keyless.sct, SctCheck::Require);
    assert!(
        loaded
            .sources
            .iter()
            .all(|typed| typed.source == Source::Default)
    );
    assert_eq!(
        loaded.searched,
        [PathBuf::from("/etc/stellaops/signer.yaml")]
    );
}

#[test]
fn the_example_of_the_documents_loads() {
    let example = include_str!("../../../../etc/signer.yaml");
    let loaded = with_file(example).unwrap();
    let keyless = &loaded.meant.keyless;
    assert_eq!(
        keyless.fulcio.as_ref().unwrap().as_str(),
        "https://fulcio.internal.example.com/"
    );
    assert_eq!(
        keyless.oidc.issuer.as_deref(),
        Some("https://token.actions.githubusercontent.com")
    );
    assert_eq!(
        keyless.trust,
        Some(TrustChoice::File(PathBuf::from(
            "/etc/stellaops/client-trust-config.json"
        )))
    );
    let line = 1 + example
        .lines()
        .position(|line| line.trim_start().starts_with("url: https://rekor"))
        .unwrap();
    assert_eq!(source_of(&loaded, Key::RekorUrl), at(line as u64));
}

#[test]
fn the_example_names_every_key() {
    let example = include_str!("../../../../etc/signer.yaml");
    for key in Key::ALL.into_iter().filter(|key| key.is_in_file()) {
        let name = key.path().rsplit('.').next().unwrap();
        assert!(example.contains(&format!("{name}:")), "{name}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    let check = |text: &str, line: u64, typed: &str, meant: Option<&str>| {
        let Err(ConfigError::UnknownKey {
            at: place,
            path,
            nearest,
        }) = with_file(text)
        else {
            panic!("{text} is accepted")
        };
        assert_eq!(
            (place, path.as_str(), nearest.as_deref()),
            (at(line), typed, meant)
        );
    };
    check(
        &keyless("      fulcio:\n        uri: https://f.example\n"),
        5,
        "signer.signing.keyless.fulcio.uri",
        Some("signer.signing.keyless.fulcio.url"),
    );
    check(
        &keyless("      clientId: sigstore\n"),
        4,
        "signer.signing.keyless.clientId",
        Some("signer.signing.keyless.oidc.clientId"),
    );
    check("\n\nsinger: {}\n", 3, "singer", Some("signer"));
    check("signer:\n  weather: fine\n", 2, "signer.weather", None);
}

#[test]
fn a_value_of_another_shape_is_refused_with_its_line() {
    let check = |lines: &str, line: u64, key: Key, found: Found| {
        let Err(ConfigError::WrongShape {
            at: place,
            key: of,
            found: what,
            ..
        }) = with_file(&keyless(lines))
        else {
            panic!("{lines} is accepted")
        };
        assert_eq!((place, of, what), (at(line), key, found));
    };
    check(
        "      enabled: \"true\"\n",
        4,
        Key::KeylessEnabled,
        Found::Text,
    );
    check("      enabled: no\n", 4, Key::KeylessEnabled, Found::Text);
    check("      trust: 5\n", 4, Key::Trust, Found::Number);
    check(
        "      fulcio:\n        retries: -1\n",
        5,
        Key::FulcioRetries,
        Found::Number,
    );
    check(
        "      fulcio:\n        timeout: 30\n",
        5,
        Key::FulcioTimeout,
        Found::Number,
    );
    check(
        "      fulcio:\n        url:\n",
        5,
        Key::FulcioUrl,
        Found::Nothing,
    );
    check(
        "      algorithms:\n        allowed: Ed25519\n",
        5,
        Key::AlgorithmsAllowed,
        Found::Text,
    );
    check(
        "      oidc:\n        clientId: {a: 1}\n",
        5,
        Key::OidcClientId,
        Found::Section,
    );
    assert!(matches!(
        with_file("signer: 3\n"),
        Err(ConfigError::NotASection { path, found: Found::Number, .. }) if path == "signer"
    ));
}

#[test]
fn a_text_that_means_nothing_is_refused() {
    let check = |lines: &str, key: Key, what: Expected| {
        let refused = with_file(&keyless(lines));
        let Err(ConfigError::NotAccepted {
            key: of, expected, ..
        }) = refused
        else {
            panic!("{lines}: {refused:?}")
        };
        assert_eq!((of, expected), (key, what), "{lines}");
    };
    let url = |url: &str| format!("      fulcio:\n        url: \"{url}\"\n");
    for bad in [
        "fulcio.example",
        "ftp://a.example",
        "https://u:p@a.example",
        "https://a.example/?x=1",
        "https://a.example/#x",
    ] {
        check(&url(bad), Key::FulcioUrl, Expected::Address);
    }
    check(
        &url("https://${HOST}"),
        Key::FulcioUrl,
        Expected::WithoutVariables,
    );
    check(&url(""), Key::FulcioUrl, Expected::SomeText);
    for bad in ["30", "0s", "11m", "soon"] {
        let lines = format!("      fulcio:\n        timeout: \"{bad}\"\n");
        check(&lines, Key::FulcioTimeout, Expected::Duration);
    }
    check(
        "      fulcio:\n        retries: 11\n",
        Key::FulcioRetries,
        Expected::Retries,
    );
    check(
        "      oidc:\n        audience: \" \"\n",
        Key::OidcAudience,
        Expected::SomeText,
    );
    check(
        "      trust: https://sigstore.example\n",
        Key::Trust,
        Expected::Trust,
    );
    check(
        "      algorithms:\n        allowed: []\n",
        Key::AlgorithmsAllowed,
        Expected::SomeAlgorithm,
    );
    check(
        "      algorithms:\n        preferred: RSA\n",
        Key::AlgorithmsPreferred,
        Expected::Algorithm,
    );
}

#[test]
fn a_misspelt_algorithm_finds_its_neighbour() {
    let refused = with_file(&keyless(
        "      algorithms:\n        preferred: ecdsa-p256\n",
    ));
    let Err(ConfigError::NotAccepted { nearest, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(nearest, Some("ECDSA_P256"));
}

#[test]
fn a_chain_that_is_not_validated_cannot_be_configured() {
    let refused = with_file(&keyless(
        "      certificate:\n        validateChain: false\n",
    ));
    assert!(
        matches!(refused, Err(ConfigError::ChainValidationOff { at: place, .. }) if place == at(5))
    );
}

#[test]
fn keyless_mode_with_keyless_switched_off_is_a_contradiction() {
    let refused = with_file(&keyless("      enabled: false\n"));
    assert!(matches!(
        refused,
        Err(ConfigError::KeylessDisabled { mode: Source::Default, enabled }) if enabled == at(4)
    ));
    assert!(
        with_file("signer:\n  signing:\n    mode: key\n    keyless:\n      enabled: false\n")
            .is_ok()
    );
}

#[test]
fn the_preferred_algorithm_must_be_allowed() {
    let refused = with_file(&keyless("      algorithms:\n        allowed: [Ed25519]\n"));
    assert!(matches!(
        refused,
        Err(ConfigError::PreferredNotAllowed {
            at: Source::Default,
            ..
        })
    ));
}

#[test]
fn a_certificate_authority_needs_someone_who_vouches_for_it() {
    let text = keyless("      fulcio:\n        url: https://fulcio.example\n");
    assert!(matches!(
        with_file(&text),
        Err(ConfigError::FulcioWithoutTrust { at: place }) if place == at(5)
    ));
    let flags = Flags {
        config: Some(PathBuf::from("/site/signer.yaml")),
        trust_elsewhere: TrustElsewhere::Given,
        ..Flags::default()
    };
    let machine = Machine::default().file("/site/signer.yaml", &text);
    assert!(machine.load(&flags).is_ok());
    assert!(with_file(&format!("{text}      trust: public\n")).is_ok());
}

#[test]
fn relative_paths_count_from_the_file() {
    let lines =
        "      trust: trust.json\n      certificate:\n        rootBundlePath: roots/ca.pem\n";
    let keyless = with_file(&keyless(lines)).unwrap().meant.keyless;
    let file = |path: &str| PathBuf::from(path);
    assert_eq!(
        keyless.trust,
        Some(TrustChoice::File(file("/site/trust.json")))
    );
    assert_eq!(keyless.root_bundle, Some(file("/site/roots/ca.pem")));
}

#[test]
fn broken_yaml_and_duplicate_keys_and_aliases_are_refused_with_a_line() {
    let check = |text: &str, line: u64| {
        let refused = with_file(text);
        let Err(ConfigError::NotYaml { at: place, .. }) = refused else {
            panic!("{text}: {refused:?}")
        };
        assert_eq!(place, at(line), "{text}");
    };
    check("signer:\n  signing: [\n", 2);
    check("signer: {}\nsigner: {}\n", 2);
    check("signer: &a {}\nb: *a\n", 1);
    check("signer: {}\n---\nsigner: {}\n", 2);
    let deep = format!("signer: {}{}", "[".repeat(2_000), "]".repeat(2_000));
    check(&deep, 1);
    let large = format!("# {}\n", "x".repeat(yaml::MAX_BYTES));
    assert!(matches!(
        with_file(&large),
        Err(ConfigError::TooLarge { .. })
    ));
}

#[test]
fn an_empty_file_and_an_empty_section_say_nothing() {
    for text in [
        "",
        "# nothing\n",
        "signer:\n",
        "signer:\n  signing:\n    keyless:\n      oidc:\n",
    ] {
        let loaded = with_file(text).unwrap();
        assert_eq!(loaded.meant.keyless.oidc.audience, "sigstore");
    }
}

#[test]
fn the_file_is_searched_in_order_and_the_working_directory_only_mentioned() {
    let with_audience =
        |audience: &str| keyless(&format!("      oidc:\n        audience: {audience}\n"));
    let machine = || {
        Machine::default()
            .variable("HOME", "/home/ann")
            .file("etc/signer.yaml", &with_audience("evil"))
    };
    let audience = |machine: &Machine| {
        let loaded = machine.load(&Flags::default()).unwrap();
        loaded.meant.keyless.oidc.audience
    };

    let loaded = machine().load(&Flags::default()).unwrap();
    assert_eq!(loaded.meant.keyless.oidc.audience, "sigstore");
    assert_eq!(loaded.not_used, Some(PathBuf::from("etc/signer.yaml")));

    let machine = machine().file("/etc/stellaops/signer.yaml", &with_audience("system"));
    assert_eq!(audience(&machine), "system");
    let machine = machine.file(
        "/home/ann/.config/stella/signer.yaml",
        &with_audience("home"),
    );
    assert_eq!(audience(&machine), "home");
    let machine = machine
        .variable("XDG_CONFIG_HOME", "/xdg")
        .file("/xdg/stella/signer.yaml", &with_audience("xdg"));
    assert_eq!(audience(&machine), "xdg");
    let machine = machine
        .variable("STELLA_CONFIG", "/alias.yaml")
        .file("/alias.yaml", &with_audience("alias"));
    assert_eq!(audience(&machine), "alias");
    let machine = machine
        .variable("STELLAOPS_CONFIG", "/named.yaml")
        .file("/named.yaml", &with_audience("named"));
    assert_eq!(audience(&machine), "named");
    let flags = Flags {
        config: Some(PathBuf::from("etc/signer.yaml")),
        ..Flags::default()
    };
    assert_eq!(
        machine.load(&flags).unwrap().meant.keyless.oidc.audience,
        "evil"
    );
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let flags = Flags {
        config: Some(PathBuf::from("/gone.yaml")),
        ..Flags::default()
    };
    assert!(matches!(
        Machine::default().load(&flags),
        Err(ConfigError::Unreadable {
            named_by: NamedBy::Asked(Source::Flag { flag: "--config" }),
            ..
        })
    ));
}

#[test]
fn flags_stand_above_the_environment_and_the_environment_above_the_file() {
    let machine = Machine::default()
        .variable("STELLAOPS_LOG_LEVEL", "debug")
        .variable("STELLA_LOG_LEVEL", "trace");
    let loaded = machine.load(&Flags::default()).unwrap();
    assert_eq!(loaded.meant.log_level, LogLevel::Debug);
    let variable = "STELLAOPS_LOG_LEVEL";
    assert_eq!(
        source_of(&loaded, Key::LogLevel),
        Source::Environment { variable }
    );

    let flags = Flags {
        settings: vec![
            (Key::LogLevel, "--log-level", "error".to_owned()),
            (Key::FulcioRetries, "--retries", "0".to_owned()),
            (
                Key::AlgorithmsAllowed,
                "--algorithms",
                "ECDSA_P256, ECDSA_P384".to_owned(),
            ),
        ],
        ..Flags::default()
    };
    let loaded = machine.load(&flags).unwrap();
    assert_eq!(loaded.meant.log_level, LogLevel::Error);
    assert_eq!(loaded.meant.keyless.retries, 0);
    assert_eq!(
        source_of(&loaded, Key::FulcioRetries).to_string(),
        "flag --retries"
    );
}

#[test]
fn the_token_flag_wins_and_no_token_is_ever_shown() {
    let machine = Machine::default()
        .variable("STELLAOPS_OIDC_TOKEN", "from.the.environment")
        .variable("STELLA_OIDC_TOKEN_FILE", "/token");
    let loaded = machine.load(&Flags::default()).unwrap();
    let (token, _) = loaded.identity_token.as_ref().unwrap();
    assert_eq!(
        *token,
        GivenToken::Itself(Zeroizing::new("from.the.environment".to_owned()))
    );
    assert!(!format!("{loaded:?}").contains("from.the"));

    let with_flag = |given: &str| {
        let flags = Flags {
            identity_token: Some(Zeroizing::new(given.to_owned())),
            ..Flags::default()
        };
        machine.load(&flags).unwrap().identity_token.unwrap().0
    };
    assert_eq!(with_flag("-"), GivenToken::Stdin);
    assert_eq!(
        with_flag("@/run/token"),
        GivenToken::File(PathBuf::from("/run/token"))
    );
    assert_eq!(
        with_flag("a.b.c"),
        GivenToken::Itself(Zeroizing::new("a.b.c".to_owned()))
    );

    let machine = Machine::default().variable("STELLA_OIDC_TOKEN_FILE", "/token");
    let loaded = machine.load(&Flags::default()).unwrap();
    assert_eq!(
        loaded.identity_token.unwrap().0,
        GivenToken::File(PathBuf::from("/token"))
    );
}

#[test]
fn show_tells_each_value_and_whence_it_came_but_no_token() {
    let machine = Machine::default()
        .variable("STELLAOPS_OIDC_TOKEN", "se.cr.et")
        .file(
            "/etc/stellaops/signer.yaml",
            &keyless("      oidc:\n        audience: mine\n"),
        );
    let loaded = machine.load(&Flags::default()).unwrap();
    let text = show::text(&loaded);
    assert!(text.contains("oidc.audience = mine"));
    assert!(text.contains("# /etc/stellaops/signer.yaml:5"));
    assert!(text.contains("# environment $STELLAOPS_OIDC_TOKEN"));
    let json = show::json(&loaded);
    let audience = &json["settings"]["signer.signing.keyless.oidc.audience"];
    assert_eq!(
        *audience,
        serde_json::json!({
            "value": "mine", "source": "file", "file": "/etc/stellaops/signer.yaml", "line": 5
        })
    );
    let fulcio = &json["settings"]["signer.signing.keyless.fulcio.url"];
    assert_eq!(fulcio["source"], "unset");
    for shown in [text, json.to_string()] {
        assert!(!shown.contains("se.cr.et"));
    }
}
