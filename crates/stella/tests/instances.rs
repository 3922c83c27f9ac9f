//! The instance of this machine: who may start it, who is taken for it, and who gets its secret.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use desk::{Desk, digest, finish, says};

#[test]
fn a_stranger_at_the_instances_address_never_gets_its_secret() {
    let mut desk = Desk::new();
    desk.serve();
    desk.stop();
    let mut other = Desk::new();
    other.serve();
    other.stop();
    // Somebody holds the directory, and somebody else has taken the port.
    let lock = fs::File::options()
        .append(true)
        .open(desk.path("sigstore/lock"))
        .unwrap();
    lock.lock().unwrap();
    let strange = fs::read(other.path("sigstore/client_trust_config.json")).unwrap();
    let heard = answer_everything(&desk.url, strange);
    let said = desk
        .run(["identity", "token", "--dir", "sigstore"])
        .ended(30);
    says(&said.err, &[&desk.url, "is not the instance", "hint:"]);
    let secret = fs::read_to_string(desk.path("sigstore/issuer.secret")).unwrap();
    let heard = heard.lock().unwrap().to_lowercase();
    says(&heard, &["client-trust-config.json"]);
    assert!(!heard.contains("authorization") && !heard.contains(secret.trim()));
}

#[test]
fn a_process_with_keys_leaves_no_core_dump() {
    let desk = Desk::new();
    let address = desk.url.trim_start_matches("http://").to_owned();
    // Aborted when the file is there; says how many dumps there are then.
    let dumps = |what: &str, file: &str| {
        let abort = format!(
            "ulimit -c unlimited; {what} >/dev/null 2>&1 & id=$!; until [ -e {file} ]; do sleep 0.1; done; \
             sleep 1; kill -ABRT $id; wait $id; ls | grep -c '^core'; rm -f core*"
        );
        finish(&mut desk.wrapped("sh", ["-c", &abort])).out
    };
    if dumps("sleep 60", ".").trim() == "0" {
        return println!("skipped: this machine keeps core dumps elsewhere, or keeps none");
    }
    let serve = format!("{} serve --dir kept --listen {address}", desk::STELLA);
    assert_eq!(dumps(&serve, "kept/instance.json").trim(), "0");
}

#[test]
fn a_refused_start_leaves_no_instance_behind() {
    let desk = Desk::serving();
    let busy = desk.url.trim_start_matches("http://").to_owned();
    let other = Desk::new();
    let refused = |arguments: &[&str], words: &[&str]| {
        let said = other.run(["serve", "--dir", "new"].iter().chain(arguments));
        says(&said.ended(2).err, words);
        assert!(!other.path("new").exists(), "{arguments:?}");
    };
    refused(
        &["--listen", &busy],
        &["cannot listen", "hint:", "the port"],
    );
    refused(
        &["--listen", "0.0.0.0:8470"],
        &["--no-dev-issuer", "127.0.0.1"],
    );
    refused(
        &[
            "--listen",
            "127.0.0.1:0",
            "--url",
            "https://sigstore.example.com",
        ],
        &["--insecure-dev-issuer", "proxy"],
    );
    refused(&["--url", "nonsense"], &["is not a URL"]);
    refused(
        &[
            "--listen",
            "0.0.0.0:8470",
            "--no-dev-issuer",
            "--with",
            "registry",
        ],
        &["--insecure-open-registry", "127.0.0.1"],
    );
    refused(&["--with", "cheese"], &["registry"]);
    refused(
        &["--no-dev-issuer", "--insecure-dev-issuer"],
        &["cannot be used"],
    );
}

