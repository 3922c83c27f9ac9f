//! Who may sign, as flags say it.

use stella_bundle::certificate::Claim;
use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities, IdentityError};
use stella_bundle::verify::IdentityRule;

use crate::exit::Failure;

/// Who may sign.
#[derive(Debug, clap::Args)]
pub(crate) struct IdentityFlags {
    /// Accept this signer: the certificate's name to the letter, or a pattern over the token's subject that begins with
    /// repo:OWNER/NAME: or project_path:GROUP/NAME: and may end in .*
    #[arg(long, value_name = "IDENTITY")]
    certificate_identity: Vec<String>,

    /// Accept this signer: the token's whole subject
    #[arg(long, value_name = "SUBJECT")]
    certificate_subject: Vec<String>,

    /// The issuer of the signer's token, to the letter
    #[arg(long, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,

    /// Demand that the certificate also says this
    #[arg(long, value_name = "NAME=VALUE")]
    certificate_claim: Vec<String>,

    /// Accept whoever signed: nothing is said about who they are
    #[arg(long, conflicts_with_all = ["certificate_identity", "certificate_subject"])]
    insecure_any_identity: bool,
}

impl IdentityFlags {
    /// Returns what the flags say.
    pub(crate) fn rule(&self) -> Result<IdentityRule, Failure> {
        if self.insecure_any_identity {
            return Ok(IdentityRule::Given(Identities::AnyoneUnsafe));
        }
        let is_given =
            !self.certificate_identity.is_empty() || !self.certificate_subject.is_empty();
        let issuer = match (&self.certificate_oidc_issuer, is_given) {
            (Some(issuer), true) => issuer,
            (None, false) => return Ok(IdentityRule::NotGiven),
            (None, true) => {
                return Err(Failure::usage("an identity needs its issuer")
                    .hint("add --certificate-oidc-issuer URL: the same name means nothing at another issuer"));
            }
            (Some(_), false) => {
                return Err(Failure::usage("an issuer needs an identity")
                    .hint("add --certificate-identity IDENTITY: everyone has an account at a public issuer"));
            }
        };
        let claims = self.claims()?;
        let mut identities = Vec::new();
        for value in &self.certificate_identity {
            identities.push(CertificateIdentity::parse(value, issuer));
        }
        for value in &self.certificate_subject {
            identities.push(CertificateIdentity::of_token_subject(value, issuer));
        }
        let identities: Result<Vec<_>, _> = identities.into_iter().collect();
        let with_claims = |identity: CertificateIdentity| {
            claims.iter().fold(identity, |identity, (claim, value)| {
                identity.with_claim(*claim, value)
            })
        };
        let identities = identities.map_err(|error| refuse(&error))?;
        let any = AnyOf::new(identities.into_iter().map(with_claims).collect());
        let any = any.ok_or_else(|| Failure::usage("no identity was given"))?;
        Ok(IdentityRule::Given(Identities::AnyOf(any)))
    }

    fn claims(&self) -> Result<Vec<(Claim, String)>, Failure> {
        self.certificate_claim
            .iter()
            .map(|text| claim(text))
            .collect()
    }
}

fn refuse(error: &IdentityError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        IdentityError::WildcardInLiteral { .. }
        | IdentityError::WildcardInProject { .. }
        | IdentityError::MalformedProject { .. } => failure.hint(
            "for example --certificate-identity 'repo:myorg/myrepo:.*', or 'repo:myorg/myrepo:ref:refs/tags/.*'",
        ),
        _ => failure,
    }
}

fn claim(text: &str) -> Result<(Claim, String), Failure> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Failure::usage(format!("--certificate-claim {text:?} is not NAME=VALUE")))?;
    let claim = Claim::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Claim::ALL.iter().map(|row| row.2).collect();
        Failure::usage(format!("{name:?} is no claim of a Fulcio certificate"))
            .hint(format!("the claims are {}", names.join(", ")))
    })?;
    Ok((claim, value.to_owned()))
}
