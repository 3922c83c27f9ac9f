//! `pkcs11:` URIs.
//!
//! spec: RFC 7512

use std::path::PathBuf;

use super::words::{Open, Token};

/// What a URI says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Uri {
    /// Which key.
    pub open: Open,
    /// The file with the PIN.
    pub pin_source: Option<PathBuf>,
}

/// The ways in which a URI is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `pkcs11:`.
    #[error("expected a URI that begins with pkcs11:")]
    Scheme,
    /// An attribute is not NAME=VALUE with bytes written as %HH.
    #[error("{attribute:?} in a pkcs11: URI is not NAME=VALUE")]
    Attribute {
        /// What stands there.
        attribute: String,
    },
    /// An attribute that is not known, given twice, or not supported here.
    #[error("{name} in a pkcs11: URI is not known here, or stands there twice")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The PIN itself stands in the URI.
    #[error(
        "a PIN does not belong into a URI, which others can read: name a file with pin-source=file:PATH"
    )]
    PinValue,
    /// It names no key: neither object nor id.
    #[error("a pkcs11: URI needs object=LABEL or id=%HH…")]
    NoKey,
}

impl Uri {
    /// Reads a URI; `object` or `id` may be absent.
    ///
    /// # Errors
    /// Any [`UriError`] but `NoKey`.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("pkcs11:").ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let attributes = path.split(';').chain(query.split('&'));
        for attribute in attributes.filter(|each| !each.is_empty()) {
            let wrong = || UriError::Attribute {
                attribute: attribute.to_owned(),
            };
            let (name, value) = attribute.split_once('=').ok_or_else(wrong)?;
            // Before anything could repeat it.
            if name == "pin-value" {
                return Err(UriError::PinValue);
            }
            let bytes = decode(value).ok_or_else(wrong)?;
            uri.set(name, bytes, &wrong)?;
        }
        Ok(uri)
    }

    /// Requires that it names a key.
    ///
    /// # Errors
    /// [`UriError::NoKey`].
    pub fn require_key(self) -> Result<Self, UriError> {
        match self.open.object.is_some() || self.open.id.is_some() {
            true => Ok(self),
            false => Err(UriError::NoKey),
        }
    }

    fn set(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        wrong: &dyn Fn() -> UriError,
    ) -> Result<(), UriError> {
        let unknown = || UriError::Unknown {
            name: name.to_owned(),
        };
        if name == "id" {
            return match self.open.id.replace(bytes) {
                None => Ok(()),
                Some(_) => Err(unknown()),
            };
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let Open {
            token,
            object,
            module,
            ..
        } = &mut self.open;
        let Token {
            label,
            manufacturer,
            model,
            serial,
            slot,
        } = token;
        let place = match name {
            "token" => label,
            "manufacturer" => manufacturer,
            "model" => model,
            "serial" => serial,
            "object" => object,
            // The only kind that signs.
            "type" if text == "private" => return Ok(()),
            "slot-id" => {
                *slot = Some(text.parse().map_err(|_| wrong())?);
                return Ok(());
            }
            "module-path" if module.is_empty() => {
                *module = text;
                return Ok(());
            }
            "pin-source" if self.pin_source.is_none() => {
                let path = text.strip_prefix("file:").unwrap_or(&text);
                let path = path.strip_prefix("//").unwrap_or(path);
                self.pin_source = Some(path.into());
                return Ok(());
            }
            _ => return Err(unknown()),
        };
        match place.replace(text) {
            None => Ok(()),
            Some(_) => Err(unknown()),
        }
    }
}

/// Decodes `%HH`.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_a_uri_says_is_understood() {
        let text = "pkcs11:token=The%20token;manufacturer=M;serial=1;slot-id=7;object=org;id=%01%ff;type=private?module-path=/usr/lib/m.so&pin-source=file:/run/pin";
        let uri = Uri::parse(text).unwrap().require_key().unwrap();
        assert_eq!(uri.open.token.label.as_deref(), Some("The token"));
        assert_eq!(uri.open.token.slot, Some(7));
        assert_eq!(uri.open.object.as_deref(), Some("org"));
        assert_eq!(uri.open.id.as_deref(), Some(&[1, 0xff][..]));
        assert_eq!(uri.open.module, "/usr/lib/m.so");
        assert_eq!(uri.pin_source, Some("/run/pin".into()));
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        let refused = |text: &str| Uri::parse(text).and_then(Uri::require_key).err();
        let unknown = |name: &str| Some(UriError::Unknown { name: name.into() });
        assert_eq!(refused("file:x"), Some(UriError::Scheme));
        assert_eq!(refused("pkcs11:"), Some(UriError::NoKey));
        assert_eq!(refused("pkcs11:token=t"), Some(UriError::NoKey));
        assert_eq!(
            refused("pkcs11:object=o?pin-value=1234"),
            Some(UriError::PinValue)
        );
        assert_eq!(
            refused("pkcs11:object=o?pin-value=se%cret"),
            Some(UriError::PinValue)
        );
        assert_eq!(refused("pkcs11:object=o;object=p"), unknown("object"));
        assert_eq!(refused("pkcs11:object=o;colour=red"), unknown("colour"));
        assert_eq!(refused("pkcs11:object=o;type=cert"), unknown("type"));
        for text in [
            "pkcs11:object",
            "pkcs11:object=%",
            "pkcs11:object=%zz",
            "pkcs11:object=%+1",
            "pkcs11:object=%ff",
            "pkcs11:object=o;slot-id=x",
        ] {
            assert!(
                matches!(refused(text), Some(UriError::Attribute { .. })),
                "{text}"
            );
        }
    }
}
