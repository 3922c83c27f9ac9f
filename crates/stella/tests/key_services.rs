//! Keys in Vault, OpenBao, Google Cloud KMS and Azure Key Vault, as a small server plays them: its keys are openssl's, which
//! signs digests by itself. Signed by the command, verified here and by openssl.
//!
//! What the drivers do with answers that lie is tested in `stella-client`; AWS KMS is played by moto in `kms.rs`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use desk::{Desk, says};
use serde_json::{Value, json};
use stella_bundle::asn1;
use stella_bundle::json::decode_base64;
use stella_bundle::key::{KeyKind, PublicKey};

/// A key, what openssl calls its kind, and the hash it signs with.
const KINDS: [(&str, &str, Option<&str>); 4] = [
    (
        "p256",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        Some("sha256"),
    ),
    (
        "p384",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        Some("sha384"),
    ),
    (
        "rsa",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:3072",
        Some("sha256"),
    ),
    ("ed25519", "-algorithm ED25519", None),
];
const RING: &str = "projects/p/locations/l/keyRings/r/cryptoKeys";

fn openssl(folder: &Path, arguments: &str) -> bool {
    let mut openssl = Command::new("openssl");
    openssl
        .args(arguments.split_whitespace())
        .current_dir(folder);
    openssl.output().unwrap().status.success()
}

/// A desk whose folder `keys` holds a key of each kind; none without openssl.
fn desk_with_keys() -> Option<Desk> {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return None;
    }
    let desk = Desk::new();
    desk.write("app", vec![7; 5000]);
    desk.write("predicate.json", r#"{"ready": true}"#);
    let folder = desk.path("keys");
    fs::create_dir(&folder).unwrap();
    for (name, kind, _) in KINDS {
        assert!(openssl(&folder, &format!("genpkey {kind} -out {name}.key")));
        let public = format!("pkey -in {name}.key -pubout -out {name}.pub");
        assert!(openssl(&folder, &public));
    }
    Some(desk)
}

/// Lets the key sign a file and a statement, and has both verified.
fn sign_and_verify(desk: &Desk, name: &str, key: &str, environment: &[(&str, &str)]) {
    let run = |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        desk::finish(command.envs(environment.iter().copied()))
    };
    let public = format!("keys/{name}.pub");
    let said = run(&["key", "public", "--key", key]).ended(0);
    assert_eq!(said.out, fs::read_to_string(desk.path(&public)).unwrap());
    let output = ["--output-signature", "app.sig"];
    run(&[["sign-blob", "app", "--key", key].as_slice(), &output].concat()).ended(0);
    desk.run(["verify", "app", "--key", &public]).ended(0);
    let text = fs::read_to_string(desk.path("app.sig")).unwrap();
    fs::write(desk.path("app.raw"), STANDARD.decode(text.trim()).unwrap()).unwrap();
    let verify = match hash_of(name).unwrap() {
        Some(hash) => format!("dgst -{hash} -verify {public} -signature app.raw app"),
        None => format!("pkeyutl -verify -pubin -inkey {public} -rawin -in app -sigfile app.raw"),
    };
    assert!(openssl(&desk.path("."), &verify), "{name}");
    let attest = ["attest-blob", "app", "--key", key];
    let what = [
        "--predicate",
        "predicate.json",
        "--type",
        "https://example.com/ready",
    ];
    run(&[attest.as_slice(), &what].concat()).ended(0);
    let require = ["--require", "https://example.com/ready:/ready=true"];
    let verify = ["verify", "app", "--key", &public];
    desk.run(verify.iter().chain(&require)).ended(0);
}

/// Returns the hash of a key; none for a key that is not there.
fn hash_of(name: &str) -> Option<Option<&'static str>> {
    let kind = KINDS.into_iter().find(|kind| kind.0 == name)?;
    Some(kind.2)
}

/// Signs a digest, or a whole message where the kind of key has no hash.
fn sign(folder: &Path, name: &str, input: &[u8]) -> Vec<u8> {
    fs::write(folder.join("input"), input).unwrap();
    let how = match hash_of(name).unwrap() {
        Some(hash) => format!("-pkeyopt digest:{hash}"),
        None => "-rawin".to_owned(),
    };
    let sign = format!("pkeyutl -sign -inkey {name}.key {how} -in input -out signature");
    assert!(openssl(folder, &sign));
    fs::read(folder.join("signature")).unwrap()
}

fn public(folder: &Path, name: &str) -> PublicKey {
    let pem = fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap();
    PublicKey::from_pem(&pem).unwrap()
}

