//! Who asks AWS: each place where credentials are found.

use std::fs;

use http::Method;
use serde_json::json;
use stella_bundle::json::encode_base64;

use super::*;
use crate::scripted::status;

const STS: &str = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
    <AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>a/secret+key</SecretAccessKey>\
    <SessionToken>a-session</SessionToken><Expiration>2026-11-20T13:00:00Z</Expiration>\
    </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";

/// Opens a key and returns the access key and the session token by which it was asked for.
fn asked_by(
    variables: &[(&str, &str)],
    home: Option<PathBuf>,
    other: impl Fn(&Request) -> Outcome + Send + Sync + 'static,
    metadata: Arc<dyn Transport>,
) -> Result<(String, String), KeyError> {
    let (sender, asked) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
    let network = answering(move |request| {
        if request.uri().host() != Some("kms.eu-west-1.amazonaws.com") {
            return other(request);
        }
        let header = |name: &str| {
            let value = request.headers().get(name);
            value
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        let authorization = header("authorization");
        let (_, id) = authorization.split_once("Credential=").unwrap();
        let id = id.split('/').next().unwrap().to_owned();
        sender
            .lock()
            .unwrap()
            .send((id, header("x-amz-security-token")))
            .unwrap();
        let answer = json!({
            "PublicKey": encode_base64(key.public_key().spki()),
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": ["ECDSA_SHA_256"],
        });
        status(200, answer.to_string())
    });
    let mut surroundings = surroundings(variables, network);
    surroundings.home = home;
    surroundings.metadata = metadata;
    let place = reference("awskms:///arn:aws:kms:eu-west-1:111122223333:key/1234");
    RemoteKey::open(&place, surroundings, false)?;
    Ok(asked.recv().unwrap())
}

fn nobody_else(request: &Request) -> Outcome {
    panic!("{}", request.uri())
}

fn pair(id: &str, token: &str) -> (String, String) {
    (id.to_owned(), token.to_owned())
}

#[test]
fn variables_come_first_and_only_together() {
    let all = [
        ("AWS_ACCESS_KEY_ID", "AKIDVAR"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SESSION_TOKEN", "t"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/file"),
    ];
    let nobody: Arc<dyn Transport> = Arc::new(Nobody);
    let found = asked_by(&all, None, nobody_else, Arc::clone(&nobody));
    assert_eq!(found.unwrap(), pair("AKIDVAR", "t"));
    let error = asked_by(&all[..1], None, nobody_else, nobody).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
}

#[test]
fn a_runners_token_is_changed_for_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "a.token\n").unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/release"),
    ];
    let sts = |request: &Request| {
        assert_eq!(request.uri(), "https://sts.eu-west-1.amazonaws.com/");
        let form = std::str::from_utf8(request.body()).unwrap();
        assert!(form.contains("&WebIdentityToken=a.token"), "{form}");
        assert!(form.contains("&RoleArn=arn%3Aaws%3Aiam"), "{form}");
        status(200, STS)
    };
    let nobody: Arc<dyn Transport> = Arc::new(Nobody);
    let found = asked_by(&variables, None, sts, Arc::clone(&nobody)).unwrap();
    assert_eq!(found, pair("ASIAWEB", "a-session"));

    let refused = |_: &Request| {
        status(
            400,
            "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>No OpenIDConnect provider</Message></Error></ErrorResponse>",
        )
    };
    let error = asked_by(&variables, None, refused, Arc::clone(&nobody)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "AWS STS: access is refused: No OpenIDConnect provider"
    );
    let cut = |_: &Request| status(200, &STS.as_bytes()[..200]);
    let error = asked_by(&variables, None, cut, Arc::clone(&nobody)).unwrap_err();
    assert_eq!(failure(&error), Some(ServiceFailure::Answer), "{error}");
    let error = asked_by(&variables[..1], None, nobody_else, nobody).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
}

#[test]
fn profiles_are_read_from_both_files() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".aws");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("config"),
        "[default]\nregion = eu-west-1\n\n[profile release]\nregion=eu-west-1\naws_access_key_id = AKIDCONFIG\naws_secret_access_key = s\n[profile sso]\nsso_session = x\n",
    )
    .unwrap();
    fs::write(
        folder.join("credentials"),
        "# keys\n[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = s\nx =\n  aws_access_key_id = NESTED\n[other]\naws_access_key_id=AKIDOTHER\naws_secret_access_key=s\naws_session_token=t\n",
    )
    .unwrap();
    let find = |profile| {
        let nobody: Arc<dyn Transport> = Arc::new(Nobody);
        let home = Some(home.path().to_owned());
        asked_by(&[("AWS_PROFILE", profile)], home, nobody_else, nobody)
    };
    assert_eq!(find("").unwrap(), pair("AKIDDEFAULT", ""));
    assert_eq!(find("other").unwrap(), pair("AKIDOTHER", "t"));
    assert_eq!(find("release").unwrap(), pair("AKIDCONFIG", ""));
    for missing in ["sso", "none"] {
        let error = find(missing).unwrap_err();
        assert_eq!(
            failure(&error),
            Some(ServiceFailure::Credentials),
            "{error}"
        );
    }
}

#[test]
fn a_container_says_who_it_is() {
    let answer = json!({
        "AccessKeyId": "ASIABOX", "SecretAccessKey": "s", "Token": "t", "Expiration": "2026-11-20T18:00:00Z",
    });
    let metadata = |expected: &'static str| {
        let answer = answer.clone();
        answering(move |request| {
            assert_eq!(request.uri(), expected);
            assert_eq!(request.headers()["authorization"], "a-token");
            status(200, answer.to_string())
        })
    };
    for (variable, value, address) in [
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "/v2/x",
            "http://169.254.170.2/v2/x",
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1",
            "http://169.254.170.23/v1",
        ),
    ] {
        let variables = [
            (variable, value),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-token"),
        ];
        let found = asked_by(&variables, None, nobody_else, metadata(address));
        assert_eq!(found.unwrap(), pair("ASIABOX", "t"));
    }
}

#[test]
fn a_machine_is_asked_by_the_second_version_of_its_metadata_service() {
    let metadata = answering(|request| {
        if request.method() == Method::PUT {
            assert_eq!(request.uri(), "http://169.254.169.254/latest/api/token");
            return status(200, "imds-token");
        }
        assert_eq!(request.headers()["x-aws-ec2-metadata-token"], "imds-token");
        match request.uri().path() {
            "/latest/meta-data/iam/security-credentials/" => status(200, "release-role\n"),
            "/latest/meta-data/iam/security-credentials/release-role" => status(
                200,
                json!({"Code": "Success", "AccessKeyId": "ASIAEC2", "SecretAccessKey": "s", "Token": "t"}).to_string(),
            ),
            other => panic!("{other}"),
        }
    });
    let found = asked_by(&[], None, nobody_else, Arc::clone(&metadata));
    assert_eq!(found.unwrap(), pair("ASIAEC2", "t"));
    let disabled = [("AWS_EC2_METADATA_DISABLED", "true")];
    let error = asked_by(&disabled, None, nobody_else, metadata).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
    let odd = answering(|request| match request.method() {
        &Method::PUT => status(200, "t"),
        _ => status(200, "../../evil"),
    });
    let error = asked_by(&[], None, nobody_else, odd).unwrap_err();
    assert_eq!(failure(&error), Some(ServiceFailure::Answer), "{error}");
}

#[test]
fn where_nothing_is_found_it_is_said() {
    let nobody: Arc<dyn Transport> = Arc::new(Nobody);
    let error = asked_by(&[], is_home("/no/such/home"), nobody_else, nobody).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
}
