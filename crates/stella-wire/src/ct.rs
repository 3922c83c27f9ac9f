//! Words of certificate transparency logs that still take requests by RFC 6962 §4: `add-pre-chain` and its answer.
//!
//! Reading a static log is reading tiles: `stella_tlog`.

use serde::{Deserialize, Serialize};
use stella_bundle::json::{base64_bytes, base64_list};

/// Chains with more certificates are refused.
const MAX_CHAIN: usize = 10;

/// The ways in which bytes are none of these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CtError {
    /// The chain has no certificate, or too many.
    #[error("a chain of {count} certificates: 1 to {MAX_CHAIN} are read")]
    ChainLength {
        /// How many there are.
        count: usize,
    },
    /// Not JSON of this form.
    #[error("not the JSON expected, at line {line}, column {column}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
}

impl From<serde_json::Error> for CtError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// `{"chain": [base64 DER, …]}` (RFC 6962 §4.1, §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddChain {
    /// DER certificates, the one to be logged first.
    #[serde(
        serialize_with = "base64_list::serialize",
        deserialize_with = "base64_list::at_most::<MAX_CHAIN, _>"
    )]
    pub chain: Vec<Vec<u8>>,
}

impl AddChain {
    /// Reads the JSON body.
    ///
    /// # Errors
    /// Any [`CtError`].
    pub fn parse(body: &[u8]) -> Result<Self, CtError> {
        let request: Self = serde_json::from_slice(body)?;
        let count = request.chain.len();
        if !(1..=MAX_CHAIN).contains(&count) {
            return Err(CtError::ChainLength { count });
        }
        Ok(request)
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The answer to [`AddChain`]: an SCT in pieces (RFC 6962 §4.1); also the form of Fulcio's detached SCT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddChainAnswer {
    /// 0.
    pub sct_version: u8,
    /// Log id, 32 bytes.
    #[serde(with = "base64_bytes")]
    pub id: Vec<u8>,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// CtExtensions.
    #[serde(default, with = "base64_bytes")]
    pub extensions: Vec<u8>,
    /// `digitally-signed`: hash, algorithm, length, signature.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

impl AddChainAnswer {
    /// Reads the JSON body.
    ///
    /// # Errors
    /// [`CtError::Json`].
    pub fn parse(body: &[u8]) -> Result<Self, CtError> {
        Ok(serde_json::from_slice(body)?)
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_words_round_trip() {
        let request = AddChain {
            chain: vec![vec![1], vec![2, 3]],
        };
        assert_eq!(AddChain::parse(&request.to_bytes()), Ok(request));
        let answer = AddChainAnswer {
            id: vec![7; 32],
            timestamp: 1,
            ..AddChainAnswer::default()
        };
        assert_eq!(AddChainAnswer::parse(&answer.to_bytes()), Ok(answer));
    }

    #[test]
    fn an_empty_chain_is_refused() {
        assert_eq!(
            AddChain::parse(br#"{"chain":[]}"#),
            Err(CtError::ChainLength { count: 0 })
        );
    }
}
