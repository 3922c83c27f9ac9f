//! Verdicts beside images, by the command, in Debian's docker-registry: signed, found, judged; for one platform, for all,
//! through an index. Skipped where it is not installed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::sync::Arc;

use desk::{Desk, Said, says};
use stella_client::network::{Network, PlainHttp};
use stella_client::registry::credentials::Credential;
use stella_client::registry::{Registry, Repository};
use stella_client::retry::{RetryPolicy, Retrying};
use stella_testkit::docker_registry::DockerRegistry;
use stella_testkit::image::{self, Image};

const VERDICT: &str = r#"{"result": "allow", "policy": {"digest": {"sha256":
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
    "evaluatedAt": "2026-11-20T12:00:00Z"}"#;

/// A desk beside a registry that has an image for two platforms.
struct Harbour {
    desk: Desk,
    registry: DockerRegistry,
    _folder: tempfile::TempDir,
    /// `HOST/org/app`.
    name: String,
    amd64: String,
}

impl Harbour {
    /// Returns none where docker-registry is not installed.
    fn open() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let Some(registry) = DockerRegistry::start(folder.path()).unwrap() else {
            println!("skipped: docker-registry is not installed");
            return None;
        };
        let name = format!("{}/org/app", registry.host());
        let amd64 = push(registry.host(), "org/app", "v1");
        Some(Self {
            desk: Desk::serving(),
            registry,
            _folder: folder,
            name,
            amd64,
        })
    }

    fn sign(&self, more: &[&str]) -> Said {
        let mut arguments = vec!["attest", "sign", "--keyless"];
        arguments.extend_from_slice(more);
        self.desk.run_with_token(&self.desk.token(), arguments)
    }

    fn verify(&self, more: &[&str]) -> Said {
        let subject = "repo:local/demo:ref:refs/heads/main";
        let mut arguments = vec!["verify", "--certificate-identity", subject];
        arguments.extend(["--certificate-oidc-issuer", &self.desk.url]);
        arguments.extend_from_slice(more);
        self.desk.run(arguments)
    }
}

/// Pushes an index of two images and returns the digest of the one for amd64.
fn push(host: &str, repository: &str, tag: &str) -> String {
    let (amd64, arm64) = (Image::new(tag, "amd64"), Image::new(tag, "arm64"));
    let index = image::index(&[(&amd64, "amd64"), (&arm64, "arm64")]);
    let registry = Registry::new(
        Arc::new(Retrying::new(
            Arc::new(Network::default()),
            RetryPolicy::default(),
        )),
        host,
        PlainHttp::LoopbackOnly,
        Credential::Anonymous,
    );
    let repository = Repository::new(Arc::new(registry), repository);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        for image in [&amd64, &arm64] {
            let digest = image.manifest.digest.to_string();
            image.push(&repository, &digest).await.unwrap();
        }
        image::push(&repository, tag, &index).await.unwrap();
    });
    amd64.manifest.digest.to_string()
}

