//! The commands: one file each with its arguments, whose doc comments are the help, and a `run`.

mod adopt;
mod airgap;
mod archive;
mod attest;
mod blob;
mod completion;
pub(crate) mod config;
mod demo;
mod doctor;
mod dropin;
mod gate;
mod identity;
mod key;
mod kms_plugin;
mod log;
mod login;
mod logout;
mod mirror;
mod policy;
mod serve;
mod signing_config;
mod trust;
mod trusted_root;
mod verify;

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Flags, Loaded, LogLevel, Surroundings, TrustElsewhere};
use crate::exit::{self, Failure};
use crate::{places, terminal, token};

/// Sign build verdicts without long-lived keys, and verify them offline for decades
///
/// A verdict (an SBOM delta, a reachability graph, a policy result) is signed with a key that lives for one signature,
/// certified for the identity in a CI token, logged in the open and timestamped. What comes out is a Sigstore bundle
/// that verifies on a machine with no network.
#[derive(Debug, Parser)]
#[command(name = "stella", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Read this signer.yaml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  stella demo                                      see the whole walk in a second
  stella doctor                                    see what is missing on this machine
  stella serve --dir ./sigstore                    run a private Sigstore
  stella trust use http://127.0.0.1:8470           say whom to believe
  stella trust use public                          or: the public-good Sigstore
  stella attest sign --keyless --artifact sha256:…
  stella verify app.tar.gz --policy policy.yaml    may this be released?
  stella attest verify --artifact sha256:… --certificate-identity repo:myorg/myrepo:ref:refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com

Exit codes: 0 passed, 1 failed otherwise, 2 usage, 10-13 nothing that matches, 20-25 refused,
30-32 a service or the token, 40-43 the signing key (docs/reference/exit-codes.md).";

#[derive(Debug, Subcommand)]
enum Command {
    // Without a line here, the help is all that the arguments say of themselves.
    Adopt(adopt::Args),
    /// Carry images, verdicts and all that judges them to a place without a network
    #[command(subcommand)]
    Airgap(airgap::Command),
    /// Keep evidence that outlives certificates, logs and algorithms
    #[command(subcommand)]
    Archive(archive::Command),
    /// Sign, verify, inspect and export attestations
    #[command(subcommand)]
    Attest(attest::Command),
    #[command(name = "attest-blob")]
    AttestBlob(blob::attest::Args),
    /// Print a completion script for a shell
    Completion(completion::Args),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Tell the whole story on this machine: sign, verify, stop the instance, verify offline, change a byte
    Demo(demo::Args),
    /// Look whether signing and verifying can work on this machine, and say what to do next
    Doctor(doctor::Args),
    #[command(name = "generate-key-pair", hide = true)]
    GenerateKeyPair(key::generate::Args),
    /// Identity tokens of the local instance
    #[command(subcommand)]
    Identity(identity::Command),
    #[command(name = "import-key-pair", hide = true)]
    ImportKeyPair(key::import::Args),
    /// Keys that people keep: make, import, show
    #[command(subcommand)]
    Key(key::Command),
    /// Put other tools' signatures into a transparency log, find them there, look into logs
    #[command(subcommand)]
    Log(log::Command),
    Login(login::Args),
    Logout(logout::Args),
    /// Copy images with all that is attached to them: to another place, into a file, out of one
    #[command(subcommand)]
    Mirror(mirror::Command),
    /// Check, test and explain policies
    #[command(subcommand)]
    Policy(policy::Command),
    #[command(name = "public-key", hide = true)]
    PublicKey(key::public::Args),
    /// Serve a private Sigstore: OIDC issuer, Fulcio, CT log, Rekor v2, timestamp authority
    Serve(serve::Args),
    #[command(name = "sign-blob")]
    SignBlob(blob::sign::Args),
    /// Say where to sign: make, show and check a signing config
    #[command(subcommand)]
    SigningConfig(signing_config::Command),
    /// Choose and show whom to believe
    #[command(subcommand)]
    Trust(trust::Command),
    /// Make a trusted root of certificates and public keys
    #[command(subcommand)]
    TrustedRoot(trusted_root::Command),
    /// Answer whether files may be released: attested by someone who may, as a policy asks
    #[command(aliases = ["verify-blob", "verify-blob-attestation"])]
    Verify(Box<verify::Args>),
}

/// What every command is given.
pub(crate) struct Context {
    /// `--config`.
    config: Option<PathBuf>,
}

