//! The directory of an instance: made once, held by one process, refused when it is not what it should be.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::path::Path;
use std::time::Duration;

use stella_bundle::time::UnixTime;
use stella_server::{Description, InitOptions, InstanceError, OpenError, Options, Sigstore};
use world::{START, StillClock, URL};

fn init(directory: &Path, url: &str) -> Result<(), InstanceError> {
    Sigstore::init(
        directory,
        &InitOptions {
            url: url.parse().unwrap(),
            now: UnixTime::from_millis(START),
        },
    )
}

async fn open(directory: &Path) -> Result<Sigstore, OpenError> {
    Sigstore::open(
        directory,
        Options {
            clock: StillClock::new(),
            ..Options::default()
        },
    )
    .await
}

#[tokio::test]
async fn an_instance_has_one_holder_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path(), URL).unwrap();
    let holder = open(directory.path()).await.unwrap();
    let locked = InstanceError::Locked {
        directory: directory.path().to_owned(),
    };
    assert_eq!(
        open(directory.path()).await.map(|_| ()),
        Err(OpenError::Instance(locked))
    );
    // Clients find the holder by the description, whoever has the lock.
    assert_eq!(Description::read(directory.path()).unwrap().url, URL);

    let path = directory.path().to_owned();
    let waiting = tokio::spawn(async move {
        let patience = Duration::from_secs(10);
        Sigstore::open(
            &path,
            Options {
                clock: StillClock::new(),
                patience,
                ..Options::default()
            },
        )
        .await
        .map(|_| ())
    });
    tokio::task::yield_now().await;
    drop(holder);
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[test]
fn init_makes_nothing_twice_and_nothing_among_other_things() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/instance");
    init(&path, URL).unwrap();
    let before = std::fs::read(path.join("keys/rekor.pem")).unwrap();
    assert_eq!(
        init(&path, URL),
        Err(InstanceError::AlreadyInitialised {
            directory: path.clone()
        })
    );
    assert_eq!(std::fs::read(path.join("keys/rekor.pem")).unwrap(), before);

    let other = directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.tex"), "").unwrap();
    let found = "thesis.tex".to_owned();
    assert_eq!(
        init(&other, URL),
        Err(InstanceError::NotEmpty {
            directory: other,
            found
        })
    );
}

#[cfg(unix)]
#[test]
fn a_directory_that_is_refused_stays_as_it_was() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let names = |path: &Path| std::fs::read_dir(path).unwrap().count();
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let full = make("full");
    std::fs::write(full.join("thesis.tex"), "").unwrap();
    init(&full, URL).unwrap_err();
    assert_eq!((mode(&full), names(&full)), (0o755, 1));

    // Only the superuser can make another user's directory.
    let foreign = make("foreign");
    if chown(&foreign, Some(4711), None).is_ok() {
        let directory = foreign.clone();
        assert_eq!(
            init(&foreign, URL),
            Err(InstanceError::NotOwned { directory })
        );
        assert_eq!((mode(&foreign), names(&foreign)), (0o755, 0));
    }

    let empty = make("empty");
    init(&empty, URL).unwrap();
    assert_eq!(mode(&empty), 0o700);
    let nested = directory.path().join("above/instance");
    init(&nested, URL).unwrap();
    assert_eq!(mode(&nested), 0o700);
    let (above, usual) = (
        directory.path().join("above"),
        directory.path().join("usual"),
    );
    std::fs::create_dir(&usual).unwrap();
    assert_eq!(
        mode(&above),
        mode(&usual),
        "what lies above is not the instance's"
    );
}

#[test]
fn a_directory_that_another_process_is_filling_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("keys")).unwrap();
    let lock = std::fs::File::create(directory.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let locked = InstanceError::Locked {
        directory: directory.path().to_owned(),
    };
    assert_eq!(init(directory.path(), URL), Err(locked));
    drop(lock);
    // The other process died: what it left is no instance, and is not filled up.
    let refused = init(directory.path(), URL);
    assert!(
        matches!(refused, Err(InstanceError::NotEmpty { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_url_is_scheme_and_host_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    for url in [
        "ftp://host",
        "http://host/path",
        "http://host/?q",
        "http://host/#f",
        "http://user@host",
        "file:///x",
        "http://0.0.0.0:8470",
        "http://0:8470",
        "http://[::]:8470",
        "http://[::ffff:0.0.0.0]:8470",
    ] {
        let refused = init(&directory.path().join("x"), url);
        assert!(
            matches!(refused, Err(InstanceError::UrlUnusable { .. })),
            "{url}"
        );
    }
    for (number, url) in ["https://sigstore.example", "http://[::1]:8080"]
        .into_iter()
        .enumerate()
    {
        let path = directory.path().join(number.to_string());
        init(&path, url).unwrap();
        assert_eq!(Description::read(&path).unwrap().url, url);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    init(directory.path(), URL).unwrap();
    let mode = |name: &str| {
        std::fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    for name in [
        "issuer.secret",
        "keys/root.pem",
        "keys/intermediate.pem",
        "keys/rekor.pem",
        "keys/oidc.pem",
    ] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    assert_eq!(mode("keys"), 0o700);
    let expose = |name: &str, mode| {
        std::fs::set_permissions(
            directory.path().join(name),
            std::fs::Permissions::from_mode(mode),
        )
        .unwrap();
    };
    expose("issuer.secret", 0o644);
    let refused = open(directory.path()).await.map(|_| ());
    assert!(
        matches!(
            refused,
            Err(OpenError::Instance(InstanceError::SecretExposed { .. }))
        ),
        "{refused:?}"
    );
    expose("issuer.secret", 0o600);
    expose("keys/ct.pem", 0o640);
    let refused = open(directory.path()).await.map(|_| ());
    assert!(
        matches!(refused, Err(OpenError::Instance(InstanceError::Key(_)))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn debug_output_holds_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path(), URL).unwrap();
    let sigstore = open(directory.path()).await.unwrap();
    let secret = stella_server::read_secret(directory.path()).unwrap();
    let shown = format!("{sigstore:?}");
    assert!(
        shown.contains(URL) && !shown.contains(secret.as_str()),
        "{shown}"
    );
}

#[tokio::test]
async fn damaged_directories_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let not_initialised = InstanceError::NotInitialised {
        directory: path.to_owned(),
    };
    assert_eq!(
        open(path).await.map(|_| ()),
        Err(OpenError::Instance(not_initialised))
    );
    init(path, URL).unwrap();
    let description = std::fs::read_to_string(path.join("instance.json")).unwrap();
    std::fs::write(path.join("instance.json"), "{").unwrap();
    let refused = open(path).await.map(|_| ());
    assert!(
        matches!(
            refused,
            Err(OpenError::Instance(InstanceError::Malformed {
                line: 1,
                ..
            }))
        ),
        "{refused:?}"
    );
    std::fs::write(
        path.join("instance.json"),
        description.replace("\"schema\": 1", "\"schema\": 9"),
    )
    .unwrap();
    let refused = open(path).await.map(|_| ());
    assert!(
        matches!(
            refused,
            Err(OpenError::Instance(InstanceError::SchemaUnknown {
                found: 9,
                ..
            }))
        ),
        "{refused:?}"
    );
    std::fs::write(path.join("instance.json"), description).unwrap();
    std::fs::write(path.join("certificates/tsa.pem"), "hello").unwrap();
    let refused = open(path).await.map(|_| ());
    assert!(
        matches!(
            refused,
            Err(OpenError::Instance(
                InstanceError::CertificateMalformed { .. }
            ))
        ),
        "{refused:?}"
    );
}
