//! Keys in Vault and OpenBao, as a small server plays them: its keys are openssl's, which signs digests by itself. Signed by
//! the command, verified here and by openssl.
//!
//! What the driver does with answers that lie is tested in `stella-client`.
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
use base64::engine::general_purpose::STANDARD;
use desk::{Desk, says};
use serde_json::{Value, json};

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

fn openssl(folder: &Path, arguments: &str) -> bool {
    let mut openssl = Command::new("openssl");
    openssl
        .args(arguments.split_whitespace())
        .current_dir(folder);
    let output = openssl.output();
    output.unwrap().status.success()
}

/// Serves the transit engine with the keys of a folder; returns its address.
fn engine(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&folder, stream.unwrap());
        }
    });
    address
}

fn answer(folder: &Path, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut lines, mut length, mut is_known) = (Vec::new(), 0, false);
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
        is_known |= line == "x-vault-token: a-token";
        lines.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = lines.first().and_then(|line| line.split(' ').nth(1));
    let said = match path.and_then(|path| path.strip_prefix("/v1/transit/")) {
        _ if !is_known => None,
        Some(path) => said(folder, path, &body),
        None => None,
    };
    let (status, said) = match said {
        Some(said) => ("200 OK", said),
        None if is_known => ("404 Not Found", json!({"errors": []})),
        None => ("403 Forbidden", json!({"errors": ["permission denied"]})),
    };
    let said = said.to_string();
    let length = said.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + &said).as_bytes()).unwrap();
}

/// Returns what the engine says of a key, or its signature.
fn said(folder: &Path, path: &str, body: &[u8]) -> Option<Value> {
    let (verb, name) = path.split_once('/')?;
    let (_, _, hash) = KINDS.into_iter().find(|kind| kind.0 == name)?;
    if verb == "keys" {
        let public = match hash {
            Some(_) => fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap(),
            None => {
                let der = format!("pkey -pubin -in {name}.pub -outform DER -out {name}.der");
                assert!(openssl(folder, &der));
                let der = fs::read(folder.join(format!("{name}.der"))).unwrap();
                STANDARD.encode(&der[der.len() - 32..])
            }
        };
        return Some(json!({"data": {
            "latest_version": 2, "supports_signing": true, "derived": false,
            "keys": {"2": {"public_key": public}},
        }}));
    }
    let asked: Value = serde_json::from_slice(body).unwrap();
    let input = STANDARD.decode(asked["input"].as_str()?).unwrap();
    fs::write(folder.join("input"), input).unwrap();
    let how = match hash {
        Some(hash) => format!("-pkeyopt digest:{hash}"),
        None => "-rawin".to_owned(),
    };
    let sign = format!("pkeyutl -sign -inkey {name}.key {how} -in input -out signature");
    assert!(openssl(folder, &sign));
    let signature = STANDARD.encode(fs::read(folder.join("signature")).unwrap());
    Some(json!({"data": {"signature": format!("vault:v2:{signature}")}}))
}

#[test]
fn keys_in_vault_and_openbao_sign_files_and_statements() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return;
    }
    let desk = Desk::new();
    desk.write("app", vec![7; 5000]);
    desk.write("predicate.json", r#"{"ready": true}"#);
    let folder = desk.path("engine");
    fs::create_dir(&folder).unwrap();
    let address = engine(folder.clone());
    let environment = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "a-token")];
    let run = |arguments: &[&str]| desk::finish(desk.command(arguments).envs(environment));
    for (name, kind, hash) in KINDS {
        assert!(openssl(&folder, &format!("genpkey {kind} -out {name}.key")));
        assert!(openssl(
            &folder,
            &format!("pkey -in {name}.key -pubout -out {name}.pub")
        ));
        let key = match name {
            "p384" => format!("openbao://{name}"),
            _ => format!("hashivault://{name}"),
        };
        let public = format!("engine/{name}.pub");
        let said = run(&["key", "public", "--key", &key]).ended(0);
        assert_eq!(said.out, fs::read_to_string(desk.path(&public)).unwrap());
        let sign = [
            "sign-blob",
            "app",
            "--key",
            &key,
            "--output-signature",
            "app.sig",
        ];
        run(&sign).ended(0);
        desk.run(["verify", "app", "--key", &public]).ended(0);
        let text = fs::read_to_string(desk.path("app.sig")).unwrap();
        fs::write(desk.path("app.raw"), STANDARD.decode(text.trim()).unwrap()).unwrap();
        let verify = match hash {
            Some(hash) => format!("dgst -{hash} -verify {public} -signature app.raw app"),
            None => {
                format!("pkeyutl -verify -pubin -inkey {public} -rawin -in app -sigfile app.raw")
            }
        };
        assert!(openssl(&desk.path("."), &verify), "{name}");
        let attest = [
            "attest-blob",
            "app",
            "--key",
            &key,
            "--predicate",
            "predicate.json",
        ];
        let kind = ["--type", "https://example.com/ready"];
        run(&[attest.as_slice(), &kind].concat()).ended(0);
        let require = ["--require", "https://example.com/ready:/ready=true"];
        let verify = ["verify", "app", "--key", &public];
        desk.run(verify.iter().chain(&require)).ended(0);
    }
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
