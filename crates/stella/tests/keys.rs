//! `stella verify` with managed keys and with what cosign wrote before bundles: files of their own, no trust root where a
//! key alone decides.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use desk::{Desk, says};
use serde_json::json;
use stella_bundle::key::KeyDetails;
use stella_keys::{EphemeralKey, Signer as _};
use stella_testkit::forge::{self, ARTIFACT, Forge, Form, Material};

/// A desk with an artifact, and a key that signed it without more.
fn signed(details: KeyDetails) -> (Desk, EphemeralKey) {
    let (desk, key) = (Desk::new(), forge::key(details));
    desk.write("app", ARTIFACT);
    desk.write("app.sig", forge::sign(&key, ARTIFACT));
    desk.write("key.pub", key.public_key().to_pem());
    (desk, key)
}

#[test]
fn a_key_and_a_signature_as_files_are_enough_and_nobody_else_is_believed() {
    for details in [
        KeyDetails::EcdsaP256Sha256,
        KeyDetails::EcdsaP384Sha384,
        KeyDetails::Ed25519,
        KeyDetails::MlDsa65,
        KeyDetails::RsaPkcs1v15_2048Sha256,
    ] {
        let (desk, key) = signed(details);
        let arguments = [
            "verify",
            "app",
            "--signature",
            "app.sig",
            "--key",
            "key.pub",
        ];
        let said = desk.run(arguments).ended(0);
        says(
            &said.out,
            &["is attested", &hex::encode(key.public_key().key_id())],
        );
        assert!(!said.out.contains("trust root"), "{}", said.out);
        desk.write("app", "something else");
        desk.run(arguments).ended(12);
    }
}

#[test]
fn what_asks_for_a_log_needs_a_trust_root_also_with_a_key() {
    let (desk, _) = signed(KeyDetails::EcdsaP256Sha256);
    let asking = |more: &[&str]| {
        let mut arguments = vec![
            "verify",
            "app",
            "--signature",
            "app.sig",
            "--key",
            "key.pub",
        ];
        arguments.extend(more);
        desk.run(arguments)
    };
    says(
        &asking(&["--require-rekor"]).ended(2).err,
        &["no trust root was chosen"],
    );
    desk.write("root.json", Forge::new().trusted_root().to_string());
    let said = asking(&["--require-rekor", "--trusted-root", "root.json"]).ended(24);
    says(&said.err, &["Rekor proof missing"]);
    asking(&["--trusted-root", "root.json"]).ended(0);
}

#[test]
fn another_key_another_signature_and_no_signature_are_refused() {
    let (desk, _) = signed(KeyDetails::EcdsaP256Sha256);
    desk.write(
        "other.pub",
        forge::key(KeyDetails::EcdsaP256Sha256)
            .public_key()
            .to_pem(),
    );
    let verify = |signature: &str, key: &str| {
        desk.run(["verify", "app", "--signature", signature, "--key", key])
    };
    verify("app.sig", "other.pub").ended(12);
    desk.write("empty.sig", "");
    verify("empty.sig", "key.pub").ended(12);
    verify("none.sig", "key.pub").ended(2);
    verify("app.sig", "none.pub").ended(2);
    verify("app.sig", "app").ended(2);
}

#[test]
fn a_bundle_by_a_key_is_verified_with_its_log_where_the_trust_root_knows_it() {
    let (desk, forge) = (Desk::new(), Forge::new());
    let form = Form {
        material: Material::Key,
        ..Form::current()
    };
    let forged = forge.make(&form);
    let key = &forged.policy.keys.as_ref().unwrap().keys[0].key;
    desk.write("app", ARTIFACT);
    desk.write("app.sigstore.json", forged.bundle.to_string());
    desk.write("key.pub", key.to_pem());
    desk.write("root.json", forge.trusted_root().to_string());
    let verify = [
        "verify",
        "app",
        "--key",
        "key.pub",
        "--trusted-root",
        "root.json",
        "--require-rekor",
        "--json",
    ];
    let report = desk.run(verify).ended(0).json();
    assert_eq!(
        report["attestations"][0]["log"][0]["origin"],
        "log2027.example.com"
    );
    // An entry that is there must be good, also where none is asked for.
    let mut spoiled = forged.bundle.clone();
    spoiled["verificationMaterial"]["tlogEntries"] =
        forge.make(&form).bundle["verificationMaterial"]["tlogEntries"].clone();
    desk.write("app.sigstore.json", spoiled.to_string());
    desk.run([
        "verify",
        "app",
        "--key",
        "key.pub",
        "--trusted-root",
        "root.json",
    ])
    .ended(24);
}

#[test]
fn every_form_is_verified_by_the_command() {
    let (desk, forge) = (Desk::new(), Forge::new());
    desk.write("app", ARTIFACT);
    desk.write("root.json", forge.trusted_root().to_string());
    for form in Form::all() {
        let forged = forge.make(&form);
        desk.write("app.sigstore.json", forged.bundle.to_string());
        let mut arguments = vec!["verify", "app", "--trusted-root", "root.json"];
        if let Some(rule) = &forged.policy.keys {
            desk.write("key.pub", rule.keys[0].key.to_pem());
            arguments.extend(["--key", "key.pub"]);
        } else {
            arguments.extend(["--certificate-identity", forge::SIGNER.name]);
            arguments.extend(["--certificate-oidc-issuer", forge::SIGNER.issuer]);
        }
        let said = desk.run(&arguments);
        assert!(said.code == 0, "{}: {}{}", form.name, said.out, said.err);
    }
}

#[test]
fn older_json_of_cosign_is_read_like_a_bundle_and_named_legacy() {
    let (desk, key) = signed(KeyDetails::EcdsaP256Sha256);
    let old = json!({
        "base64Signature": stella_bundle::json::encode_base64(&forge::sign(&key, ARTIFACT)),
        "cert": stella_bundle::json::encode_base64(key.public_key().to_pem().as_bytes()),
    });
    desk.write("old.json", old.to_string());
    let verify = [
        "verify", "app", "--bundle", "old.json", "--key", "key.pub", "--json",
    ];
    let report = desk.run(verify).ended(0).json();
    assert_eq!(report["attestations"][0]["format"], "legacy");
    assert_eq!(report["trustRoot"], serde_json::Value::Null);
}
