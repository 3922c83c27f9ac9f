//! Verifies public bundles in process, next to sigstore-verify, the official Rust verifier.
//!
//! Both see the same bytes in the same run. Counted is the CPU time of this thread, in batches that take turns, so that
//! another process on the machine, or a clock that speeds up, touches both alike. The trusted root is parsed once. In
//! the rows called "parse" the bundle is parsed each time.
//!
//!     cargo bench --package stella --bench verify
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark talks, and may panic"
)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sigstore_verify::trust_root::TrustedRoot as TheirRoot;
use sigstore_verify::types::Bundle as TheirBundle;
use stella_bundle::bundle::Bundle;
use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities};
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, IdentityRule, Policy, Trust, Verifier};

/// Who signed the public bundles.
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Long enough that reading the clock does not matter, short enough that some batches are undisturbed.
const BATCH: Duration = Duration::from_millis(10);

/// How often each side has its turn.
const ROUNDS: usize = 60;

/// 2026-11-01: evidence from the future is refused.
const NOW: UnixTime = UnixTime::from_seconds(1_793_491_200);

/// One public bundle.
struct Case {
    name: &'static str,
    artifact: Vec<u8>,
    bundle: String,
    root: String,
}

/// The public bundles, and the trusted root of each: its own, or the public-good one.
const NAMES: [&str; 4] = [
    "rekor2-happy-path",
    "rekor2-dsse-happy-path",
    "happy-path-v0.3",
    "happy-path-intoto-in-dsse-v3",
];

/// Reads the cases beside the checkout; none when they are not there.
fn cases() -> Option<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let read = |path: PathBuf| fs::read_to_string(path);
    let case = |name: &'static str| {
        let own = folder.join("cases").join(name);
        let root = read(own.join("trusted_root.json"))
            .or_else(|_| read(folder.join("production_trusted_root.json")));
        Some(Case {
            name,
            artifact: fs::read(folder.join("cases/a.txt")).ok()?,
            bundle: read(own.join("bundle.sigstore.json")).ok()?,
            root: root.ok()?,
        })
    };
    NAMES.into_iter().map(case).collect()
}

fn main() {
    let Some(cases) = cases() else {
        println!("skipped: ../shared/conformance is not beside this checkout");
        return;
    };
    println!(
        "CPU time of one verification in µs: minimum (median) of {ROUNDS} batches of {} ms",
        BATCH.as_millis()
    );
    println!(
        "{:<30} {:<7} {:>16} {:>16}  ratio of minima",
        "bundle", "", "stella", "sigstore-verify"
    );
    for case in &cases {
        measure(case);
    }
}

fn measure(case: &Case) {
    let (ours, theirs) = (ours(case), theirs(case));
    let parsed = Bundle::parse(case.bundle.as_bytes()).unwrap();
    let their_parsed = TheirBundle::from_json(&case.bundle).unwrap();
    let policy = sigstore_verify::VerificationPolicy::new(IDENTITY, ISSUER);

    let our_verify = |bundle: &Bundle| {
        ours.verify(bundle, &Artifact::Bytes(&case.artifact), NOW)
            .verdict
            .is_ok()
    };
    let their_verify = |bundle: &TheirBundle| {
        theirs
            .verify(case.artifact.as_slice(), bundle, &policy)
            .is_ok()
    };
    // Refusing fast would be easy: both must accept before anything is counted.
    assert!(
        their_verify(&their_parsed),
        "{}: refused by sigstore-verify",
        case.name
    );
    if !our_verify(&parsed) {
        println!(
            "{:<30} not verified here: {:?}",
            case.name,
            ours.verify(&parsed, &Artifact::Bytes(&case.artifact), NOW)
                .verdict
        );
        return;
    }
    let whole = compare(
        || our_verify(&Bundle::parse(black_box(case.bundle.as_bytes())).unwrap()),
        || their_verify(&TheirBundle::from_json(black_box(&case.bundle)).unwrap()),
    );
    print(case.name, "parse", &whole);
    print(
        "",
        "verify",
        &compare(
            || our_verify(black_box(&parsed)),
            || their_verify(black_box(&their_parsed)),
        ),
    );
}

fn ours(case: &Case) -> Verifier {
    let identity = CertificateIdentity::parse(IDENTITY, ISSUER).unwrap();
    let rule = IdentityRule::Given(Identities::AnyOf(AnyOf::new(vec![identity]).unwrap()));
    let root = TrustedRoot::parse(case.root.as_bytes()).unwrap();
    Verifier::new(Trust::new(&root), Policy::for_certificates(rule))
}

fn theirs(case: &Case) -> sigstore_verify::Verifier {
    sigstore_verify::Verifier::new(&TheirRoot::from_json(&case.root).unwrap()).unwrap()
}

/// The time of one call in each batch, in µs, in order of size.
struct Times(Vec<f64>);

impl Times {
    fn minimum(&self) -> f64 {
        self.0[0]
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

/// Lets two calls take turns.
fn compare(ours: impl Fn() -> bool, theirs: impl Fn() -> bool) -> (Times, Times) {
    let (our_count, their_count) = (fitting(&ours), fitting(&theirs));
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(batch(our_count, &ours));
        their_times.push(batch(their_count, &theirs));
    }
    our_times.sort_by(f64::total_cmp);
    their_times.sort_by(f64::total_cmp);
    (Times(our_times), Times(their_times))
}

/// Returns how many calls fill a batch.
fn fitting(call: &impl Fn() -> bool) -> u32 {
    let mut count = 1;
    while batch(count, call) * f64::from(count) < BATCH.as_secs_f64() * 1e6 {
        count *= 2;
    }
    count
}

/// Returns the µs of CPU time that one call took.
fn batch(count: u32, call: &impl Fn() -> bool) -> f64 {
    let begun = cpu_time();
    for _ in 0..count {
        assert!(black_box(call()));
    }
    (cpu_time() - begun).as_secs_f64() * 1e6 / f64::from(count)
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

fn print(name: &str, what: &str, (ours, theirs): &(Times, Times)) {
    println!(
        "{name:<30} {what:<7} {:>7.1} ({:>6.1}) {:>7.1} ({:>6.1})  {:.2}",
        ours.minimum(),
        ours.median(),
        theirs.minimum(),
        theirs.median(),
        theirs.minimum() / ours.minimum(),
    );
}
