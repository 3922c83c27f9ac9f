//! The keys of a new instance, unless they are kept elsewhere, and the certificates over those of its authorities.

use std::path::Path;
use std::time::Duration;

use stella_bundle::certificate::Certificate;
use stella_bundle::issue::IssueError;
use stella_bundle::issue::certificate::{Authority, CertificateTemplate, Name, Serial, Subject};
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::pem;
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, FileKey, Signer};

use super::{InstanceError, authority, certificate_path, key_path, public_key_path};
use crate::directory::{self, Readable};
use crate::held::{HeldKeys, KeyPurpose};
use crate::random;

/// Roots, intermediates and timestamp certificates live ten years.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How roots sign.
const ROOT_DETAILS: KeyDetails = KeyDetails::EcdsaP384Sha384;

/// Makes keys and authorities' certificates.
pub(super) struct Maker<'a> {
    pub(super) directory: &'a Path,
    pub(super) organization: &'a str,
    pub(super) now: UnixTime,
    pub(super) held: &'a HeldKeys,
}

impl Maker<'_> {
    /// Makes a key that needs no certificate. Of one that is kept elsewhere the public half is recorded, by which clients
    /// know it.
    pub(super) fn bare(&self, purpose: KeyPurpose) -> Result<(), InstanceError> {
        let public = self.key(purpose)?;
        if self.held.contains_key(&purpose) {
            let path = public_key_path(self.directory, purpose.own().0);
            directory::write_new(&path, public.to_pem().as_bytes(), Readable::ByAll)?;
        }
        Ok(())
    }

    /// Makes a root. Above a key that is kept elsewhere its own key is kept nowhere: in a file it would be the way around
    /// the device.
    pub(super) fn root(
        &self,
        below: KeyPurpose,
        name: &str,
        common_name: &str,
    ) -> Result<Root, InstanceError> {
        let key: Box<dyn Signer> = match self.held.contains_key(&below) {
            true => Box::new(EphemeralKey::generate(ROOT_DETAILS)?),
            false => Box::new(FileKey::create(
                &key_path(self.directory, name),
                ROOT_DETAILS,
            )?),
        };
        let subject = self.subject(key.public_key(), common_name)?;
        let template = CertificateTemplate::root(subject, ROOT_DETAILS)?;
        let der = template.assemble(&key.sign(&template.to_be_signed())?);
        let certificate = self.write(name, &der)?;
        Ok(Root {
            authority: authority(key.as_ref(), &certificate),
            key,
        })
    }

    /// Makes a key below a root, and its certificate.
    pub(super) fn below(
        &self,
        root: &Root,
        purpose: KeyPurpose,
        common_name: &str,
        template: impl FnOnce(Subject, &Authority) -> Result<CertificateTemplate, IssueError>,
    ) -> Result<(), InstanceError> {
        let subject = self.subject(&self.key(purpose)?, common_name)?;
        let template = template(subject, &root.authority)?;
        let der = template.assemble(&root.key.sign(&template.to_be_signed())?);
        self.write(purpose.own().0, &der).map(|_| ())
    }

    /// Makes a key, unless it is kept elsewhere; returns its public half.
    fn key(&self, purpose: KeyPurpose) -> Result<PublicKey, InstanceError> {
        if let Some(held) = self.held.get(&purpose) {
            return Ok(held.signer.public_key().clone());
        }
        let (name, details) = purpose.own();
        let key = FileKey::create(&key_path(self.directory, name), details)?;
        Ok(key.public_key().clone())
    }

    fn subject(&self, key: &PublicKey, common_name: &str) -> Result<Subject, InstanceError> {
        let not_before = self.now.floor_seconds();
        Ok(Subject {
            serial: Serial::from_random(random::bytes()?),
            name: Name::new(self.organization, common_name),
            public_key: key.spki().to_vec(),
            not_before,
            not_after: not_before.plus(AUTHORITY_LIFE),
        })
    }

    fn write(&self, name: &str, der: &[u8]) -> Result<Certificate, InstanceError> {
        let path = certificate_path(self.directory, name);
        directory::write_new(
            &path,
            pem::encode("CERTIFICATE", der).as_bytes(),
            Readable::ByAll,
        )?;
        Certificate::parse(der).map_err(|_| InstanceError::CertificateMalformed { path })
    }
}

/// A root, while it is needed.
pub(super) struct Root {
    key: Box<dyn Signer>,
    authority: Authority,
}
