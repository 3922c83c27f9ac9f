//! Credentials are found in every form that files and helpers have; in temporary folders, with helpers that are shell
//! scripts.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod keeping;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

/// A home with credential files, and a folder of helpers.
struct Home {
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, OsString>,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = format!(
            "relative:{}:/usr/bin:/bin",
            folder.path().join("bin").display()
        );
        let variables = BTreeMap::from([("PATH", path.into())]);
        Self { folder, variables }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Points a variable at a file or folder of this home.
    fn set(&mut self, variable: &'static str, name: &str) {
        self.variables.insert(variable, self.path(name).into());
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes docker's file.
    fn docker(&self, content: &Value) -> PathBuf {
        self.write(".docker/config.json", content.to_string())
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Makes a helper. Another process writes it: a file that this one had open could not be run while a sibling test
    /// forks.
    fn helper(&self, name: &str, script: &str) {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 700 \"$0\""])
            .arg(bin.join(format!("docker-credential-{name}")))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        write!(stdin, "#!/bin/sh\n{script}\n").unwrap();
        drop(stdin);
        assert!(shell.wait().unwrap().success());
    }

    /// Makes a helper that keeps one answer in a file and notes what it is asked.
    fn keychain(&self, name: &str) {
        let folder = self.path("keychain");
        fs::create_dir_all(&folder).unwrap();
        let script = format!(
            "cd '{}'\nread -r asked\necho \"$1 $asked\" >> asked\n\
             missing() {{ echo 'credentials not found in native keychain'; exit 1; }}\n\
             case $1 in\n\
             store) echo \"$asked\" > kept ;;\n\
             get) test -f kept || missing; cat kept ;;\n\
             erase) test -f kept || missing; rm kept ;;\n\
             esac",
            folder.display()
        );
        self.helper(name, &script);
    }

    fn credentials(&self) -> Credentials {
        let variable = |name: &str| self.variables.get(name).cloned();
        Credentials::new(&variable, Some(self.folder.path()))
    }

    #[track_caller]
    fn find(&self, registry: &str, repository: &str) -> Credential {
        self.credentials().find(registry, repository).unwrap()
    }
}

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic {
        user: user.to_owned(),
        password: secret(password),
    }
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn entry(user: &str, password: &str) -> Value {
    json!({"auth": json::encode_base64(format!("{user}:{password}").as_bytes())})
}

fn auths(registry: &str, user: &str) -> String {
    json!({"auths": {registry: entry(user, "p")}}).to_string()
}

#[test]
fn who_has_no_files_is_anonymous() {
    let mut home = Home::new();
    assert_eq!(home.find("ghcr.io", "a/b"), Credential::Anonymous);
    home.docker(&json!({"auths": {"quay.io": entry("u", "p"), "ghcr.io": {}}, "HttpHeaders": 1}));
    home.variables.insert("XDG_RUNTIME_DIR", OsString::new());
    assert_eq!(home.find("ghcr.io", "a/b"), Credential::Anonymous);
    // What `mktemp` makes, and what docker takes for an empty file.
    home.write(".docker/config.json", " \n");
    assert_eq!(home.find("ghcr.io", "a/b"), Credential::Anonymous);
}

#[test]
fn every_form_of_an_entry_is_read() {
    let home = Home::new();
    let auth = |text: &[u8]| json!({"auth": json::encode_base64(text)});
    let rows = [
        (auth(b"u:p:q"), basic("u", "p:q")),
        (auth(b"u:p\0\0"), basic("u", "p")),
        (auth("u:pässword\n".as_bytes()), basic("u", "pässword\n")),
        (
            json!({"username": "u", "password": "p\"\u{1f511}"}),
            basic("u", "p\"\u{1f511}"),
        ),
        (json!({"username": "v", "auth": "dTpw"}), basic("u", "p")),
        (
            json!({"auth": "dTo=", "identitytoken": "i"}),
            Credential::IdentityToken(secret("i")),
        ),
        (
            json!({"registrytoken": "r", "identitytoken": "i"}),
            Credential::RegistryToken(secret("r")),
        ),
        (
            json!({"auth": "", "email": "a@b.example", "username": null}),
            Credential::Anonymous,
        ),
    ];
    for (entry, expected) in rows {
        home.docker(&json!({"auths": {"ghcr.io": entry}}));
        assert_eq!(home.find("ghcr.io", "a/b"), expected, "{entry}");
    }
}