impl Context {
    /// Loads the configuration with what a command's own flags say.
    pub(crate) fn load(&self, flags: Flags) -> Result<Loaded, Failure> {
        let loaded = self.read(flags)?;
        if let Some(path) = &loaded.not_used {
            terminal::tell(&format!(
                "note: {} is not used: pass --config",
                path.display()
            ));
        }
        Ok(loaded)
    }

    /// Loads the configuration, and says nothing.
    fn read(&self, mut flags: Flags) -> Result<Loaded, Failure> {
        flags.config.clone_from(&self.config);
        if flags.trust_elsewhere == TrustElsewhere::None
            && places::trust().join("trust.json").exists()
        {
            flags.trust_elsewhere = TrustElsewhere::Given;
        }
        let variable = |name: &str| env::var(name).ok();
        let around = Surroundings {
            variable: &variable,
            read: &|path| stella_attest::file::read(path, crate::config::MAX_BYTES),
        };
        crate::config::load(&flags, &around).map_err(|error| Failure::usage(error.to_string()))
    }
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    stella_keys::protect_memory();
    token::hide_from_command_line();
    if let Some(arguments) = kms_request() {
        return ExitCode::from(kms_plugin::run(&arguments));
    }
    let arguments = match dropin::arguments(env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(failure) => {
            terminal::tell_failure(&failure, "error");
            return ExitCode::from(failure.code);
        }
    };
    let cli = Cli::parse_from(arguments);
    listen_to_logs();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal::tell_failure(&failure, "error");
            ExitCode::from(failure.code)
        }
    }
}

/// Returns the arguments where stella was called as a program of the plugin protocol.
fn kms_request() -> Option<Vec<String>> {
    let mut given = env::args_os();
    let name = PathBuf::from(given.next()?);
    (name.file_stem()? == kms_plugin::NAME).then(|| {
        given
            .map(|each| each.to_string_lossy().into_owned())
            .collect()
    })
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let context = Context { config: cli.config };
    match cli.command {
        Command::Adopt(args) => wait(adopt::run(args)),
        Command::Airgap(command) => wait(airgap::run(&context, command)),
        Command::Archive(command) => wait(archive::run(&context, command)),
        Command::Attest(command) => attest::run(&context, command),
        Command::AttestBlob(args) => wait(blob::attest::run(&context, args)),
        Command::Completion(args) => {
            completion::run(&args);
            Ok(exit::OK)
        }
        Command::Config(command) => config::run(&context, &command),
        Command::Demo(args) => wait(demo::run(args)),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::GenerateKeyPair(args) => key::generate::run(&args, "cosign"),
        Command::Identity(command) => wait(identity::run(command)),
        Command::ImportKeyPair(args) => key::import::run(&args, "import-cosign"),
        Command::Key(command) => wait(key::run(&context, command)),
        Command::Log(command) => wait(log::run(&context, command)),
        Command::Login(args) => wait(login::run(args)),
        Command::Logout(args) => logout::run(args),
        Command::Mirror(command) => wait(mirror::run(&context, command)),
        Command::Policy(command) => policy::run(&context, command),
        Command::PublicKey(args) => key::public::run(&args),
        Command::Serve(args) => serve::run(args),
        Command::SignBlob(args) => wait(blob::sign::run(&context, args)),
        Command::SigningConfig(command) => signing_config::run(command),
        Command::Trust(command) => wait(trust::run(command)),
        Command::TrustedRoot(command) => trusted_root::run(command),
        Command::Verify(args) => verify::run(&context, &args),
    }
}

/// Runs a command that talks to services, on one thread.
fn wait(command: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    runtime()?.block_on(command)
}

/// Returns what drives requests, on the caller's thread.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Failure::new(exit::INTERNAL, format!("cannot start: {error}")))
}

/// Writes what happens to stderr, as much as `STELLAOPS_LOG_LEVEL` says.
fn listen_to_logs() {
    let level = ["STELLAOPS_LOG_LEVEL", "STELLA_LOG_LEVEL"]
        .iter()
        .find_map(|name| env::var(name).ok());
    let level = level
        .as_deref()
        .and_then(LogLevel::from_word)
        .unwrap_or(LogLevel::Warn);
    let filter = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // A file or a pipe keeps what a terminal would have eaten.
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_ansi(colours)
        .with_max_level(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .init();
}
