//! A key behind a program that others wrote: the plugin protocol of Sigstore's key management, `sigstore-kms-NAME`.
//!
//! The program is started for each request, gets it as an argument, the message on standard input, and answers with JSON
//! on standard output. Its exit code says nothing; secrets it finds for itself.
//!
//! spec: sigstore/sigstore, `pkg/signature/kms/cliplugin`, protocol v1

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::json;
use stella_bundle::key::{KeyDetails, PublicKey};

use crate::signer::{KeyError, Signer, one_line};
use crate::stored::details_for;

/// The protocol's version, the first argument.
pub const PROTOCOL: &str = "v1";
/// What the names of programs begin with.
pub const PREFIX: &str = "sigstore-kms-";
/// Bytes of an answer.
const MAX_ANSWER: usize = 1 << 20;
/// How long one answer may take: somebody may have to find a device and touch it.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a program is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arguments {
    /// Which key, and the hash.
    pub init_options: InitOptions,
    /// Which method.
    pub method_name: String,
    /// What `verifySignature` is given.
    #[serde(default, skip_serializing)]
    pub verify_signature: Option<VerifySignature>,
    /// What `signMessage` is given.
    #[serde(default, skip_serializing)]
    pub sign_message: Option<Value>,
}

/// Which key, and by which hash it signs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitOptions {
    /// The protocol's version.
    pub protocol_version: String,
    /// The key, as the program names it.
    #[serde(rename = "keyResourceID")]
    pub key_resource_id: String,
    /// The hash, as Go numbers it.
    pub hash_func: u32,
}

/// What is to be verified.
#[derive(Debug, Deserialize)]
pub struct VerifySignature {
    /// The signature.
    #[serde(with = "json::base64_bytes")]
    pub signature: Vec<u8>,
}

/// What a program answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    error_message: String,
    public_key: Option<PublicKeyAnswer>,
    sign_message: Option<SignAnswer>,
}

#[derive(Debug, Deserialize)]
struct PublicKeyAnswer {
    #[serde(rename = "publicKeyPEM", with = "json::base64_bytes")]
    pem: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct SignAnswer {
    #[serde(with = "json::base64_bytes")]
    signature: Vec<u8>,
}

/// A key behind a program.
#[derive(Debug)]
pub struct PluginKey {
    program: PathBuf,
    resource: String,
    public: PublicKey,
    details: KeyDetails,
}

impl PluginKey {
    /// Asks the program for the public half of a key. `log` asks for signatures over digests, as logs need them.
    ///
    /// # Errors
    /// `Plugin` when the program cannot be run, refuses or answers nonsense; `UnsupportedKind`, `Unsupported`.
    pub fn open(program: &Path, resource: &str, log: bool) -> Result<Self, KeyError> {
        let answer = ask(program, resource, DigestAlgorithm::Sha256, "publicKey", &[])?;
        let nonsense = || failed("its answer has no public key");
        let pem = answer.public_key.ok_or_else(nonsense)?.pem;
        let pem = String::from_utf8(pem).map_err(|_| nonsense())?;
        let public = PublicKey::from_pem(&pem).map_err(|_| KeyError::UnsupportedKind)?;
        let details = details_for(public.kind(), log).ok_or(KeyError::UnsupportedKind)?;
        // The protocol has no word for the form that is hashed before.
        if details == KeyDetails::Ed25519Ph {
            return Err(KeyError::Unsupported(details));
        }
        Ok(Self {
            program: program.to_owned(),
            resource: resource.to_owned(),
            public,
            details,
        })
    }
}

impl Signer for PluginKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn details(&self) -> KeyDetails {
        self.details
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let hash = self.details.hash().unwrap_or(DigestAlgorithm::Sha512);
        let answer = ask(&self.program, &self.resource, hash, "signMessage", message)?;
        let signed = answer
            .sign_message
            .ok_or_else(|| failed("its answer has no signature"))?;
        Ok(signed.signature)
    }
}

