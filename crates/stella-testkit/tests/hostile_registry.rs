//! A registry that fails, lies or leads astray, seen by the use cases: collecting, and copying from it and to it. Whatever
//! it does, what comes out is an error that says what was wrong, never "there is nothing", and never something half.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use stella_attest::collect::{self, CollectError, Wanted};
use stella_attest::layout::Layout;
use stella_attest::mirror::{self, Item, MirrorError, Options};
use stella_attest::referrers;
use stella_attest::storage::Storage;
use stella_bundle::digest::Digest;
use stella_client::error::ErrorClass;
use stella_client::registry::credentials::Credential;
use stella_client::registry::{Registry, Repository};
use stella_client::retry::{RetryPolicy, Retrying};
use stella_testkit::image::Image;
use stella_testkit::registry::{Fault, TestRegistry};
use stella_wire::Transport;
use stella_wire::registry::attachment::{self, Attachment};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, RawManifest};

const REGISTRY: &str = "https://registry.example";

/// A next page that is itself followed by it.
const CIRCLE: &str = "</v2/org/app/referrers/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855>; rel=\"next\"";

/// Longer than a manifest may be.
const BOMB: usize = 6 << 20;

fn repository(transport: Arc<dyn Transport>) -> Repository {
    let policy = RetryPolicy {
        retries: 1,
        first_pause: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    let transport = Arc::new(Retrying::new(transport, policy));
    let credential = Credential::Basic {
        user: "me".to_owned(),
        password: "secret".to_owned().into(),
    };
    let registry = Registry::at(transport, REGISTRY, credential);
    Repository::new(Arc::new(registry), "org/app")
}

/// Pushes an image with one attestation that stands in no manifest's `data`; returns the image.
async fn fill(repository: &Repository) -> Descriptor {
    let image = Image::new("app", "amd64");
    image.push(repository, "v1").await.unwrap();
    let config = attachment::empty_config().digest;
    let put = repository.put_blob(&config, attachment::EMPTY_CONFIG.to_vec().into());
    put.await.unwrap();
    let bundle = vec![b'x'; attachment::MAX_INLINE + 1];
    let subject = image.manifest.descriptor();
    let made = Attachment::new(&subject, &bundle, "https://e.x/p", "2026-01-01T00:00:00Z");
    let put = repository.put_blob(&made.bundle, bundle.into());
    put.await.unwrap();
    let manifest = RawManifest::new(media::MANIFEST, made.manifest.into());
    let attached = referrers::attach(repository, &subject.digest, &manifest);
    attached.await.unwrap();
    subject
}

/// Faults by name, and what is said of them when attestations are collected and when the image is copied away: words, or
/// none where it does not matter there.
type Row = (&'static str, Vec<Fault>, &'static [&'static str]);

fn rows() -> Vec<Row> {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        ("500", vec![Fault::server_error()], &["500"]),
        ("429 for ever", vec![Fault::too_many_requests(0)], &["429"]),
        ("406", vec![Fault::not_acceptable()], &["406"]),
        (
            "a connection that ends",
            vec![Fault::closed()],
            &["unavailable"],
        ),
        (
            "401 for ever",
            vec![Fault::challenge("Basic realm=\"r\"", "nobody's")],
            &["401"],
        ),
        (
            "a way in that nobody knows",
            vec![Fault::challenge("Negotiate", "nobody's")],
            &["Negotiate"],
        ),
        (
            "a token service without encryption",
            vec![Fault::challenge(
                "Bearer realm=\"http://evil.example/t\"",
                "nobody's",
            )],
            &["http://evil.example/t"],
        ),
        (
            "another manifest",
            vec![Fault::body("{}").at("/manifests/")],
            &["digest", "asked for"],
        ),
        (
            "half of an answer",
            vec![Fault::truncated(10).at("/manifests/")],
            &["registry"],
        ),
        (
            "a manifest without end",
            vec![Fault::body(vec![b' '; BOMB]).at("/manifests/")],
            &["bytes"],
        ),
        (
            "another bundle of the same length",
            vec![Fault::body(vec![b'y'; attachment::MAX_INLINE + 1]).at("/blobs/")],
            &["digest"],
        ),
        (
            "half of a bundle",
            vec![Fault::body(vec![b'x'; 1000]).at("/blobs/")],
            &["bytes"],
        ),
        (
            "a list that is none",
            vec![Fault::body("<html>").at("/referrers/")],
            &["not a manifest"],
        ),
        (
            "a list nested for ever",
            vec![Fault::body(nested).at("/referrers/")],
            &["not a manifest"],
        ),
        (
            "a list in a circle",
            vec![Fault::header("link", CIRCLE).at("/referrers/")],
            &["does not end"],
        ),
        (
            "a list that goes on without encryption",
            vec![Fault::header("link", "<http://evil.example/>; rel=\"next\"").at("/referrers/")],
            &["http://evil.example/", "not followed"],
        ),
        (
            "500 in place of the list",
            vec![Fault::server_error().at("/referrers/")],
            &["500"],
        ),
    ]
}

#[tokio::test]
async fn whatever_a_registry_does_nothing_is_taken_for_there_is_nothing() {
    for (name, faults, words) in rows() {
        let test = TestRegistry::new().unwrap();
        let image = fill(&repository(test.transport())).await;
        let hostile = repository(test.faulty(faults));
        // 1. Collecting.
        let collected = collect::collect(&hostile, &image.digest, Wanted::default()).await;
        let error = collected
            .err()
            .unwrap_or_else(|| panic!("{name}: collected"));
        assert!(
            matches!(error, CollectError::Registry(_)),
            "{name}: {error}"
        );
        let said = error.to_string();
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{name}: {said}"
        );
        assert!(!said.contains("secret"), "{name}: {said}");
        // 2. Copying: the destination has no name for it.
        let folder = tempfile::tempdir().unwrap();
        let to: Arc<dyn Storage> =
            Arc::new(Layout::create_folder(&folder.path().join("to")).unwrap());
        let copied = copy(Arc::new(hostile), Arc::clone(&to)).await;
        let said = copied
            .err()
            .unwrap_or_else(|| panic!("{name}: copied"))
            .to_string();
        assert!(!said.contains("secret"), "{name}: {said}");
        let images = to.images().await.unwrap();
        assert!(images.is_empty(), "{name}: {images:?}");
        // 3. The same copy with the registry as it should be.
        copy(Arc::new(repository(test.transport())), to)
            .await
            .unwrap();
    }
}

async fn copy(from: Arc<dyn Storage>, to: Arc<dyn Storage>) -> Result<(), MirrorError> {
    let (items, options) = ([Item::same("v1")], Options::default());
    mirror::sync(from, to, &items, &options).await.map(drop)
}

#[tokio::test]
async fn whatever_goes_wrong_on_the_way_in_a_tag_means_all_of_it() {
    let evil = "https://evil.example/upload";
    let rows: Vec<Row> = vec![
        (
            "500 for blobs",
            vec![Fault::server_error().at("/blobs/uploads/")],
            &["500"],
        ),
        (
            "500 for manifests",
            vec![Fault::server_error().at("/manifests/").of(Method::PUT)],
            &["500"],
        ),
        (
            "uploads that lead without encryption elsewhere",
            vec![Fault::header("location", "http://evil.example/u").at("/blobs/uploads/")],
            &["http://evil.example/u", "not followed"],
        ),
        (
            "uploads that lead nowhere",
            vec![Fault::header("location", "").at("/blobs/uploads/")],
            &["Location"],
        ),
        (
            "a quota",
            vec![
                Fault::answer(
                    StatusCode::FORBIDDEN,
                    b"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"quota\"}]}",
                )
                .at("/manifests/")
                .of(Method::PUT),
            ],
            &["quota"],
        ),
    ];
    for (name, faults, words) in rows {
        let (source, test) = (TestRegistry::new().unwrap(), TestRegistry::new().unwrap());
        fill(&repository(source.transport())).await;
        let to = Arc::new(repository(test.faulty(faults)));
        let from = Arc::new(repository(source.transport()));
        let said = copy(Arc::clone(&from) as _, to)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{name}: {said}"
        );
        let whole = repository(test.transport());
        assert!(whole.manifest("v1").await.unwrap().is_none(), "{name}");
        copy(from, Arc::new(whole)).await.unwrap();
    }
    // Credentials do not go along to where an upload leads.
    let (source, test) = (TestRegistry::new().unwrap(), TestRegistry::new().unwrap());
    fill(&repository(source.transport())).await;
    let away = test.faulty(vec![Fault::header("location", evil).at("/blobs/uploads/")]);
    let to = repository(Arc::clone(&away) as _);
    let copied = copy(Arc::new(repository(source.transport())), Arc::new(to)).await;
    assert!(copied.is_err());
}

