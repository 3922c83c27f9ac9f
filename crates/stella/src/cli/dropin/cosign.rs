//! cosign's words.

use super::Becomes::{
    Named, Nothing, NothingWithValue, Output, Refused, Same, Switch, Type, Unless,
};
use super::{Flags, Rule, Tool, rule};

pub(super) const TOOL: Tool = Tool {
    name: "cosign",
    rules: RULES,
    own: &OWN,
    types: &TYPES,
    with_defaults,
};

const OTHER_SERVICES: &str =
    "services are named by a signing config: --signing-config FILE, or `stella trust use`";

/// Stands for `--tlog-upload=false` until all flags were read.
const WITHOUT_LOG: &str = "--tlog-upload=false";

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
    ("--tlog-upload", Unless(WITHOUT_LOG)),
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

/// Adds what cosign does unasked.
fn with_defaults(cosign: &str, mut turned: Vec<String>) -> Vec<String> {
    let has = |flag: &str| turned.iter().any(|word| word == flag);
    let (has_key, has_type) = (has("--key"), has("--type"));
    let (is_unlogged, ignores_log) = (has(WITHOUT_LOG), has("--insecure-ignore-log"));
    turned.retain(|word| word != WITHOUT_LOG);
    let is_bare = turned.len() == 2;
    let mut add = |words: &[&str]| turned.extend(words.iter().map(|word| (*word).to_owned()));
    match cosign {
        "sign" | "attest" | "sign-blob" | "attest-blob" => match (has_key, is_unlogged) {
            (false, _) => add(&["--keyless"]),
            (true, false) => add(&["--log"]),
            (true, true) => {}
        },
        "verify" | "verify-blob" | "verify-attestation" | "verify-blob-attestation" => {
            if !ignores_log {
                add(&["--require-rekor"]);
            }
            // Signatures are statements too, of a type of their own; neither stands for the other.
            match cosign.ends_with("attestation") {
                _ if has_type => {}
                true => add(&["--type", TYPES[0].1]),
                false => add(&["--type", "signature"]),
            }
        }
        "initialize" if is_bare => add(&["public"]),
        _ => {}
    }
    turned
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::tests::turned as turned_by;
    use super::*;

    fn turned(words: &str) -> Result<String, String> {
        turned_by(&TOOL, words)
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
                "verify --certificate-identity me --certificate-oidc-issuer https://i.example --image r.example/a:v1 --json --require-rekor --type signature",
            ),
            (
                "verify-attestation --type custom --key k.pub r.example/a:v1",
                "verify --type https://cosign.sigstore.dev/attestation/v1 --key k.pub --image r.example/a:v1 --require-rekor",
            ),
            (
                "sign-blob --key cosign.key f",
                "sign-blob --print-signature --key cosign.key f --log",
            ),
            (
                "verify-blob --key cosign.pub --signature f.sig --insecure-ignore-tlog f",
                "verify --key cosign.pub --signature f.sig --insecure-ignore-log f --type signature",
            ),
            (
                "import-key-pair --key key.pem -o mine",
                "import-key-pair --key key.pem --output-key-prefix mine",
            ),
            (
                "verify-blob-attestation --key k.pub --insecure-ignore-tlog=False f",
                "verify --key k.pub f --require-rekor --type https://cosign.sigstore.dev/attestation/v1",
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
            (
                "verify --insecure-ignore-tlog=maybe y",
                ["--insecure-ignore-tlog", "true or false"],
            ),
        ] {
            let refused = turned(cosign).unwrap_err();
            assert!(
                words.iter().all(|word| refused.contains(word)),
                "{cosign}: {refused}"
            );
            assert!(!refused.contains("=x"), "{refused}");
        }
    }
}