#[test]
fn the_most_specific_entry_wins_and_spellings_are_tolerated() {
    let home = Home::new();
    home.docker(&json!({"auths": {
        "quay.io": {},
        "https://quay.io/v2/": entry("spelled", "p"),
        "http://ghcr.io": entry("odd", "p"),
        "ghcr.io": entry("host", "p"),
        "ghcr.io/team": entry("team", "p"),
        "ghcr.io/team/app/part": entry("part", "p"),
        "https://index.docker.io/v1/": entry("hub", "p"),
    }}));
    for (registry, repository, user) in [
        ("ghcr.io", "team/app/part", "part"),
        ("ghcr.io", "team/app", "team"),
        ("ghcr.io", "team", "team"),
        ("ghcr.io", "teams/app", "host"),
        ("ghcr.io", "", "host"),
        ("GHCR.IO", "", "host"),
        ("quay.io", "team/app", "spelled"),
        ("docker.io", "library/alpine", "hub"),
        ("registry-1.docker.io", "library/alpine", "hub"),
    ] {
        assert_eq!(
            home.find(registry, repository),
            basic(user, "p"),
            "{registry}/{repository}"
        );
    }
    assert_eq!(home.find("ghcr.io:443", "team"), Credential::Anonymous);
}

#[test]
fn the_first_file_that_has_something_wins() {
    let mut home = Home::new();
    let user = |home: &Home| match home.find("ghcr.io", "a/b") {
        Credential::Basic { user, .. } => user,
        other => format!("{other:?}"),
    };
    home.write(".config/containers/auth.json", auths("ghcr.io", "config"));
    assert_eq!(user(&home), "config");
    home.set("XDG_CONFIG_HOME", "xdg");
    assert_eq!(user(&home), "Anonymous");
    home.write("xdg/containers/auth.json", auths("ghcr.io", "xdg"));
    assert_eq!(user(&home), "xdg");
    home.set("XDG_RUNTIME_DIR", "run");
    home.write("run/containers/auth.json", auths("ghcr.io", "run"));
    assert_eq!(user(&home), "run");
    home.write(".docker/config.json", auths("ghcr.io", "docker"));
    assert_eq!(user(&home), "docker");
    home.set("DOCKER_CONFIG", "elsewhere");
    assert_eq!(user(&home), "run");
    home.write("elsewhere/config.json", auths("ghcr.io", "moved"));
    assert_eq!(user(&home), "moved");
    home.set("REGISTRY_AUTH_FILE", "auth.json");
    home.write("auth.json", auths("quay.io", "other"));
    assert_eq!(user(&home), "moved");
    home.write("auth.json", auths("ghcr.io", "named"));
    assert_eq!(user(&home), "named");
    // The file of a flag is the only one.
    let only = home
        .credentials()
        .with_auth_file(home.write("flag.json", "{}"));
    assert_eq!(only.find("ghcr.io", "a/b").unwrap(), Credential::Anonymous);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let mut home = Home::new();
    home.write(".docker/config.json", auths("ghcr.io", "docker"));
    home.set("REGISTRY_AUTH_FILE", "none.json");
    let expected = |home: &Home| CredentialError::File {
        action: "read",
        path: home.path("none.json"),
        kind: io::ErrorKind::NotFound,
        number: None,
    };
    assert_eq!(
        home.credentials().find("ghcr.io", "a"),
        Err(expected(&home))
    );
    home.variables.remove("REGISTRY_AUTH_FILE");
    let flag = home.credentials().with_auth_file(home.path("none.json"));
    assert_eq!(flag.find("ghcr.io", "a"), Err(expected(&home)));
}

