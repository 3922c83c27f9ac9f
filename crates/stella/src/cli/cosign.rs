//! `stella cosign …`, and stella called `cosign`: the spellings of daily use, turned into those of stella.
//!
//! A table says for each command which flag becomes what. What has no counterpart is refused by its name: a flag that is
//! passed over in silence could be the one that a gate relies on.

use crate::exit::Failure;

/// What becomes of a flag.
#[derive(Clone, Copy)]
enum Becomes {
    /// The same flag with its value.
    Same,
    /// Another flag with the value.
    Named(&'static str),
    /// A flag without a value, when it is true.
    Switch(&'static str),
    /// A flag without a value, when it is false.
    Unless(&'static str),
    /// Several words, when it is true.
    Nothing,
    /// Nothing, with its value.
    NothingWithValue,
    /// The type of a predicate by cosign's short names.
    Type,
    /// The format of the output.
    Output,
    /// It cannot be done, for this reason; cosign's own default is fine.
    Refused(&'static str),
}

use Becomes::{Named, Nothing, NothingWithValue, Output, Refused, Same, Switch, Type, Unless};

type Flags = &'static [(&'static str, Becomes)];

/// A command of cosign.
struct Rule {
    cosign: &'static str,
    /// The words of stella's.
    stella: &'static [&'static str],
    /// What stands before each operand.
    operand: Option<&'static str>,
    flags: &'static [Flags],
}

const OTHER_SERVICES: &str =
    "services are named by a signing config: --signing-config FILE, or `stella trust use`";

const REGISTRY: Flags = &[
    ("--allow-http-registry", Switch("--insecure-plain-http")),
    ("--allow-insecure-registry", Switch("--insecure-plain-http")),
    ("--registry-referrers-mode", NothingWithValue),
    ("--experimental-oci11", Nothing),
    (
        "--k8s-keychain",
        Refused("Kubernetes' keychain is not read: use a file, $REGISTRY_AUTH_FILE"),
    ),
    (
        "--registry-username",
        Refused("a password does not belong on a command line: `stella login`"),
    ),
    (
        "--registry-password",
        Refused("a password does not belong on a command line: `stella login`"),
    ),
    (
        "--registry-token",
        Refused("a token does not belong on a command line: `stella login`"),
    ),
];

const SIGNING: Flags = &[
    ("--key", Same),
    ("--identity-token", Same),
    ("--signing-config", Named("--trust-config")),
    ("--trusted-root", Named("--trust-config")),
    ("--tlog-upload", Nothing),
    ("--use-signing-config", Nothing),
    ("--yes", Nothing),
    ("-y", Nothing),
    ("--fulcio-url", Refused(OTHER_SERVICES)),
    ("--rekor-url", Refused(OTHER_SERVICES)),
    ("--timestamp-server-url", Refused(OTHER_SERVICES)),
    ("--oidc-issuer", Refused(OTHER_SERVICES)),
    ("--oidc-provider", NothingWithValue),
    ("--sk", Refused("a security key is named by --key pkcs11:…")),
];

const VERIFYING: Flags = &[
    ("--key", Same),
    ("--certificate-identity", Same),
    ("--certificate-identity-regexp", Same),
    ("--certificate-oidc-issuer", Same),
    (
        "--certificate-oidc-issuer-regexp",
        Refused("the issuer is compared to the letter: --certificate-oidc-issuer URL"),
    ),
    ("--trusted-root", Same),
    ("--insecure-ignore-tlog", Switch("--insecure-ignore-log")),
    ("--private-infrastructure", Switch("--insecure-ignore-log")),
    ("--insecure-ignore-sct", Switch("--insecure-ignore-sct")),
    ("--use-signed-timestamps", Switch("--require-timestamp")),
    // What cosign calls offline is what stella always does: no log is asked.
    ("--offline", Nothing),
    ("--new-bundle-format", Nothing),
    ("--output", Output),
    ("-o", Output),
    ("--type", Type),
    ("--max-workers", NothingWithValue),
    (
        "--certificate-github-workflow-name",
        Refused("say it by --certificate-claim NAME=VALUE"),
    ),
    (
        "--certificate-github-workflow-ref",
        Refused("say it by --certificate-claim NAME=VALUE"),
    ),
    (
        "--certificate-github-workflow-repository",
        Refused("say it by --certificate-claim NAME=VALUE"),
    ),
    (
        "--certificate-github-workflow-sha",
        Refused("say it by --certificate-claim NAME=VALUE"),
    ),
    (
        "--certificate-github-workflow-trigger",
        Refused("say it by --certificate-claim NAME=VALUE"),
    ),
    (
        "--rekor-url",
        Refused("no log is asked when something is verified: the proof is in the bundle"),
    ),
    (
        "--policy",
        Refused("CUE and Rego are not read: see `stella policy schema` for stella's own"),
    ),
    (
        "--check-claims",
        Refused("what is signed is always compared"),
    ),
    ("--sk", Refused("give the public key: --key FILE")),
];

const PIECES: Flags = &[
    ("--bundle", Same),
    ("--signature", Same),
    ("--certificate", Same),
    ("--rfc3161-timestamp", Same),
];

const BLOB_OUTPUT: Flags = &[
    ("--bundle", Same),
    ("--b64", Nothing),
    ("--new-bundle-format", Nothing),
    (
        "--output-certificate",
        Refused("the certificate is in the bundle: `stella attest inspect --show-cert`"),
    ),
    (
        "--rfc3161-timestamp",
        Refused("the timestamp is in the bundle"),
    ),
];

const IMAGES: Flags = &[
    ("--recursive", Switch("--recursive")),
    ("-r", Switch("--recursive")),
    ("--platform", Same),
    // What is not the new format is what older readers know.
    ("--new-bundle-format", Unless("--also-legacy")),
    ("--bundle", Same),
    (
        "--annotations",
        Refused("annotations are not signed: say it by a predicate"),
    ),
    (
        "-a",
        Refused("annotations are not signed: say it by a predicate"),
    ),
    (
        "--upload",
        Refused(
            "what is signed with --image is always attached; sign a digest with `stella attest sign --artifact`",
        ),
    ),
];

const PREDICATE: Flags = &[("--predicate", Same), ("--type", Type)];

const KEYS: Flags = &[
    ("--key", Same),
    ("-k", Named("--key")),
    ("--output-key-prefix", Same),
    ("-o", Named("--output-key-prefix")),
    ("--outfile", Same),
    ("--yes", Nothing),
    ("-y", Nothing),
    ("--kms", Refused("keys of services are not made here")),
];

const RULES: &[Rule] = &[
    rule(
        "sign",
        &["attest", "sign"],
        Some("--image"),
        &[SIGNING, IMAGES, REGISTRY],
    ),
    rule(
        "attest",
        &["attest", "sign"],
        Some("--image"),
        &[SIGNING, IMAGES, REGISTRY, PREDICATE],
    ),
    rule(
        "verify",
        &["verify"],
        Some("--image"),
        &[VERIFYING, PIECES, REGISTRY],
    ),
    rule(
        "verify-attestation",
        &["verify"],
        Some("--image"),
        &[VERIFYING, PIECES, REGISTRY],
    ),
    rule(
        "sign-blob",
        &["sign-blob", "--print-signature"],
        None,
        &[SIGNING, BLOB_OUTPUT, &[("--output-signature", Same)]],
    ),
    rule(
        "attest-blob",
        &["attest-blob"],
        None,
        &[SIGNING, BLOB_OUTPUT, PREDICATE],
    ),
    rule("verify-blob", &["verify"], None, &[VERIFYING, PIECES]),
    rule(
        "verify-blob-attestation",
        &["verify"],
        None,
        &[VERIFYING, PIECES],
    ),
    rule("generate-key-pair", &["generate-key-pair"], None, &[KEYS]),
    rule("import-key-pair", &["import-key-pair"], None, &[KEYS]),
    rule("public-key", &["public-key"], None, &[KEYS]),
    rule("tree", &["attest", "list"], None, &[REGISTRY]),
    rule(
        "copy",
        &["mirror", "sync"],
        None,
        &[REGISTRY, &[("--force", Nothing), ("-f", Nothing)]],
    ),
    rule(
        "save",
        &["mirror", "save"],
        None,
        &[REGISTRY, &[("--dir", Named("--output"))]],
    ),
    rule(
        "initialize",
        &["trust", "use"],
        None,
        &[&[("--mirror", Named("")), ("--root", Same)]],
    ),
];

const fn rule(
    cosign: &'static str,
    stella: &'static [&'static str],
    operand: Option<&'static str>,
    flags: &'static [Flags],
) -> Rule {
    Rule {
        cosign,
        stella,
        operand,
        flags,
    }
}

