//! A registry as companies have them, by Debian's docker-registry: certificates of an authority of their own, a certificate
//! asked of the client too, and a password. Skipped where it is not installed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use desk::{Desk, Said, says};
use stella_testkit::docker_registry::DockerRegistry;

/// `me` and `open sesame`, by bcrypt.
const PASSWORDS: &str = "me:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";

/// Makes an authority, and certificates of it for the registry and for the client.
fn certify(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=ours -days 2"),
    );
    for name in ["server", "client"] {
        openssl(
            folder,
            &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out {name}.cert -extfile server.ext"
            ),
        );
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {said}");
}

/// Starts the registry; none where it is not installed.
fn start(desk: &Desk) -> Option<DockerRegistry> {
    let made = desk.path("made");
    certify(&made);
    fs::write(made.join("passwords"), PASSWORDS).unwrap();
    let more = format!(
        "  tls:\n    certificate: {0}/server.cert\n    key: {0}/server.key\n    clientcas: [{0}/ca.crt]\n\
         auth:\n  htpasswd:\n    realm: ours\n    path: {0}/passwords\n",
        made.display()
    );
    fs::create_dir_all(desk.path("registry")).unwrap();
    let registry = DockerRegistry::start_with(&desk.path("registry"), &more).unwrap();
    if registry.is_none() {
        println!("skipped: docker-registry is not installed");
    }
    registry
}

fn login(desk: &Desk, host: &str, more: &[&str], password: &str) -> Said {
    let arguments = ["login", host, "-u", "me", "--password-stdin"];
    let mut child = desk
        .command(arguments.iter().chain(more))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(password.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_registry_with_certificates_and_passwords_of_its_own_is_reached() {
    let desk = Desk::serving();
    let Some(registry) = start(&desk) else {
        return;
    };
    let host = registry.host();
    let keep = |folder: &str, names: &[&str]| {
        fs::create_dir_all(desk.path(folder)).unwrap();
        for name in names {
            let to = desk.path(folder).join(name);
            fs::copy(desk.path("made").join(name), to).unwrap();
        }
    };
    // 1. Who cannot be believed is not spoken to, and who does not show a certificate is sent away.
    keep("other", &["client.cert", "client.key"]);
    let said = login(&desk, host, &["--cert-dir", "other"], "open sesame").ended(30);
    says(&said.err, &["authority"]);
    keep("certificates", &["ca.crt"]);
    let ours = ["--cert-dir", "certificates"];
    login(&desk, host, &ours, "open sesame").ended(30);
    // 2. With both the registry answers, and a wrong password is refused.
    keep("certificates", &["client.cert", "client.key"]);
    let said = login(&desk, host, &ours, "open barley").ended(31);
    says(&said.err, &["401"]);
    login(&desk, host, &ours, "open sesame\n").ended(0);
    // 3. The folder of podman and docker needs no flag: what is kept there speaks for the registry.
    let folder = format!(".config/containers/certs.d/{host}");
    keep(&folder, &["ca.crt", "client.cert", "client.key"]);
    let image = push(&desk, host);
    let signed = ["attest", "sign", "--keyless", "--image", &image];
    desk.run_with_token(&desk.token(), signed).ended(0);
    let issuer = desk.url.clone();
    let subject = "repo:local/demo:ref:refs/heads/main";
    let verify = [
        "verify",
        "--image",
        &image,
        "--certificate-identity",
        subject,
    ];
    let issued = ["--certificate-oidc-issuer", &issuer];
    desk.run(verify.iter().chain(&issued)).ended(0);
    // 4. Half of a pair is named.
    fs::remove_file(desk.path(&folder).join("client.key")).unwrap();
    let said = desk.run(verify.iter().chain(&issued)).ended(2);
    says(
        &said.err,
        &["client.cert has no", "client.key", "--cert-dir"],
    );
}

/// Carries an image from a layout into the registry; returns its name.
fn push(desk: &Desk, host: &str) -> String {
    let blob = |content: &str| {
        let digest = stella_bundle::digest::DigestAlgorithm::Sha256.digest(content.as_bytes());
        desk.write(&format!("layout/blobs/sha256/{}", digest.hex()), content);
        digest
    };
    let config = blob("{}");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[]}}"#
    );
    let digest = blob(&manifest);
    desk.write(
        "layout/index.json",
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#,
            manifest.len()
        ),
    );
    desk.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    desk.run(["mirror", "load", "layout", &format!("{host}/org/app")])
        .ended(0);
    format!("{host}/org/app:v1")
}