#[test]
fn what_an_operator_did_wrong_ends_in_2_and_says_what_to_do() {
    let desk = Desk::serving();
    let serve = ["serve", "--dir", "sigstore", "--listen", "127.0.0.1:0"];
    says(&desk.run(serve).ended(2).err, &["another process", "hint:"]);
    desk.write("taken/file", "something else");
    let taken = ["serve", "--dir", "taken", "--listen", "127.0.0.1:0"];
    let taken = taken.iter().chain(&["--url", "http://127.0.0.1:8470"]);
    says(&desk.run(taken).ended(2).err, &["not empty", "hint:"]);
    let path = ["serve", "--dir", "p", "--listen", "127.0.0.1:0"];
    let path = path.iter().chain(&["--url", "http://127.0.0.1:8470/path"]);
    says(&desk.run(path).ended(2).err, &["hint:", "without a path"]);
    // An instance whose operator wrote nonsense, and one whose keys lie open.
    let mut desk = desk;
    desk.stop();
    desk.write("sigstore/issuers.yaml", "oidc-issuers: [");
    says(&desk.run(serve).ended(2).err, &["issuers.yaml", "hint:"]);
    fs::remove_file(desk.path("sigstore/issuers.yaml")).unwrap();
    let key = desk.path("sigstore/keys/rekor.pem");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&key, open).unwrap();
    says(
        &desk.run(serve).ended(2).err,
        &["rekor.pem", "hint:", "chmod 600"],
    );
}