/// A request: its path without the query, its head in lower case, its body.
struct Asked {
    path: String,
    head: Vec<String>,
    body: Vec<u8>,
}

impl Asked {
    fn has(&self, header: &str) -> bool {
        self.head.iter().any(|line| line == header)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Serves what `answer` says; returns the address.
fn serve(answer: impl Fn(&Asked) -> (u16, Value) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            converse(stream.unwrap(), &answer);
        }
    });
    address
}

fn converse(mut stream: TcpStream, answer: &impl Fn(&Asked) -> (u16, Value)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, said) = answer(&Asked { path, head, body });
    let said = said.to_string();
    let length = said.len();
    let head =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + &said).as_bytes()).unwrap();
}

/// Plays the transit engine.
fn transit(folder: PathBuf) -> String {
    let serve = serve(move |asked| {
        if !asked.has("x-vault-token: a-token") {
            return (403, json!({"errors": ["permission denied"]}));
        }
        let path = asked.path.strip_prefix("/v1/transit/").unwrap();
        let (verb, name) = path.split_once('/').unwrap();
        let Some(hash) = hash_of(name) else {
            return (404, json!({"errors": []}));
        };
        if verb == "keys" {
            let public = public(&folder, name);
            let public = match hash {
                Some(_) => public.to_pem(),
                None => STANDARD.encode(public.bits()),
            };
            let answer = json!({
                "latest_version": 2, "supports_signing": true, "derived": false,
                "keys": {"2": {"public_key": public}},
            });
            return (200, json!({"data": answer}));
        }
        let input = decode_base64(asked.json()["input"].as_str().unwrap()).unwrap();
        let signature = STANDARD.encode(sign(&folder, name, &input));
        let signature = format!("vault:v2:{signature}");
        (200, json!({"data": {"signature": signature}}))
    });
    format!("http://{serve}")
}

#[test]
fn keys_in_vault_and_openbao_sign_files_and_statements() {
    let Some(desk) = desk_with_keys() else { return };
    let address = transit(desk.path("keys"));
    let environment = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "a-token")];
    for (name, _, _) in KINDS {
        let key = match name {
            "p384" => format!("openbao://{name}"),
            _ => format!("hashivault://{name}"),
        };
        sign_and_verify(&desk, name, &key, &environment);
    }
    let run = |arguments: &[&str]| desk::finish(desk.command(arguments).envs(environment));
    let absent = ["sign-blob", "app", "--key", "hashivault://none"];
    says(
        &run(&absent).ended(43).err,
        &["Vault: there is no such key"],
    );
    let log = ["sign-blob", "app", "--key", "hashivault://ed25519", "--log"];
    says(&run(&log).ended(40).err, &["PKIX_ED25519_PH"]);
    let mut stranger = desk.command(absent);
    stranger.envs([environment[0], ("VAULT_TOKEN", "another")]);
    let said = desk::finish(&mut stranger).ended(40);
    says(&said.err, &["access is refused: permission denied"]);
}

/// Plays Google's token service and its KMS.
fn google(folder: PathBuf) -> String {
    serve(move |asked| {
        if asked.path == "/token" {
            return (200, json!({"access_token": "a-token", "expires_in": 3599}));
        }
        assert!(asked.has("authorization: bearer a-token"));
        let path = asked.path.strip_prefix("/v1/").unwrap();
        let path = path.strip_prefix(RING).unwrap().trim_start_matches('/');
        let (name, rest) = path.split_once('/').unwrap();
        let Some(hash) = hash_of(name) else {
            let error = json!({"code": 404, "message": "not found", "status": "NOT_FOUND"});
            return (404, json!({"error": error}));
        };
        let checksum = |bytes: &[u8]| crc32c::crc32c(bytes).to_string();
        if rest == "cryptoKeyVersions/1/publicKey" {
            let pem = public(&folder, name).to_pem();
            let algorithm = match name {
                "p256" => "EC_SIGN_P256_SHA256",
                "p384" => "EC_SIGN_P384_SHA384",
                "rsa" => "RSA_SIGN_PKCS1_3072_SHA256",
                _ => "EC_SIGN_ED25519",
            };
            let checksum = checksum(pem.as_bytes());
            let answer = json!({"pem": pem, "pemCrc32c": checksum, "algorithm": algorithm});
            return (200, answer);
        }
        assert_eq!(rest, "cryptoKeyVersions/1:asymmetricSign");
        let body = asked.json();
        let input = match hash {
            Some(hash) => &body["digest"][hash],
            None => &body["data"],
        };
        let signature = sign(
            &folder,
            name,
            &decode_base64(input.as_str().unwrap()).unwrap(),
        );
        let answer = json!({
            "signature": STANDARD.encode(&signature), "signatureCrc32c": checksum(&signature),
            "verifiedDigestCrc32c": hash.is_some(), "verifiedDataCrc32c": hash.is_none(),
        });
        (200, answer)
    })
}

