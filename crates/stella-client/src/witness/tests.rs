//! What a witness may answer, and what is not used.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use http::header::HeaderValue;
use stella_bundle::key::KeyDetails;
use stella_keys::{EphemeralKey, Signer as _};
use stella_tlog::note::{KeyName, SignatureType, VerifierKey, signature_line};
use stella_wire::transport::TransportError;

use super::*;
use crate::scripted::{BASE, NOW, Script, run, status};

const TEXT: &str = "archive.example.org\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

struct Scene {
    signer: EphemeralKey,
    witness: quorum::Witness,
}

impl Scene {
    fn new() -> Self {
        let signer = EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
        let raw = signer.public_key().bits();
        let name = KeyName::new("witness.example").unwrap();
        let key = VerifierKey::new(name, SignatureType::CosignatureEd25519, raw).unwrap();
        let witness = quorum::Witness {
            name: "one".to_owned(),
            key,
            url: Some(format!("{BASE}/witness/")),
        };
        Self { signer, witness }
    }

    /// Returns the line of a cosignature so many seconds from now.
    fn line(&self, text: &str, seconds: i64) -> String {
        let time = UnixSeconds(u64::try_from(NOW.seconds() + seconds).unwrap());
        let signed = cosignature::to_be_signed(&self.witness.key, time, text).unwrap();
        let signature = self.signer.sign(&signed).unwrap();
        let signature = cosignature::note_signature(time, &signature);
        signature_line(&self.witness.key, &signature)
    }

    fn ask(&self, answer: Result<Response, TransportError>) -> Result<Answer, ClientError> {
        let request = AddCheckpoint {
            old_size: TreeSize(7),
            proof: Vec::new(),
            note: Note {
                text: TEXT.to_owned(),
                signatures: Vec::new(),
            },
        };
        let script = Script::new([answer]);
        let answered = run(add_checkpoint(&script, &self.witness, &request, NOW));
        let asked = script.asked();
        assert_eq!(
            asked[0].uri(),
            format!("{BASE}/witness/add-checkpoint").as_str()
        );
        assert_eq!(*asked[0].body(), request.to_string());
        answered
    }
}

fn conflict(kind: &'static str, body: &'static str) -> Result<Response, TransportError> {
    let mut answer = status(409, body)?;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(answer)
}

#[test]
fn a_cosignature_of_now_is_taken_and_the_newest_of_several() {
    let scene = Scene::new();
    let older = scene.line(TEXT, -200);
    let newer = scene.line(TEXT, -1);
    // What others signed stands beside it.
    let other = Scene::new().line(TEXT, 0);
    let taken = scene.ask(status(200, format!("{older}{newer}{other}")));
    let Ok(Answer::Cosigned(signature)) = taken else {
        panic!("{taken:?}")
    };
    assert_eq!(format!("{signature}\n"), newer);
}

#[test]
fn the_size_that_it_holds_is_an_answer_too() {
    let scene = Scene::new();
    let held = scene.ask(conflict(SIZE_CONTENT_TYPE, "12\n"));
    assert_eq!(held, Ok(Answer::Holds(TreeSize(12))));
    for body in ["12", "012\n", "twelve\n", ""] {
        let held = scene.ask(conflict(SIZE_CONTENT_TYPE, body));
        assert_eq!(held, Err(WitnessProblem::Size.into()), "{body:?}");
    }
    let held = scene.ask(conflict("text/plain", "12\n"));
    assert!(
        matches!(held, Err(ClientError::Refused { status: 409, .. })),
        "{held:?}"
    );
}

#[test]
fn what_is_no_cosignature_of_this_text_by_this_key_now_is_not_used() {
    let scene = Scene::new();
    let other_text = TEXT.replace("\n0\n", "\n1\n");
    for lines in [
        String::new(),
        "\n".to_owned(),
        "signed\n".to_owned(),
        scene.line(&other_text, 0),
        Scene::new().line(TEXT, 0),
    ] {
        let answered = scene.ask(status(200, lines.clone()));
        let is_refused = matches!(
            answered,
            Err(ClientError::Witness(WitnessProblem::Cosignature(_)))
        );
        assert!(is_refused, "{lines:?}: {answered:?}");
    }
    for seconds in [-301, 301] {
        let answered = scene.ask(status(200, scene.line(TEXT, seconds)));
        let is_refused = matches!(
            answered,
            Err(ClientError::Witness(WitnessProblem::NotNow { .. }))
        );
        assert!(is_refused, "{seconds}: {answered:?}");
    }
}

#[test]
fn who_does_not_know_the_log_or_sees_another_past_refuses_and_who_is_away_is_unavailable() {
    let scene = Scene::new();
    for code in [400, 404, 422] {
        let answered = scene.ask(status(code, ""));
        assert!(
            matches!(answered, Err(ClientError::Refused { .. })),
            "{answered:?}"
        );
    }
    let answered = scene.ask(status(503, ""));
    assert!(
        matches!(answered, Err(ClientError::Unavailable { .. })),
        "{answered:?}"
    );
    let unreachable = Scene {
        witness: quorum::Witness {
            url: None,
            ..scene.witness.clone()
        },
        ..scene
    };
    let request = AddCheckpoint {
        old_size: TreeSize::EMPTY,
        proof: Vec::new(),
        note: Note {
            text: TEXT.to_owned(),
            signatures: Vec::new(),
        },
    };
    let asked = run(add_checkpoint(
        &Script::default(),
        &unreachable.witness,
        &request,
        NOW,
    ));
    let name = "one".to_owned();
    assert_eq!(asked, Err(WitnessProblem::Unreachable { name }.into()));
}