/// Commands whose words and flags are stella's own already.
const OWN: [&str; 6] = [
    "completion",
    "login",
    "signing-config",
    "trusted-root",
    "version",
    "help",
];

/// Predicate types by cosign's names, where stella has no name of its own for them.
const TYPES: [(&str, &str); 10] = [
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
];

/// Turns the arguments of cosign, without its name, into those of stella, without its.
pub(super) fn translate(arguments: &[String]) -> Result<Vec<String>, Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        return Ok(vec!["--help".to_owned()]);
    };
    if command.starts_with('-') || OWN.contains(&command.as_str()) {
        return Ok(match command.as_str() {
            "version" => vec!["--version".to_owned()],
            _ => arguments.to_vec(),
        });
    }
    let rule = RULES
        .iter()
        .find(|rule| rule.cosign == command)
        .ok_or_else(|| {
            let known: Vec<&str> = RULES.iter().map(|rule| rule.cosign).collect();
            Failure::usage(format!("cosign {command} is not supported")).hint(format!(
                "these are: {}; see also `stella --help`",
                known.join(", ")
            ))
        })?;
    let mut turned: Vec<String> = rule.stella.iter().map(|word| (*word).to_owned()).collect();
    let mut words = Words::new(rest);
    while let Some(word) = words.next() {
        match word.split_once('=').unwrap_or((word, "")) {
            _ if !word.starts_with('-') || word == "-" => {
                turned.extend(rule.operand.map(str::to_owned));
                turned.push(word.to_owned());
            }
            (name, _) => turned.extend(flag(rule, name, word, &mut words)?),
        }
    }
    Ok(with_defaults(rule.cosign, turned))
}

