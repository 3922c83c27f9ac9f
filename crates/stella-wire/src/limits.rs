//! Sizes that both sides keep: what a service reads of a request, what a client reads of an answer.
//!
//! Bounds inside one format (claims, tiles, DER elements) stand beside their parser.

/// Body of a request to Fulcio in bytes: a token (16 KiB), a PEM key or CSR and their base64 fit several times.
pub const FULCIO_REQUEST: usize = 64 << 10;

/// Body of Fulcio's answer in bytes: the bound of sigstore-go; a chain of ten certificates needs a hundredth.
pub const FULCIO_ANSWER: usize = 1 << 20;

/// Body of a request to Rekor in bytes: upstream's bound; an envelope (`dsseRequestV002`) brings its payload along.
pub const REKOR_REQUEST: usize = 4 << 20;

/// Body of Rekor's answer in bytes: an entry of 64 KiB in base64, its proof, and a checkpoint with many cosignatures.
pub const REKOR_ANSWER: usize = 1 << 20;

/// Body of a timestamp request in DER, in bytes: a digest, an OID and a nonce need two hundred.
pub const TIMESTAMP_REQUEST: usize = 16 << 10;

/// Body of a timestamp request in JSON, in bytes: reading a decimal nonce costs the square of its length.
pub const TIMESTAMP_REQUEST_JSON: usize = 1 << 10;

/// Body of a timestamp answer in bytes: a token with a chain of RSA certificates needs a tenth.
pub const TIMESTAMP_ANSWER: usize = 256 << 10;

/// Body of a request to a CT log in bytes: a chain in base64.
pub const CT_REQUEST: usize = 256 << 10;

/// Body of a witness's answer in bytes: the lines of one cosigner, or a size.
pub const COSIGNATURES: usize = 64 << 10;

/// A discovery document, a key set or a token answer in bytes.
pub const OIDC_ANSWER: usize = 1 << 20;

/// A form posted to an OIDC endpoint in bytes.
pub const OIDC_REQUEST: usize = 16 << 10;

/// A trusted root, signing config or client trust config in bytes.
pub const TRUST_ANSWER: usize = 4 << 20;
