//! Credentials of registries: what `stella login` keeps is found, and nothing else in the file changes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod desk;

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use desk::{Desk, Said, says};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};
use stella_client::registry::credentials::{Credential, Credentials};

const FILE: &str = ".docker/config.json";

/// Runs a command that reads `input`.
fn piped(command: &mut Command, input: impl AsRef<[u8]>) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses the arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A login of which only the password is still to be said; no registry is asked.
const LOGIN: [&str; 6] = [
    "login",
    "ghcr.io",
    "-u",
    "me",
    "--password-stdin",
    "--offline",
];

fn login(desk: &Desk, registry: &str, more: &[&str], password: &str) -> Said {
    let mut arguments = vec![
        "login",
        registry,
        "-u",
        "me",
        "--password-stdin",
        "--offline",
    ];
    arguments.extend(more);
    piped(&mut desk.command(arguments), password)
}

/// Finds what drivers would use at this desk.
fn found(desk: &Desk, registry: &str) -> Option<(String, String)> {
    let path = |name: &str| (name == "PATH").then(|| OsString::from("/usr/bin:/bin"));
    let credentials = Credentials::new(&path, Some(&desk.path("")));
    match credentials.find(registry, "team/app").unwrap() {
        Credential::Basic { user, password } => Some((user, (*password).clone())),
        Credential::Anonymous => None,
        other => panic!("{other:?}"),
    }
}

fn me(password: &str) -> Option<(String, String)> {
    Some(("me".to_owned(), password.to_owned()))
}

