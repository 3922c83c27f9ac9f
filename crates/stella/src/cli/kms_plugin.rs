//! stella called `sigstore-kms-stella`: its keys for cosign and others that speak the plugin protocol of Sigstore's key
//! management. `cosign sign-blob --key 'stella://pkcs11:token=…;object=…'` signs with a device then.

use std::io;

use serde_json::{Value, json};
use stella_attest::file;
use stella_bundle::json::encode_base64;
use stella_keys::plugin::{self, Arguments, PROTOCOL};
use stella_keys::{KeyError, Signer};

use crate::exit::{self, Failure};
use crate::key::{For, PassphraseFlags};
use crate::terminal;

/// The name under which stella is this.
pub(super) const NAME: &str = "sigstore-kms-stella";

/// Bytes of a message.
const MAX_MESSAGE: usize = 4 << 30;
/// The kind of key that `stella key generate` makes unasked, in the protocol's spelling.
const DEFAULT_ALGORITHM: &str = "ecdsa-p256";

/// Answers one request; a refusal is an answer too.
pub(super) fn run(arguments: &[String]) -> u8 {
    let (answer, code) = match answer(arguments) {
        Ok(answer) => (answer, exit::OK),
        Err(failure) => {
            let hint = failure
                .hint
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default();
            (
                json!({"errorMessage": failure.message + &hint}),
                failure.code,
            )
        }
    };
    terminal::say(&answer.to_string());
    code
}

fn answer(arguments: &[String]) -> Result<Value, Failure> {
    let [version, request] = arguments else {
        return Err(Failure::usage(format!(
            "{NAME} is started by cosign and others: --key stella://KEY"
        )));
    };
    if version != PROTOCOL {
        return Err(Failure::usage(format!(
            "protocol {version} is not {PROTOCOL}"
        )));
    }
    let request: Arguments = serde_json::from_str(request)
        .map_err(|error| Failure::usage(format!("the request is none: {error}")))?;
    let key = request.init_options.key_resource_id.as_str();
    let passphrase = PassphraseFlags::default();
    match request.method_name.as_str() {
        "defaultAlgorithm" => {
            Ok(json!({"defaultAlgorithm": {"defaultAlgorithm": DEFAULT_ALGORITHM}}))
        }
        "supportedAlgorithms" => {
            Ok(json!({"supportedAlgorithms": {"supportedAlgorithms": [DEFAULT_ALGORITHM]}}))
        }
        "publicKey" => {
            let pem = passphrase.public(key)?.to_pem();
            Ok(json!({"publicKey": {"publicKeyPEM": encode_base64(pem.as_bytes())}}))
        }
        "signMessage" => {
            let signer = passphrase.open(key, For::ItselfAlone)?;
            require_own_way(&request, signer.as_ref())?;
            let message = message()?;
            let signature = sign(signer.as_ref(), &message);
            let signature = signature.map_err(|error| crate::key::failure(&error))?;
            Ok(json!({"signMessage": {"signature": encode_base64(&signature)}}))
        }
        "verifySignature" => {
            let signature = request.verify_signature.map(|given| given.signature);
            let signature = signature.ok_or_else(|| Failure::usage("there is no signature"))?;
            let verified = passphrase.public(key)?.verify(&message()?, &signature);
            verified.map_err(|error| Failure::new(exit::SIGNATURE, error.to_string()))?;
            Ok(json!({"verifySignature": {}}))
        }
        "createKey" => {
            Err(Failure::usage("keys are not made here")
                .hint("make one with `stella key generate`"))
        }
        other => Err(Failure::usage(format!("the method {other:?} is not known"))),
    }
}

/// Signs, and verifies the signature before it is handed out: a device or a service may do something else than it was
/// asked for.
fn sign(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let signature = signer.sign(message)?;
    let public = signer.public_key();
    let verified = public.verify_as(signer.details(), message, &signature);
    verified.map_err(|_| KeyError::WrongSignature)?;
    Ok(signature)
}

/// A key signs by the hash of its kind, over the message: anything else that is asked for would be signed otherwise.
fn require_own_way(request: &Arguments, signer: &dyn Signer) -> Result<(), Failure> {
    let hash = signer.details().hash();
    let asked = request.init_options.hash_func;
    if hash.is_some_and(|hash| plugin::hash_number(hash) != asked) {
        let name = signer.details().name();
        return Err(Failure::usage(format!(
            "this key signs as {name}, and another hash is asked for"
        )));
    }
    let digest = request.sign_message.as_ref();
    let digest = digest.and_then(|given| given.pointer("/signOptions/messageOptions/digest"));
    match digest.and_then(Value::as_str).unwrap_or_default() {
        "" => Ok(()),
        _ => Err(Failure::usage(
            "digests are not signed here: send the message",
        )),
    }
}

fn message() -> Result<Vec<u8>, Failure> {
    file::read_from(io::stdin(), MAX_MESSAGE)
        .map_err(|error| Failure::usage(format!("cannot read the message: {error}")))
}
