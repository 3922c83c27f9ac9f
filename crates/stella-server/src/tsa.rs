//! The timestamp authority: RFC 3161 over HTTP, in DER and in the JSON of Sigstore's authority.
//!
//! The token's bytes are laid out in `stella_bundle::issue::timestamp`; requests are read in `stella_wire::tsa`.

use std::sync::Arc;
use std::time::Duration;

use const_oid::ObjectIdentifier;
use http::{HeaderMap, StatusCode, header};
use stella_bundle::issue::timestamp::{self, TimestampFailure, TimestampInfo, TimestampTemplate};
use stella_bundle::pem;
use stella_wire::problem::Code;
use stella_wire::tsa::{Certificates, QUERY, REPLY, TimestampRequest, TimestampRequestError};
use stella_wire::{Request, Response};

use crate::answer;
use crate::clock::SteadyClock;
use crate::instance::Instance;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::random;

/// The policy of Sigstore's timestamp authorities; clients that ask for one ask for this.
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");

/// The service.
#[derive(Debug)]
pub(crate) struct TimestampAuthority {
    instance: Arc<Instance>,
    clock: SteadyClock,
    metrics: Arc<Metrics>,
}

/// A refusal in both forms that a client may want.
struct Refusal {
    failure: TimestampFailure,
    problem: Problem,
}

impl From<TimestampRequestError> for Refusal {
    fn from(error: TimestampRequestError) -> Self {
        use TimestampRequestError as E;
        let (failure, reason) = match error {
            E::DigestLength { .. } => (TimestampFailure::BadDataFormat, "DIGEST_LENGTH_WRONG"),
            E::Extension => (
                TimestampFailure::UnacceptedExtension,
                "EXTENSION_UNSUPPORTED",
            ),
            E::HashAlgorithm => (TimestampFailure::BadAlg, "HASH_UNSUPPORTED"),
            E::Policy => (TimestampFailure::UnacceptedPolicy, "POLICY_UNKNOWN"),
            E::Nonce | E::Version => (TimestampFailure::BadRequest, "REQUEST_UNSUPPORTED"),
            _ => (TimestampFailure::BadDataFormat, "REQUEST_MALFORMED"),
        };
        Self {
            failure,
            problem: Problem::invalid(error.to_string(), reason),
        }
    }
}

impl TimestampAuthority {
    pub(crate) const fn new(
        instance: Arc<Instance>,
        clock: SteadyClock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            instance,
            clock,
            metrics,
        }
    }

    /// Answers `POST /api/v1/timestamp`.
    pub(crate) fn stamp(&self, request: &Request) -> Result<Response, Problem> {
        let read = match media_type(request.headers()) {
            Some(kind) if kind.eq_ignore_ascii_case(QUERY) => {
                TimestampRequest::from_der(request.body())
            }
            Some(kind) if kind.eq_ignore_ascii_case("application/json") => {
                TimestampRequest::from_json(request.body())
            }
            _ => {
                let message = format!("Content-Type must be {QUERY} or application/json");
                let problem = Problem::invalid(message, "CONTENT_TYPE_WRONG");
                return Err(problem.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
            }
        };
        match read
            .map_err(Refusal::from)
            .and_then(|asked| self.grant(&asked))
        {
            Ok(body) => Ok(answer::typed(REPLY, body)),
            // spec: RFC 3161 §2.4.2: a client that speaks DER may have the refusal in DER.
            Err(refusal) if wants_reply(request.headers()) => {
                Ok(answer::typed(REPLY, timestamp::rejected(refusal.failure)))
            }
            Err(refusal) => Err(refusal.problem),
        }
    }

    /// Makes the answer that grants.
    fn grant(&self, request: &TimestampRequest) -> Result<Vec<u8>, Refusal> {
        if request.policy.is_some_and(|policy| policy != POLICY) {
            return Err(TimestampRequestError::Policy.into());
        }
        let time = self.clock.certified_now().map_err(|error| Refusal {
            failure: TimestampFailure::TimeNotAvailable,
            problem: Problem::new(
                Code::Unavailable,
                "the time is not to be trusted now",
                "CLOCK_STEPPED_BACK",
            )
            .retry_after(Duration::from_secs(5))
            .because(error),
        })?;
        let failed = |cause: &dyn std::fmt::Display| Refusal {
            failure: TimestampFailure::SystemFailure,
            problem: Problem::new(Code::Internal, "no timestamp", "TIMESTAMP_FAILED")
                .because(cause),
        };
        let info = TimestampInfo {
            policy: POLICY,
            imprint: request.imprint.clone(),
            serial: random::bytes().map_err(|error| failed(&error))?,
            time,
            nonce: request.nonce.clone(),
        };
        let signer = &self.instance.timestamping;
        let certificate = signer.certificate.der();
        let template = TimestampTemplate::new(&info, certificate, signer.key.details())
            .map_err(|error| failed(&error))?;
        let signature = signer
            .key
            .sign(template.to_be_signed())
            .map_err(|error| failed(&error))?;
        let along = match request.certificates {
            Certificates::Include => vec![certificate.to_vec()],
            Certificates::Omit => Vec::new(),
        };
        self.metrics.timestamps.add();
        tracing::info!(
            target: "stella::audit",
            event = "timestamp",
            serial = hex::encode(info.serial),
            digest = %request.digest,
            time = %time.floor_seconds(),
        );
        Ok(timestamp::granted(&template.assemble(&signature, &along)))
    }

    /// Answers `GET /api/v1/timestamp/certchain`.
    pub(crate) fn chain(&self) -> Response {
        let signer = &self.instance.timestamping;
        let chain = [signer.certificate.der(), signer.root.der()];
        let text: String = chain
            .iter()
            .map(|der| pem::encode("CERTIFICATE", der))
            .collect();
        answer::document("application/pem-certificate-chain", text)
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

fn wants_reply(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| {
        accept
            .split(',')
            .any(|kind| kind.trim().eq_ignore_ascii_case(REPLY))
    })
}