#[tokio::test]
async fn more_attestations_than_allowed_are_refused_before_any_is_read() {
    let test = TestRegistry::with_pages_of(7).unwrap();
    let plain = repository(test.transport());
    let image = fill(&plain).await;
    for number in 0..30 {
        let made = Attachment::new(
            &image,
            format!("bundle {number}").as_bytes(),
            "https://e.x/p",
            "2026-01-01T00:00:00Z",
        );
        let manifest = RawManifest::new(media::MANIFEST, made.manifest.into());
        let bundle = format!("bundle {number}").into_bytes();
        plain.put_blob(&made.bundle, bundle.into()).await.unwrap();
        referrers::attach(&plain, &image.digest, &manifest)
            .await
            .unwrap();
    }
    let watched = test.faulty(Vec::new());
    let few = Wanted {
        most: 30,
        ..Wanted::default()
    };
    let refused =
        collect::collect(&repository(Arc::clone(&watched) as _), &image.digest, few).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(
            refused,
            CollectError::TooMany {
                found: 31,
                most: 30
            }
        ),
        "{refused}"
    );
    let asked = watched.asked();
    let read: Vec<&String> = asked
        .iter()
        .filter(|each| each.contains("/blobs/"))
        .collect();
    assert!(read.is_empty(), "{read:?}");
}

#[test]
fn a_registry_that_is_away_and_one_that_lies_end_differently() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let test = TestRegistry::new().unwrap();
        let image: Digest = fill(&repository(test.transport())).await.digest;
        let class = async |fault: Fault| {
            let hostile = repository(test.faulty(vec![fault]));
            match collect::collect(&hostile, &image, Wanted::default()).await {
                Err(CollectError::Registry(error)) => error.class(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(class(Fault::server_error()).await, ErrorClass::Unavailable);
        let lie = Fault::body("{}").at("/manifests/");
        assert_ne!(class(lie).await, ErrorClass::Unavailable);
        let closed = Fault::challenge("Basic realm=\"r\"", "nobody's");
        assert_eq!(class(closed).await, ErrorClass::Access);
    });
}
