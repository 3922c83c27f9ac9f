//! The demo's real input: a bill of materials of this very program, and a policy result about it.

use serde_json::{Value, json};
use stella_bundle::digest::{Digest, DigestAlgorithm};

/// The lock file that this program was built from.
const LOCK_FILE: &str = include_str!("../../../../../Cargo.lock");

/// The policy, in words; its digest stands in the verdict.
const POLICY: &str = "\
1 pinned: every dependency from a registry is pinned by a checksum.
2 one-tls-stack: neither openssl-sys nor native-tls is among the dependencies.
";

/// A package of the lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    is_from_registry: bool,
    checksum: Option<String>,
}

/// Returns the bill of materials of this program: CycloneDX 1.6.
pub(super) fn bill_of_materials() -> Value {
    let component = |package: &Package| {
        let mut value = json!({
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": format!("pkg:cargo/{}@{}", package.name, package.version),
        });
        if let Some(checksum) = &package.checksum {
            value["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        value
    };
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {
            "type": "application",
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
        }},
        "components": packages(LOCK_FILE).iter().map(component).collect::<Vec<_>>(),
    })
}

/// Judges the bill of materials and returns the policy result, which names it by digest.
pub(super) fn policy_result(bill_of_materials: &Digest, now: &str) -> Value {
    let packages = packages(LOCK_FILE);
    let unpinned: Vec<&str> = packages
        .iter()
        .filter(|package| package.is_from_registry && package.checksum.is_none())
        .map(|package| package.name.as_str())
        .collect();
    let foreign: Vec<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .filter(|name| ["openssl-sys", "native-tls"].contains(name))
        .collect();
    let passes = unpinned.is_empty() && foreign.is_empty();
    json!({
        "result": if passes { "allow" } else { "deny" },
        "policy": {
            "name": "demo",
            "digest": {"sha256": DigestAlgorithm::Sha256.digest(POLICY.as_bytes()).hex()},
        },
        "evaluatedAt": now,
        "mode": "enforce",
        "rules": [
            rule("pinned", &unpinned, packages.len()),
            rule("one-tls-stack", &foreign, packages.len()),
        ],
        "inputs": [{
            "type": "https://cyclonedx.org/bom",
            "name": "sbom.cdx.json",
            "digest": {"sha256": bill_of_materials.hex()},
        }],
    })
}

fn rule(id: &str, offending: &[&str], seen: usize) -> Value {
    let message = match offending {
        [] => format!("{seen} packages, none offends"),
        names => names.join(", "),
    };
    json!({
        "id": id,
        "result": if offending.is_empty() { "pass" } else { "fail" },
        "message": message,
        "evidence": [0],
    })
}

/// Reads the packages of a lock file: Cargo writes one `key = "value"` a line.
fn packages(lock_file: &str) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    for line in lock_file.lines() {
        if line == "[[package]]" {
            packages.push(Package::default());
        }
        let (Some(package), Some((key, value))) = (packages.last_mut(), line.split_once(" = "))
        else {
            continue;
        };
        let value = value.trim_matches('"').to_owned();
        match key {
            "name" => package.name = value,
            "version" => package.version = value,
            "source" => package.is_from_registry = value.starts_with("registry+"),
            "checksum" => package.checksum = Some(value),
            _ => {}
        }
    }
    packages
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::predicate::PredicateType;

    use super::*;

    #[test]
    fn the_verdict_about_this_program_is_of_its_schema_and_allows() {
        let digest =
            DigestAlgorithm::Sha256.digest(&serde_json::to_vec(&bill_of_materials()).unwrap());
        let verdict = policy_result(&digest, "2026-01-01T00:00:00Z");
        PredicateType::PolicyResult.check(&verdict).unwrap();
        assert_eq!(verdict["result"], "allow");
    }

    #[test]
    fn packages_are_read_with_their_checksums() {
        let text = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\nchecksum = \"00\"\ndependencies = [\n \"b\",\n]\n";
        let package = Package {
            name: "a".into(),
            version: "1.0.0".into(),
            is_from_registry: true,
            checksum: Some("00".into()),
        };
        assert_eq!(packages(text), [package]);
    }
}
