//! `stella airgap check`: is this the kit, whole, and do its images pass? No socket is opened.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stella_attest::kit::{self, Contents, ImageSet, KitImage};
use stella_attest::layout::Layout;
use stella_attest::storage::Storage;
use stella_attest::verify::Gate;
use stella_bundle::digest::Digest;
use stella_bundle::identity::escape;

use super::{hashing, of_kit};
use crate::cli::Context;
use crate::cli::gate::{self, Origin, TrustFlags};
use crate::cli::mirror::{border, of_layout, of_storage};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::TrustMaterial;

/// Check that a kit is the one that is meant, whole, and that its images pass the policy
///
/// Use a stella that is there already: the one in the kit is as trustworthy as the kit, which is what is to be found out.
/// With the digest, the kit's policy and trust root are those of who packed it. Where a policy of your own counts, name
/// it. No network is used.
#[derive(Debug, clap::Args)]
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
    #[arg(long, value_name = "DIGEST")]
    digest: String,

    /// Judge by this policy instead of the kit's
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// A kit that was checked.
pub(super) struct Checked {
    pub(super) contents: Contents,
    pub(super) rows: Vec<Row>,
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
        terminal::say_json(&json!({"images": checked.rows(), "code": code}));
    } else {
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
    let digest = Digest::parse(&which.digest).ok_or_else(|| {
        Failure::usage(format!(
            "--digest {:?} is not sha256: and 64 hex digits",
            which.digest
        ))
    })?;
    // 1. The files.
    let contents = kit::check(folder, &digest, &hashing()).map_err(of_kit)?;
    terminal::clear();
    // 2. Whom to believe: the kit's trust root, for the digest names that too.
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
    Ok(Checked { contents, rows })
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
