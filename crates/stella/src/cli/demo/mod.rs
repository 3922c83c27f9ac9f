//! `stella demo`: the whole walk on this machine, told step by step. No socket is opened.

mod archive;
mod image;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use stella_attest::file;
use stella_attest::session::{Services, Session};
use stella_attest::shelf::{Shelf, Stored};
use stella_attest::sign::{self, Message, Signatory, Signed};
use stella_attest::verify::{Answer, Candidate, Gate, Question, Source};
use stella_bundle::attestation_set::{self, AttestationSet, TrustedRootCopy};
use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::identity::CertificateIdentity;
use stella_bundle::key::KeyDetails;
use stella_bundle::predicate::PredicateType;
use stella_bundle::signing_config::ClientTrustConfig;
use stella_bundle::statement::{Statement, Subject};
use stella_bundle::verify::{SctRule, Trust};
use stella_client::fulcio::Fulcio;
use stella_client::oidc::{IdentityToken, TokenDemands, TokenOrigin};
use stella_client::rekor::Rekor;
use stella_client::tsa::Tsa;
use stella_policy::policy::Policy;
use stella_policy::requirement::Requirement;
use stella_policy::signer::{Signer, Who};
use stella_policy::type_pattern::TypePattern;
use stella_server::listen::Offered;
use stella_server::{
    Clock as _, DEFAULT_AUDIENCE, DEFAULT_SUBJECT, HeldKeys, OwnIssuer, OwnRegistry, Sigstore,
    SystemClock, TokenRequest,
};
use zeroize::Zeroizing;

use crate::artifact;
use crate::exit::{self, Failure};
use crate::trust::{TrustKind, TrustMaterial};
use crate::{local, output, terminal};

/// The instance's name; nothing listens there.
const URL: &str = "http://demo.localhost:8470";

/// Tell the whole story on this machine: sign, verify, stop the instance, verify offline, change a byte
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella demo --keep")]
pub(crate) struct Args {
    /// Work in this new directory and leave it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Leave the directory to look around in
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let is_kept = args.keep || args.dir.is_some();
    let fresh = || std::env::temp_dir().join(format!("stella-demo-{}", std::process::id()));
    let directory = args.dir.unwrap_or_else(fresh);
    fs::create_dir_all(&directory).map_err(|error| Failure::io("create", &directory, &error))?;
    let told = tell_story(&directory).await;
    if is_kept {
        terminal::say(&format!("\nlook around in {}", directory.display()));
    } else if let Err(error) = fs::remove_dir_all(&directory) {
        terminal::tell(&format!(
            "note: cannot remove {}: {error}",
            directory.display()
        ));
    }
    told
}

