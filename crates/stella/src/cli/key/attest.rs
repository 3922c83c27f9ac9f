//! `stella key attest`: how a key in a device is kept.

use serde_json::json;
use stella_bundle::identity::escape;
use stella_bundle::key::PublicKey;
use stella_bundle::pem;
use stella_keys::device::words::Attested;

use crate::exit::{self, Failure};
use crate::key::PassphraseFlags;
use crate::terminal;

/// Show how a key in a device is kept: which device, whether the key was made in it and can be taken out
///
/// This is what the device's module says. Certificates by which a maker attests its keys are shown where the device has them
/// (YubiKey): they are verified with the maker's own roots. The exit code is 40 when the key can be taken out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella key attest --key 'pkcs11:token=org;object=archive' --json > ceremony-2026.json")]
pub(crate) struct Args {
    /// A pkcs11: URI
    #[arg(long, short, value_name = "URI")]
    key: String,

    #[command(flatten)]
    passphrase: PassphraseFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let attested = args.passphrase.attest(&args.key)?;
    let public = PublicKey::from_spki(&attested.public_key)
        .map_err(|error| Failure::new(exit::KEY, error.to_string()))?;
    let is_kept = attested.extractable == Some(false) && attested.sensitive == Some(true);
    match args.json {
        true => say_json(&attested, &public),
        false => say(&attested, &public),
    }
    match is_kept {
        true => Ok(exit::OK),
        false => Err(Failure::new(
            exit::KEY,
            "the device does not keep this key from being taken out",
        )
        .hint("make a key in the device that is sensitive and not extractable")
        .page("signing-key")),
    }
}

fn say_json(attested: &Attested, public: &PublicKey) {
    let certificates = attested.certificates.iter();
    let certificates: Vec<_> = certificates
        .map(|der| pem::encode("CERTIFICATE", der))
        .collect();
    terminal::say_json(&json!({
        "schema": "stella.key-attestation/v1",
        "keyId": hex::encode(public.key_id()),
        "kind": super::kind(public),
        "publicKey": public.to_pem(),
        "device": {
            "label": attested.token.label,
            "manufacturer": attested.token.manufacturer,
            "model": attested.token.model,
            "serial": attested.token.serial,
            "hardware": attested.hardware,
            "firmware": attested.firmware,
        },
        "extractable": attested.extractable,
        "neverExtractable": attested.never_extractable,
        "sensitive": attested.sensitive,
        "alwaysSensitive": attested.always_sensitive,
        "madeInDevice": attested.local,
        "certificates": certificates,
    }));
}

fn say(attested: &Attested, public: &PublicKey) {
    let text = |text: &Option<String>| escape(text.as_deref().unwrap_or_default());
    let word = |value: Option<bool>| match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not said",
    };
    let token = &attested.token;
    terminal::say(&format!(
        "{} key {}",
        super::kind(public),
        hex::encode(public.key_id())
    ));
    terminal::say(&format!(
        "  in {} ({} {}, serial {}, hardware {}, firmware {})",
        text(&token.label),
        text(&token.manufacturer),
        text(&token.model),
        text(&token.serial),
        attested.hardware,
        attested.firmware,
    ));
    terminal::say(&format!(
        "  made in the device:    {}",
        word(attested.local)
    ));
    terminal::say(&format!(
        "  can be taken out:      {}",
        word(attested.extractable)
    ));
    terminal::say(&format!(
        "  never could be:        {}",
        word(attested.never_extractable)
    ));
    terminal::say(&format!(
        "  kept from being read:  {}",
        word(attested.sensitive)
    ));
    let certificates = attested.certificates.len();
    if certificates > 0 {
        terminal::say(&format!(
            "  certificates with it:  {certificates} (--json shows them)"
        ));
    }
}
