//! `stella mirror`: images with all that is attached to them, from one place to another.

pub(super) mod border;
mod diff;
mod load;
pub(super) mod place;
mod repair;
mod save;
mod sync;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use clap::Subcommand;
use stella_attest::layout::LayoutError;
use stella_attest::mirror::{Item, MirrorError, Options, PARALLEL, Summary};
use stella_attest::storage::StorageError;
use stella_bundle::digest::Digest;

use crate::cli::Context;
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;
use place::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what a destination lacks of a source's images
    Diff(diff::Args),
    /// Copy the images of a file or folder to another place
    Load(load::Args),
    /// Make the index of attestations name all that is there, in a registry without a list of referrers
    Repair(repair::Args),
    /// Copy images into one file or folder, to be carried
    Save(save::Args),
    /// Copy images from one place to another, with all that is attached to them
    Sync(sync::Args),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Diff(args) => diff::run(&args).await,
        Command::Load(args) => load::run(context, &args).await,
        Command::Repair(args) => repair::run(&args).await,
        Command::Save(args) => save::run(context, &args).await,
        Command::Sync(args) => sync::run(context, &args).await,
    }
}

/// Which images, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// Take this image only: a tag, a name as the source has it, or a digest; may be repeated
    #[arg(long, value_name = "NAME")]
    image: Vec<String>,

    /// Ask or transfer so many things at once
    #[arg(long, value_name = "N", default_value_t = PARALLEL, value_parser = parse_parallel)]
    parallel: usize,

    #[command(flatten)]
    pub(super) registry: RegistryFlags,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_parallel(text: &str) -> Result<usize, String> {
    let is_fine = |number: &usize| (1..=64).contains(number);
    let number = text.parse().ok().filter(is_fine);
    number.ok_or_else(|| "expected a number from 1 to 64".to_owned())
}

impl Flags {
    /// Returns the names of the images that are asked for, or of all that the source has.
    pub(super) async fn names(&self, source: &Place) -> Result<Vec<String>, Failure> {
        let mut names = self.image.clone();
        names.extend(source.image.clone());
        if names.is_empty() {
            names = source.storage.images().await.map_err(of_storage)?;
        }
        if names.is_empty() {
            let message = format!("{} has no images", source.storage.name());
            return Err(Failure::new(exit::NO_ARTIFACT, message));
        }
        Ok(names)
    }

    /// Returns what to copy, and what it is to be called.
    async fn items(&self, source: &Place, destination: &Place) -> Result<Vec<Item>, Failure> {
        let item = |name: &String| match destination.is_repository {
            true => Item::in_repository(name),
            false => Item::same(name),
        };
        let names = self.names(source).await?;
        let mut items: Vec<Item> = names.iter().map(item).collect();
        match (&destination.image, items.as_mut_slice()) {
            (None, _) => Ok(items),
            (Some(tag), [only]) if Digest::parse(tag).is_none() => {
                only.tag = Some(tag.clone());
                Ok(items)
            }
            (Some(tag), _) => Err(Failure::usage(format!(
                "{tag} can name one image at the destination, not {}",
                items.len()
            ))
            .hint("name the repository alone: images keep their tags")),
        }
    }

    pub(super) fn options(&self) -> Options {
        Options {
            parallel: self.parallel,
            watcher: None,
        }
    }
}

/// Returns options that show how far it is, on a terminal.
pub(super) fn shown(options: Options) -> Options {
    if !io::stderr().is_terminal() {
        return options;
    }
    let show = |now: &Summary| {
        terminal::show(&format!(
            "{} images, {} manifests, {} of {}",
            now.images,
            now.manifests.copied,
            bytes(now.bytes),
            bytes(now.bytes_expected)
        ));
    };
    Options {
        watcher: Some(Arc::new(show)),
        ..options
    }
}

/// Writes a number of bytes for people.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|unit| count >= unit.1) {
        Some((name, size)) => {
            let tenths = u128::from(count) * 10 / u128::from(*size);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{count} bytes"),
    }
}

pub(super) fn of_mirror(error: MirrorError) -> Failure {
    terminal::clear();
    match error {
        MirrorError::Storage(error) => of_storage(error),
        MirrorError::NotFound { .. } => Failure::new(exit::NO_ARTIFACT, error.to_string()),
        error => Failure::new(exit::INTERNAL, error.to_string()),
    }
    .hint_if_none("what was copied stays: run the same command again once the cause is gone")
}

pub(super) fn of_storage(error: StorageError) -> Failure {
    match error {
        StorageError::Registry(error) => error.into(),
        StorageError::Layout(error) => of_layout(&error),
        error => Failure::new(exit::INTERNAL, error.to_string()),
    }
}

pub(super) fn of_layout(error: &LayoutError) -> Failure {
    let code = match error {
        LayoutError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => {
            exit::NO_ARTIFACT
        }
        LayoutError::Ambiguous { .. }
        | LayoutError::Compressed { .. }
        | LayoutError::DockerArchive { .. }
        | LayoutError::NotALayout { .. }
        | LayoutError::NotEmpty { .. }
        | LayoutError::Version { .. } => exit::USAGE,
        _ => exit::INTERNAL,
    };
    Failure::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_for_people() {
        let rows = [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB")];
        for (count, text) in rows {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
    }

    #[test]
    fn how_much_at_once_has_bounds() {
        assert_eq!(parse_parallel("8"), Ok(8));
        assert!(
            ["0", "65", "x"]
                .iter()
                .all(|text| parse_parallel(text).is_err())
        );
    }
}
