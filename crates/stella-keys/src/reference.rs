//! How a key is named: `file:PATH` or a path, `env:VARIABLE`, `pkcs11:…`.

use std::path::PathBuf;

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyReference {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Environment(String),
    /// In a device: a `pkcs11:` URI, as it was written.
    Pkcs11(String),
    /// Behind a program `sigstore-kms-NAME`, which names the key: `NAME://RESOURCE`.
    Plugin {
        /// The program's own name.
        name: String,
        /// The key's name to it.
        resource: String,
    },
    /// Somewhere that is not known here.
    Elsewhere {
        /// What stands before the colon.
        scheme: String,
    },
}

impl KeyReference {
    /// Reads a reference. What has no scheme, or only a drive letter, is a path.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let is_scheme = |scheme: &str| {
            scheme.len() > 1
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        match text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
            None => Self::File(text.into()),
            // Both spellings are used: file:/a and file:///a.
            Some(("file", path)) => Self::File(path.strip_prefix("//").unwrap_or(path).into()),
            Some(("env", name)) => {
                Self::Environment(name.strip_prefix("//").unwrap_or(name).to_owned())
            }
            Some(("pkcs11", _)) => Self::Pkcs11(text.to_owned()),
            Some((scheme, rest)) => match rest.strip_prefix("//") {
                Some(resource) => Self::Plugin {
                    name: scheme.to_owned(),
                    resource: resource.to_owned(),
                },
                None => Self::Elsewhere {
                    scheme: scheme.to_owned(),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_schemes_are_told_apart() {
        let file = |path: &str| KeyReference::File(path.into());
        for (text, expected) in [
            ("cosign.key", file("cosign.key")),
            ("./a:b", file("./a:b")),
            ("/keys/x", file("/keys/x")),
            (r"C:\keys\x", file(r"C:\keys\x")),
            ("file:cosign.key", file("cosign.key")),
            ("file:///keys/x", file("/keys/x")),
            ("env:KEY", KeyReference::Environment("KEY".into())),
            ("env://KEY", KeyReference::Environment("KEY".into())),
            (
                "pkcs11:object=o",
                KeyReference::Pkcs11("pkcs11:object=o".into()),
            ),
            (
                "vendor://alias/x",
                KeyReference::Plugin {
                    name: "vendor".into(),
                    resource: "alias/x".into(),
                },
            ),
            (
                "colour:red",
                KeyReference::Elsewhere {
                    scheme: "colour".into(),
                },
            ),
        ] {
            assert_eq!(KeyReference::parse(text), expected, "{text}");
        }
    }
}
