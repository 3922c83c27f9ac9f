//! Access tokens of Google Cloud: each place where credentials are found.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;
use stella_bundle::json::decode_base64;
use stella_keys::stored::StoredKey;

use super::*;
use crate::scripted::status;

const KEY: &str = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/1";

/// Asks for a key with a file of credentials; returns the bearer, or the error before it.
fn bearer(
    folder: &Path,
    credentials: &Value,
    tokens: impl Fn(&Request) -> Outcome + Send + Sync + 'static,
) -> Result<String, KeyError> {
    let file = folder.join("credentials.json");
    fs::write(&file, credentials.to_string()).unwrap();
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())];
    let (sender, asked) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let network = answering(move |request| {
        if request.uri().host() != Some("cloudkms.googleapis.com") {
            return tokens(request);
        }
        let header = request.headers()["authorization"].to_str().unwrap();
        sender.lock().unwrap().send(header.to_owned()).unwrap();
        status(404, "{}")
    });
    let error = RemoteKey::open(&reference(KEY), surroundings(&variables, network), false);
    asked.try_recv().map_err(|_| error.unwrap_err())
}

fn form(request: &Request) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(request.body())
        .into_owned()
        .collect()
}

fn granted(token: &str) -> Outcome {
    status(
        200,
        json!({"access_token": token, "expires_in": 3599}).to_string(),
    )
}

#[test]
fn a_service_accounts_key_signs_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let key = StoredKey::generate(KeyDetails::RsaPkcs1v15_2048Sha256).unwrap();
    let public = key.public_key().clone();
    let credentials = json!({
        "type": "service_account", "client_email": "signer@p.iam.gserviceaccount.com",
        "private_key": *key.to_pem(None).unwrap(), "private_key_id": "k1",
        "token_uri": "https://oauth2.googleapis.com/token", "project_id": "p",
    });
    let tokens = move |request: &Request| {
        assert_eq!(request.uri(), "https://oauth2.googleapis.com/token");
        let form = form(request);
        assert_eq!(
            form["grant_type"],
            "urn:ietf:params:oauth:grant-type:jwt-bearer"
        );
        let (text, signature) = form["assertion"].rsplit_once('.').unwrap();
        let signature = decode_base64(signature).unwrap();
        public.verify(text.as_bytes(), &signature).unwrap();
        let claims = decode_base64(text.split_once('.').unwrap().1).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["iss"], "signer@p.iam.gserviceaccount.com");
        assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
        assert_eq!(claims["exp"], NOW.seconds() + 600);
        granted("by-key")
    };
    assert_eq!(
        bearer(folder.path(), &credentials, tokens).unwrap(),
        "Bearer by-key"
    );
    let refused = |_: &Request| {
        status(
            400,
            r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
        )
    };
    let error = bearer(folder.path(), &credentials, refused).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Google's token service: access is refused: Invalid JWT Signature."
    );
    let nonsense = |_: &Request| status(200, "{}");
    let error = bearer(folder.path(), &credentials, nonsense).unwrap_err();
    assert_eq!(failure(&error), Some(ServiceFailure::Answer), "{error}");
}

#[test]
fn a_workloads_token_is_changed_for_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, r#"{"value": "a.workload.token"}"#).unwrap();
    let account = "https://iamcredentials.googleapis.com/v1/x:generateAccessToken";
    let credentials = |source: Value| {
        json!({
            "type": "external_account", "audience": "//iam.googleapis.com/pool",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": source, "service_account_impersonation_url": account,
        })
    };
    let tokens = move |request: &Request| match request.uri().host().unwrap() {
        "runner.example" => {
            assert_eq!(request.headers()["authorization"], "Bearer runner");
            status(200, r#"{"value": "a.workload.token"}"#)
        }
        "sts.googleapis.com" => {
            let form = form(request);
            assert_eq!(form["subject_token"], "a.workload.token");
            assert_eq!(form["audience"], "//iam.googleapis.com/pool");
            granted("federated")
        }
        _ => {
            assert_eq!(request.uri(), account);
            assert_eq!(request.headers()["authorization"], "Bearer federated");
            status(
                200,
                r#"{"accessToken":"by-account","expireTime":"2026-11-20T13:00:00Z"}"#,
            )
        }
    };
    let format = json!({"type": "json", "subject_token_field_name": "value"});
    for source in [
        json!({"file": file, "format": format}),
        json!({"url": "https://runner.example/token", "headers": {"Authorization": "Bearer runner"}, "format": format}),
    ] {
        let found = bearer(folder.path(), &credentials(source), tokens).unwrap();
        assert_eq!(found, "Bearer by-account");
    }
    for source in [json!({}), json!({"file": "/no/such/file"})] {
        let error = bearer(folder.path(), &credentials(source), tokens).unwrap_err();
        assert_eq!(
            failure(&error),
            Some(ServiceFailure::Credentials),
            "{error}"
        );
    }
}

#[test]
fn a_persons_login_counts_and_unknown_forms_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let login = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
    });
    let tokens = |request: &Request| {
        assert_eq!(form(request)["refresh_token"], "r");
        granted("by-login")
    };
    assert_eq!(
        bearer(folder.path(), &login, tokens).unwrap(),
        "Bearer by-login"
    );
    for odd in [json!({"type": "gdch"}), json!({}), json!([])] {
        let error = bearer(folder.path(), &odd, |_| panic!("nobody is asked")).unwrap_err();
        assert_eq!(
            failure(&error),
            Some(ServiceFailure::Credentials),
            "{error}"
        );
    }
    let nobody = surroundings(&[], Arc::new(Nobody));
    let error = RemoteKey::open(&reference(KEY), nobody, false).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
}

#[test]
fn who_answers_at_the_metadata_address_must_be_googles() {
    let mut surroundings = surroundings(&[], answering(|_| panic!("nobody is asked")));
    surroundings.metadata = answering(|_| granted("of-another-cloud"));
    let error = RemoteKey::open(&reference(KEY), surroundings, false).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
}