#[test]
fn a_verdict_travels_beside_its_image() {
    let Some(harbour) = Harbour::open() else {
        return;
    };
    let tagged = format!("{}:v1", harbour.name);
    let verdict = harbour.desk.write("verdict.json", VERDICT);
    // 1. Nothing is there yet, and that is said.
    let said = harbour.verify(&["--image", &tagged]).ended(10);
    says(&said.err, &["no attestation"]);
    // 2. Two predicates about one image, with one certificate.
    let two = [
        "--image",
        &tagged,
        "--predicate",
        &verdict,
        "--type",
        "verdict",
        "--predicate",
        &verdict,
        "--type",
        "https://example.com/again",
        "--json",
    ];
    let signed = harbour.sign(&two).ended(0).json();
    assert_eq!(signed["attestations"].as_array().unwrap().len(), 2);
    let digest = signed["attestations"][0]["subjects"][0].as_str().unwrap();
    // 3. Found by tag and by digest, and only what the policy may weigh is read.
    let by_digest = format!("{}@{digest}", harbour.name);
    for reference in [tagged.as_str(), by_digest.as_str()] {
        let said = harbour.verify(&["--image", reference, "--require", "verdict", "--json"]);
        let said = said.ended(0).json();
        assert_eq!(said["attestations"].as_array().unwrap().len(), 1);
        assert_eq!(said["attestations"][0]["source"], "fallback");
        assert!(said["stats"]["requests"].as_u64().unwrap() > 0);
    }
    harbour.verify(&[&by_digest]).ended(0);
    // What was read once is not fetched again, unless it is to be, or was changed here.
    let requests = |more: &[&str]| {
        let given = ["--image", &by_digest, "--require", "verdict", "--json"];
        let said = harbour.verify(&[&given, more].concat()).ended(0).json();
        said["stats"]["requests"].as_u64().unwrap()
    };
    let (kept, anew) = (requests(&[]), requests(&["--no-cache"]));
    // The list that is not there, the index, and the two tags of older cosign.
    assert_eq!(kept, 4);
    assert!(kept < anew, "{kept} {anew}");
    for file in std::fs::read_dir(harbour.desk.path(".cache/stella/registry")).unwrap() {
        std::fs::write(file.unwrap().path(), "{}").unwrap();
    }
    assert_eq!(requests(&[]), anew);
    assert_eq!(requests(&[]), kept);
    // And by whatever file names it.
    let compose = format!("services:\n  web:\n    image: {tagged}\n");
    let compose = harbour.desk.write("compose.yaml", compose);
    harbour.verify(&["--from", &compose]).ended(0);
    let listed = harbour
        .desk
        .run(["attest", "list", &tagged, "--json"])
        .ended(0)
        .json();
    assert_eq!(listed["attestations"].as_array().unwrap().len(), 2);
    let tree = harbour.desk.run(["attest", "list", &tagged]).ended(0);
    says(
        &tree.out,
        &["├─ ", "└─ ", "https://example.com/again", "/local/demo/"],
    );
    // Brought along it verifies with no network.
    let file = harbour.desk.path("brought.jsonl").display().to_string();
    harbour
        .desk
        .run(["attest", "download", &tagged, "-o", &file])
        .ended(0);
    harbour
        .verify(&["--image", &by_digest, "--bundle", &file, "--offline"])
        .ended(0);
    harbour
        .verify(&["--image", &tagged, "--bundle", &file, "--offline"])
        .ended(2);
    // 4. Without the network nobody knows, and that is said.
    let said = harbour
        .verify(&["--image", &by_digest, "--offline"])
        .ended(50);
    says(&said.err, &["--offline", "hint:"]);
}

