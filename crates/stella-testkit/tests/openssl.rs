//! Timestamps by a foreign authority: OpenSSL signs tokens with RSA keys and fractions of a second, as commercial
//! authorities do, and they tell the time of a bundle. Skipped where there is no `openssl` command.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::pem;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{Artifact, Verifier, VerifyError};
use stella_testkit::forge::{self, ARTIFACT, Forge, Form, YEAR};

/// A root, an authority below it, and how it stamps.
const CONFIGURATION: &str = "
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[authority]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
[tsa]
default_tsa = stamps
[stamps]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha512
default_policy = 1.2.3.4
digests = sha256, sha512
clock_precision_digits = 3
ess_cert_id_alg = sha256
";

/// Runs `openssl`; none when it is not installed.
fn openssl(folder: &Path, line: &str) -> Option<()> {
    let output = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(folder)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {said}");
    Some(())
}

/// Makes a root and an authority with RSA keys.
fn authority(folder: &Path) -> Option<()> {
    fs::write(folder.join("ca.cnf"), CONFIGURATION).unwrap();
    openssl(
        folder,
        "req -config ca.cnf -x509 -newkey rsa:3072 -nodes -keyout root.key -out root.pem -subj /CN=root -days 90 -extensions root",
    )?;
    openssl(
        folder,
        "req -config ca.cnf -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /CN=authority",
    )?;
    openssl(
        folder,
        "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -set_serial 7 -days 60 -extfile ca.cnf -extensions authority -out tsa.pem",
    )
}

#[test]
fn tokens_by_an_rsa_authority_with_fractions_of_a_second_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    if authority(folder).is_none() {
        println!("skipped: there is no openssl");
        return;
    }
    // A managed key needs no certificate of the same moment: OpenSSL stamps with the clock of the machine.
    let (forge, form) = (
        Forge::new(),
        Form {
            what: forge::What::Message,
            material: forge::Material::Key,
            entries: Vec::new(),
            timestamps: 1,
            ..Form::current()
        },
    );
    let mut forged = forge.make(&form);
    let signature = forged.bundle["messageSignature"]["signature"]
        .as_str()
        .unwrap();
    fs::write(folder.join("signature"), decode_base64(signature).unwrap()).unwrap();
    let stamp = || {
        openssl(folder, "ts -query -data signature -sha256 -cert -out query").unwrap();
        openssl(
            folder,
            "ts -reply -config ca.cnf -queryfile query -out reply",
        )
        .unwrap();
        fs::read(folder.join("reply")).unwrap()
    };
    // openssl leaves fractions that end in zeros out: until there is one.
    let reply = (0..20)
        .map(|_| stamp())
        .find(|reply| has_fraction(reply))
        .unwrap();
    let stamps = &mut forged.bundle["verificationMaterial"]["timestampVerificationData"];
    *stamps = json!({"rfc3161Timestamps": [{"signedTimestamp": encode_base64(&reply)}]});

    let chain = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        json!({"rawBytes": encode_base64(&pem::decode_all(&text).unwrap()[0].der)})
    };
    let mut root = forge.trusted_root();
    root["timestampAuthorities"] = json!([{
        "uri": "https://timestamps.example.com",
        "certChain": {"certificates": [chain("root.pem")]},
        "validFor": {"start": "2020-01-01T00:00:00Z"},
    }]);
    let verdict = |bundle: &serde_json::Value| {
        let bundle = stella_bundle::bundle::Bundle::parse(bundle.to_string().as_bytes()).unwrap();
        let verifier = Verifier::new(forge::trust(&root), forged.policy.clone());
        let later = UnixTime::from_seconds(1_768_464_000).plus(YEAR * 30);
        verifier
            .verify(&bundle, &Artifact::Bytes(ARTIFACT), later)
            .verdict
    };
    let verified = verdict(&forged.bundle).unwrap();
    assert_ne!(
        verified.facts().times[0].time.micros() % 1_000_000,
        0,
        "the fraction is kept"
    );
    // The same token over another signature.
    let other = forge.make(&form).bundle;
    let mut swapped = forged.bundle.clone();
    swapped["messageSignature"] = other["messageSignature"].clone();
    assert!(matches!(
        verdict(&swapped),
        Err(VerifyError::Timestamp { .. } | VerifyError::Signature(_))
    ));
}

/// Says whether genTime has a fraction: GeneralizedTime `YYYYMMDDhhmmss.f…Z`.
fn has_fraction(reply: &[u8]) -> bool {
    let is_time = |part: &[u8]| part[..14].iter().all(u8::is_ascii_digit) && part[14] == b'.';
    reply.windows(15).any(is_time)
}
