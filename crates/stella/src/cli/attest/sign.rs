//! `stella attest sign`: gathers what was typed and configured, lets `stella_attest::sign` tell the story, keeps the
//! bundles: in the store, in a file, beside the image.

use std::fs;
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use stella_attest::attach::{self, Attached};
use stella_attest::image::Image;
use stella_attest::legacy::{self as older, Added};
use stella_attest::session::Session;
use stella_attest::shelf::Shelf;
use stella_attest::sign::{self, Message, Signed};
use stella_bundle::digest::Digest;
use stella_bundle::statement::Subject;
use stella_server::{Clock as _, SystemClock};
use stella_wire::registry::legacy;

use super::signing::SigningFlags;
use super::source::shelf_failure;
use super::statements::Said;
use crate::artifact::Artifact;
use crate::cli::Context;
use crate::exit::{self, Failure};
use crate::registry::{Registries, RegistryFlags, WhichFlags};
use crate::{places, terminal};

/// So many attestations are pushed at once.
const PUSHES: usize = 8;

/// Sign a statement about an artifact
///
/// Without --predicate the statement says that the artifact was signed. With it, the predicate is checked against the
/// schema of its type first. The bundle rests in this machine's store, beside the image in its registry, and in a file
/// where --bundle names one. Several images and predicates share one certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella attest sign --keyless --artifact sha256:…
  stella attest sign --keyless --artifact ./app --predicate verdict.json --type verdict --bundle app.sigstore.json
  stella attest sign --keyless --image registry.example/app@sha256:… --predicate verdict.json --type verdict
  stella attest sign --key stella.key --log --artifact ./app --predicate verdict.json --type verdict")]
pub(crate) struct Args {
    #[command(flatten)]
    signing: SigningFlags,

    /// The artifact: a file, or its digest as sha256:HEX
    #[arg(long, value_name = "ARTIFACT", required_unless_present = "image")]
    artifact: Vec<String>,

    /// The image: REGISTRY/REPO:TAG or REGISTRY/REPO@DIGEST; the attestation is attached to it
    #[arg(long, value_name = "REFERENCE")]
    image: Vec<String>,

    #[command(flatten)]
    which: WhichFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Attach it as cosign before version 3 did too, with a signature of the image itself: for container engines, OpenShift
    /// and others that read nothing newer
    #[arg(long, requires = "image")]
    also_legacy: bool,

    /// What to say: a JSON file; `-` is standard input; may be given more than once, each with its --type
    #[arg(long, value_name = "FILE", requires = "predicate_type")]
    predicate: Vec<PathBuf>,

    /// What the predicate is: a short name (verdict, sbom-delta, reachability) or a URI
    #[arg(long = "type", value_name = "TYPE", requires = "predicate")]
    predicate_type: Vec<String>,

    /// Write the bundle to this file too
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// The folder of attestations on this machine
    #[arg(long, value_name = "DIR", env = "STELLA_STORE")]
    store: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    // 1. What to say about what: checked before anyone is asked for anything.
    let registries = args.registry.open()?;
    let artifacts = args.artifact.iter().map(|each| Artifact::read(each));
    let artifacts = artifacts.collect::<Result<Vec<_>, _>>()?;
    let predicates = super::statements::read(&args.predicate, &args.predicate_type)?;
    let mut images = Vec::new();
    for image in &args.image {
        images.extend(registries.resolve(image, &args.which.which()).await?);
    }
    let said = super::statements::make(&artifacts, &images, &predicates)?;
    let older = match args.also_legacy {
        true => Older::of(&images),
        false => Vec::new(),
    };
    // 2. How, and who.
    let prepared = args.signing.prepare(context).await?;
    let session = prepared.session();
    // 3. The story.
    let statements = said.iter().map(|each| Message::Statement(&each.statement));
    let payloads = older.iter().map(|each| Message::Artifact(&each.payload));
    let messages: Vec<Message<'_>> = statements.chain(payloads).collect();
    let mut signed = sign::sign_many(&session, prepared.signatory()?, &messages).await?;
    let signatures = signed.split_off(said.len());
    // 4. Keep them: here first, so that nothing is lost if a registry is away.
    let shelf = Shelf::new(places::store(args.store.clone()));
    let kept = keep(&args, &shelf, &said, &signed)?;
    let attached = async {
        let attached = push(&registries, &said, &signed).await?;
        if args.also_legacy {
            push_older(&session, &registries, &said, &signed, &older, &signatures).await?;
        }
        Ok(attached)
    };
    let attached = attached.await.map_err(|failure: Failure| {
        let hint = format!(
            "nothing is lost: what was signed rests in {}; {}",
            shelf.folder().display(),
            failure
                .hint
                .clone()
                .unwrap_or_else(|| "sign again to attach it".to_owned())
        );
        failure.hint(hint)
    })?;
    report(&args, &said, &signed, &kept, &attached);
    prepared.clear();
    Ok(exit::OK)
}

/// Puts every bundle on the shelf, and into a file where one was named: line by line if there are several.
fn keep(
    args: &Args,
    shelf: &Shelf,
    said: &[Said],
    signed: &[Signed],
) -> Result<Vec<Digest>, Failure> {
    let mut kept = Vec::with_capacity(signed.len());
    for (said, signed) in said.iter().zip(signed) {
        let digest = shelf
            .put(&signed.bytes, &subjects(said))
            .map_err(|error| shelf_failure(&error))?;
        kept.push(digest);
    }
    if let Some(path) = &args.bundle {
        let bundles: Vec<&[u8]> = signed.iter().map(|each| each.bytes.as_slice()).collect();
        fs::write(path, bundles.join(&b'\n')).map_err(|error| {
            let digests: Vec<String> = kept.iter().map(Digest::to_string).collect();
            Failure::io("write", path, &error).hint(format!(
                "nothing is lost: it was signed and logged, and rests as {} in {}",
                digests.join(", "),
                shelf.folder().display()
            ))
        })?;
    }
    Ok(kept)
}