/// The words that are still to be read.
struct Words<'a> {
    rest: &'a [String],
}

impl<'a> Words<'a> {
    const fn new(rest: &'a [String]) -> Self {
        Self { rest }
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }
}

fn flag(
    rule: &Rule,
    name: &str,
    word: &str,
    words: &mut Words<'_>,
) -> Result<Vec<String>, Failure> {
    let given = word.split_once('=').map(|(_, value)| value.to_owned());
    let known = rule
        .flags
        .iter()
        .copied()
        .flatten()
        .find(|(known, _)| *known == name);
    let Some((_, becomes)) = known else {
        return Err(
            Failure::usage(format!("cosign {} {name} is not supported", rule.cosign))
                .hint(format!("see `stella {} --help`", rule.stella.join(" "))),
        );
    };
    let mut value = || {
        given
            .clone()
            .or_else(|| words.next().map(str::to_owned))
            .ok_or_else(|| Failure::usage(format!("{name} needs a value")))
    };
    let is_true = given.as_deref().is_none_or(|value| value != "false");
    Ok(match becomes {
        Same => vec![name.to_owned(), value()?],
        Named("") => vec![value()?],
        Named(other) => vec![(*other).to_owned(), value()?],
        Switch(other) if is_true => vec![(*other).to_owned()],
        Unless(other) if !is_true => vec![(*other).to_owned()],
        Switch(_) | Unless(_) | Nothing => Vec::new(),
        NothingWithValue => {
            value()?;
            Vec::new()
        }
        Type => vec!["--type".to_owned(), predicate_type(&value()?)],
        Output => match value()?.as_str() {
            "json" => vec!["--json".to_owned()],
            _ => Vec::new(),
        },
        Refused(why) => {
            return Err(
                Failure::usage(format!("cosign {} {name} is not supported", rule.cosign))
                    .hint(*why),
            );
        }
    })
}

fn predicate_type(name: &str) -> String {
    let known = TYPES.iter().find(|(known, _)| *known == name);
    known.map_or(name, |(_, uri)| *uri).to_owned()
}