#[test]
fn keys_in_google_cloud_kms_sign_files_and_statements() {
    let Some(desk) = desk_with_keys() else { return };
    let address = format!("http://{}", google(desk.path("keys")));
    let account = json!({
        "type": "service_account", "client_email": "signer@p.iam.gserviceaccount.com",
        "private_key": fs::read_to_string(desk.path("keys/rsa.key")).unwrap(),
        "private_key_id": "1", "token_uri": format!("{address}/token"),
    });
    let account = desk.write("account.json", account.to_string());
    let environment = [
        ("GOOGLE_APPLICATION_CREDENTIALS", account.as_str()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &address),
    ];
    for (name, _, _) in KINDS {
        let key = format!("gcpkms://{RING}/{name}/cryptoKeyVersions/1");
        sign_and_verify(&desk, name, &key, &environment);
    }
    let absent = format!("gcpkms://{RING}/none/versions/1");
    let mut absent = desk.command(["sign-blob", "app", "--key", &absent]);
    let said = desk::finish(absent.envs(environment)).ended(43);
    says(&said.err, &["Google Cloud KMS: there is no such key"]);
}

/// Plays Entra and a vault.
fn azure(folder: PathBuf) -> String {
    serve(move |asked| {
        if asked.path == "/a-tenant/oauth2/v2.0/token" {
            return (200, json!({"access_token": "a-token", "expires_in": 3599}));
        }
        assert!(asked.has("authorization: bearer a-token"));
        let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        let name = parts[1];
        let Some(Some(_)) = hash_of(name) else {
            return (
                404,
                json!({"error": {"code": "KeyNotFound", "message": "x"}}),
            );
        };
        let kid = format!("https://team.vault.azure.net/keys/{name}/v1");
        let public = public(&folder, name);
        let size = public.bits().len() / 2;
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        if let ["keys", _] = parts.as_slice() {
            let mut key = match public.kind() {
                KeyKind::Rsa { .. } => {
                    let [n, e] = numbers(public.bits());
                    json!({"kty": "RSA", "n": text(&n), "e": text(&e)})
                }
                _ => {
                    let (x, y) = public.bits()[1..].split_at(size);
                    let curve = if name == "p256" { "P-256" } else { "P-384" };
                    json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
                }
            };
            key["kid"] = kid.into();
            key["key_ops"] = json!(["sign"]);
            return (200, json!({"key": key, "attributes": {"enabled": true}}));
        }
        assert_eq!(parts, ["keys", name, "v1", "sign"]);
        let input = decode_base64(asked.json()["value"].as_str().unwrap()).unwrap();
        let signature = sign(&folder, name, &input);
        let signature = match public.kind() {
            KeyKind::Rsa { .. } => signature,
            _ => numbers(&signature)
                .map(|number| [vec![0; size - number.len()], number].concat())
                .concat(),
        };
        (200, json!({"kid": kid, "value": text(&signature)}))
    })
}

/// Returns the two numbers of an RSAPublicKey or of an ECDSA signature.
fn numbers(der: &[u8]) -> [Vec<u8>; 2] {
    let mut reader = asn1::only_sequence(der).unwrap();
    [(); 2].map(|()| reader.tlv().unwrap().to_unsigned().unwrap().to_vec())
}

#[test]
fn keys_in_azure_key_vault_sign_files_and_statements() {
    let Some(desk) = desk_with_keys() else { return };
    let address = azure(desk.path("keys"));
    let authority = format!("http://{address}");
    let environment = [
        ("AZURE_AUTHORITY_HOST", authority.as_str()),
        ("AZURE_TENANT_ID", "a-tenant"),
        ("AZURE_CLIENT_ID", "a-client"),
        ("AZURE_CLIENT_SECRET", "a-secret"),
    ];
    for name in ["p256", "p384", "rsa"] {
        let key = format!("azurekms://{address}/{name}");
        sign_and_verify(&desk, name, &key, &environment);
    }
    let absent = format!("azurekms://{address}/none");
    let mut absent = desk.command(["sign-blob", "app", "--key", &absent]);
    let said = desk::finish(absent.envs(environment)).ended(43);
    says(&said.err, &["Azure Key Vault: there is no such key"]);
}
