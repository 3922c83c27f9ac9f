//! An organisation at a desk: an instance, the keys of its archive, and attestations in the store.

use crate::desk::Desk;

const VERDICT: &str = r#"{"result": "allow", "policy": {"digest": {"sha256":
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
    "evaluatedAt": "2026-11-20T12:00:00Z"}"#;
pub(crate) const KEYS: [&str; 4] = ["--key", "classical.key", "--pq-key", "pq.key"];

/// A desk with an instance, an organisation, and some attestations in the store.
pub(crate) struct Office {
    pub(crate) desk: Desk,
    pub(crate) artifacts: Vec<String>,
}

impl Office {
    pub(crate) fn open(attestations: usize) -> Self {
        let desk = Desk::serving();
        for (name, algorithm) in [
            ("classical", "ecdsa-p256"),
            ("pq", "ml-dsa-65"),
            ("recovery", "ecdsa-p384"),
        ] {
            desk.key(name, algorithm);
        }
        let create = [
            "archive",
            "keyset",
            "create",
            "--origin",
            "archive.example.org",
        ];
        let more = ["--recovery-key", "recovery.key", "--reason", "founded"];
        desk.run([&create[..], &KEYS, &more].concat()).ended(0);
        let mut office = Self {
            desk,
            artifacts: Vec::new(),
        };
        for _ in 0..attestations {
            office.sign();
        }
        office
    }

    /// Signs one more verdict about one more artifact.
    pub(crate) fn sign(&mut self) {
        let name = format!("app{}", self.artifacts.len());
        let artifact = self.desk.write(&name, &name);
        let verdict = self.desk.write("verdict.json", VERDICT);
        let sign = ["attest", "sign", "--keyless", "--artifact", &artifact];
        let sign = [&sign[..], &["--predicate", &verdict, "--type", "verdict"]].concat();
        self.desk.run_with_token(&self.desk.token(), sign).ended(0);
        self.artifacts.push(artifact);
    }
}
