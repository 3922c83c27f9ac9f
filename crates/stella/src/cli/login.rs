//! `stella login`: keep a password for a registry, where docker or podman would look for it.

use std::io::{self, Read as _};
use std::path::PathBuf;

use serde_json::json;
use stella_client::registry::credentials::{Credential, Keeper};
use stella_wire::registry::Reference;
use zeroize::Zeroizing;

use crate::exit::{self, Failure};
use crate::registry::ConnectionFlags;
use crate::{places, prompt, terminal};

/// Bytes of a password; tokens have a few thousand.
const MAX_PASSWORD: usize = 64 * 1024;

/// Keep a password or token for a registry
///
/// The password is read from standard input or asked for. It is never an argument, for other users of the machine can read
/// those, and shells remember them: there is no --password.
///
/// It is kept in the file that docker or podman would read next: --authfile, else $REGISTRY_AUTH_FILE, else
/// $DOCKER_CONFIG/config.json, else ~/.docker/config.json; or by the credential helper that this file names (credsStore,
/// credHelpers). All else in the file stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella login ghcr.io -u me                                       ask for the password
  echo \"$TOKEN\" | stella login ghcr.io -u me --password-stdin

A file of your own is found by other commands where REGISTRY_AUTH_FILE names it:
  export REGISTRY_AUTH_FILE=\"$PWD/auth.json\"
  echo \"$TOKEN\" | stella login localhost:5000 -u me --password-stdin")]
pub(crate) struct Args {
    /// The registry: HOST or HOST:PORT, as references to images begin; docker.io is Docker Hub
    #[arg(value_name = "REGISTRY")]
    registry: String,

    /// The user's name; without it, it is asked for
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,

    /// Read the password from standard input, up to one newline at its end
    #[arg(long)]
    password_stdin: bool,

    /// Keep it in this file
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Keep the password without asking the registry whether it is right
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    connection: ConnectionFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let registry = registry(&args.registry)?;
    // 1. Who it is.
    let user = match (args.username, args.password_stdin) {
        (Some(user), _) => user,
        (None, true) => {
            return Err(Failure::usage("--password-stdin needs the user's name too")
                .hint("give it with -u USER"));
        }
        (None, false) => asked("user", &registry, prompt::line)?,
    };
    let password = if args.password_stdin {
        read_password()?
    } else {
        asked("password", &registry, prompt::secret)?
    };
    // 2. Whether the registry agrees: what it refuses is not kept.
    let credential = Credential::Basic {
        user: user.clone(),
        password: password.clone(),
    };
    if !args.offline {
        let reference = crate::registry::parse(&format!("{registry}/repository"))?;
        args.connection.check(&reference, credential).await?;
    }
    // 3. Keep it.
    let credentials = places::credentials(args.authfile);
    let keeper = credentials.store(&registry, &user, &password)?;
    if args.json {
        terminal::say_json(&json!({
            "registry": registry,
            "user": user,
            "file": keeper.path(),
            "helper": keeper.helper(),
        }));
    } else {
        let registry = &registry;
        terminal::say(&match &keeper {
            Keeper::Helper { name, .. } => {
                format!("the password for {registry} is kept by docker-credential-{name}")
            }
            keeper => format!(
                "the password for {registry} is kept in {}",
                keeper.path().display()
            ),
        });
    }
    if keeper.helper().is_none() {
        terminal::tell(&format!(
            "warning: the password is stored unencrypted in {}; a credential helper keeps it safe: https://docs.docker.com/go/credential-store/",
            keeper.path().display()
        ));
    }
    Ok(exit::OK)
}

/// Reads a registry's name as references have it; a scheme before it and a slash after it are left out.
pub(super) fn registry(text: &str) -> Result<String, Failure> {
    let name = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text)
        .trim_end_matches('/');
    // As the beginning of a reference it is read by the very rule by which it will be used.
    let reference = Reference::parse(&format!("{name}/repository")).ok();
    match reference.filter(|reference| reference.registry() == name) {
        Some(_) => Ok(name.to_owned()),
        None => Err(Failure::usage(format!(
            "{text:?} is not a registry: expected HOST[:PORT] with a dot or a port in it, or localhost"
        ))
        .hint("a login is for a whole registry, without repository and tag: stella login ghcr.io")),
    }
}

/// Asks the person at the terminal for something, by one of the ways of [`prompt`].
fn asked<T>(
    what: &str,
    registry: &str,
    ask: impl FnOnce(&str) -> io::Result<Option<T>>,
) -> Result<T, Failure> {
    if !prompt::is_possible() {
        return Err(Failure::usage(format!(
            "cannot ask for the {what}: standard input is not a terminal"
        ))
        .hint("give both by flag and pipe: … | stella login REGISTRY -u USER --password-stdin"));
    }
    let answer = ask(&format!("{what} for {registry}"));
    let answer = answer.map_err(|error| {
        let message = format!("cannot read the {what} from the terminal: {error}");
        Failure::new(exit::INTERNAL, message).hint("pipe the password: --password-stdin")
    })?;
    answer.ok_or_else(|| {
        Failure::new(
            exit::INTERNAL,
            format!("no {what} was given; nothing is kept"),
        )
    })
}

fn read_password() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD + 1));
    io::stdin()
        .take(MAX_PASSWORD as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Failure::usage(format!(
                "cannot read a password from standard input: {error}"
            ))
        })?;
    if bytes.len() > MAX_PASSWORD {
        let message = format!("the password on standard input is longer than {MAX_PASSWORD} bytes");
        return Err(Failure::usage(message));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::usage("the password on standard input is not UTF-8"))?;
    // One newline, for `echo` writes it; those inside belong to passwords that are files.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(Zeroizing::new(text.to_owned()))
}
