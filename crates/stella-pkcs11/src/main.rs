//! The process in which PKCS#11 modules run. It is started by `stella`, reads one request a line and answers each with one
//! line (`stella_keys::device::words`); a module that crashes takes this process with it and nothing else.

mod attest;
mod token;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stella_keys::device::words::{Answer, FailureKind, MAX_LINE, Request};
use zeroize::Zeroizing;

use token::{Key, Problem};

/// An answer is held back no longer.
const LONGEST_HOLD: Duration = Duration::from_millis(50);

const HELP: &str = "\
The process in which PKCS#11 modules run, started by `stella` for keys named pkcs11:…

Usage: stella-pkcs11 serve

Reads requests from standard input and answers on standard output, one JSON value a line, until its input ends.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["serve"] => {}
        ["--version"] => return say(concat!("stella-pkcs11 ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help" | "-h"] => return say(HELP),
        _ => {
            let _ = io::stderr().write_all(HELP.as_bytes());
            return ExitCode::from(2);
        }
    }
    stella_keys::protect_memory();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn say(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn serve() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin());
    // Not line by line, as standard output is.
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    let mut output = BufWriter::new(File::from(output));
    let mut flushed = Instant::now();
    let mut key: Option<Key> = None;
    loop {
        let mut line = Zeroizing::new(Vec::new());
        let mut bounded = (&mut input).take(MAX_LINE as u64);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => answer(request, &mut key),
            Err(error) => Err(Problem::new(FailureKind::Unsupported, error.to_string())),
        };
        let answer = answer.unwrap_or_else(|problem| Answer::Failed {
            kind: problem.kind,
            message: problem.message,
        });
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        output.write_all(&line)?;
        // Who sends many requests waits for none of them alone, and for a slow device no longer than for one.
        if input.buffer().is_empty() || flushed.elapsed() > LONGEST_HOLD {
            output.flush()?;
            flushed = Instant::now();
        }
    }
}

fn answer(request: Request, key: &mut Option<Key>) -> Result<Answer, Problem> {
    match request {
        Request::Attest(open) => {
            let attested = attest::attest(open)?;
            Ok(Answer::Attested(Box::new(attested)))
        }
        Request::Open(open) => {
            let opened = key.insert(Key::open(open)?);
            Ok(Answer::Opened(opened.spki().to_vec()))
        }
        Request::List(open) => token::list(open).map(Answer::Listed),
        Request::Sign(sign) => {
            let none = || Problem::new(FailureKind::Absent, "no key is open");
            let key = key.as_mut().ok_or_else(none)?;
            key.sign(&sign).map(Answer::Signed)
        }
    }
}
