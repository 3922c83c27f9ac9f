//! The identity token: kept off the command line, fetched from where it is, checked before anyone else sees it.

use std::env;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use stella_bundle::time::UnixTime;
use stella_client::error::ClientError;
use stella_client::oidc::{
    self, Environment, IdentityToken, PRODUCT_FILE, Provider, TOKEN_FILE, TokenDemands, TokenOrigin,
};
use stella_server::TokenRequest;
use stella_wire::transport::Transport;
use zeroize::Zeroizing;

use crate::config::{AmbientToken, GivenToken, Loaded};
use crate::exit::Failure;
use crate::local::Local;
use crate::terminal;

/// The flag that may hold a token.
const FLAG: &str = "--identity-token";
/// The variable that takes its place.
const VARIABLE: &str = "STELLAOPS_OIDC_TOKEN";
/// How a Jenkins pipeline hands a token over (plugin oidc-provider).
const JENKINS_HINT: &str = "in Jenkins, make a credential \"OpenID Connect id token\" with the configured audience (by default `sigstore`) and bind it: withCredentials([string(credentialsId: 'sigstore', variable: 'STELLAOPS_OIDC_TOKEN')]) { … }; one \"as file\": withCredentials([file(credentialsId: 'sigstore', variable: 'TOKEN')]) { … --identity-token @$TOKEN }";
/// Tokens are at most this long.
const MAX_TOKEN: u64 = 64 * 1024;

/// Takes a token off the command line, where every user of the machine can read it: the process starts itself anew with
/// the token in its environment, which only its own user can read.
///
/// Returns only when there is nothing to hide, or when starting anew failed.
pub(crate) fn hide_from_command_line() {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let Some((rest, token)) = take_token(&arguments) else {
        return;
    };
    terminal::tell(
        "warning: a token on the command line can be read by others; use --identity-token @FILE or -",
    );
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        let Ok(program) = env::current_exe() else {
            return;
        };
        // On success this does not return.
        let _ = std::process::Command::new(program)
            .args(rest)
            .arg0(env::args_os().next().unwrap_or_default())
            .env(VARIABLE, token)
            .exec();
    }
}

/// Splits the token off the arguments; `@FILE` and `-` are no tokens.
fn take_token(arguments: &[OsString]) -> Option<(Vec<OsString>, OsString)> {
    let end = arguments
        .iter()
        .position(|argument| argument == "--")
        .unwrap_or(arguments.len());
    let position = arguments[..end].iter().position(|argument| {
        argument
            .to_str()
            .is_some_and(|text| text == FLAG || text.starts_with("--identity-token="))
    })?;
    let mut rest = arguments.to_vec();
    let argument = rest.remove(position);
    let token = match argument.to_str()?.split_once('=') {
        Some((_, token)) => OsString::from(token),
        None if position < rest.len() => rest.remove(position),
        None => return None,
    };
    let text = token.to_str()?;
    (!text.is_empty() && text != "-" && !text.starts_with('@')).then_some((rest, token))
}

/// Returns the token to sign with, checked for audience, issuer and time.
///
/// A token that was given wins; then the CI runner's; then the local instance's own issuer, where one is in use.
pub(crate) async fn acquire(
    loaded: &Loaded,
    transport: &dyn Transport,
    local: Option<&Local>,
    now: UnixTime,
) -> Result<IdentityToken, Failure> {
    let (text, origin) = find(loaded, transport, local).await?;
    let token = check(loaded, text, origin, now)?;
    tracing::debug!(issuer = token.issuer(), subject = token.subject(), origin = %token.origin(), "identity token");
    Ok(token)
}

/// What a look for a token finds, before anybody is asked.
pub(crate) enum Prospect {
    /// It is here, and good.
    Held(IdentityToken),
    /// Nobody offers one.
    Nobody,
    /// This will be asked for it.
    Offered(TokenOrigin),
}

/// Looks where a token would come from; nobody is asked.
pub(crate) fn look(loaded: &Loaded, now: UnixTime) -> Result<Prospect, Failure> {
    let oidc = &loaded.meant.keyless.oidc;
    let provider = match (&loaded.identity_token, oidc.ambient) {
        (None, AmbientToken::Use) => provider(&oidc.audience)?,
        _ => None,
    };
    let (text, origin) = match (&loaded.identity_token, provider) {
        (Some((GivenToken::Stdin, _)), _) => {
            return Ok(Prospect::Offered(TokenOrigin::GivenByHand));
        }
        (Some((given, _)), _) => read_given(given)?,
        (None, Some(provider)) => match provider.held().map_err(ClientError::from)? {
            Some(text) => (text, provider.origin()),
            None => return Ok(Prospect::Offered(provider.origin())),
        },
        (None, None) => return Ok(Prospect::Nobody),
    };
    check(loaded, text, origin, now).map(Prospect::Held)
}