#[test]
fn a_broken_file_is_named_and_never_means_anonymous() {
    let home = Home::new();
    let problem = |content: &[u8]| {
        let path = home.write(".docker/config.json", content);
        // A later file would have an answer.
        home.write(".config/containers/auth.json", auths("ghcr.io", "later"));
        match home.credentials().find("ghcr.io", "a/b").unwrap_err() {
            CredentialError::Malformed {
                path: named,
                problem,
            } => {
                assert_eq!(named, path);
                let said = problem.to_string();
                assert!(
                    !said.contains("c2VjcmV0") && !said.contains("secret"),
                    "{said}"
                );
                problem
            }
            other => panic!("{other:?}"),
        }
    };
    let name = |text: &str| text.to_owned();
    let place = |line, column| ObjectError::NotAnObject { line, column };
    for (content, expected) in [
        ("{\"auths\": {},\n }", FileProblem::Object(place(2, 2))),
        ("\"c2VjcmV0\"", FileProblem::Object(place(1, 10))),
    ] {
        assert_eq!(problem(content.as_bytes()), expected, "{content}");
    }
    let twice = problem(b"{\"auths\":{\"a\":{},\"a\":{}}}");
    let duplicate = ObjectError::Duplicate { name: name("a") };
    assert_eq!(
        twice,
        FileProblem::Member {
            member: name("auths"),
            problem: duplicate
        }
    );
    for content in [
        "{\"auths\":\"c2VjcmV0\"}",
        "{\"auths\":{\"ghcr.io\":\"c2VjcmV0\"}}",
        "{\"credHelpers\":[\"secret\"]}",
    ] {
        let found = problem(content.as_bytes());
        assert!(
            matches!(found, FileProblem::Member { .. }),
            "{content}: {found:?}"
        );
    }
    for auth in ["c2VjcmV0", "OnNlY3JldA==", "!secret!", "//86c2VjcmV0"] {
        let found = problem(
            json!({"auths": {"ghcr.io": {"auth": auth}}})
                .to_string()
                .as_bytes(),
        );
        assert_eq!(
            found,
            FileProblem::Auth {
                key: name("ghcr.io")
            },
            "{auth}"
        );
    }
    let number = problem(b"{\"auths\":{\"ghcr.io\":{\"auth\":7}}}");
    assert_eq!(
        number,
        FileProblem::NotText {
            member: name("auth"),
            key: name("ghcr.io")
        }
    );
    assert_eq!(problem(b"{\"\xff\":1}"), FileProblem::NotUtf8);
    let store = problem(b"{\"credsStore\":true}");
    assert!(matches!(store, FileProblem::NotText { .. }), "{store:?}");
    // What is broken elsewhere in the file disturbs nobody.
    home.docker(&json!({"auths": {"quay.io": {"auth": "?"}, "ghcr.io": entry("u", "p")}}));
    assert_eq!(home.find("ghcr.io", "a/b"), basic("u", "p"));
}

#[test]
fn a_file_without_end_and_a_folder_are_refused() {
    let home = Home::new();
    let kind = |path: PathBuf| match home
        .credentials()
        .with_auth_file(path)
        .find("ghcr.io", "a")
        .unwrap_err()
    {
        CredentialError::File { kind, .. } => kind,
        other => panic!("{other:?}"),
    };
    let large = home.write("large.json", vec![b' '; auth_file::MAX_FILE + 1]);
    assert_eq!(kind(large), io::ErrorKind::FileTooLarge);
    assert_eq!(kind(home.path("")), io::ErrorKind::IsADirectory);
    #[cfg(unix)]
    assert_eq!(kind("/dev/zero".into()), io::ErrorKind::FileTooLarge);
}

