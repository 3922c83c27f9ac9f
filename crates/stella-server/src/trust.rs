//! What clients need to know of an instance: trusted root, signing config, and both in one file.
//!
//! Generated from the live keys and certificates, in the form that every released client accepts; also written into the
//! instance's directory for clients that take files.

use std::time::Duration;

use stella_bundle::asn1::Asn1Error;
use stella_bundle::certificate::Certificate;
use stella_bundle::entry::LogId;
use stella_bundle::signing_config::{
    self, ClientTrustConfig, Selection, Selector, Service, SigningConfig,
};
use stella_bundle::trusted_root::{
    self, CertificateAuthority, CertificateChain, DistinguishedName, LogKey, RawCertificate,
    TimeRange, TransparencyLog, TrustedRoot,
};
use stella_keys::Signer;
use stella_wire::Response;
use stella_wire::tsa::TIMESTAMP_PATH;

use crate::answer;
use crate::ct;
use crate::directory::{self, FileError};
use crate::instance::{Certified, Instance};

/// Folder of the trust files below the public URL.
pub(crate) const PREFIX: &str = "/.well-known/stella/";

/// A client's clock may be behind ours by this much, and still find the services valid.
const EARLIER: Duration = Duration::from_secs(24 * 3600);

/// The three files.
#[derive(Debug)]
pub(crate) struct TrustFiles {
    trusted_root: Vec<u8>,
    signing_config: Vec<u8>,
    client_trust_config: Vec<u8>,
}

impl TrustFiles {
    pub(crate) fn new(instance: &Instance, rekor_log_id: [u8; 32]) -> Self {
        let root = trusted_root(instance, rekor_log_id);
        let config = signing_config(instance);
        Self {
            trusted_root: root.to_json(),
            signing_config: config.to_json(),
            client_trust_config: ClientTrustConfig::new(root, config).to_json(),
        }
    }

    /// Writes the files whose content changed.
    pub(crate) fn write(&self, instance: &Instance) -> Result<(), FileError> {
        for (name, bytes) in [
            ("trusted_root.json", &self.trusted_root),
            ("signing_config.json", &self.signing_config),
            ("client_trust_config.json", &self.client_trust_config),
        ] {
            let path = instance.directory.join(name);
            let limit = stella_wire::limits::TRUST_ANSWER as u64;
            if directory::read_optional(&path, limit)?.as_ref() != Some(bytes) {
                directory::replace(&path, bytes)?;
            }
        }
        Ok(())
    }

    /// Returns a file's bytes by its name below [`PREFIX`].
    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        match name {
            "trusted_root.json" => Some(&self.trusted_root),
            "signing_config.json" => Some(&self.signing_config),
            "client-trust-config.json" | "client_trust_config.json" => {
                Some(&self.client_trust_config)
            }
            _ => None,
        }
    }

    /// Answers `GET /.well-known/stella/…`.
    pub(crate) fn read(&self, name: &str) -> Option<Response> {
        self.file(name)
            .map(|bytes| answer::document("application/json", bytes.to_vec()))
    }
}

fn trusted_root(instance: &Instance, rekor_log_id: [u8; 32]) -> TrustedRoot {
    let url = instance.url();
    let start = TimeRange::from_start(instance.created.floor_seconds());
    let log = |base_url: String, key: &dyn Signer, id: [u8; 32]| TransparencyLog {
        base_url,
        hash_algorithm: "SHA2_256".to_owned(),
        public_key: LogKey {
            raw_bytes: key.public_key().spki().to_vec(),
            key_details: key.details().name().to_owned(),
            valid_for: Some(start.clone()),
        },
        log_id: LogId {
            key_id: id.to_vec(),
        },
        // sigstore-js takes a 4-byte id given here for the whole one, and then finds no log.
        checkpoint_key_id: None,
        operator: operator(instance),
    };
    let (rekor, ct) = (instance.rekor.as_ref(), instance.ct.as_ref());
    TrustedRoot {
        media_type: trusted_root::MEDIA_TYPE.to_owned(),
        tlogs: vec![log(url.to_owned(), rekor, rekor_log_id)],
        certificate_authorities: vec![authority(instance, &instance.intermediate, url.to_owned())],
        ctlogs: vec![log(
            format!("{url}{}", ct::PREFIX),
            ct,
            ct.public_key().key_id(),
        )],
        timestamp_authorities: vec![authority(
            instance,
            &instance.timestamping,
            format!("{url}{TIMESTAMP_PATH}"),
        )],
    }
}

fn authority(instance: &Instance, certified: &Certified, uri: String) -> CertificateAuthority {
    // The issuing certificate first, the anchor last: sigstore-python takes the first for the timestamp signer.
    let chain = [&certified.certificate, &certified.root];
    let raw = |certificate: &&Certificate| RawCertificate {
        raw_bytes: certificate.der().to_vec(),
    };
    CertificateAuthority {
        subject: Some(DistinguishedName {
            organization: instance.host().to_owned(),
            common_name: common_name(&certified.certificate).unwrap_or_default(),
        }),
        uri,
        cert_chain: CertificateChain {
            certificates: chain.iter().map(raw).collect(),
        },
        valid_for: Some(TimeRange::from_start(instance.created.floor_seconds())),
        operator: operator(instance),
    }
}

/// Reads the last part of a name that `stella_bundle::issue` wrote: `O=…, CN=…`.
fn common_name(certificate: &Certificate) -> Result<String, Asn1Error> {
    let mut parts = stella_bundle::asn1::only_sequence(certificate.subject())?;
    let mut name = String::new();
    while !parts.is_empty() {
        let mut part = parts
            .expect(stella_bundle::asn1::tag::SET)?
            .reader()
            .sequence()?;
        part.tlv()?;
        name = part.tlv()?.to_text()?.to_owned();
    }
    Ok(name)
}

fn signing_config(instance: &Instance) -> SigningConfig {
    let url = instance.url();
    let service = |url: String, major_api_version| Service {
        url,
        major_api_version,
        valid_for: Some(TimeRange::from_start(
            instance.created.floor_seconds().minus(EARLIER),
        )),
        operator: operator(instance),
    };
    let any = || Selection {
        selector: Selector::Any,
        count: 0,
    };
    SigningConfig {
        media_type: signing_config::MEDIA_TYPE.to_owned(),
        // Fulcio's API at /api/v2 is version 1 in this file; Rekor's at /api/v2 is version 2.
        ca_urls: vec![service(url.to_owned(), 1)],
        oidc_urls: vec![service(url.to_owned(), 1)],
        rekor_tlog_urls: vec![service(url.to_owned(), 2)],
        rekor_tlog_config: any(),
        tsa_urls: vec![service(format!("{url}{TIMESTAMP_PATH}"), 1)],
        tsa_config: any(),
    }
}

fn operator(instance: &Instance) -> String {
    instance.host().to_owned()
}
