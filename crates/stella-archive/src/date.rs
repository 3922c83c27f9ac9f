//! Times in JSON: RFC 3339 in UTC, whole seconds.

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};
use stella_bundle::time::UnixTime;

pub(crate) fn serialize<S: Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.floor_seconds().to_string())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<UnixTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = UnixTime::parse_rfc3339(&text).filter(|time| time.to_string() == text);
    time.ok_or_else(|| D::Error::custom("expected a time such as 2026-11-30T00:00:00Z"))
}