#[test]
fn a_helper_is_asked_before_the_files_own_entry() {
    let home = Home::new();
    home.keychain("chain");
    home.helper(
        "own",
        r#"echo '{"ServerURL":"x","Username":"own","Secret":"s"}'"#,
    );
    let file = |helpers: Value| {
        home.docker(&json!({
            "auths": {"ghcr.io": entry("file", "p"), "ghcr.io/team": entry("team", "p")},
            "credsStore": "chain", "credHelpers": helpers,
        }))
    };
    file(json!({}));
    assert_eq!(home.find("ghcr.io", "a/b"), basic("file", "p"));
    home.write("keychain/kept", r#"{"Username":"<token>","Secret":"i"}"#);
    assert_eq!(
        home.find("ghcr.io", "a/b"),
        Credential::IdentityToken(secret("i"))
    );
    assert_eq!(home.find("ghcr.io", "team/app"), basic("team", "p"));
    file(json!({"https://ghcr.io/": "own"}));
    assert_eq!(home.find("ghcr.io", "a/b"), basic("own", "s"));
    // An empty name takes a registry out of the store for all.
    file(json!({"ghcr.io": ""}));
    assert_eq!(home.find("ghcr.io", "a/b"), basic("file", "p"));
    home.find("docker.io", "library/alpine");
    let asked = fs::read_to_string(home.path("keychain/asked")).unwrap();
    assert_eq!(
        asked,
        "get ghcr.io\nget ghcr.io\nget https://index.docker.io/v1/\n"
    );
}

#[test]
fn a_helper_that_fails_is_an_error_with_its_words() {
    let home = Home::new();
    home.docker(&json!({"auths": {"ghcr.io": entry("file", "p")}, "credsStore": "bad"}));
    let problem = |script: &str| {
        home.helper("bad", script);
        let mut credentials = home.credentials();
        credentials.helpers.patience = Duration::from_secs(5);
        match credentials.find("ghcr.io", "a/b").unwrap_err() {
            CredentialError::Helper { name, problem, .. } => {
                assert_eq!(name, "bad");
                problem
            }
            other => panic!("{other:?}"),
        }
    };
    let failed = |said: &str| HelperProblem::Failed {
        code: Some(3),
        said: said.to_owned(),
    };
    assert_eq!(
        problem("echo the keychain is locked; echo more; exit 3"),
        failed("the keychain is locked")
    );
    assert_eq!(problem(r#"echo '{"Secret":"s"}'; exit 3"#), failed(""));
    assert!(!failed("\u{1b}[31m").to_string().contains('\u{1b}'));
    let killed = problem("kill -9 $$");
    assert!(
        matches!(killed, HelperProblem::Failed { code: None, .. }),
        "{killed:?}"
    );
    for answer in [
        "",
        "credentials not found in native keychain",
        "{}",
        r#"{"Username":"u"}"#,
        "[]",
    ] {
        assert_eq!(
            problem(&format!("echo '{answer}'")),
            HelperProblem::Answer,
            "{answer}"
        );
    }
    let limit = 64 * 1024;
    assert_eq!(
        problem("while :; do echo 0123456789012345678901234567890123456789; done"),
        HelperProblem::TooLong { limit }
    );
    // Nothing at all is what some helpers say of nobody.
    home.helper("bad", r#"echo '{"Username":"","Secret":""}'"#);
    assert_eq!(home.find("ghcr.io", "a/b"), basic("file", "p"));
    fs::remove_file(home.path("bin/docker-credential-bad")).unwrap();
    let error = home.credentials().find("ghcr.io", "a/b").unwrap_err();
    assert!(matches!(
        error,
        CredentialError::Helper {
            problem: HelperProblem::NotInstalled,
            ..
        }
    ));
}

#[test]
fn a_helper_is_not_waited_for_without_end() {
    let home = Home::new();
    home.docker(&json!({"credsStore": "slow"}));
    let mut credentials = home.credentials();
    credentials.helpers.patience = Duration::from_millis(300);
    // One never speaks; one has spoken and stays.
    for script in [
        "exec sleep 60",
        r#"echo '{"Username":"u","Secret":"s"}'; exec >&-; exec sleep 60"#,
    ] {
        home.helper("slow", script);
        let began = Instant::now();
        let error = credentials.find("ghcr.io", "a").unwrap_err();
        let patience = credentials.helpers.patience;
        assert!(
            matches!(error, CredentialError::Helper { problem: HelperProblem::Late { patience: found }, .. } if found == patience),
            "{error:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_helpers_name_leads_nowhere_else() {
    let mut home = Home::new();
    for name in ["../evil", "a/b", "a b", "a\u{0}", "/bin/sh", "ä"] {
        let path = home.docker(&json!({"credsStore": name}));
        let problem = FileProblem::HelperName {
            name: name.to_owned(),
        };
        let expected = CredentialError::Malformed { path, problem };
        assert_eq!(
            home.credentials().find("ghcr.io", "a"),
            Err(expected),
            "{name}"
        );
    }
    // A folder that depends on where one stands holds no helpers.
    home.docker(&json!({"credsStore": "near"}));
    home.variables.insert("PATH", "::.:relative".into());
    let error = home.credentials().find("ghcr.io", "a").unwrap_err();
    assert!(matches!(
        error,
        CredentialError::Helper {
            problem: HelperProblem::NotInstalled,
            ..
        }
    ));
}

#[test]
fn secrets_are_never_printed() {
    for credential in [
        basic("user", "hush"),
        Credential::IdentityToken(secret("hush")),
        Credential::RegistryToken(secret("hush")),
    ] {
        assert!(!format!("{credential:?}").contains("hush"));
    }
}
