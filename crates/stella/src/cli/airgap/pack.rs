//! `stella airgap pack`: a kit is made where there is a network.

use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use stella_attest::kit::{self, Contents, ImageSet, KitImage};
use stella_attest::mirror::{self, Item, Summary};
use stella_attest::verify::Gate;
use stella_bundle::digest::Digest;
use stella_server::{Clock as _, SystemClock};
use stella_wire::registry::Reference;

use super::organisation::{OrgFlags, Organisation};
use super::{guide, hashing, of_kit};
use crate::cli::Context;
use crate::cli::gate::{self, Origin, PolicyFiles, TrustFlags};
use crate::cli::mirror::border;
use crate::cli::mirror::place::{self, Place, Purpose};
use crate::cli::mirror::{Flags, bytes, of_mirror, of_storage, shown};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::TrustMaterial;

/// The folder of policies in a kit.
const POLICY: &str = "policy";
/// The trusted root in a kit.
const TRUSTED_ROOT: &str = "trust/trusted_root.json";
/// What to do with a kit, for people.
const GUIDE: &str = "README.md";

/// Put images, their verdicts, policy, trust root and this program into one folder
///
/// Only images that the policy lets pass go in; when one does not, there is no kit. The digest that is printed at the end
/// names the whole kit: tell it to the other side another way than the kit. With the organisation's keys it is signed as well,
/// and whoever has the anchor needs no digest. A folder of an earlier kit gets only what it lacks.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella airgap pack registry.example/org/app:v1 --policy policy.yaml --output kit
  stella airgap pack ./images registry.example/org/db --policy policy.yaml --output kit \\
      --binary dist/stella-arm64
  stella airgap pack registry.example/org/app:v1 --policy policy.yaml --output kit \\
      --org-key 'pkcs11:token=org;object=archive' --org-key file:pq.key --keysets org")]
pub(crate) struct Args {
    /// What to take: a repository (every tag), REGISTRY/REPO:TAG, oci:DIR, oci-archive:FILE or a path
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,

    /// The policy that images must pass, here and on the other side
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,

    /// The folder of the kit
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,

    /// Take this stella instead of the running one: for another machine; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "no_binary")]
    binary: Vec<PathBuf>,

    /// Take no stella along
    #[arg(long)]
    no_binary: bool,

    #[command(flatten)]
    organisation: OrgFlags,

    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    // 1. What images must pass, and by whose word.
    let policy = gate::read_policy_files(&args.policy)?;
    let (gate, trust) = gate::gate_of(context, policy.policy.clone(), Origin::File, &args.trust)?;
    let registries = args.flags.registry.open()?;
    for source in &args.sources {
        let source = place::open(source, Purpose::Read, &registries)?;
        args.flags.names(&source).await?;
    }
    let organisation = &args.organisation;
    let organisation = organisation.open(&args.trust.to_place(), context).await?;
    // 2. From here to the end the folder is no kit.
    let folder = &args.output;
    kit::begin(folder).map_err(of_kit)?;
    let mut kit = Kit::new(folder, &args.policy)?;
    let mut images = Summary::default();
    for source in &args.sources {
        let copied = kit.add_images(source, &gate, &args.flags).await?;
        images.images += copied.images;
        images.bytes += copied.bytes;
    }
    terminal::clear();
    kit.add_policy(&policy)?;
    if let Some(material) = &trust {
        kit.add_trust(material)?;
    }
    kit.add_programs(args)?;
    if let Some(organisation) = &organisation {
        kit.add_organisation(organisation)?;
    }
    let signed = match organisation {
        Some(_) => guide::Signed::Yes,
        None => guide::Signed::No,
    };
    let guide = guide::write(&kit.contents, trust.as_ref(), signed);
    kit.put(GUIDE, guide.as_bytes())?;
    // 3. All of it under one digest, signed where somebody signs.
    let list = kit::list(folder, &kit.contents, &kit.files, &hashing()).map_err(of_kit)?;
    let signatures = match &organisation {
        Some(organisation) => organisation.sign(&list).await?,
        None => Vec::new(),
    };
    kit::seal(folder, &list, &signatures).map_err(of_kit)?;
    terminal::clear();
    report(args, &kit, &images, &list.digest(), &signatures);
    Ok(exit::OK)
}

/// A kit in the making.
struct Kit<'a> {
    folder: &'a Path,
    contents: Contents,
    files: Vec<String>,
}

