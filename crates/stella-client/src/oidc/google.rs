//! Google Cloud (Compute Engine, Cloud Build, Cloud Run, GKE): the metadata server gives a token of the service account.
//!
//! Where a machine is Google's is read from a file and never tried out: elsewhere no socket is opened, and no time lost.
//!
//! spec: Compute Engine, "Verify the identity of a VM", and "About VM metadata"

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::uri::Authority;
use stella_wire::limits;
use stella_wire::oidc::MAX_TOKEN;
use stella_wire::transport::Transport;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::{Environment, ProviderError};
use crate::error::{AnswerProblem, ClientError, Service};
use crate::exchange;
use crate::network::{self, LinkOnly};

/// The variable that names another metadata server, `HOST[:PORT]`.
const HOST: &str = "GCE_METADATA_HOST";
/// The server's address on the link; a name would have to be believed to whoever resolves it.
const USUAL_HOST: &str = "169.254.169.254";
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
/// What the firmware of Google's machines, and of its sandboxes, calls them.
const PRODUCTS: [&str; 2] = ["Google", "Google Compute Engine"];
/// Bytes of a product's name that are read.
const MAX_PRODUCT: u64 = 64;
/// What systems other than Google's set in their jobs.
const JOB: [&str; 4] = ["CI", "GITEA_ACTIONS", "JENKINS_URL", "TF_BUILD"];

/// A metadata server, by its host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataServer {
    host: Authority,
}

/// Finds the metadata server of this machine.
pub(super) fn detect(
    environment: &Environment<'_>,
) -> Result<Option<MetadataServer>, ProviderError> {
    if let Some(found) = environment.text(HOST) {
        let host = found.parse().ok().filter(is_known);
        let host = host.ok_or(ProviderError::GoogleHost { found })?;
        return Ok(Some(MetadataServer { host }));
    }
    // In another system's job the account is the runner's, whoever wrote the change: never instead of the job's.
    let is_job = JOB.iter().any(|name| environment.is_set(name));
    let is_googles = !is_job && is_googles(environment.product_file);
    let host = Authority::from_static(USUAL_HOST);
    Ok(is_googles.then_some(MetadataServer { host }))
}

/// Says whether plain http may go there: on the link, or an emulator on the loopback.
fn is_known(host: &Authority) -> bool {
    let has_name = host.as_str().starts_with(host.host());
    has_name && (network::is_link_only(host) || network::is_loopback(host.host()))
}

fn is_googles(product_file: &Path) -> bool {
    let mut product = String::new();
    let read = File::open(product_file)
        .and_then(|file| file.take(MAX_PRODUCT).read_to_string(&mut product));
    read.is_ok() && PRODUCTS.contains(&product.trim())
}

impl MetadataServer {
    /// Asks for a token for `audience`, with the account's address in it.
    ///
    /// # Errors
    ///
    /// `Unavailable`, [`ClientError::Refused`] where the machine has no service account, or an answer that is not a
    /// metadata server's.
    pub async fn token(
        &self,
        transport: &dyn Transport,
        audience: &str,
    ) -> Result<Zeroizing<String>, ClientError> {
        let service = Service::OidcProvider;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("audience", audience)
            .append_pair("format", "full")
            .finish();
        let address = format!("http://{}{TOKEN_PATH}?{query}", self.host);
        let mut request = exchange::request(service, http::Method::GET, &address, Bytes::new())?;
        let google = HeaderValue::from_static("Google");
        request.headers_mut().insert(FLAVOR, google.clone());
        request.extensions_mut().insert(LinkOnly);
        let answer = exchange::send(transport, service, request, limits::OIDC_ANSWER).await?;
        // Elsewhere somebody else may have the address; only the server says so of itself.
        if answer.headers().get(FLAVOR) != Some(&google) {
            let problem = AnswerProblem::NotMetadataServer;
            return Err(ClientError::answer(service, problem));
        }
        let length = answer.body().len();
        let text = std::str::from_utf8(answer.body()).unwrap_or_default();
        if length > MAX_TOKEN {
            let limit = MAX_TOKEN;
            let problem = AnswerProblem::TooLarge { length, limit };
            return Err(ClientError::answer(service, problem));
        }
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}
