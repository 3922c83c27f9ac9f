//! The keys of an instance that are kept elsewhere, as the command line names them.

use stella_keys::reference::KeyReference;
use stella_server::{KeyPurpose, KeyReferences};

use crate::exit::Failure;

/// Keys that stay where they are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Keys of a new instance, kept elsewhere")]
pub(super) struct KeyFlags {
    /// Sign certificates with this key, which stays where it is: pkcs11:…, NAME://KEY, a path, env:VARIABLE. Its name is
    /// recorded, and it is opened at each start. ECDSA on P-256 or P-384
    #[arg(long, value_name = "KEY")]
    ca_key: Option<String>,

    /// Sign the CT log's promises and tree heads with this key: ECDSA on P-256
    #[arg(long, value_name = "KEY")]
    ct_key: Option<String>,

    /// Sign the Rekor log's checkpoints with this key, one for all entries that came together: Ed25519, or ECDSA on P-256
    #[arg(long, value_name = "KEY")]
    log_key: Option<String>,

    /// Sign the own issuer's tokens with this key: RSA, or ECDSA on P-256 or P-384
    #[arg(long, value_name = "KEY")]
    oidc_key: Option<String>,

    /// Sign timestamps with this key: ECDSA on P-256 or P-384
    #[arg(long, value_name = "KEY")]
    tsa_key: Option<String>,
}

impl KeyFlags {
    const fn of(&self, purpose: KeyPurpose) -> Option<&String> {
        match purpose {
            KeyPurpose::Ca => self.ca_key.as_ref(),
            KeyPurpose::Ct => self.ct_key.as_ref(),
            KeyPurpose::Log => self.log_key.as_ref(),
            KeyPurpose::Oidc => self.oidc_key.as_ref(),
            KeyPurpose::Tsa => self.tsa_key.as_ref(),
        }
    }

    /// Returns the keys that are kept elsewhere, by names that hold wherever the instance is started.
    pub(super) fn references(&self) -> Result<KeyReferences, Failure> {
        let given = KeyPurpose::ALL.into_iter();
        let given = given.filter_map(|purpose| Some((purpose, self.of(purpose)?)));
        given
            .map(|(purpose, given)| Ok((purpose, lasting(given)?)))
            .collect()
    }
}

/// Requires that what was asked for is what an instance was made with.
pub(super) fn require_same(asked: &KeyReferences, recorded: &KeyReferences) -> Result<(), Failure> {
    for (purpose, reference) in asked {
        let recorded = recorded.get(purpose);
        if recorded != Some(reference) {
            let recorded = recorded.map_or("a file of its own", String::as_str);
            let owner = purpose.owner();
            return Err(Failure::usage(format!(
                "this instance's {owner} was made with the key {recorded}, and keeps to it"
            ))
            .hint("clients know it by that key: make a new instance in another directory"));
        }
    }
    Ok(())
}

fn lasting(given: &str) -> Result<String, Failure> {
    match KeyReference::parse(given) {
        KeyReference::File(path) => match std::path::absolute(&path) {
            Ok(path) => Ok(path.display().to_string()),
            Err(error) => Err(Failure::io("find", &path, &error)),
        },
        _ => Ok(given.to_owned()),
    }
}
