//! Credentials are stored and erased: what was there stays, and nobody else reads it.

use super::*;

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