fn content(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_is_logged_in_is_found_and_logged_out_again() {
    let desk = Desk::new();
    let other = json!({"auth": "dTpw", "unknown": [1.5]});
    let before = json!({"auths": {"quay.io": other}, "psFormat": "table {{.ID}}"});
    desk.write(FILE, before.to_string());
    let said = login(&desk, "ghcr.io", &[], "hush\r\n").ended(0);
    says(&said.out, &["ghcr.io", FILE]);
    says(&said.err, &["unencrypted", FILE]);
    assert!(!format!("{said:?}").contains("hush"));
    assert_eq!(found(&desk, "ghcr.io"), me("hush"));
    let mut expected = before.clone();
    expected["auths"]["ghcr.io"] = json!({"auth": "bWU6aHVzaA=="});
    assert_eq!(content(&desk.path(FILE)), expected);
    let mode = desk.path(FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let said = desk.run(["logout", "ghcr.io"]).ended(0);
    says(&said.out, &["erased"]);
    assert_eq!(found(&desk, "ghcr.io"), None);
    assert_eq!(content(&desk.path(FILE)), before);
    let said = desk.run(["logout", "ghcr.io", "--json"]).ended(0).json();
    assert_eq!(said["erased"], json!([]));
    let said = desk.run(["logout", "--all", "--json"]).ended(0).json();
    assert_eq!(said["erased"], json!(["quay.io"]));
    assert_eq!(content(&desk.path(FILE))["auths"], json!({}));
    desk.run(["logout", "--all"]).ended(0);
}

#[test]
fn a_login_is_a_file_of_docker_and_podman_for_docker_hub_too() {
    let desk = Desk::new();
    // A key file of a cloud has lines; only the newline after it is none of it.
    let key = "{\n \"private_key\": \"x\"\n}";
    let said = login(
        &desk,
        "https://docker.io/",
        &["--json"],
        &format!("{key}\n"),
    )
    .ended(0);
    let said = said.json();
    assert_eq!(said["registry"], "docker.io");
    assert_eq!(said["helper"], Value::Null);
    assert!(said["file"].as_str().unwrap().ends_with(FILE));
    assert!(content(&desk.path(FILE))["auths"]["https://index.docker.io/v1/"].is_object());
    assert_eq!(found(&desk, "docker.io"), me(key));
}

#[test]
fn a_file_that_is_named_is_the_one_that_is_written() {
    let desk = Desk::new();
    login(&desk, "localhost:5000", &["--authfile", "auth.json"], "a").ended(0);
    assert!(!desk.path(".docker").exists());
    let mut command = desk.command(LOGIN);
    piped(command.env("REGISTRY_AUTH_FILE", "auth.json"), "b").ended(0);
    let auths = content(&desk.path("auth.json"))["auths"].clone();
    assert_eq!(
        auths,
        json!({"localhost:5000": {"auth": "bWU6YQ=="}, "ghcr.io": {"auth": "bWU6Yg=="}})
    );
    // Who logs out of one file is told of another that is used now.
    login(&desk, "ghcr.io", &[], "c").ended(0);
    let mut command = desk.command(["logout", "ghcr.io"]);
    let said = piped(command.env("REGISTRY_AUTH_FILE", "auth.json"), "").ended(0);
    says(&said.err, &["still holds one", FILE]);
    assert_eq!(found(&desk, "ghcr.io"), me("c"));
}

#[test]
fn the_helper_that_a_file_names_keeps_the_password() {
    let desk = Desk::new();
    let helper = desk.write(
        "bin/docker-credential-desk",
        "#!/bin/sh\nread -r asked\necho \"$1 $asked\" >> \"$HOME/asked\"\n",
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o700)).unwrap();
    desk.write(
        FILE,
        r#"{"credHelpers": {"ghcr.io": "desk"}, "credsStore": "absent"}"#,
    );
    let path = format!("{}:/usr/bin:/bin", desk.path("bin").display());
    let mut command = desk.command(LOGIN);
    let said = piped(command.env("PATH", &path), "hush").ended(0);
    says(&said.out, &["docker-credential-desk"]);
    assert_eq!(said.err, "");
    let mut command = desk.command(["logout", "ghcr.io"]);
    piped(command.env("PATH", &path), "").ended(0);
    let asked = fs::read_to_string(desk.path("asked")).unwrap();
    let stored = r#"store {"ServerURL":"ghcr.io","Username":"me","Secret":"hush"}"#;
    assert_eq!(asked, format!("{stored}\nerase ghcr.io\n"));
    // Another registry is the absent helper's.
    let said = login(&desk, "quay.io", &[], "hush").ended(2);
    says(
        &said.err,
        &["docker-credential-absent", "not found", "install"],
    );
    assert_eq!(content(&desk.path(FILE))["auths"], json!({}));
}

#[test]
fn a_password_is_no_argument() {
    let desk = Desk::new();
    for arguments in [
        ["login", "ghcr.io", "--password", "hush"],
        ["login", "ghcr.io", "-p", "hush"],
        ["login", "ghcr.io", "-u", "me"],
        ["login", "ghcr.io", "--json", "--password-stdin"],
    ] {
        let said = desk.run(arguments).ended(2);
        assert!(!said.err.contains("hush"), "{said:?}");
    }
    let said = desk.run(["login", "ghcr.io", "--password=hush"]).ended(2);
    says(&said.err, &["--password-stdin"]);
    assert!(!said.err.contains("hush"), "{said:?}");
    says(
        &desk.run(["login", "--help"]).ended(0).out,
        &["there is no --password"],
    );
    assert!(!desk.path(".docker").exists());
}

#[test]
fn wrong_input_says_what_was_expected_and_changes_nothing() {
    let desk = Desk::new();
    for registry in [
        "",
        "ghcr.io/team",
        "ghcr",
        "a b.io",
        "user@ghcr.io",
        "ghcr.io:x",
    ] {
        let said = login(&desk, registry, &[], "hush").ended(2);
        says(&said.err, &["expected HOST[:PORT]"]);
    }
    says(
        &login(&desk, "ghcr.io", &[], "\n").ended(2).err,
        &["password is empty"],
    );
    says(
        &login(&desk, "ghcr.io", &[], &"x".repeat(70_000))
            .ended(2)
            .err,
        &["longer than"],
    );
    let mut command = desk.command([
        "login",
        "ghcr.io",
        "-u",
        "a:b",
        "--password-stdin",
        "--offline",
    ]);
    says(&piped(&mut command, "hush").ended(2).err, &["colon"]);
    let mut command = desk.command(LOGIN);
    says(&piped(&mut command, [0xff]).ended(2).err, &["not UTF-8"]);
    assert!(!desk.path(".docker").exists());

    desk.write(FILE, "{\"auths\": {\"ghcr.io\": \"hush\"}");
    let said = login(&desk, "ghcr.io", &[], "hush").ended(2);
    says(&said.err, &[FILE, "line 1", "registry-credentials.md"]);
    assert!(!said.err.contains("hush"), "{said:?}");
    desk.run(["logout", "--all"]).ended(2);
    desk.run(["logout"]).ended(2);
    desk.run(["logout", "ghcr.io", "--all"]).ended(2);
}

/// Logs in at a terminal, types `keys` at the question, and returns how it ended and what the terminal showed.
fn at_a_terminal(desk: &Desk, keys: &[u8]) -> (Said, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = fs::File::options()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    let mut child: Child = desk
        .command(["login", "ghcr.io", "-u", "me", "--offline"])
        .stdin(terminal.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut err = Vec::new();
    let mut byte = [0];
    while !err.ends_with(b"password for ghcr.io: ") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{err:?}");
        err.push(byte[0]);
    }
    let mut keyboard = fs::File::from(master);
    keyboard.write_all(keys).unwrap();
    stderr.read_to_end(&mut err).unwrap();
    let output = child.wait_with_output().unwrap();
    let modes = tcgetattr(&terminal).unwrap().local_modes;
    assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
    // The last line ends what can be read without waiting.
    (&terminal).write_all(b"end\n").unwrap();
    let mut shown = Vec::new();
    while !shown.ends_with(b"end\r\n") {
        assert_eq!(keyboard.read(&mut byte).unwrap(), 1);
        shown.push(byte[0]);
    }
    let said = Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    };
    (said, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn a_password_that_is_typed_is_not_shown_and_the_terminal_is_left_as_it_was() {
    let desk = Desk::new();
    let (said, shown) = at_a_terminal(&desk, b"wrong\x15hush\r");
    said.ended(0);
    assert_eq!(shown, "end\r\n");
    assert_eq!(found(&desk, "ghcr.io"), me("hush"));
    desk.run(["logout", "ghcr.io"]).ended(0);
    let (said, shown) = at_a_terminal(&desk, b"hu\x03");
    says(&said.ended(1).err, &["nothing is kept"]);
    assert_eq!(shown, "end\r\n");
    assert_eq!(found(&desk, "ghcr.io"), None);
}

#[test]
fn a_registry_that_is_away_keeps_a_password_from_being_kept() {
    let desk = Desk::new();
    let mut command = desk.command(["login", "127.0.0.1:9", "-u", "me", "--password-stdin"]);
    let said = piped(&mut command, "hush\n").ended(30);
    says(&said.err, &["127.0.0.1:9"]);
    assert!(!desk.path(".docker/config.json").exists());
}
