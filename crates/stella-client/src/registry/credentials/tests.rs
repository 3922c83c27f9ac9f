//! Credentials in every form that files and helpers have, in temporary folders with helpers that are shell scripts.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

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
fn what_is_stored_is_found_and_all_else_stays() {
    let home = Home::new();
    let before = "{\n  \"HttpHeaders\": { \"X\":  1.50 },\n  \"auths\": {\"quay.io\": {\"auth\":\"dTpw\" , \"new\": 1e400},\n    \"ghcr.io\": {\"email\": \"a@b\", \"auth\": \"eDp5\", \"identitytoken\": \"i\"}, \"https://ghcr.io/v2/\": {\"auth\":\"eDp5\"}, \"ghcr.io/team\": {\"auth\":\"dTpw\"}},\n  \"future\": [null, {}]\n}";
    let path = home.write(".docker/config.json", before);
    let credentials = home.credentials();
    let keeper = credentials
        .store("ghcr.io", "me", &secret("p\"w\n"))
        .unwrap();
    assert_eq!(keeper, Keeper::File(path.clone()));
    assert_eq!(home.find("ghcr.io", "a/b"), basic("me", "p\"w\n"));
    let after = fs::read_to_string(&path).unwrap();
    let expected = "{\n\t\"HttpHeaders\": { \"X\":  1.50 },\n\t\"auths\": {\n\t\t\"quay.io\": {\"auth\":\"dTpw\" , \"new\": 1e400},\n\t\t\"ghcr.io\": {\n\t\t\t\"email\": \"a@b\",\n\t\t\t\"auth\": \"bWU6cCJ3Cg==\"\n\t\t},\n\t\t\"ghcr.io/team\": {\"auth\":\"dTpw\"}\n\t},\n\t\"future\": [null, {}]\n}\n";
    assert_eq!(after, expected);
    assert_eq!(fs::read_dir(home.path(".docker")).unwrap().count(), 1);

    let erased = credentials.erase("https://ghcr.io").unwrap();
    assert!(erased.was_there);
    assert_eq!(home.find("ghcr.io", "a/b"), Credential::Anonymous);
    assert_eq!(home.find("ghcr.io", "team/a"), basic("u", "p"));
    assert_eq!(
        credentials.registries().unwrap(),
        ["ghcr.io/team", "quay.io"]
    );
    let rest = fs::read(&path).unwrap();
    assert!(!credentials.erase("ghcr.io").unwrap().was_there);
    assert_eq!(fs::read(&path).unwrap(), rest);
}