#[test]
fn without_its_own_issuer_an_instance_gives_no_tokens_and_says_where_it_listens() {
    let desk = Desk::new();
    let address = desk.url.trim_start_matches("http://").to_owned();
    let arguments = [
        "serve",
        "--dir",
        "sigstore",
        "--no-dev-issuer",
        "--listen",
        &address,
    ];
    let arguments = arguments
        .iter()
        .chain(&["--url", "https://sigstore.example.com"]);
    let mut command = desk.command(arguments);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let until_ready = lines
        .map_while(Result::ok)
        .scan((), |(), line| (!line.contains("  trust ")).then_some(line));
    let said: Vec<String> = until_ready.collect();
    says(
        &said.join("\n"),
        &[
            "https://sigstore.example.com",
            &format!("listens  on {address}"),
        ],
    );
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream
        .write_all(b"GET /token?audience=sigstore HTTP/1.1\r\nHost: sigstore.example.com\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

/// Tries to start an instance, which is refused.
fn refused_start(desk: &Desk, more: &[&str]) -> desk::Said {
    desk.run([&["serve", "--dir", "sigstore"], more].concat())
}

#[test]
fn an_instance_signs_with_keys_that_are_kept_elsewhere() {
    let mut desk = Desk::new();
    desk.write("passphrase", "open-sesame-77");
    let made = ["key", "generate", "--algorithm", "ecdsa-p384", "--output"];
    desk.run(
        made.iter()
            .chain(&["ca", "--passphrase-file", "passphrase"]),
    )
    .ended(0);
    for (name, kind) in [
        ("ct", "ecdsa-p256"),
        ("log", "ed25519"),
        ("oidc", "ecdsa-p384"),
        ("tsa", "ecdsa-p256"),
    ] {
        desk.key(name, kind);
    }
    let address = desk.url.trim_start_matches("http://").to_owned();
    let listen = ["--listen", &address, "--passphrase-file", "passphrase"];
    for (flag, key, words) in [
        (
            "--ca-key",
            "log.key",
            "the certificate authority signs with ECDSA on P-256 or P-384",
        ),
        ("--ct-key", "ca.key", "the CT log signs with ECDSA on P-256"),
        (
            "--log-key",
            "ca.key",
            "the Rekor log signs with Ed25519 or ECDSA on P-256",
        ),
        ("--oidc-key", "log.key", "the own issuer signs with RSA"),
    ] {
        let unsuitable = [&[flag, key], &listen[..]].concat();
        let said = refused_start(&desk, &unsuitable).ended(40);
        says(&said.err, &[key, words]);
    }
    // Both keys are behind the passphrase, and a pipe says it once.
    let both = format!(
        "{} serve --dir sigstore --listen {address} --ca-key ca.key --log-key ca.key --passphrase-file <(cat passphrase)",
        desk::STELLA
    );
    let said = finish(&mut desk.wrapped("bash", ["-c", &both])).ended(40);
    says(&said.err, &["the Rekor log signs with"]);
    let absent = [&["--ca-key", "absent.key"], &listen[..]].concat();
    refused_start(&desk, &absent).ended(43);
    assert!(
        !desk.path("sigstore").exists(),
        "a refused start left something"
    );

    // 1. What it signs verifies as ever, also when it is gone.
    let keys = ["--ca-key", "ca.key", "--ct-key", "ct.key"];
    let more = ["--log-key", "log.key", "--oidc-key", "oidc.key"];
    let keys = [&keys[..], &more, &["--tsa-key", "tsa.key"]].concat();
    desk.serve_with(&[&keys, &listen[2..]].concat());
    let url = desk.url.clone();
    desk.run(["trust", "use", &url]).ended(0);
    let artifact = format!("sha256:{}", "ab".repeat(32));
    desk.sign(&artifact, &[]);
    desk.stop();
    desk.verify(&artifact, &["--offline"]).ended(0);
    let kept = std::fs::read_dir(desk.path("sigstore/keys")).unwrap();
    let has_secret = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        text.contains("PRIVATE")
    };
    assert!(!{ kept }.any(has_secret));

    // 2. The keys are named once, and opened at each start; a process that signs by itself opens them too.
    let secret = ["--passphrase-file", "passphrase"];
    desk.serve_with(&secret);
    desk.sign(&artifact, &[]);
    desk.stop();
    let sign = [
        "attest",
        "sign",
        "--keyless",
        "--artifact",
        &artifact,
        "--dir",
        "sigstore",
    ];
    let said = desk::finish(
        desk.command(sign)
            .env("STELLA_KEY_PASSPHRASE", "open-sesame-77"),
    );
    said.ended(0);
    desk.run(sign).ended(41);
    desk.run(["log", "fsck", "--dir", "sigstore"]).ended(0);

    // 3. Another key, or none, and it does not start.
    let said = refused_start(&desk, &["--ca-key", "tsa.key"]).ended(2);
    says(
        &said.err,
        &["certificate authority was made with the key", "ca.key"],
    );
    refused_start(&desk, &["--listen", &address]).ended(41);
    for name in ["ca.key", "ct.key", "log.key", "oidc.key", "tsa.key"] {
        std::fs::rename(desk.path(name), desk.path("kept.key")).unwrap();
        let said = refused_start(&desk, &listen).ended(43);
        says(&said.err, &[name]);
        desk.key("other", "ecdsa-p256");
        std::fs::rename(desk.path("other.key"), desk.path(name)).unwrap();
        std::fs::remove_file(desk.path("other.pub")).unwrap();
        let said = refused_start(&desk, &listen).ended(40);
        says(&said.err, &[name, "now another key"]);
        std::fs::rename(desk.path("kept.key"), desk.path(name)).unwrap();
    }
    desk.serve_with(&secret);
}

#[test]
fn a_pipeline_makes_no_instance_of_its_own() {
    let desk = Desk::new();
    let sign = ["attest", "sign", "--keyless", "--artifact", &digest("a")];
    let said = finish(desk.command(sign).env("CI", "true")).ended(2);
    says(&said.err, &["no trust root was chosen", "hint:", "--dir"]);
    assert!(!desk.path(".local/share/stella/instance").exists());
}

#[test]
fn a_request_for_a_token_that_cannot_be_is_a_usage_error_served_or_not() {
    let mut desk = Desk::serving();
    let claim = [
        "identity", "token", "--dir", "sigstore", "--claim", "iss=me",
    ];
    let other = [
        "identity",
        "token",
        "--dir",
        "sigstore",
        "--subject",
        "repo:a/b:x",
    ];
    for _ in 0..2 {
        says(
            &desk.run(claim).ended(2).err,
            &["iss", "cannot be set", "hint:"],
        );
        says(
            &desk.run(other).ended(31).err,
            &["repo:a/b:x", "issuer.json"],
        );
        desk.stop();
    }
    let said = desk
        .run([
            "attest",
            "sign",
            "--keyless",
            "--artifact",
            &digest("a"),
            "--identity-token",
            "@none",
        ])
        .ended(2);
    says(&said.err, &["none: No such file or directory"]);
}

/// Answers every request at an address with these bytes, and keeps what was asked.
fn answer_everything(url: &str, body: Vec<u8>) -> Arc<Mutex<String>> {
    let listener = TcpListener::bind(url.trim_start_matches("http://")).unwrap();
    let heard = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8192];
            let length = stream.read(&mut request).unwrap();
            keep.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&request[..length]));
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    heard
}
