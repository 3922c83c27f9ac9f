//! Verification itself, on good bundles of every form that were changed as the input says: never a panic, and whatever is
//! accepted has the signed content and the signer of a good bundle.
//!
//! The input is a program of three bytes a step: which place of the bundle, what to do there, with what. Keys are made
//! anew in each process, so an input is a way of spoiling, not a bundle.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stella_bundle::bundle::{Bundle, Content};
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::verify::{Artifact, Verifier};
use stella_testkit::forge::{self, ARTIFACT, Forge, Form, NOW, SIGNER, mutants};

/// Good bundles of one form: the first is spoiled, the others lend their parts.
struct Good {
    verifier: Verifier,
    bundles: Vec<Value>,
    contents: Vec<Content>,
}

static GOOD: LazyLock<Vec<Good>> = LazyLock::new(|| {
    let (forge, stranger) = (Forge::new(), Forge::new());
    let good = |form: &Form| {
        let first = forge.make(form);
        let verifier = Verifier::new(forge::trust(&forge.trusted_root()), first.policy);
        let bundles = vec![
            first.bundle,
            forge.make(form).bundle,
            stranger.make(form).bundle,
        ];
        let content = |bundle: &Value| {
            let bundle =
                Bundle::parse(bundle.to_string().as_bytes()).expect("the forge makes bundles");
            without_hint(bundle.content)
        };
        // A stranger's content is good nowhere.
        let contents = bundles[..2].iter().map(content).collect();
        Good {
            verifier,
            bundles,
            contents,
        }
    };
    Form::all().iter().map(good).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&form, program)) = bytes.split_first() else {
        return;
    };
    let good = &GOOD[usize::from(form) % GOOD.len()];
    let mut bundle = good.bundles[0].clone();
    for step in program.chunks_exact(3).take(16) {
        spoil(&mut bundle, good, step);
    }
    let Ok(bundle) = Bundle::parse(bundle.to_string().as_bytes()) else {
        return;
    };
    let report = good
        .verifier
        .verify(&bundle, &Artifact::Bytes(ARTIFACT), NOW);
    let Ok(verified) = report.verdict else {
        return;
    };
    assert!(good.contents.contains(&without_hint(bundle.content)));
    let facts = verified.facts();
    assert!(
        facts.key.is_some()
            || facts.signer.as_ref().and_then(|signer| signer.name()) == Some(SIGNER.name)
    );
});

/// Returns what is signed: a digest that the signer noted is a hint, and so is the name of a key.
fn without_hint(mut content: Content) -> Content {
    match &mut content {
        Content::Message { digest, .. } => *digest = None,
        Content::Envelope(envelope) => envelope.signatures[0].keyid.clear(),
        Content::SimpleSigning { .. } => {}
    }
    content
}

/// Carries out one step.
fn spoil(bundle: &mut Value, good: &Good, step: &[u8]) {
    let paths = mutants::paths(bundle);
    if paths.is_empty() {
        return;
    }
    let (what, with) = (step[1], usize::from(step[2]));
    let path = &paths[usize::from(step[0]) % paths.len()];
    match what % 6 {
        0 => drop(mutants::remove(bundle, path)),
        1 => {
            let donor = &good.bundles[1 + with % 2];
            if let Some(value) = donor.pointer(path).cloned() {
                put(bundle, path, value);
            }
        }
        2 => {
            let value = bundle
                .pointer(&paths[with % paths.len()])
                .cloned()
                .unwrap_or_default();
            put(bundle, path, value);
        }
        3 => put(bundle, path, constant(with)),
        4 => double(bundle, path),
        _ => change_text(bundle, path, usize::from(what) / 6, with),
    }
}

fn constant(with: usize) -> Value {
    let constants = [
        "0",
        "-1",
        "9223372036854775807",
        "\"\"",
        "null",
        "[]",
        "{}",
        "\"AAAA\"",
        "true",
    ];
    serde_json::from_str(constants[with % constants.len()]).expect("constants are JSON")
}

fn put(bundle: &mut Value, path: &str, value: Value) {
    if let Some(place) = bundle.pointer_mut(path) {
        *place = value;
    }
}

fn double(bundle: &mut Value, path: &str) {
    if let Some(Value::Array(list)) = bundle.pointer_mut(path)
        && let Some(first) = list.first().cloned()
    {
        list.push(first);
    }
}

/// Flips a bit of a text, or of the bytes that it stands for, or cuts it short.
fn change_text(bundle: &mut Value, path: &str, how: usize, with: usize) {
    let Some(Value::String(text)) = bundle.pointer_mut(path) else {
        return;
    };
    let decoded = decode_base64(text).filter(|bytes| !bytes.is_empty());
    let mut bytes = decoded.clone().unwrap_or_else(|| text.clone().into_bytes());
    if bytes.is_empty() {
        return;
    }
    let at = (how * 256 + with) % (bytes.len() * 8);
    if how % 7 == 0 {
        bytes.truncate(at / 8);
    } else {
        bytes[at / 8] ^= 1 << (at % 8);
    }
    *text = match decoded {
        Some(_) => encode_base64(&bytes),
        None => String::from_utf8_lossy(&bytes).into_owned(),
    };
}