/// Adds what cosign does unasked.
fn with_defaults(cosign: &str, mut turned: Vec<String>) -> Vec<String> {
    let has = |flag: &str| turned.iter().any(|word| word == flag);
    let is_signing = matches!(cosign, "sign" | "attest" | "sign-blob" | "attest-blob");
    if is_signing && !has("--key") {
        turned.push("--keyless".to_owned());
    } else if cosign == "verify" && !has("--type") && !has("--signature") {
        // Signatures are statements too, of a type of their own.
        turned.extend(["--type".to_owned(), "signature".to_owned()]);
    } else if cosign == "initialize" && turned.len() == 2 {
        turned.push("public".to_owned());
    }
    turned
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn turned(words: &str) -> Result<String, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        translate(&words)
            .map(|words| words.join(" "))
            .map_err(|failure| {
                format!("{} ({})", failure.message, failure.hint.unwrap_or_default())
            })
    }

    #[test]
    fn the_spellings_of_daily_use_are_turned_into_ours() {
        for (cosign, stella) in [
            (
                "sign -y r.example/a:v1",
                "attest sign --image r.example/a:v1 --keyless",
            ),
            (
                "sign --key cosign.key --tlog-upload=false --new-bundle-format=false r.example/a:v1",
                "attest sign --key cosign.key --also-legacy --image r.example/a:v1",
            ),
            (
                "attest --predicate p.json --type spdxjson -r a.example/b@sha256:00",
                "attest sign --predicate p.json --type https://spdx.dev/Document --recursive --image a.example/b@sha256:00 --keyless",
            ),
            (
                "verify --certificate-identity=me --certificate-oidc-issuer https://i.example r.example/a:v1 -o json",
                "verify --certificate-identity me --certificate-oidc-issuer https://i.example --image r.example/a:v1 --json --type signature",
            ),
            (
                "verify-attestation --type custom --key k.pub r.example/a:v1",
                "verify --type https://cosign.sigstore.dev/attestation/v1 --key k.pub --image r.example/a:v1",
            ),
            (
                "sign-blob --key cosign.key f",
                "sign-blob --print-signature --key cosign.key f",
            ),
            (
                "verify-blob --key cosign.pub --signature f.sig --insecure-ignore-tlog f",
                "verify --key cosign.pub --signature f.sig --insecure-ignore-log f",
            ),
            (
                "import-key-pair --key key.pem -o mine",
                "import-key-pair --key key.pem --output-key-prefix mine",
            ),
            ("initialize", "trust use public"),
            (
                "initialize --mirror https://t.example --root root.json",
                "trust use https://t.example --root root.json",
            ),
            ("tree r.example/a:v1", "attest list r.example/a:v1"),
            (
                "signing-config create --out x",
                "signing-config create --out x",
            ),
            ("version", "--version"),
        ] {
            assert_eq!(turned(cosign).as_deref(), Ok(stella), "{cosign}");
        }
    }

    #[test]
    fn what_has_no_counterpart_is_refused_by_its_name() {
        for (cosign, words) in [
            ("triangulate x", ["cosign triangulate", "sign, attest"]),
            (
                "sign --record-creation-timestamp x",
                ["--record-creation-timestamp", "stella attest sign --help"],
            ),
            ("sign -a k=v x", ["cosign sign -a", "predicate"]),
            (
                "verify --registry-password=x y",
                ["--registry-password", "stella login"],
            ),
            ("verify --key", ["--key needs a value", ""]),
        ] {
            let refused = turned(cosign).unwrap_err();
            assert!(
                words.iter().all(|word| refused.contains(word)),
                "{cosign}: {refused}"
            );
            assert!(!refused.contains("=x"), "{refused}");
        }
    }

    #[test]
    fn every_flag_of_the_table_is_one_of_ours() {
        let root = Cli::command();
        for rule in RULES {
            let mut command = &root;
            for word in rule.stella.iter().filter(|word| !word.starts_with('-')) {
                let is_it = |each: &&clap::Command| {
                    each.get_name() == *word || each.get_all_aliases().any(|alias| alias == *word)
                };
                command = command.get_subcommands().find(is_it).unwrap();
            }
            let has = |flag: &str| {
                let name = flag.trim_start_matches('-');
                command.get_arguments().any(|each| {
                    each.get_long() == Some(name)
                        || each
                            .get_all_aliases()
                            .is_some_and(|all| all.contains(&name))
                })
            };
            for (name, becomes) in rule.flags.iter().copied().flatten() {
                let ours = match becomes {
                    Same => name,
                    Named(other) | Switch(other) | Unless(other) if !other.is_empty() => other,
                    _ => continue,
                };
                // Tables are shared, and not every command has every flag; what it lacks is said by its own parser.
                let is_shared = ["--platform", "--outfile", "--output-key-prefix", "--key"];
                assert!(
                    has(ours) || is_shared.contains(ours),
                    "{} {ours}",
                    rule.cosign
                );
            }
            assert!(rule.operand.is_none_or(has), "{}", rule.cosign);
        }
    }
}