#[test]
fn a_first_login_makes_the_file_for_its_owner_alone() {
    let mut home = Home::new();
    let credentials = home.credentials();
    assert!(!credentials.erase("docker.io").unwrap().was_there);
    assert!(!home.path(".docker").exists());
    credentials.store("docker.io", "u", &secret("p")).unwrap();
    let file = json!({"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}});
    assert_eq!(home.json(".docker/config.json"), file);
    assert_eq!(home.find("docker.io", "library/alpine"), basic("u", "p"));
    // The file that was named for the purpose is written to, and stands first when it is read.
    home.set("REGISTRY_AUTH_FILE", "new/folder/auth.json");
    home.credentials()
        .store("docker.io", "v", &secret("q"))
        .unwrap();
    assert_eq!(home.find("docker.io", "library/alpine"), basic("v", "q"));
    assert_eq!(
        home.credentials().elsewhere("docker.io"),
        [home.path(".docker/config.json")]
    );
    let flag = home.credentials().with_auth_file(home.path("flag.json"));
    flag.store("docker.io", "w", &secret("r")).unwrap();
    assert_eq!(
        flag.find("docker.io", "library/alpine").unwrap(),
        basic("w", "r")
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name: &str| home.path(name).metadata().unwrap().permissions().mode() & 0o777;
        for name in [".docker/config.json", "new/folder/auth.json", "flag.json"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
        assert_eq!(mode("new/folder"), 0o700);
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_an_open_file_is_closed_to_others_and_a_device_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let real = home.write("dotfiles/docker.json", "{\"a\":1}");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir_all(home.path(".docker")).unwrap();
    let link = home.path(".docker/config.json");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    // What a crash left is no obstacle.
    home.write("dotfiles/docker.json.stella-partial", "{");
    home.credentials()
        .store("ghcr.io", "u", &secret("p"))
        .unwrap();
    assert!(link.is_symlink());
    assert_eq!(home.json("dotfiles/docker.json")["a"], 1);
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!home.path("dotfiles/docker.json.stella-partial").exists());

    let device = home.path("device");
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    let credentials = home.credentials().with_auth_file(device);
    let refused = credentials.store("ghcr.io", "u", &secret("p")).unwrap_err();
    assert!(
        matches!(
            refused,
            CredentialError::File {
                action: "write",
                ..
            }
        ),
        "{refused:?}"
    );
}

#[test]
fn a_broken_file_is_not_written_over() {
    let home = Home::new();
    for content in ["{\"auths\": [1]}", "{", "{\"auths\":{\"ghcr.io\":7}}"] {
        let path = home.write(".docker/config.json", content);
        let refused = home
            .credentials()
            .store("ghcr.io", "u", &secret("p"))
            .unwrap_err();
        assert!(
            matches!(refused, CredentialError::Malformed { .. }),
            "{refused:?}"
        );
        assert_eq!(fs::read_to_string(path).unwrap(), content);
    }
}

#[test]
fn what_readers_would_take_apart_wrongly_is_not_stored() {
    let home = Home::new();
    for (user, password, expected) in [
        ("", "p", Unstorable::UserEmpty),
        ("a:b", "p", Unstorable::UserColon),
        ("u", "", Unstorable::PasswordEmpty),
        ("u", "p\0", Unstorable::PasswordNul),
    ] {
        let refused = home.credentials().store("ghcr.io", user, &secret(password));
        assert_eq!(refused, Err(CredentialError::Unstorable(expected)));
    }
    let nowhere = Credentials::new(&|_| None, None);
    assert_eq!(
        nowhere.store("ghcr.io", "u", &secret("p")),
        Err(CredentialError::NoPlace)
    );
    assert_eq!(nowhere.find("ghcr.io", "a").unwrap(), Credential::Anonymous);
}

#[test]
fn a_helper_keeps_what_is_stored_and_the_file_only_says_so() {
    let home = Home::new();
    home.keychain("chain");
    let path =
        home.docker(&json!({"credsStore": "chain", "auths": {"ghcr.io": entry("old", "p")}}));
    let credentials = home.credentials();
    let keeper = credentials.store("ghcr.io", "u", &secret("p\"w")).unwrap();
    let name = "chain".to_owned();
    assert_eq!(keeper, Keeper::Helper { name, path });
    let file = json!({"credsStore": "chain", "auths": {"ghcr.io": {}}});
    assert_eq!(home.json(".docker/config.json"), file);
    let kept = json!({"ServerURL": "ghcr.io", "Username": "u", "Secret": "p\"w"});
    assert_eq!(home.json("keychain/kept"), kept);
    assert_eq!(home.find("ghcr.io", "a/b"), basic("u", "p\"w"));

    assert!(credentials.erase("ghcr.io").unwrap().was_there);
    assert_eq!(
        home.json(".docker/config.json"),
        json!({"credsStore": "chain", "auths": {}})
    );
    assert!(!home.path("keychain/kept").exists());
    assert!(!credentials.erase("ghcr.io").unwrap().was_there);
    // A helper that refuses to keep it changes no file.
    home.helper("chain", "echo no room; exit 1");
    let before = fs::read(home.path(".docker/config.json")).unwrap();
    credentials.store("ghcr.io", "u", &secret("p")).unwrap_err();
    assert_eq!(fs::read(home.path(".docker/config.json")).unwrap(), before);
}

#[test]
fn all_who_log_in_at_once_stay_logged_in() {
    let home = Home::new();
    let credentials = home.credentials();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let credentials = &credentials;
            scope.spawn(move || {
                let registry = format!("r{number}.example");
                credentials.store(&registry, "u", &secret("p")).unwrap();
            });
        }
    });
    assert_eq!(credentials.registries().unwrap().len(), 16);
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