async fn tell_story(directory: &Path) -> Result<u8, Failure> {
    let mut story = Story::begin();

    // 1. A private Sigstore.
    let instance = directory.join("instance");
    local::init(&instance, URL, &HeldKeys::default())?;
    story.step(
        "made a private Sigstore: OIDC issuer, Fulcio, CT log, Rekor v2, timestamp authority",
    );
    let offered = Offered {
        own_issuer: OwnIssuer::Offer,
        own_registry: OwnRegistry::Offer,
    };
    let sigstore = local::open(&instance, Duration::ZERO, offered, HeldKeys::default())
        .await
        .map_err(local::open_failure)?;
    let config = ClientTrustConfig::parse(sigstore.client_trust_config())
        .map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
    let material =
        TrustMaterial::of_config(config, instance.display().to_string(), TrustKind::Instance);
    story.step(
        "started it in this process; its trusted root is the only thing believed from here on",
    );

    // 2. A verdict about a real file.
    let executable =
        std::env::current_exe().map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
    let executable = artifact::Artifact::read(&executable.to_string_lossy())?;
    let verdict = make_verdict(directory)?;
    let subject = Subject::new(executable.name.clone(), executable.digest()?);
    let statement = verdict_about(subject, &verdict);
    story.step(&format!(
        "judged the running program, {}",
        executable.digest()?
    ));

    // 3. Signed without a key that anyone keeps.
    let signed = sign_verdict(&sigstore, &material, &statement).await?;
    let entry = signed.verified.facts().entries.first();
    story.step(&format!(
        "signed the verdict as {DEFAULT_SUBJECT}; logged at index {}",
        entry.map_or(-1, |entry| entry.index)
    ));
    let shelf = Shelf::new(directory.join("store"));
    shelf
        .put(&signed.bytes, std::slice::from_ref(executable.digest()?))
        .map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;

    // 4. Verified, and exported with everything that a verifier needs.
    let policy = policy()?;
    let answer = verify(
        &material,
        &policy,
        &executable,
        stored(signed.bytes.clone()),
    );
    require_passed(&policy, &answer)?;
    story.step("verified it while the instance runs:");
    for examined in &answer.examined {
        output::text::attestation(examined)
            .iter()
            .for_each(|line| terminal::say(line));
    }
    let exported = directory.join("attestation-bundle.json");
    let root = directory.join("trusted_root.json");
    let copy = TrustedRootCopy::new(material.root_bytes.clone());
    let about_program = signed.bytes.clone();
    let set = AttestationSet::new(executable.digest()?, vec![signed.bytes], vec![copy]);
    write(&exported, &set.to_json())?;
    write(&root, &material.root_bytes)?;
    story.step(&format!("exported it to {}", exported.display()));

    // 5. The same for an image: the verdict lies beside it, and both travel in one file.
    let repository = image::repository(&sigstore);
    let layer = read(&directory.join("sbom.cdx.json"))?;
    let pushed = image::push(&repository, &layer).await?;
    story.step(&format!(
        "pushed an image into its registry, {}",
        pushed.digest
    ));
    let subject = Subject::new(Some(repository.to_string()), &pushed.digest);
    let about_image = verdict_about(subject, &verdict);
    let signed = sign_verdict(&sigstore, &material, &about_image).await?;
    image::attach(&repository, &pushed, &signed).await?;
    story.step("signed the verdict about it and attached it to the image");
    let carried = directory.join("image.tar");
    image::carry_away(repository, &carried).await?;
    story.step(&format!(
        "copied image and verdict to {}",
        carried.display()
    ));

    // 6. Sealed for the time when all of this is gone.
    let both = vec![about_program, signed.bytes];
    let (manifest, anchor) = archive::seal(&sigstore, &material, directory, both).await?;
    story.step(&format!(
        "sealed both verdicts into an archive of {} leaves, signed with P-256 and ML-DSA-65",
        manifest.tree.size
    ));

    // 7. The instance is gone; the proof is not.
    sigstore.close();
    drop(sigstore);
    story.step("stopped the instance");
    let material = TrustMaterial::read(&root)?;
    let bytes = read(&exported)?;
    let answer = verify(
        &material,
        &policy,
        &executable,
        stored(only_bundle(&bytes)?),
    );
    require_passed(&policy, &answer)?;
    story.step("verified offline, from the exported file and the trusted root alone");

    let (digest, candidates) = image::open(&carried).await?;
    let answer = judge(&material, &policy, vec![digest], candidates);
    require_passed(&policy, &answer)?;
    story.step("judged the image offline, from the file that carried it: may be released");

    let checked = archive::check(directory, &anchor).await?;
    story.step(&format!(
        "verified {} attestations of the archive by the organisation's anchor alone",
        checked.reverified
    ));

    // 8. One byte is changed; the proof is void.
    let mut changed = only_bundle(&bytes)?;
    let position = change_one_byte(&mut changed)?;
    let answer = verify(&material, &policy, &executable, stored(changed));
    let Some(refusal) = exit::refusal(&policy, &answer) else {
        return Err(Failure::new(
            exit::INTERNAL,
            "a changed bundle was accepted: this must never happen",
        ));
    };
    story.step(&format!(
        "changed byte {position} of the bundle: refused, {}",
        refusal.message
    ));
    story.end();
    Ok(exit::OK)
}

/// Tells each step with the time it took.
struct Story {
    begin: Instant,
    last: Instant,
    number: u32,
}

impl Story {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            last: now,
            number: 0,
        }
    }

    fn step(&mut self, text: &str) {
        let now = Instant::now();
        self.number += 1;
        let millis = (now - self.last).as_secs_f64() * 1000.0;
        terminal::say(&format!("{:>2}. {millis:>7.1} ms  {text}", self.number));
        self.last = now;
    }

    fn end(&self) {
        terminal::say(&format!(
            "done in {:.1} ms",
            self.begin.elapsed().as_secs_f64() * 1000.0
        ));
    }
}

/// Writes the bill of materials and the verdict, and returns the verdict.
fn make_verdict(directory: &Path) -> Result<Value, Failure> {
    let bill = serde_json::to_vec_pretty(&verdict::bill_of_materials()).unwrap_or_default();
    write(&directory.join("sbom.cdx.json"), &bill)?;
    let digest = DigestAlgorithm::Sha256.digest(&bill);
    let verdict = verdict::policy_result(&digest, &SystemClock.now().floor_seconds().to_string());
    write(
        &directory.join("verdict.json"),
        &serde_json::to_vec_pretty(&verdict).unwrap_or_default(),
    )?;
    let predicate_type = PredicateType::PolicyResult;
    predicate_type
        .check(&verdict)
        .map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
    Ok(verdict)
}

