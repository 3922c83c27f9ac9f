//! The public verification cases of sigstore-conformance, read from `../shared/conformance` beside the checkout.
//!
//! Where that folder is absent the test says so and passes: a clone by itself has only the vectors that we make.

use std::fs;
use std::path::{Path, PathBuf};

use stella_bundle::bundle::Bundle;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities};
use stella_bundle::key::PublicKey;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, IdentityRule, Policy, Trust, Verifier};

const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    folder.is_dir().then_some(folder)
}

/// Runs one case and says whether it was accepted.
fn run(cases: &Path, case: &Path, by_digest: bool) -> Result<(), String> {
    let text = |name: &str| fs::read_to_string(case.join(name)).map(|text| text.trim().to_owned());
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let artifact = fs::read(case.join("artifact")).or_else(|_| fs::read(cases.join("a.txt")));
    let artifact = artifact.map_err(|error| said(&error))?;
    let root = fs::read(case.join("trusted_root.json"))
        .or_else(|_| fs::read(cases.join("../production_trusted_root.json")))
        .map_err(|error| said(&error))?;
    let root = TrustedRoot::parse(&root).map_err(|error| said(&error))?;
    let bundle = fs::read(case.join("bundle.sigstore.json")).map_err(|error| said(&error))?;
    let bundle = Bundle::parse(&bundle).map_err(|error| said(&error))?;

    let identity = text("identity").unwrap_or_else(|_| BEACON.to_owned());
    let issuer = text("issuer").unwrap_or_else(|_| GITHUB.to_owned());
    let policy = if let Ok(pem) = text("key.pub") {
        let key = PublicKey::from_pem(&pem).map_err(|error| said(&error))?;
        Policy::for_keys(vec![key.into()])
    } else {
        let identity =
            CertificateIdentity::parse(&identity, &issuer).map_err(|error| said(&error))?;
        let identities = AnyOf::new(vec![identity]).ok_or("no identity")?;
        Policy::for_certificates(IdentityRule::Given(Identities::AnyOf(identities)))
    };
    let verifier = Verifier::new(Trust::new(&root), policy);
    let digests: [Digest; 1] = [DigestAlgorithm::Sha256.digest(&artifact)];
    let artifact = if by_digest {
        Artifact::Digests(&digests)
    } else {
        Artifact::Bytes(&artifact)
    };
    let now = UnixTime::parse_rfc3339("2026-11-01T00:00:00Z").ok_or("no time")?;
    let report = verifier.verify(&bundle, &artifact, now);
    report.verdict.map(|_| ()).map_err(|error| said(&error))
}

#[test]
#[expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]
fn public_cases_end_as_their_names_say() {
    let Some(folder) = folder() else {
        println!("skipped: ../shared/conformance is not beside this checkout");
        return;
    };
    let cases = folder.join("cases");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in fs::read_dir(&cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let name = case
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !case.join("bundle.sigstore.json").is_file() {
            continue;
        }
        for by_digest in [false, true] {
            let result = run(&cases, &case, by_digest);
            println!("{name} {by_digest}: {result:?}");
            seen += 1;
            if result.is_ok() == name.ends_with("_fail") {
                wrong.push(format!("{name}: {result:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen >= 100, "only {seen} cases were found");
}