#[test]
fn older_readers_find_what_they_know_and_one_more_is_added_to_it() {
    let Some(harbour) = Harbour::open() else {
        return;
    };
    let image = format!("{}@{}", harbour.name, harbour.amd64);
    for _ in 0..2 {
        harbour.sign(&["--image", &image, "--also-legacy"]).ended(0);
    }
    let said = harbour.verify(&["--image", &image, "--json"]).ended(0);
    let said = said.json();
    let sources: Vec<&str> = said["attestations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["source"].as_str().unwrap())
        .collect();
    let count = |source| sources.iter().filter(|each| **each == source).count();
    // Two statements and two simple signatures, besides those that newer readers find.
    assert_eq!((count("fallback"), count("legacy")), (2, 4), "{sources:?}");
}

#[test]
fn an_index_speaks_for_its_platforms_only_where_told() {
    let Some(harbour) = Harbour::open() else {
        return;
    };
    let tagged = format!("{}:v1", harbour.name);
    let amd64 = format!("{}@{}", harbour.name, harbour.amd64);
    harbour.sign(&["--image", &tagged]).ended(0);
    harbour.verify(&["--image", &tagged]).ended(0);
    harbour
        .verify(&["--image", &tagged, "--platform", "linux/amd64"])
        .ended(10);
    harbour.verify(&["--image", &amd64]).ended(10);
    harbour
        .verify(&["--image", &amd64, "--via-index", &tagged])
        .ended(0);
    let said = harbour
        .verify(&["--image", &tagged, "--platform", "linux/s390x"])
        .ended(11);
    says(&said.err, &["linux/s390x", "linux/amd64", "linux/arm64"]);
    // Another index does not list it.
    push(harbour.registry.host(), "org/app", "v2");
    let other = format!("{}:v2", harbour.name);
    harbour
        .verify(&["--image", &amd64, "--via-index", &other])
        .ended(10);
    // Everything below, signed and judged in one call.
    harbour.verify(&["--image", &other, "-r"]).ended(10);
    harbour.sign(&["--image", &other, "-r"]).ended(0);
    let said = harbour
        .verify(&["--image", &other, "-r", "--json"])
        .ended(0)
        .json();
    assert_eq!(said["results"].as_array().unwrap().len(), 3);
}

#[test]
fn only_what_a_policy_lets_pass_crosses() {
    let Some(harbour) = Harbour::open() else {
        return;
    };
    push(harbour.registry.host(), "org/app", "v2");
    let tagged = format!("{}:v1", harbour.name);
    harbour.sign(&["--image", &tagged]).ended(0);
    let policy = format!(
        "policy: stella.policy/v1\nmode: enforce\nsigners:\n  ci:\n    identity: {}\n    issuer: {}\n",
        "repo:local/demo:ref:refs/heads/main", harbour.desk.url
    );
    let root = harbour
        .desk
        .run(["trust", "show", "--json"])
        .ended(0)
        .json();
    let digest = root["digest"].as_str().unwrap_or_default();
    let policy = harbour
        .desk
        .write("policy.yaml", format!("{policy}trust: [\"{digest}\"]\n"));
    let to = format!("{}/inside/app", harbour.registry.host());
    let sync = [
        "mirror",
        "sync",
        &harbour.name,
        &to,
        "--policy",
        &policy,
        "--json",
    ];
    let said = harbour.desk.run(sync).ended(10);
    says(&said.err, &["v2 does not cross"]);
    assert_eq!(said.json()["images"], 1);
    harbour.verify(&["--image", &format!("{to}:v1")]).ended(0);
    harbour.verify(&["--image", &format!("{to}:v2")]).ended(11);
}

#[test]
fn old_attestations_go_and_the_newest_of_each_type_stays() {
    let Some(harbour) = Harbour::open() else {
        return;
    };
    let tagged = format!("{}:v1", harbour.name);
    for _ in 0..3 {
        harbour.sign(&["--image", &tagged]).ended(0);
        // The list says when in whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let prune = |more: &[&str]| {
        let arguments = ["attest", "prune", &tagged, "--keep", "1", "--json"];
        harbour
            .desk
            .run(arguments.iter().chain(more))
            .ended(0)
            .json()
    };
    let count = || {
        let listed = harbour.desk.run(["attest", "list", &tagged, "--json"]);
        listed.ended(0).json()["attestations"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        prune(&["--dry-run"])["removed"].as_array().unwrap().len(),
        2
    );
    assert_eq!(count(), 3);
    assert_eq!(
        prune(&["--older-than", "1h"])["removed"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(prune(&[])["removed"].as_array().unwrap().len(), 2);
    assert_eq!(count(), 1);
    harbour.verify(&["--image", &tagged]).ended(0);
}

#[test]
fn attestations_may_be_kept_in_another_repository() {
    let Some(harbour) = Harbour::open() else {
        return;
    };
    let tagged = format!("{}:v1", harbour.name);
    let elsewhere = format!("{}/org/evidence", harbour.registry.host());
    harbour
        .sign(&["--image", &tagged, "--repository", &elsewhere])
        .ended(0);
    harbour.verify(&["--image", &tagged]).ended(10);
    harbour
        .verify(&["--image", &tagged, "--repository", &elsewhere])
        .ended(0);
}

#[test]
fn what_names_no_image_is_said_to() {
    let Some(harbour) = Harbour::open() else {
        return;
    };
    let missing = format!("{}:v9", harbour.name);
    harbour.verify(&["--image", &missing]).ended(11);
    harbour.sign(&["--image", &missing]).ended(11);
    harbour.verify(&["--image", "Not An Image"]).ended(2);
    let nobody = "127.0.0.1:9/org/app:v1";
    harbour.verify(&["--image", nobody]).ended(30);
}
