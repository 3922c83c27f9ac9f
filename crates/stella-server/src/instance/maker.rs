//! The authorities of a new instance: their keys, unless those are kept elsewhere, and the certificates over them.

use std::path::Path;
use std::time::Duration;

use stella_bundle::certificate::Certificate;
use stella_bundle::issue::IssueError;
use stella_bundle::issue::certificate::{Authority, CertificateTemplate, Name, Serial, Subject};
use stella_bundle::key::KeyDetails;
use stella_bundle::pem;
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, FileKey, Signer};

use super::{InstanceError, authority, certificate_path, key_path};
use crate::directory::{self, Readable};
use crate::held::HeldKey;
use crate::random;

/// Roots, intermediates and timestamp certificates live ten years.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Makes authorities' certificates.
pub(super) struct Maker<'a> {
    pub(super) directory: &'a Path,
    pub(super) organization: &'a str,
    pub(super) now: UnixTime,
}

impl Maker<'_> {
    fn subject(&self, key: &dyn Signer, common_name: &str) -> Result<Subject, InstanceError> {
        let not_before = self.now.floor_seconds();
        Ok(Subject {
            serial: Serial::from_random(random::bytes()?),
            name: Name::new(self.organization, common_name),
            public_key: key.public_key().spki().to_vec(),
            not_before,
            not_after: not_before.plus(AUTHORITY_LIFE),
        })
    }

    /// Makes a root. Above a key that is kept elsewhere its own key is kept nowhere: in a file it would be the way around
    /// the device.
    pub(super) fn root(
        &self,
        (name, details): (&str, KeyDetails),
        common_name: &str,
        held: Option<&HeldKey>,
    ) -> Result<Root, InstanceError> {
        let key: Box<dyn Signer> = match held {
            Some(_) => Box::new(EphemeralKey::generate(details)?),
            None => Box::new(FileKey::create(&key_path(self.directory, name), details)?),
        };
        let subject = self.subject(key.as_ref(), common_name)?;
        let template = CertificateTemplate::root(subject, details)?;
        let der = template.assemble(&key.sign(&template.to_be_signed())?);
        let certificate = self.write(name, &der)?;
        Ok(Root {
            authority: authority(key.as_ref(), &certificate),
            key,
        })
    }

    pub(super) fn below(
        &self,
        root: &Root,
        (name, details): (&str, KeyDetails),
        common_name: &str,
        held: Option<&HeldKey>,
        template: impl FnOnce(Subject, &Authority) -> Result<CertificateTemplate, IssueError>,
    ) -> Result<(), InstanceError> {
        let subject = match held {
            Some(held) => self.subject(held.signer.as_ref(), common_name)?,
            None => {
                let key = FileKey::create(&key_path(self.directory, name), details)?;
                self.subject(&key, common_name)?
            }
        };
        let template = template(subject, &root.authority)?;
        let der = template.assemble(&root.key.sign(&template.to_be_signed())?);
        self.write(name, &der).map(|_| ())
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
