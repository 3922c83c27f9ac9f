//! How a registry asks for credentials: the `WWW-Authenticate` header.

/// What a registry wants to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with every request (RFC 7617).
    Basic,
    /// A token that a token service gives (distribution, `docs/spec/auth/token.md`).
    Bearer {
        /// The token service's address.
        realm: String,
        /// What the token is for; empty where nothing is said.
        service: String,
        /// What it should allow; empty where nothing is said.
        scope: String,
    },
}

impl Challenge {
    /// Reads the header's value; of several challenges the first bearer, else basic. None for schemes of others.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut values = [String::new(), String::new(), String::new()];
        for (name, value) in parameters(rest) {
            let at = ["realm", "service", "scope"]
                .iter()
                .position(|known| name.eq_ignore_ascii_case(known));
            if let Some(at) = at {
                values[at] = value;
            }
        }
        let [realm, service, scope] = values;
        (!realm.is_empty()).then_some(Self::Bearer {
            realm,
            service,
            scope,
        })
    }
}

/// Reads `name="value", name=value` (RFC 9110 §11.2).
fn parameters(mut rest: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.push((name, value));
        rest = after;
    }
    found
}

/// Takes a quoted string whose first quote is gone; returns it and what follows.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut is_escaped = false;
    for (at, each) in text.char_indices() {
        match each {
            _ if is_escaped => {
                value.push(each);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return (value, &text[at + 1..]),
            _ => value.push(each),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_challenges_are_read_with_commas_inside_a_scope() {
        let header = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: "r.example".into(),
            scope: "repository:a/b:pull,push".into(),
        };
        assert_eq!(Challenge::parse(header), Some(expected));
    }

    #[test]
    fn basic_is_known_and_what_has_no_realm_or_another_scheme_is_not() {
        assert_eq!(
            Challenge::parse(r#"Basic realm="x""#),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("basic"), Some(Challenge::Basic));
        for header in ["", "Bearer", "Negotiate abc", r#"Bearer service="x""#] {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
    }
}