fn verdict_about(subject: Subject, verdict: &Value) -> Statement {
    Statement::new(vec![subject], PredicateType::PolicyResult.uri(), verdict)
}

async fn sign_verdict(
    sigstore: &Sigstore,
    material: &TrustMaterial,
    statement: &Statement,
) -> Result<Signed, Failure> {
    let token = sigstore
        .identity_token(&TokenRequest::default())
        .map_err(|refusal| Failure::new(exit::ACCESS, refusal.to_string()))?;
    let demands = TokenDemands {
        audience: DEFAULT_AUDIENCE,
        issuer: Some(URL),
    };
    let token = IdentityToken::check(
        Zeroizing::new(token),
        TokenOrigin::GivenByHand,
        &demands,
        SystemClock.now(),
    )
    .map_err(stella_client::error::ClientError::from)?;
    let trust = material.prepare();
    let session = Session {
        transport: sigstore,
        services: Services {
            fulcio: Some(Fulcio::new(URL)),
            logs: vec![Rekor::new(URL)],
            timestamp_authorities: vec![Tsa::new(&format!("{URL}/api/v1/timestamp"))],
        },
        trust: &trust,
        sct: SctRule::Require,
        root_bundle: None,
        now: &|| SystemClock.now(),
        nonce: &super::attest::nonce,
        done: &|step| tracing::debug!(?step, "done"),
    };
    let signatory = Signatory::Keyless {
        token: &token,
        algorithm: KeyDetails::EcdsaP256Sha256,
    };
    Ok(sign::sign(&session, signatory, Message::Statement(statement)).await?)
}

/// Returns what anyone asks who knows who may sign: a verdict of the demo's own subject.
fn policy() -> Result<Policy, Failure> {
    let identity = CertificateIdentity::parse(DEFAULT_SUBJECT, URL)
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Policy {
        signers: vec![Signer {
            name: "demo".to_owned(),
            who: Who::Certificate(identity),
        }],
        requirements: vec![Requirement::of_type(TypePattern::Exact(
            PredicateType::PolicyResult,
        ))],
        ..Policy::default()
    })
}

/// Verifies as anyone would who has the trusted root.
fn verify(
    material: &TrustMaterial,
    policy: &Policy,
    executable: &artifact::Artifact,
    stored: Stored,
) -> Answer {
    let candidates = vec![Candidate::stored(stored, Source::File)];
    judge(material, policy, executable.digests.clone(), candidates)
}

fn judge(
    material: &TrustMaterial,
    policy: &Policy,
    artifact: Vec<Digest>,
    candidates: Vec<Candidate>,
) -> Answer {
    let question = Question {
        artifact,
        content: None,
        candidates,
    };
    let trust: Trust = material.prepare();
    Gate::new(trust, policy.clone()).verify(question, SystemClock.now())
}

fn require_passed(policy: &Policy, answer: &Answer) -> Result<(), Failure> {
    exit::refusal(policy, answer).map_or(Ok(()), Err)
}

fn only_bundle(exported: &[u8]) -> Result<Vec<u8>, Failure> {
    let bundles = attestation_set::bundles_in(exported)
        .map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
    bundles
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new(exit::INTERNAL, "nothing was exported"))
}

fn stored(bundle: Vec<u8>) -> Stored {
    Stored {
        digest: DigestAlgorithm::Sha256.digest(&bundle),
        bytes: Ok(bundle),
    }
}

/// Changes one base64 digit in the middle of the signed payload.
fn change_one_byte(bundle: &mut [u8]) -> Result<usize, Failure> {
    let text = String::from_utf8_lossy(bundle);
    let start = text
        .find("\"payload\":\"")
        .ok_or_else(|| Failure::new(exit::INTERNAL, "the bundle has no payload"))?;
    let position = start + 200;
    let digit = bundle
        .get_mut(position)
        .ok_or_else(|| Failure::new(exit::INTERNAL, "the payload is too short"))?;
    *digit = if *digit == b'A' { b'B' } else { b'A' };
    Ok(position)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| Failure::io("write", path, &error))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    file::read(path, MAX_BUNDLE).map_err(|error| Failure::io("read", path, &error))
}