fn check(
    loaded: &Loaded,
    text: Zeroizing<String>,
    origin: TokenOrigin,
    now: UnixTime,
) -> Result<IdentityToken, Failure> {
    let oidc = &loaded.meant.keyless.oidc;
    let demands = TokenDemands {
        audience: &oidc.audience,
        issuer: oidc.issuer.as_deref(),
    };
    let token = IdentityToken::check(text, origin, &demands, now).map_err(ClientError::from)?;
    Ok(token)
}

async fn find(
    loaded: &Loaded,
    transport: &dyn Transport,
    local: Option<&Local>,
) -> Result<(Zeroizing<String>, TokenOrigin), Failure> {
    let oidc = &loaded.meant.keyless.oidc;
    if let Some((given, _)) = &loaded.identity_token {
        return read_given(given);
    }
    let provider = match oidc.ambient {
        AmbientToken::Use => provider(&oidc.audience)?,
        AmbientToken::Ignore => None,
    };
    if let Some(provider) = provider {
        let text = provider.token(transport, &oidc.audience).await?;
        return Ok((text, provider.origin()));
    }
    match local {
        Some(local) => {
            let request = TokenRequest {
                audience: oidc.audience.clone(),
                ..TokenRequest::default()
            };
            Ok((local.token(&request).await?, TokenOrigin::GivenByHand))
        }
        None => Err(no_token()),
    }
}

/// Finds who would be asked for a token here; nobody is asked.
pub(crate) fn provider(audience: &str) -> Result<Option<Provider>, ClientError> {
    let variable = |name: &str| env::var(name).ok();
    let environment = Environment {
        variable: &variable,
        token_file: Path::new(TOKEN_FILE),
        product_file: Path::new(PRODUCT_FILE),
    };
    Ok(oidc::detect(&environment, audience)?)
}

/// Says that there is no token, and how one comes here.
pub(crate) fn no_token() -> Failure {
    let failure = Failure::from(ClientError::NoToken);
    // Jenkins hands tokens to whatever variable the pipeline names: none can be found unasked.
    if env::var_os("JENKINS_URL").is_some() {
        return failure.hint(JENKINS_HINT);
    }
    failure
}

fn read_given(given: &GivenToken) -> Result<(Zeroizing<String>, TokenOrigin), Failure> {
    match given {
        GivenToken::Itself(text) => Ok((
            Zeroizing::new(text.trim().to_owned()),
            TokenOrigin::GivenByHand,
        )),
        GivenToken::File(path) => {
            let text =
                oidc::file::read_token(path).map_err(|error| Failure::usage(error.to_string()))?;
            Ok((text, TokenOrigin::File(path.clone())))
        }
        GivenToken::Stdin => {
            let mut text = Zeroizing::new(String::new());
            std::io::stdin()
                .take(MAX_TOKEN)
                .read_to_string(&mut text)
                .map_err(|error| {
                    Failure::usage(format!("cannot read a token from standard input: {error}"))
                })?;
            Ok((
                Zeroizing::new(text.trim().to_owned()),
                TokenOrigin::GivenByHand,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(arguments: &[&str]) -> Option<(Vec<OsString>, OsString)> {
        take_token(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_token_is_taken_off_the_command_line_in_both_spellings() {
        let expected = Some((vec!["attest".into(), "--x".into()], "eyJ".into()));
        assert_eq!(
            split(&["attest", "--identity-token", "eyJ", "--x"]),
            expected
        );
        assert_eq!(split(&["attest", "--identity-token=eyJ", "--x"]), expected);
    }

    #[test]
    fn files_standard_input_and_arguments_after_two_dashes_stay() {
        for arguments in [
            &["--identity-token", "@file"][..],
            &["--identity-token", "-"],
            &["--identity-token"],
            &["--", "--identity-token", "eyJ"],
            &["attest"],
        ] {
            assert_eq!(split(arguments), None, "{arguments:?}");
        }
    }
}
