//! What is said to the helper process and by it: one JSON value a line.

use serde::{Deserialize, Serialize};
use stella_bundle::json;
use zeroize::Zeroizing;

/// Bytes of a line; a message that is signed whole is the longest.
pub const MAX_LINE: usize = 16 << 20;

/// A request.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Load a module, open a key and say how it is kept; answered by [`Answer::Attested`].
    Attest(Open),
    /// Load a module and open a key; answered by [`Answer::Opened`].
    Open(Open),
    /// Load a module and list its keys; answered by [`Answer::Listed`].
    List(Open),
    /// Sign with the open key; answered by [`Answer::Signed`].
    Sign(Sign),
}

/// Which key, and how to reach it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Open {
    /// The module's path.
    pub module: String,
    /// Which token: all that is said must fit.
    pub token: Token,
    /// The key's label.
    pub object: Option<String>,
    /// The key's id.
    #[serde(with = "optional_bytes")]
    pub id: Option<Vec<u8>>,
    /// The user's PIN; never printed.
    pub pin: Option<Zeroizing<String>>,
}

/// What is known of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Token {
    /// Its label.
    pub label: Option<String>,
    /// Its maker.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// The number of its slot, which changes with every plugging in.
    pub slot: Option<u64>,
}

/// What to sign, and how.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sign {
    /// The name of the registry's row.
    pub details: String,
    /// The digest, where the row signs one; else the whole message.
    #[serde(with = "json::base64_bytes")]
    pub input: Vec<u8>,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How the key is kept.
    Attested(Box<Attested>),
    /// The key is open; its public half as SubjectPublicKeyInfo in DER.
    Opened(#[serde(with = "json::base64_bytes")] Vec<u8>),
    /// The keys.
    Listed(Vec<Listed>),
    /// The signature: ECDSA in DER.
    Signed(#[serde(with = "json::base64_bytes")] Vec<u8>),
    /// It failed.
    Failed {
        /// How.
        kind: FailureKind,
        /// What the module says.
        message: String,
    },
}

/// A key of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// The token's label.
    pub token: String,
    /// The token's serial number.
    pub serial: String,
    /// The key's label.
    pub object: String,
    /// The key's id in hex.
    pub id: String,
    /// What kind of key it is.
    pub kind: String,
}

/// How a key is kept, as the module says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Attested {
    /// Its public half as SubjectPublicKeyInfo in DER.
    #[serde(with = "json::base64_bytes")]
    pub public_key: Vec<u8>,
    /// The token with the key.
    pub token: Token,
    /// The version of the token's hardware.
    pub hardware: String,
    /// The version of the token's software.
    pub firmware: String,
    /// Whether the key can be taken out.
    pub extractable: Option<bool>,
    /// Whether it never could.
    pub never_extractable: Option<bool>,
    /// Whether it is kept from being read.
    pub sensitive: Option<bool>,
    /// Whether it always was.
    pub always_sensitive: Option<bool>,
    /// Whether it was made in the device.
    pub local: Option<bool>,
    /// Certificates on the token for this key, and those by which its maker attests keys, in DER.
    #[serde(
        serialize_with = "json::base64_list::serialize",
        deserialize_with = "json::base64_list::at_most::<64, _>"
    )]
    pub certificates: Vec<Vec<u8>>,
}

/// How it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// There is no such token or key.
    Absent,
    /// There are several.
    Ambiguous,
    /// The module or the device failed.
    Device,
    /// The PIN is wrong, or none was given.
    Pin,
    /// The PIN is locked.
    Locked,
    /// The key or its mechanism is none that is known here.
    Unsupported,
}

mod optional_bytes {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use stella_bundle::json;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = bytes.as_deref().map(json::encode_base64);
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let decode = |text: String| json::decode_base64(&text);
        let wrong = || serde::de::Error::custom("not base64");
        text.map(|text| decode(text).ok_or_else(wrong)).transpose()
    }
}