impl<'a> Kit<'a> {
    fn new(folder: &'a Path, policy: &Path) -> Result<Self, Failure> {
        let name = policy.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| {
            Failure::usage(format!("{} has no name to keep it under", policy.display()))
        })?;
        let created = SystemClock.now().to_string();
        let made_by = concat!("stella ", env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Self {
            folder,
            contents: Contents::new(created, made_by, format!("{POLICY}/{name}")),
            files: Vec::new(),
        })
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        kit::put(self.folder, path, bytes).map_err(of_kit)?;
        self.files.push(path.to_owned());
        Ok(())
    }

    /// Copies what passes into a file of its own; refuses where something does not.
    async fn add_images(
        &mut self,
        text: &str,
        gate: &Gate,
        flags: &Flags,
    ) -> Result<Summary, Failure> {
        let registries = flags.registry.open()?;
        let source = place::open(text, Purpose::Read, &registries)?;
        let repository = repository_of(text);
        let file = format!("images/{repository}.tar");
        if self.files.contains(&file) {
            return Err(Failure::usage(format!(
                "{repository} is named twice: its images go into one file"
            ))
            .hint("name the repository once, with an --image NAME for each of its images"));
        }
        // Nothing is written before all of it may cross.
        let names = flags.names(&source).await?;
        let items: Vec<Item> = names.iter().map(|name| Item::same(name)).collect();
        let images = require_passing(gate, &source, &items).await?;
        let path = self.folder.join(&file);
        let parent = path.parent().unwrap_or(self.folder);
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("create", parent, &error))?;
        let name = path.display().to_string();
        let destination = place::open(&format!("oci-archive:{name}"), Purpose::Write, &registries)?;
        let options = shown(flags.options());
        let copied = mirror::sync(
            Arc::clone(&source.storage),
            destination.storage,
            &items,
            &options,
        );
        let copied = copied.await.map_err(of_mirror)?;
        self.files.push(file.clone());
        self.contents.sets.push(ImageSet {
            file,
            source: source.storage.name(),
            repository,
            images,
        });
        Ok(copied)
    }

    fn add_policy(&mut self, policy: &PolicyFiles) -> Result<(), Failure> {
        let path = self.contents.policy.clone();
        self.put(&path, &policy.bytes)?;
        for (name, bytes) in &policy.beside {
            let is_beside = Path::new(name)
                .components()
                .all(|each| matches!(each, Component::Normal(_)));
            if !is_beside {
                return Err(Failure::usage(format!(
                    "the policy names {name}, which does not lie beside it"
                ))
                .hint("put what a policy names into its own folder, and name it from there"));
            }
            self.put(&format!("{POLICY}/{name}"), bytes)?;
        }
        Ok(())
    }

    fn add_trust(&mut self, material: &TrustMaterial) -> Result<(), Failure> {
        self.contents.trusted_root = Some(TRUSTED_ROOT.to_owned());
        self.put(TRUSTED_ROOT, &material.root_bytes)
    }

    fn add_organisation(&mut self, organisation: &Organisation) -> Result<(), Failure> {
        for (path, bytes) in organisation.files()? {
            self.put(&path, &bytes)?;
        }
        Ok(())
    }

    fn add_programs(&mut self, args: &Args) -> Result<(), Failure> {
        let mut programs = args.binary.clone();
        if programs.is_empty() && !args.no_binary {
            let own = std::env::current_exe().map_err(|error| {
                Failure::new(exit::INTERNAL, format!("cannot find this program: {error}"))
                    .hint("name one with --binary FILE, or leave it out with --no-binary")
            })?;
            programs.push(own);
        }
        for program in programs {
            let failed = |error| Failure::io("read", &program, &error);
            let file = File::open(&program).map_err(failed)?;
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            let path = format!("bin/{name}");
            if self.files.contains(&path) {
                return Err(Failure::usage(format!("two programs are called {name}"))
                    .hint("give each a name of its own, such as stella-arm64"));
            }
            kit::put_from(self.folder, &path, &file).map_err(of_kit)?;
            let mode = file.metadata().map_err(failed)?.permissions();
            let to = self.folder.join(&path);
            std::fs::set_permissions(&to, mode)
                .map_err(|error| Failure::io("write", &to, &error))?;
            self.files.push(path.clone());
            self.contents.programs.push(path);
        }
        Ok(())
    }
}

/// Requires that every image passes, and says what each of them is.
async fn require_passing(
    gate: &Gate,
    source: &Place,
    items: &[Item],
) -> Result<Vec<KitImage>, Failure> {
    let storage = source.storage.as_ref();
    let mut images = Vec::new();
    for item in items {
        let raw = storage.manifest(&item.source).await.map_err(of_storage)?;
        let raw = raw.ok_or_else(|| border::absent(storage, &item.source))?;
        if let Some(failure) = border::refusal(gate, storage, &raw.digest).await? {
            terminal::tell(&format!("{} does not pass: there is no kit", item.source));
            return Err(failure);
        }
        images.push(KitImage {
            name: item.tag.clone().unwrap_or_else(|| raw.digest.to_string()),
            digest: raw.digest.to_string(),
        });
    }
    Ok(images)
}

/// Returns what a source's repository is called below any registry; a layout is called as its file.
fn repository_of(source: &str) -> String {
    let is_path = place::is_path(source);
    match Reference::parse(source).ok().filter(|_| !is_path) {
        Some(reference) => reference.repository().to_owned(),
        None => {
            let path = Path::new(source.split_once(':').map_or(source, |(_, path)| path));
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            // Names of repositories know no capitals and little beside letters.
            stem.to_lowercase()
                .replace(|each: char| !each.is_ascii_alphanumeric(), "-")
        }
    }
}

fn report(
    args: &Args,
    kit: &Kit<'_>,
    images: &Summary,
    digest: &Digest,
    signatures: &[(String, Vec<u8>)],
) {
    let names: Vec<&str> = signatures.iter().map(|(name, _)| name.as_str()).collect();
    let folder = args.output.display();
    if args.flags.json {
        let contents = serde_json::to_value(&kit.contents).unwrap_or_default();
        terminal::say_json(&json!({
            "kit": folder.to_string(),
            "digest": digest.to_string(),
            "bytes": images.bytes,
            "signatures": names,
            "contents": contents,
        }));
        return;
    }
    terminal::say(&format!(
        "{folder}: {} images ({} new), policy, {}{} programs",
        images.images,
        bytes(images.bytes),
        match kit.contents.trusted_root {
            Some(_) => "trust root, ",
            None => "",
        },
        kit.contents.programs.len(),
    ));
    terminal::say(&format!("digest {digest}"));
    for name in &names {
        terminal::say(&format!("signed {name}"));
    }
    terminal::tell(match names.is_empty() {
        true => {
            "tell this digest to the other side another way than the kit; there: stella airgap check KIT --digest DIGEST"
        }
        false => {
            "whoever has the anchor needs nothing else; there: stella airgap check KIT --anchor org.anchor"
        }
    });
}