/// Runs the program with one request.
fn ask(
    program: &Path,
    resource: &str,
    hash: DigestAlgorithm,
    method: &str,
    message: &[u8],
) -> Result<Answer, KeyError> {
    let hash = hash_number(hash);
    let options = json!({"keyVersion": "", "remoteVerification": false});
    let mut arguments = json!({
        "initOptions": {
            "protocolVersion": PROTOCOL, "keyResourceID": resource, "hashFunc": hash, "rpcOptions": options,
        },
        "methodName": method,
    });
    arguments[method] = match method {
        "publicKey" => json!({"publicKeyOptions": {"rpcOptions": options}}),
        _ => json!({"signOptions": {
            "rpcOptions": options, "messageOptions": {"digest": "", "hashFunc": hash},
        }}),
    };
    let arguments = [PROTOCOL, &arguments.to_string()];
    let said = run(program, arguments, message, PATIENCE)?;
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|_| failed("its answer is not JSON of the protocol"))?;
    match answer.error_message.as_str() {
        "" => Ok(answer),
        message => Err(failed(message)),
    }
}

/// Runs the program, and ends it when its answer is late or too long.
fn run(
    program: &Path,
    arguments: [&str; 2],
    message: &[u8],
    patience: Duration,
) -> Result<Vec<u8>, KeyError> {
    let unusable = |error: io::Error| failed(&format!("cannot run {}: {error}", program.display()));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(unusable)?;
    let said = converse(&mut child, message, patience);
    let is_whole = said.as_ref().is_ok_and(|said| said.len() <= MAX_ANSWER);
    if !is_whole {
        let _ = child.kill();
    }
    // How it ends says nothing, but who has answered may put its things away.
    let _ = child.wait();
    let said = said.map_err(unusable)?;
    if !is_whole {
        return Err(failed("its answer is too long"));
    }
    Ok(said)
}

/// Gives the message and takes the answer, each on a thread of its own: a program may answer before it has read all, and
/// a pipe can be waited for without end.
fn converse(child: &mut Child, message: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let pipes = (child.stdin.take(), child.stdout.take());
    let (Some(mut input), Some(output)) = pipes else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let message = message.to_vec();
    // Who refuses the arguments reads no message.
    let give = move || drop(input.write_all(&message));
    thread::Builder::new().spawn(give)?;
    let (sender, receiver) = mpsc::channel();
    let take = move || {
        let mut said = Vec::new();
        let read = output.take(MAX_ANSWER as u64 + 1).read_to_end(&mut said);
        let _ = sender.send(read.map(|_| said));
    };
    thread::Builder::new().spawn(take)?;
    let late = |_| {
        let seconds = patience.as_secs_f32();
        io::Error::other(format!("no answer within {seconds} seconds; it was ended"))
    };
    receiver.recv_timeout(patience).map_err(late)?
}

/// Numbers a hash as Go's package `crypto` does.
#[must_use]
pub const fn hash_number(hash: DigestAlgorithm) -> u32 {
    match hash {
        DigestAlgorithm::Sha384 => 6,
        DigestAlgorithm::Sha512 => 7,
        _ => 5,
    }
}

fn failed(what: &str) -> KeyError {
    KeyError::Plugin {
        what: one_line(what),
    }
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(60);

    fn run_script(script: &str, message: &[u8], patience: Duration) -> Result<Vec<u8>, KeyError> {
        run(Path::new("/bin/sh"), ["-c", script], message, patience)
    }

    #[test]
    fn a_program_may_answer_before_it_reads() {
        // More than any pipe holds, in both directions at once.
        let script = "head -c 500000 /dev/zero; wc -c";
        let said = run_script(script, &[0; 500_000], PATIENT).unwrap();
        assert_eq!(said.len(), 500_000 + "500000\n".len());
    }

    #[test]
    fn a_program_that_never_answers_is_ended() {
        let error = run_script("exec sleep 1000", b"", Duration::from_millis(100)).unwrap_err();
        assert!(
            error.to_string().contains("no answer within 0.1 seconds"),
            "{error}"
        );
    }

    #[test]
    fn an_answer_without_end_is_cut() {
        let error = run_script("exec cat /dev/zero", b"", PATIENT).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
