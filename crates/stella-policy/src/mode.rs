//! Modes: what a refusal does to whoever asked. The one function from a code to an exit code.

use crate::code;

/// What a refusal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is written into the report, and nothing else happens.
    Audit,
    /// It stops the release.
    #[default]
    Enforce,
    /// It is told loudly, and the release goes on.
    Warn,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Enforce, Self::Warn];

    /// Returns the word of flags, files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Enforce => "enforce",
            Self::Warn => "warn",
        }
    }

    /// Finds a mode by its word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Returns how strict this is; a stricter mode has a greater number.
    pub const fn strictness(self) -> u8 {
        match self {
            Self::Audit => 0,
            Self::Warn => 1,
            Self::Enforce => 2,
        }
    }
}

/// What happens when evidence cannot be fetched because a service is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Nothing stops, in the modes that stop nothing: whoever can keep a service away chooses the answer.
    Allow,
    /// The release stops.
    #[default]
    Deny,
}

impl OnUnavailable {
    /// Returns the word of files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Whether Rekor's proof of inclusion is beyond discussion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rekor {
    /// The evidence rules say what logs must prove, and modes apply to it as to everything.
    #[default]
    AsEvidenceSays,
    /// Every attestation shows an inclusion proof, also one signed with a key, and no mode lets a lack of it pass.
    Required,
}

/// What may turn a refusal into a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency {
    /// The mode.
    pub mode: Mode,
    /// What a service that is away means.
    pub on_unavailable: OnUnavailable,
    /// Whether a lack of log evidence can be let pass.
    pub rekor: Rekor,
}

/// How a command ends, beside the true code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The exit code.
    pub exit: u8,
    /// The mode that let a refusal pass, none when nothing was let pass.
    pub allowed_by: Option<Mode>,
}

impl Leniency {
    /// Returns how a command ends whose true code is `code`.
    ///
    /// A mode that stops nothing turns refusals (10 to 25) into success, and services that are away (30, 31) only where
    /// the policy says so. A wrong command, a failed key and what a machine cannot do stay what they are.
    pub const fn ending(self, code: u8) -> Ending {
        let is_let_pass = match code {
            code::LOG if matches!(self.rekor, Rekor::Required) => false,
            code::NO_ATTESTATION..=code::STALE => true,
            code::UNAVAILABLE..=code::ACCESS => {
                matches!(self.on_unavailable, OnUnavailable::Allow)
            }
            _ => false,
        };
        match self.mode {
            Mode::Audit | Mode::Warn if is_let_pass => Ending {
                exit: code::OK,
                allowed_by: Some(self.mode),
            },
            _ => Ending {
                exit: code,
                allowed_by: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leniency() -> impl Strategy<Value = Leniency> {
        let mode = prop::sample::select(Mode::ALL.to_vec());
        (mode, any::<bool>(), any::<bool>()).prop_map(|(mode, away, rekor)| Leniency {
            mode,
            on_unavailable: if away {
                OnUnavailable::Allow
            } else {
                OnUnavailable::Deny
            },
            rekor: if rekor {
                Rekor::Required
            } else {
                Rekor::AsEvidenceSays
            },
        })
    }

    proptest! {
        #[test]
        fn a_code_ends_as_itself_or_is_let_pass_by_a_mode_that_is_named(leniency in leniency(), code: u8) {
            let ending = leniency.ending(code);
            match ending.allowed_by {
                None => prop_assert_eq!(ending.exit, code),
                Some(mode) => {
                    prop_assert_eq!(ending.exit, 0);
                    prop_assert_eq!(mode, leniency.mode);
                    prop_assert!(mode != Mode::Enforce);
                    let is_away = matches!(code, 30 | 31);
                    prop_assert!(matches!(code, 10..=25) || is_away);
                    prop_assert!(!is_away || leniency.on_unavailable == OnUnavailable::Allow);
                    prop_assert!(code != 24 || leniency.rekor == Rekor::AsEvidenceSays);
                }
            }
        }
    }

    #[test]
    fn every_code_in_every_mode_ends_as_the_reference_says() {
        for code in 0..=u8::MAX {
            for (mode, on_unavailable) in [
                (Mode::Enforce, OnUnavailable::Allow),
                (Mode::Warn, OnUnavailable::Deny),
                (Mode::Audit, OnUnavailable::Allow),
            ] {
                let leniency = Leniency {
                    mode,
                    on_unavailable,
                    rekor: Rekor::AsEvidenceSays,
                };
                let passes = mode != Mode::Enforce
                    && (matches!(code, 10..=25)
                        || (matches!(code, 30 | 31) && on_unavailable == OnUnavailable::Allow));
                let expected = if passes { 0 } else { code };
                assert_eq!(leniency.ending(code).exit, expected, "{code} {mode:?}");
            }
        }
    }
}