/// Attaches each bundle that speaks of an image to it.
async fn push(
    registries: &Registries,
    said: &[Said],
    signed: &[Signed],
) -> Result<Vec<Option<Attached>>, Failure> {
    let push_one = async |(said, signed): (&Said, &Signed)| {
        let Some(image) = &said.image else {
            return Ok(None);
        };
        let repository = registries.attestations(&image.reference)?;
        let times = &signed.verified.facts().times;
        let created = times
            .first()
            .map_or_else(|| SystemClock.now(), |time| time.time)
            .to_string();
        let attached = attach::attach(
            &repository,
            &image.descriptor,
            &signed.bytes,
            &said.statement.predicate_type,
            &created,
        );
        Ok::<_, Failure>(Some(attached.await?))
    };
    stream::iter(said.iter().zip(signed))
        .map(push_one)
        .buffered(PUSHES)
        .try_collect()
        .await
}

/// What a simple signature of an image is over.
struct Older<'a> {
    image: &'a Image,
    payload: Vec<u8>,
}

impl<'a> Older<'a> {
    fn of(images: &'a [Image]) -> Vec<Self> {
        let payload = |image: &Image| {
            let name = image.reference.name();
            legacy::simple_signing(&name, &image.descriptor.digest)
        };
        let images = images.iter();
        images
            .map(|image| Self {
                payload: payload(image),
                image,
            })
            .collect()
    }
}

/// Attaches everything once more as older readers expect it, one after another: they share a manifest.
async fn push_older(
    session: &Session<'_>,
    registries: &Registries,
    said: &[Said],
    signed: &[Signed],
    older: &[Older<'_>],
    signatures: &[Signed],
) -> Result<(), Failure> {
    let tell = |image: &Image, added| {
        if added == Added::Contended {
            terminal::tell(&format!(
                "warning: others keep writing the older tags of {}: what was signed now is not among them",
                image.reference
            ));
        }
    };
    for (said, signed) in said.iter().zip(signed) {
        let envelope = older::envelope_bytes(&signed.bundle);
        let (Some(image), Some(envelope)) = (&said.image, envelope) else {
            continue;
        };
        let repository = registries.attestations(&image.reference)?;
        let (digest, kind) = (&image.descriptor.digest, &said.statement.predicate_type);
        let stamps = sign::stamp(session, &envelope).await?;
        let envelope = (envelope, stamps.first().map(Vec::as_slice));
        let added = older::attach_attestation(&repository, digest, &signed.bundle, envelope, kind);
        tell(image, added.await?);
    }
    for (older, signed) in older.iter().zip(signatures) {
        let image = older.image;
        let repository = registries.attestations(&image.reference)?;
        let (digest, payload) = (&image.descriptor.digest, &older.payload);
        let added = older::attach_signature(&repository, digest, payload, &signed.bundle);
        tell(image, added.await?);
    }
    Ok(())
}

fn subjects(said: &Said) -> Vec<Digest> {
    let subjects = said.statement.subject.iter();
    subjects.flat_map(Subject::digests).collect()
}

fn report(
    args: &Args,
    said: &[Said],
    signed: &[Signed],
    kept: &[Digest],
    attached: &[Option<Attached>],
) {
    let rows = said.iter().zip(signed).zip(kept).zip(attached);
    if args.json {
        let row = |(((said, signed), kept), attached)| to_json(args, said, signed, kept, attached);
        terminal::say_json(&json!({
            "schema": "stella.sign/v1",
            "attestations": rows.map(row).collect::<Vec<_>>(),
        }));
        return;
    }
    for (((said, signed), kept), attached) in rows {
        let subjects: Vec<String> = subjects(said).iter().map(Digest::to_string).collect();
        terminal::say(&format!("signed {}", subjects.join(", ")));
        if let Some(entry) = signed.verified.facts().entries.first() {
            terminal::say(&format!(
                "  logged at index {} of {}",
                entry.index, entry.origin
            ));
        }
        terminal::say(&format!("  bundle {kept}"));
        if let (Some(image), Some(attached)) = (&said.image, attached) {
            let at = image.reference.with_digest(&attached.manifest);
            terminal::say(&format!("  attached as {at}"));
        }
        if let Some(path) = &args.bundle {
            terminal::say(&format!("  in {}", path.display()));
        }
    }
}

fn to_json(
    args: &Args,
    said: &Said,
    signed: &Signed,
    kept: &Digest,
    attached: &Option<Attached>,
) -> Value {
    let facts = signed.verified.facts();
    let subjects: Vec<String> = subjects(said).iter().map(Digest::to_string).collect();
    let image = said.image.as_ref();
    json!({
        "bundle": kept.to_string(),
        "file": args.bundle.as_ref().map(|path| path.display().to_string()),
        "image": image.map(|image| image.reference.to_string()),
        "attached": attached.as_ref().map(|attached| attached.manifest.to_string()),
        "subjects": subjects,
        "predicateType": said.statement.predicate_type,
        "signer": facts.signer.as_ref().and_then(|signer| signer.name()),
        "issuer": facts.signer.as_ref().and_then(|signer| signer.issuer()),
        "time": facts.times.first().map(|time| time.time.to_string()),
        "log": facts.entries.first().map(|entry| json!({"origin": entry.origin, "index": entry.index})),
    })
}
