//! Fulcio: a certificate for ten minutes, for whoever shows a token of a trusted issuer and holds the key.
//!
//! The story is [`Fulcio::certify`]. Tokens are judged in `issuers`, keys and their proofs in `fulcio/submitted`; the
//! certificate's bytes are laid out in `stella_bundle::issue::certificate`.

mod submitted;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use stella_bundle::certificate::Certificate;
use stella_bundle::issue::certificate::{CertificateTemplate, Extension, Name, Serial, Subject};
use stella_bundle::key::PublicKey;
use stella_bundle::pem;
use stella_bundle::sct::Sct;
use stella_bundle::time::UnixTime;
use stella_wire::fulcio::{
    LegacySigningCertRequest, PEM_CHAIN, SigningCert, SigningCertRequest, TrustBundle,
};
use stella_wire::problem::Code;
use stella_wire::{Request, Response};

use crate::answer;
use crate::clock::SteadyClock;
use crate::ct::{CtError, CtLog, Precertificate};
use crate::instance::Instance;
use crate::issuers::{Issuers, Principal};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::random;

/// Fulcio's sentence for a log that fails.
const NO_PROMISE: &str = "Error entering certificate in CTL";

/// Certificates live this long from the second of their issue.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(600);

/// The service.
pub(crate) struct Fulcio {
    instance: Arc<Instance>,
    issuers: Issuers,
    ct: Arc<CtLog>,
    clock: SteadyClock,
    metrics: Arc<Metrics>,
}

