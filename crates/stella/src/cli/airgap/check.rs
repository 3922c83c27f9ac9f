//! `stella airgap check`: is this the kit, whole, and do its images pass? No socket is opened.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stella_archive::anchor::Anchor;
use stella_archive::history::JudgedKit;
use stella_attest::kit::{self, Contents, ImageSet, KitImage, Known, Whole};
use stella_attest::layout::Layout;
use stella_attest::storage::Storage;
use stella_attest::verify::Gate;
use stella_bundle::digest::Digest;
use stella_bundle::identity::escape;

use super::{hashing, of_kit, organisation};
use crate::cli::Context;
use crate::cli::archive::ceremony;
use crate::cli::gate::{self, Origin, TrustFlags};
use crate::cli::mirror::{border, of_layout, of_storage};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::TrustMaterial;

/// Check that a kit is the one that is meant, whole, and that its images pass the policy
///
/// Use a stella that is there already: the one in the kit is as trustworthy as the kit, which is what is to be found out.
/// A kit is known by its digest, or by the organisation that signed it; either way its policy and trust root are those of who
/// packed it. Where a policy of your own counts, name it. No network is used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella airgap check kit --digest sha256:…
  stella airgap check kit --anchor org.anchor                 signed by the organisation")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) which: WhichKit,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A kit, and by what it is known.
#[derive(Debug, clap::Args)]
pub(super) struct WhichKit {
    /// The folder of the kit
    #[arg(value_name = "KIT")]
    pub(super) folder: PathBuf,

    /// The kit's digest, as `stella airgap pack` printed it, brought another way than the kit: sha256:HEX
    #[arg(long, value_name = "DIGEST", required_unless_present = "anchor")]
    digest: Option<String>,

    /// The anchor of the organisation that signed the kit (`org.anchor`), or its public key alone, brought another way than the
    /// kit
    #[arg(long, value_name = "FILE", conflicts_with = "digest")]
    anchor: Option<PathBuf>,

    /// Judge by this policy instead of the kit's
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// A kit that was checked.
pub(super) struct Checked {
    pub(super) contents: Contents,
    pub(super) rows: Vec<Row>,
    signed: Option<JudgedKit>,
}

/// An image, and whether it passes.
pub(super) struct Row {
    name: String,
    digest: String,
    failure: Option<Failure>,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let checked = check(context, &args.which).await?;
    let code = checked.tell();
    if args.json {
        terminal::say_json(&json!({
            "images": checked.rows(),
            "signed": checked.signed(),
            "code": code,
        }));
    } else {
        if let Some(signed) = &checked.signed {
            organisation::say(signed);
        }
        for row in &checked.rows {
            let word = match row.failure {
                None => "passes",
                Some(_) => "REFUSED",
            };
            terminal::say(&format!("{word}  {}@{}", escape(&row.name), row.digest));
        }
    }
    Ok(code)
}

/// Checks files first: nothing of a kit is read as something before all of it is known to be what was packed.
pub(super) async fn check(context: &Context, which: &WhichKit) -> Result<Checked, Failure> {
    let folder = which.folder.as_path();
    // 1. The files.
    let Whole { contents, signed } = which.require_known()?;
    // 2. Whom to believe: the kit's trust root, for the list names that too.
    let policy = match &which.policy {
        Some(path) => gate::read_policy(path)?,
        None => gate::read_policy(&folder.join(&contents.policy))?,
    };
    let trust = match &contents.trusted_root {
        Some(path) => {
            let path = folder.join(path);
            let digest = TrustMaterial::read(&path)?.digest();
            TrustFlags::pinned(path, &digest)
        }
        None => TrustFlags::default(),
    };
    let (gate, _) = gate::gate_of(context, policy, Origin::File, &trust)?;
    // 3. The images.
    let mut rows = Vec::new();
    for set in &contents.sets {
        let layout = Layout::open(&folder.join(&set.file)).map_err(|error| of_layout(&error))?;
        for image in &set.images {
            rows.push(Row {
                name: format!("{}:{}", set.repository, image.name),
                digest: image.digest.clone(),
                failure: judge(&gate, &layout, set, image).await?,
            });
        }
    }
    Ok(Checked {
        contents,
        rows,
        signed,
    })
}

impl WhichKit {
    /// Requires that the kit is the one that is known, whole.
    fn require_known(&self) -> Result<Whole, Failure> {
        let Some(path) = &self.anchor else {
            let digest = self.digest.as_deref().unwrap_or_default();
            let digest = Digest::parse(digest).ok_or_else(|| {
                Failure::usage(format!(
                    "--digest {digest:?} is not sha256: and 64 hex digits"
                ))
            })?;
            return self.check(Known::Digest(&digest));
        };
        let anchor = organisation::read_anchor(path)?;
        let now = ceremony::now();
        let whole = self.check(Known::Signed {
            anchor: &anchor,
            now,
        })?;
        if let (Some(signed), Anchor::Key(_)) = (&whole.signed, &anchor) {
            let keyset = signed.keyset;
            terminal::tell(&format!(
                "note: one key alone says nothing of what happened to keys; an anchor does. The kit says that keyset {keyset} is the newest"
            ));
        }
        Ok(whole)
    }

    fn check(&self, known: Known<'_>) -> Result<Whole, Failure> {
        let whole = kit::check(&self.folder, known, &hashing()).map_err(of_kit)?;
        terminal::clear();
        Ok(whole)
    }
}

async fn judge(
    gate: &Gate,
    layout: &Layout,
    set: &ImageSet,
    image: &KitImage,
) -> Result<Option<Failure>, Failure> {
    let raw = Storage::manifest(layout, &image.name)
        .await
        .map_err(of_storage)?;
    let raw = raw.filter(|raw| raw.digest.to_string() == image.digest);
    let raw = raw.ok_or_else(|| {
        let message = format!(
            "{} has no {} with {}",
            set.file,
            escape(&image.name),
            escape(&image.digest)
        );
        Failure::new(exit::NO_ARTIFACT, message)
    })?;
    border::refusal(gate, layout, &raw.digest).await
}

impl Checked {
    /// Tells what was refused; returns the code of the first.
    pub(super) fn tell(&self) -> u8 {
        let refused = self
            .rows
            .iter()
            .filter_map(|row| Some((row, row.failure.as_ref()?)));
        for (row, failure) in refused.clone() {
            terminal::tell(&escape(&row.name));
            terminal::tell_failure(failure, "refused");
        }
        refused
            .map(|(_, failure)| failure.code)
            .next()
            .unwrap_or(exit::OK)
    }

    /// Says for programs who signed the kit; null where it is known by its digest.
    pub(super) fn signed(&self) -> Option<Value> {
        self.signed.as_ref().map(organisation::to_json)
    }

    pub(super) fn rows(&self) -> Vec<Value> {
        let to_json = |row: &Row| {
            json!({
                "image": row.name,
                "digest": row.digest,
                "code": row.failure.as_ref().map_or(exit::OK, |failure| failure.code),
            })
        };
        self.rows.iter().map(to_json).collect()
    }
}

/// Returns where a set's images are.
pub(super) fn set_file(folder: &Path, set: &ImageSet) -> String {
    format!("oci-archive:{}", folder.join(&set.file).display())
}
