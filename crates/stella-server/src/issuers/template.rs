//! Templates of Fulcio's issuer configuration: the part of Go's template language that its files use, nothing more.
//!
//! `{{ .claim }}`, `{{ index . "dotted/claim" }}`, `{{if eq .a "b"}}…{{else}}…{{end}}` (not nested). Anything else is
//! refused when the configuration is loaded, not when somebody signs.

/// Templates longer than this are refused.
const MAX_TEMPLATE: usize = 1024;

/// Why a template is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template {template:?} uses what is not understood: {action:?}")]
pub struct TemplateError {
    /// The whole template.
    pub(crate) template: String,
    /// The action that stopped the reader.
    pub(crate) action: String,
}

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Claim(String),
    Choice {
        claim: String,
        value: String,
        then: Vec<Self>,
        otherwise: Vec<Self>,
    },
    Text(String),
}

/// A choice that is being read: its condition, its first branch when that is finished, and what came before it.
struct Choosing {
    claim: String,
    value: String,
    then: Option<Vec<Part>>,
    before: Vec<Part>,
}

impl Template {
    /// Reads a template, or a bare claim name when it holds no `{{`.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let refused = |action: &str| TemplateError {
            template: text.to_owned(),
            action: action.to_owned(),
        };
        if text.len() > MAX_TEMPLATE {
            return Err(refused("more than 1024 characters"));
        }
        if !text.contains("{{") {
            return Ok(Self(vec![Part::Claim(text.to_owned())]));
        }
        let mut open: Vec<Part> = Vec::new();
        let mut choice: Option<Choosing> = None;
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            push_text(&mut open, literal);
            let (action, after) = after.split_once("}}").ok_or_else(|| refused(after))?;
            rest = after;
            match (
                Action::parse(action.trim()).ok_or_else(|| refused(action))?,
                &mut choice,
            ) {
                (Action::Claim(name), _) => open.push(Part::Claim(name)),
                (Action::If(claim, value), None) => {
                    let before = std::mem::take(&mut open);
                    choice = Some(Choosing {
                        claim,
                        value,
                        then: None,
                        before,
                    });
                }
                (
                    Action::Else,
                    Some(Choosing {
                        then: then @ None, ..
                    }),
                ) => *then = Some(std::mem::take(&mut open)),
                (Action::End, Some(_)) => {
                    let Some(chosen) = choice.take() else {
                        return Err(refused(action));
                    };
                    let last = std::mem::replace(&mut open, chosen.before);
                    let (then, otherwise) = match chosen.then {
                        Some(then) => (then, last),
                        None => (last, Vec::new()),
                    };
                    open.push(Part::Choice {
                        claim: chosen.claim,
                        value: chosen.value,
                        then,
                        otherwise,
                    });
                }
                _ => return Err(refused(action)),
            }
        }
        push_text(&mut open, rest);
        if choice.is_some() {
            return Err(refused("if without end"));
        }
        Ok(Self(open))
    }

    /// Fills the template in; `claim` answers for a name or refuses.
    pub(crate) fn render<E>(
        &self,
        claim: &impl Fn(&str) -> Result<String, E>,
    ) -> Result<String, E> {
        render(&self.0, claim)
    }

    /// Says whether this is a claim by itself, without text around it.
    pub(crate) fn is_bare_claim(&self) -> bool {
        matches!(self.0.as_slice(), [Part::Claim(_)])
    }
}

fn render<E>(parts: &[Part], claim: &impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Claim(name) => out.push_str(&claim(name)?),
            Part::Choice {
                claim: name,
                value,
                then,
                otherwise,
            } => {
                let branch = if claim(name)? == *value {
                    then
                } else {
                    otherwise
                };
                out.push_str(&render(branch, claim)?);
            }
        }
    }
    Ok(out)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

enum Action {
    Claim(String),
    Else,
    End,
    If(String, String),
}

impl Action {
    fn parse(action: &str) -> Option<Self> {
        match action {
            "else" => return Some(Self::Else),
            "end" => return Some(Self::End),
            _ => {}
        }
        let Some(condition) = action.strip_prefix("if eq ") else {
            return claim_name(action).map(Self::Claim);
        };
        let (claim, value) = condition.trim().split_once(' ')?;
        Some(Self::If(claim_name(claim)?, quoted(value.trim())?))
    }
}

/// Reads `.name`, `index . "name"` or either in parentheses.
fn claim_name(text: &str) -> Option<String> {
    let text = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .unwrap_or(text)
        .trim();
    if let Some(name) = text.strip_prefix('.') {
        let plain = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return plain.then(|| name.to_owned());
    }
    quoted(text.strip_prefix("index . ")?.trim())
}

fn quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains(['"', '\\'])).then(|| inner.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn fill(template: &str) -> Result<String, String> {
        let claims = [("a", "1"), ("kind", "branch"), ("x/y", "dotted")];
        Template::parse(template).unwrap().render(&|name: &str| {
            let found = claims.iter().find(|(claim, _)| *claim == name);
            found
                .map(|(_, value)| (*value).to_owned())
                .ok_or_else(|| name.to_owned())
        })
    }

    #[test]
    fn the_forms_of_fulcios_own_configuration_are_filled_in() {
        let cases = [
            ("a", "1"),
            ("https://{{ .a }}/{{.kind}}", "https://1/branch"),
            (r#"{{ index . "x/y" }}"#, "dotted"),
            (r#"{{(index . "x/y")}}!"#, "dotted!"),
            (
                r#"refs/{{if eq .kind "branch"}}heads{{else}}tags{{end}}/{{ .a }}"#,
                "refs/heads/1",
            ),
            (r#"{{if eq .a "2"}}two{{else}}other{{end}}"#, "other"),
            (r#"{{if eq .a "2"}}two{{end}}"#, ""),
        ];
        for (template, expected) in cases {
            assert_eq!(fill(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn a_missing_claim_is_an_error() {
        assert_eq!(fill("{{ .b }}"), Err("b".to_owned()));
        assert_eq!(fill("b"), Err("b".to_owned()));
    }

    #[test]
    fn everything_else_of_the_language_is_refused() {
        for template in [
            "{{ .a",
            "{{ .a.b }}",
            "{{ range .a }}{{ end }}",
            "{{ if .a }}x{{ end }}",
            r#"{{ printf "%s" .a }}"#,
            "{{ else }}",
            "{{ end }}",
            r#"{{if eq .a "1"}}x"#,
            r#"{{if eq .a "1"}}{{if eq .a "1"}}x{{end}}{{end}}"#,
            r#"{{if eq .a "1"}}x{{else}}y{{else}}z{{end}}"#,
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
