//! Commands of a text, run as they are written: the first block serves, the others are typed beside it.
//!
//! A block of YAML is a policy, and is read. Only the port is another one, and the server is stopped where the text says
//! so. A comment `# exit code N` says that the next command is refused.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where texts let the instance listen.
const ADDRESS: &str = "127.0.0.1:8470";

/// The words before the block at which the server is no longer there.
const STOPPED: &str = "Now stop the first terminal";

/// How long a whole walk may take, in seconds.
const PATIENCE: &str = "120";

/// Runs every shell block of a text in a fresh folder, and requires that each command does what the text says.
pub(crate) fn run(walk: &str, name: &str) {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let script = script(walk, &address);

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_stella")).parent().unwrap();
    let path = format!(
        "{}:{}",
        built.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("timeout");
    shell
        .args([PATIENCE, "sh", "-c", &script])
        .current_dir(&folder)
        .stdin(Stdio::null());
    let output = shell
        .env_clear()
        .env("HOME", &folder)
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script}\nended with {}:\n{said}",
        output.status
    );
}

/// Returns the walk as one script that ends at the first command that does not do what the text says.
fn script(walk: &str, address: &str) -> String {
    let mut script = String::from("set -eu\n");
    let mut pieces = walk.split("```");
    let mut is_first = true;
    while let (Some(prose), Some(block)) = (pieces.next(), pieces.next()) {
        if let Some(policy) = block.strip_prefix("yaml\n") {
            stella_policy::file::parse(policy, &|_| Err(io::ErrorKind::NotFound)).unwrap();
            continue;
        }
        // Shown, not typed: it needs what a test has not, such as a registry of one's own.
        if block.starts_with("text\n") {
            continue;
        }
        let commands = block
            .strip_prefix("sh\n")
            .unwrap()
            .replace("\\\n", " ")
            .replace(ADDRESS, address);
        if is_first {
            script.push_str(&serving(commands.trim(), address));
            is_first = false;
            continue;
        }
        if prose.contains(STOPPED) {
            // A clean shutdown ends with success; `wait` says so, and `set -e` listens.
            script.push_str("kill -TERM $SERVER\nwait $SERVER\ntrap - EXIT\n");
        }
        script.push_str(&checked(&commands));
    }
    script
}

/// Returns the lines that serve beside the script, until the script ends or stops it.
fn serving(command: &str, address: &str) -> String {
    assert!(command.starts_with("stella serve"), "{command}");
    format!(
        "{command} --listen {address} 2> serve.log &\nSERVER=$!\ntrap 'kill $SERVER' EXIT\n\
         until grep -q '^serving ' serve.log; do kill -0 $SERVER; sleep 0.02; done\n"
    )
}

/// Returns commands with the exit codes that their comments promise.
fn checked(commands: &str) -> String {
    let mut script = String::new();
    let mut expected = None;
    for command in commands.lines() {
        if let Some((_, code)) = command.split_once("# exit code ") {
            expected = code.split(':').next();
        } else if let Some(code) = expected.take() {
            writeln!(
                script,
                "code=0; {command} || code=$?; test $code -eq {code}"
            )
            .unwrap();
        } else {
            writeln!(script, "{command}").unwrap();
        }
    }
    script
}
