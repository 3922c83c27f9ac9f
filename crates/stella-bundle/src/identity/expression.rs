//! Expressions over the subjectAltName, for those who come from other tools: anchored, and bounded to one owner.
//!
//! A dot matches any character, so `a@my.corp.com` also is `a@myxcorp.com`. Literal values and subject patterns, which
//! are the better choice, live beside this file.

use regex::bytes::{Regex, RegexBuilder};

use super::{IdentityError, require_text};

/// The size in bytes up to which an expression is compiled; one that names a workflow takes a few thousand.
const MAX_COMPILED: usize = 1 << 20;

/// How far an expression may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It may begin with anything: whoever gets a fitting name is accepted.
    AnyoneUnsafe,
    /// It begins with a literal scheme, host and first path segment, as `https://github.com/myorg/`.
    OneOwner,
}

/// A regular expression over the whole subjectAltName.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    regex: Regex,
    reach: Reach,
    /// What every name begins with; asked of the name itself, so that no construct of expressions can lead around it.
    beginning: String,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.reach) == (&other.text, other.reach)
    }
}

impl Eq for Expression {}

impl Expression {
    pub(super) fn parse(text: &str, reach: Reach) -> Result<Self, IdentityError> {
        require_text("certificate identity", text)?;
        if reach == Reach::OneOwner && !names_an_owner(text) {
            return Err(IdentityError::ExpressionTooWide {
                value: text.to_owned(),
            });
        }
        // Both ends are ours: an expression without `^` and `$` would match inside a longer name.
        let regex = RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .unicode(false)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build();
        match regex {
            // Text such as `a)|(b` closes the group that the anchors hold, and is an expression only inside of it.
            Ok(regex) if Regex::new(text).is_ok() => Ok(Self {
                text: text.to_owned(),
                regex,
                reach,
                beginning: match reach {
                    Reach::AnyoneUnsafe => String::new(),
                    Reach::OneOwner => literal_beginning(text),
                },
            }),
            _ => Err(IdentityError::MalformedExpression {
                value: text.to_owned(),
            }),
        }
    }

    /// Returns the expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns how far it may reach.
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Says whether it matches the whole of a name of printable ASCII.
    pub fn matches(&self, name: &str) -> bool {
        let is_printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        is_printable && name.starts_with(&self.beginning) && self.regex.is_match(name.as_bytes())
    }
}

/// Says whether an expression begins with a literal `scheme://host/segment/`, and has no alternative to it.
fn names_an_owner(text: &str) -> bool {
    let literal = literal_beginning(text);
    let Some((scheme, rest)) = literal.split_once("://") else {
        return false;
    };
    let mut parts = rest.splitn(3, '/');
    let (host, owner, after) = (parts.next(), parts.next(), parts.next());
    let is_named = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    is_scheme && is_named(host) && is_named(owner) && after.is_some() && !has_alternative(text)
}

/// Returns the characters with which every match begins.
fn literal_beginning(text: &str) -> String {
    let mut literal = String::new();
    let mut characters = text.strip_prefix('^').unwrap_or(text).chars().peekable();
    while let Some(character) = characters.next() {
        let character = match character {
            // Escaped punctuation is itself; an escaped letter is a class.
            '\\' => match characters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => escaped,
                _ => break,
            },
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => break,
            plain => plain,
        };
        // A repetition may leave the character out.
        if matches!(characters.peek(), Some('*' | '+' | '?' | '{')) {
            break;
        }
        literal.push(character);
    }
    literal
}

/// Says whether `|` stands outside of every group and class.
fn has_alternative(text: &str) -> bool {
    let (mut depth, mut in_class) = (0_usize, 0_usize);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            '(' if in_class == 0 => depth += 1,
            ')' if in_class == 0 => depth = depth.saturating_sub(1),
            '|' if in_class == 0 && depth == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn bounded(text: &str) -> Result<Expression, IdentityError> {
        Expression::parse(text, Reach::OneOwner)
    }

    #[test]
    fn an_expression_names_scheme_host_and_owner_to_the_letter() {
        for text in [
            r"https://github\.com/myorg/.*",
            r"^https://github\.com/myorg/repo/\.github/workflows/(release|nightly)\.yml@refs/tags/v[0-9.]+$",
            r"https://git\.corp\.example/team/[^|]+",
        ] {
            assert!(bounded(text).is_ok(), "{text}");
        }
        for text in [
            ".*",
            "a@my.corp.com",
            r"a@my\.corp\.com",
            "https://github.com/myorg/.*",
            r"https://github\.com/.*",
            r"https://github\.com/myorg.*",
            r"https://github\.com/myorg",
            r"https://github\.com/(a|b)/.*",
            r"https://github\.com/myorg/?.*",
            r"(https://github\.com/myorg/x|.*)",
            r"https://github\.com/myorg/x|.*",
            r"https://github\.com/myorg/[a|b]x|.*",
            r"(?i)https://github\.com/myorg/.*",
            r"https?://github\.com/myorg/.*",
            r"https://.*\.com/myorg/.*",
        ] {
            assert!(
                matches!(bounded(text), Err(IdentityError::ExpressionTooWide { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn the_whole_name_is_matched_and_nothing_around_it() {
        let tags = bounded(r"https://github\.com/o/r@refs/tags/v1").unwrap();
        assert!(tags.matches("https://github.com/o/r@refs/tags/v1"));
        for name in [
            "https://github.com/o/r@refs/tags/v1.evil",
            "xhttps://github.com/o/r@refs/tags/v1",
            "https://github.com/o/r@refs/tags/v1\n",
            "https://githubxcom/o/r@refs/tags/v1",
        ] {
            assert!(!tags.matches(name), "{name:?}");
        }
    }

    #[test]
    fn a_dot_is_any_character_which_is_why_wide_expressions_are_spelled_unsafe() {
        let wide = Expression::parse("a@my.corp.com", Reach::AnyoneUnsafe).unwrap();
        assert!(wide.matches("a@my.corp.com") && wide.matches("a@myxcorp.com"));
        let escaped = Expression::parse(r"a@my\.corp\.com", Reach::AnyoneUnsafe).unwrap();
        assert!(escaped.matches("a@my.corp.com") && !escaped.matches("a@myxcorp.com"));
        assert!(!escaped.matches("a@my.corp.com\u{430}"));
    }

    #[test]
    fn text_that_breaks_out_of_the_anchors_or_grows_without_bound_is_refused() {
        for text in [
            r"https://github\.com/o/a)|(?:b",
            r"https://github\.com/o/(",
            r"https://github\.com/o/(((x{1000}){1000}){1000})",
        ] {
            let refused = bounded(text);
            assert!(
                matches!(
                    refused,
                    Err(IdentityError::MalformedExpression { .. }
                        | IdentityError::ExpressionTooWide { .. })
                ),
                "{text}: {refused:?}"
            );
        }
    }
}
