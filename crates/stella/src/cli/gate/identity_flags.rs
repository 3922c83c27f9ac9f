//! Who may sign, as flags say it: signers of a policy, named by what was typed.

use std::path::{Path, PathBuf};

use stella_attest::file;
use stella_bundle::certificate::Claim;
use stella_bundle::identity::{CertificateIdentity, IdentityError, Reach};
use stella_bundle::key::PublicKey;
use stella_policy::signer::{self, Signer, Who};

use crate::exit::Failure;

/// A public key in PEM takes a few hundred bytes, ML-DSA some thousands.
const MAX_KEY: usize = 64 * 1024;

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

    /// Accept these signers: a regular expression over the certificate's whole name that begins with a literal
    /// https://HOST/OWNER/
    #[arg(long, value_name = "REGEXP")]
    certificate_identity_regexp: Vec<String>,

    /// The issuer of the signer's token, to the letter
    #[arg(long, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,

    /// Demand that the certificate also says this
    #[arg(long, value_name = "NAME=VALUE")]
    certificate_claim: Vec<String>,

    /// Accept a signer with an issuer of its own: issuer=URL,subject=…|san=…|identity=…[,claim.NAME=…]
    #[arg(long, value_name = "SIGNER")]
    identity: Vec<String>,

    /// Accept signatures of this public key, a PEM file; a log entry is not needed, but one that is there must be good
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    /// Accept whoever signed: nothing is said about who they are; beside a regular expression, let it begin with anything
    #[arg(long, conflicts_with_all = ["certificate_identity", "certificate_subject", "identity"])]
    insecure_any_identity: bool,
}

impl IdentityFlags {
    /// Returns the signers that the flags name.
    pub(crate) fn signers(&self) -> Result<Vec<Signer>, Failure> {
        let mut signers = self.of_one_issuer()?;
        for text in &self.identity {
            let identity = signer::parse_flag(text)
                .map_err(|error| Failure::usage(format!("--identity: {error}")))?;
            signers.push(named(text, Who::Certificate(identity)));
        }
        for path in &self.key {
            signers.push(named(
                &path.display().to_string(),
                Who::Key(read_key(path)?.into()),
            ));
        }
        Ok(signers)
    }

    /// Returns the signers who share `--certificate-oidc-issuer`.
    fn of_one_issuer(&self) -> Result<Vec<Signer>, Failure> {
        let expressions = &self.certificate_identity_regexp;
        if self.insecure_any_identity && expressions.is_empty() {
            return Ok(vec![named("anyone", Who::AnyoneUnsafe)]);
        }
        let is_given = !self.certificate_identity.is_empty()
            || !self.certificate_subject.is_empty()
            || !expressions.is_empty();
        let issuer = match (&self.certificate_oidc_issuer, is_given) {
            (Some(issuer), true) => issuer,
            (None, false) => return Ok(Vec::new()),
            (None, true) => {
                return Err(Failure::usage("an identity needs its issuer")
                    .hint("add --certificate-oidc-issuer URL: the same name means nothing at another issuer"));
            }
            (Some(_), false) => {
                return Err(Failure::usage("an issuer needs an identity")
                    .hint("add --certificate-identity IDENTITY: everyone has an account at a public issuer"));
            }
        };
        let reach = if self.insecure_any_identity {
            Reach::AnyoneUnsafe
        } else {
            Reach::OneOwner
        };
        let literal = self.certificate_identity.iter();
        let literal = literal.map(|text| (text, CertificateIdentity::parse(text, issuer)));
        let subjects = self.certificate_subject.iter();
        let subjects =
            subjects.map(|text| (text, CertificateIdentity::of_token_subject(text, issuer)));
        let expressions = expressions.iter();
        let expressions = expressions.map(|text| {
            (
                text,
                CertificateIdentity::of_expression(text, issuer, reach),
            )
        });
        let claims = self.claims()?;
        let mut signers = Vec::new();
        for (text, identity) in literal.chain(subjects).chain(expressions) {
            let identity = identity.map_err(|error| refuse(&error))?;
            let with = |identity: CertificateIdentity, (claim, value): &(Claim, String)| {
                identity.with_claim(*claim, value)
            };
            signers.push(named(
                text,
                Who::Certificate(claims.iter().fold(identity, with)),
            ));
        }
        Ok(signers)
    }

    fn claims(&self) -> Result<Vec<(Claim, String)>, Failure> {
        self.certificate_claim
            .iter()
            .map(|text| claim(text))
            .collect()
    }
}

fn named(name: &str, who: Who) -> Signer {
    let name = name.to_owned();
    Signer { name, who }
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let refuse = |problem: &dyn std::fmt::Display| {
        Failure::usage(format!("cannot use the key {}: {problem}", path.display()))
            .hint("give a PEM file that begins with -----BEGIN PUBLIC KEY-----")
    };
    let bytes = file::read(path, MAX_KEY).map_err(|error| refuse(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| refuse(&error))?;
    PublicKey::from_pem(&text).map_err(|error| refuse(&error))
}

fn refuse(error: &IdentityError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        IdentityError::WildcardInLiteral { .. }
        | IdentityError::WildcardInProject { .. }
        | IdentityError::MalformedProject { .. } => failure.hint(
            "for example --certificate-identity 'repo:myorg/myrepo:.*', or 'repo:myorg/myrepo:ref:refs/tags/.*'",
        ),
        IdentityError::ExpressionTooWide { .. } => failure.hint(
            r"for example --certificate-identity-regexp 'https://github\.com/myorg/.*'; --insecure-any-identity lets it begin with anything",
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
