//! The files in which people keep keys and regions: `~/.aws/credentials` and `~/.aws/config`, by profile.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use stella_keys::{KeyError, ServiceFailure};
use zeroize::Zeroizing;

use super::SERVICE;
use crate::kms::Surroundings;
use crate::oidc::SecretText;

/// Bytes of a file.
const MAX_FILE: usize = 1 << 20;
const PROFILES: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
const DEFAULT: &str = "default";

/// What both files say of a profile.
#[derive(Default)]
pub(super) struct Profile {
    /// Its name.
    pub(super) name: String,
    /// Whether either file has it.
    pub(super) exists: bool,
    pub(super) region: Option<String>,
    pub(super) access_key: Option<String>,
    pub(super) secret: Option<SecretText>,
    pub(super) session_token: Option<SecretText>,
}

impl Profile {
    /// Reads the profile that `AWS_PROFILE` names, else the default one. Files that are not there say nothing.
    pub(super) fn read(surroundings: &Surroundings) -> Result<Self, KeyError> {
        let mut profile = Self {
            name: surroundings
                .first(&PROFILES)
                .unwrap_or_else(|| DEFAULT.to_owned()),
            ..Self::default()
        };
        let heading = match profile.name.as_str() {
            DEFAULT => DEFAULT.to_owned(),
            name => format!("profile {name}"),
        };
        let name = profile.name.clone();
        // What stands in the file for secrets counts more: it is read last.
        profile.take(surroundings, "AWS_CONFIG_FILE", "config", &heading)?;
        profile.take(
            surroundings,
            "AWS_SHARED_CREDENTIALS_FILE",
            "credentials",
            &name,
        )?;
        Ok(profile)
    }

    fn take(
        &mut self,
        surroundings: &Surroundings,
        variable: &str,
        usual: &str,
        heading: &str,
    ) -> Result<(), KeyError> {
        let usual = || Some(surroundings.home.as_ref()?.join(".aws").join(usual));
        let path = surroundings.text(variable).map(PathBuf::from);
        let Some(path) = path.or_else(usual) else {
            return Ok(());
        };
        let Some(text) = read(&path)? else {
            return Ok(());
        };
        let mut is_inside = false;
        for line in text.lines() {
            let is_indented = line.starts_with([' ', '\t']);
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[') {
                let name = name.split(']').next().unwrap_or_default();
                let words: Vec<&str> = name.split_whitespace().collect();
                is_inside = words.join(" ") == heading;
                self.exists |= is_inside;
                continue;
            }
            // An indented line belongs to the setting above it, and none of those is read here.
            let is_setting = is_inside && !is_indented && !line.starts_with(['#', ';']);
            if let Some((name, value)) = line.split_once('=').filter(|_| is_setting) {
                self.set(name.trim(), value.trim());
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let secret = || Some(SecretText::new(value.to_owned()));
        match name.to_ascii_lowercase().as_str() {
            "region" => self.region = Some(value.to_owned()),
            "aws_access_key_id" => self.access_key = Some(value.to_owned()),
            "aws_secret_access_key" => self.secret = secret(),
            "aws_session_token" => self.session_token = secret(),
            _ => {}
        }
    }
}

/// Reads a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeyError> {
    let failed = |what: &str| {
        let what = format!("{}: {what}", path.display());
        KeyError::service(SERVICE, ServiceFailure::Credentials, &what)
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error.to_string())),
    };
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_FILE as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| failed(&error.to_string()))?;
    if text.len() > MAX_FILE {
        return Err(failed("it is longer than any such file"));
    }
    Ok(Some(text))
}