impl Fulcio {
    pub(crate) const fn new(
        instance: Arc<Instance>,
        issuers: Issuers,
        ct: Arc<CtLog>,
        clock: SteadyClock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            instance,
            issuers,
            ct,
            clock,
            metrics,
        }
    }

    /// Answers `POST /api/v2/signingCert`: JSON whatever `Accept` says, because sigstore-python asks for PEM and reads
    /// JSON.
    pub(crate) async fn sign(&self, request: &Request) -> Result<Response, Problem> {
        let asked = SigningCertRequest::parse(request.body()).map_err(malformed)?;
        let token = asked.token().or_else(|| bearer(request.headers()));
        let issued = self.certify(token, &asked).await?;
        Ok(answer::json(StatusCode::OK, issued.to_bytes()))
    }

    /// Answers `POST /api/v1/signingCert`: 201 with concatenated PEM, the token in the header only.
    pub(crate) async fn sign_legacy(&self, request: &Request) -> Result<Response, Problem> {
        let asked = LegacySigningCertRequest::parse(request.body()).map_err(malformed)?;
        let issued = self.certify(bearer(request.headers()), &asked).await?;
        let mut response = answer::typed(PEM_CHAIN, issued.to_pem());
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }

    /// From token and key to certificate. Whatever fails with 5xx fails only after the client was right.
    async fn certify(
        &self,
        token: Option<&str>,
        asked: &SigningCertRequest,
    ) -> Result<SigningCert, Problem> {
        // 1. Whose token is it?
        let token = token.ok_or_else(|| {
            Problem::invalid(
                "There was an error processing the identity token",
                "TOKEN_MISSING",
            )
        })?;
        let principal = self.issuers.verify(token, self.clock.now()).await?;
        // 2. Does the sender hold the key, and is it a good one?
        let key = submitted::accept(asked, &principal.proofs)?;
        // 3. Precertificate: the certificate with a poison in place of the SCT.
        let now = self.clock.certified_now().map_err(|error| {
            Problem::new(
                Code::Unavailable,
                "the time is not to be trusted now",
                "CLOCK_STEPPED_BACK",
            )
            .retry_after(Duration::from_secs(5))
            .because(error)
        })?;
        let template = self.template(&principal, &key, now)?;
        let poisoned = template.with(Extension::poison());
        let signature = self.sign_by_authority(&poisoned)?;
        let precertificate = Precertificate {
            tbs_certificate: template.to_be_signed(),
            der: poisoned.assemble(&signature),
        };
        // 4. Into the CT log; the promise comes back when the entry is durable.
        let promised = self.ct.promise(precertificate, now).await;
        let sct = promised.map_err(|error| match error {
            CtError::Log(error) => Problem::of_log(error, NO_PROMISE),
            CtError::Key(error) => {
                Problem::new(Code::Internal, NO_PROMISE, "CT_FAILED").because(error)
            }
        })?;
        // 5. The certificate with the promise inside.
        let finished = template.with(Extension::sct_list(std::slice::from_ref(&sct)));
        let der = finished.assemble(&self.sign_by_authority(&finished)?);
        // 6. What leaves here verifies.
        let certificate = self.require_verifiable(&der, &sct)?;
        self.metrics.certificates.add();
        tracing::info!(
            target: "stella::audit",
            event = "certificate",
            serial = hex::encode(certificate.serial()),
            issuer = principal.issuer,
            subject = principal.subject,
            name = principal.name.identity().unwrap_or_default(),
            not_after = %certificate.not_after(),
            ct_extensions = hex::encode(&sct.extensions),
        );
        let authority = &self.instance.intermediate;
        let chain = vec![
            der,
            authority.certificate.der().to_vec(),
            authority.root.der().to_vec(),
        ];
        Ok(SigningCert {
            chain,
            detached_sct: None,
        })
    }

    fn template(
        &self,
        principal: &Principal,
        key: &PublicKey,
        now: UnixTime,
    ) -> Result<CertificateTemplate, Problem> {
        let not_before = now.floor_seconds();
        let subject = Subject {
            serial: Serial::from_random(random::bytes().map_err(internal)?),
            name: Name::empty(),
            public_key: key.spki().to_vec(),
            not_before,
            not_after: not_before.plus(CERTIFICATE_LIFE),
        };
        let mut claims: Vec<Extension> = principal
            .claims
            .iter()
            .map(|(claim, value)| Extension::claim(*claim, value))
            .collect();
        claims.extend(
            principal
                .ref_protected
                .as_deref()
                .map(Extension::ref_protected),
        );
        let authority = self.instance.intermediate.authority();
        CertificateTemplate::signer(subject, &principal.name, claims, &authority).map_err(internal)
    }

    fn sign_by_authority(&self, template: &CertificateTemplate) -> Result<Vec<u8>, Problem> {
        self.instance
            .intermediate
            .key
            .sign(&template.to_be_signed())
            .map_err(internal)
    }

    fn require_verifiable(&self, der: &[u8], sct: &Sct) -> Result<Certificate, Problem> {
        let authority = &self.instance.intermediate.certificate;
        let certificate = Certificate::parse(der).map_err(internal)?;
        certificate
            .verify_signature(authority.public_key())
            .map_err(internal)?;
        sct.verify(
            self.instance.ct.public_key(),
            &certificate,
            authority.public_key(),
        )
        .map_err(internal)?;
        Ok(certificate)
    }

    /// Answers `GET /api/v2/trustBundle`.
    pub(crate) fn trust_bundle(&self) -> Response {
        let authority = &self.instance.intermediate;
        let chain = vec![
            authority.certificate.der().to_vec(),
            authority.root.der().to_vec(),
        ];
        answer::document(
            "application/json",
            TrustBundle {
                chains: vec![chain],
            }
            .to_bytes(),
        )
    }

    /// Answers `GET /api/v1/rootCert`.
    pub(crate) fn root_legacy(&self) -> Response {
        let authority = &self.instance.intermediate;
        let chain = [authority.certificate.der(), authority.root.der()];
        let text: String = chain
            .iter()
            .map(|der| pem::encode("CERTIFICATE", der))
            .collect();
        answer::document(PEM_CHAIN, text)
    }

    /// Answers `GET /api/v2/configuration`.
    pub(crate) fn configuration(&self) -> Response {
        answer::document("application/json", self.issuers.configuration().to_bytes())
    }
}

fn malformed(error: stella_wire::fulcio::FulcioError) -> Problem {
    Problem::invalid(error.to_string(), "REQUEST_MALFORMED")
}

fn internal(error: impl std::fmt::Display) -> Problem {
    Problem::new(
        Code::Internal,
        "error communicating with CA backend",
        "CA_FAILED",
    )
    .because(error)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}
