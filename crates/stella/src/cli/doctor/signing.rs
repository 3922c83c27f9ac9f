//! The doctor's look at what signing begins with: the configuration, the key, the identity token, the instance here.

use stella_bundle::time::UnixTime;
use stella_client::error::Service;
use stella_server::{DESCRIPTION, Description, KeyPurpose};

use super::Finding;
use super::services::Asking;
use crate::cli::attest::table;
use crate::cli::config::key_mode_needs_a_key;
use crate::config::{Config, Loaded, Mode};
use crate::exit::Failure;
use crate::local::instance_failure;
use crate::token::{self, Prospect};
use crate::{key, places, trust};

/// Says which configuration holds.
pub(super) fn configuration(loaded: &Result<Loaded, Failure>) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(failure) => {
            let failure = failure.clone();
            let next = "correct it; `stella config check` looks at it again";
            return vec![Finding::failure(CHECK, failure.hint_if_none(next))];
        }
    };
    let mut findings = vec![match &loaded.file {
        Some(path) => Finding::good(CHECK, path.display().to_string()),
        None => {
            let searched = loaded
                .searched
                .iter()
                .map(|path| path.display().to_string());
            let searched: Vec<String> = searched.collect();
            let found = format!(
                "none, so the defaults hold; looked for {}",
                searched.join(", ")
            );
            Finding::good(CHECK, found)
        }
    }];
    findings.extend(loaded.meant.keyless.root_bundle.as_ref().map(|path| {
        let read = table::read_root_bundle(path);
        let found = read.map(|held| format!("{}: {} roots", path.display(), held.len()));
        let next = "name a file of certificates in PEM, or take rootBundlePath out";
        Finding::of(CHECK, found.map_err(|failure| failure.hint_if_none(next)))
    }));
    findings.extend(loaded.not_used.as_ref().map(|path| {
        let path = path.display();
        let found = format!("{path} is here and not used: the working directory may be anyone's");
        Finding::warning(
            CHECK,
            found,
            format!("if it is yours: stella --config {path} …"),
        )
    }));
    findings
}

/// Looks at the key that the configuration names.
pub(super) fn key(meant: &Config) -> Option<Finding> {
    const CHECK: &str = "key";
    match (&meant.key, meant.mode) {
        (Some(reference), Mode::Key) => Some(Finding::of(CHECK, key::look(reference))),
        (Some(reference), Mode::Keyless) => Some(match key::look(reference) {
            Ok(found) => {
                Finding::good(CHECK, format!("{found}; not used, for the mode is keyless"))
            }
            Err(failure) => Finding::warning_of(CHECK, failure),
        }),
        (None, Mode::Key) => Some(Finding::failure(CHECK, key_mode_needs_a_key())),
        (None, Mode::Keyless) => None,
    }
}

/// Says who would be asked for an identity token.
pub(super) fn identity(loaded: &Loaded, now: UnixTime) -> Option<Finding> {
    const CHECK: &str = "identity";
    let meant = &loaded.meant;
    if meant.mode == Mode::Key || !meant.keyless.is_enabled {
        return None;
    }
    Some(match token::look(loaded, now) {
        Ok(Prospect::Held(token)) => Finding::good(
            CHECK,
            format!(
                "{}: a token of {} for {}, until {}",
                token.origin(),
                token.issuer(),
                token.subject(),
                token.expires()
            ),
        ),
        Ok(Prospect::Offered(origin)) => Finding::good(CHECK, format!("{origin}; not asked now")),
        Ok(Prospect::Nobody) if is_local(loaded) => {
            Finding::good(CHECK, "the issuer of this machine's own instance")
        }
        // Who only verifies needs none.
        Ok(Prospect::Nobody) => Finding::warning_of(CHECK, token::no_token()),
        Err(failure) => Finding::failure(CHECK, failure),
    })
}

/// Says whether signing takes the instance of this machine, because nobody else was chosen.
fn is_local(loaded: &Loaded) -> bool {
    let recorded = trust::Folder::usual().record();
    loaded.meant.keyless.trust.is_none() && matches!(recorded, Ok(None)) && !trust::is_ci()
}

/// Looks at the instance of this machine, which need not be there, and at its keys that are kept elsewhere.
pub(super) fn instance(asking: Option<&Asking>) -> Vec<Finding> {
    const CHECK: &str = "instance";
    let directory = places::instance(None);
    if !directory.join(DESCRIPTION).exists() {
        return Vec::new();
    }
    let description = match Description::read(&directory) {
        Ok(description) => description,
        Err(error) => return vec![Finding::failure(CHECK, instance_failure(error))],
    };
    let (place, url) = (directory.display(), &description.url);
    let itself = match (stella_server::is_held(&directory), asking) {
        (Err(error), _) => Finding::failure(CHECK, instance_failure(error)),
        (Ok(false), _) => {
            let found = format!("{place}, not served now: signing opens it itself");
            Finding::good(CHECK, found)
        }
        (Ok(true), None) => Finding::good(CHECK, format!("{place}, in use by another process")),
        (Ok(true), Some(asking)) => {
            let asked = asking.ask(Service::Trust, url);
            let asked = asked.map(|_| format!("{place}, served at {url}"));
            Finding::of(CHECK, asked.map_err(Failure::from))
        }
    };
    let look = |(purpose, reference): (&KeyPurpose, &String)| {
        let owner = purpose.owner();
        let found = key::look(reference);
        let found = found.map(|found| format!("its {owner} signs with {reference}: {found}"));
        Finding::of(CHECK, found)
    };
    let keys = description.keys.iter().map(look);
    [itself].into_iter().chain(keys).collect()
}
