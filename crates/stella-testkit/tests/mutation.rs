//! Spoiled evidence: for a good bundle of every form, every field is dropped, doubled, cut short, taken from another
//! bundle, and bits of every signed byte are flipped. All of it is refused, and nothing panics.
//!
//! What is accepted all the same is listed in `testdata/mutation/exceptions.json` with the reason; a line that nothing
//! needs is refused too. A change that leaves the parsed bundle as it was is no change.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use stella_bundle::bundle::Bundle;
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::verify::Verifier;
use stella_testkit::forge::{self, Forge, Form};

const EXCEPTIONS: &str = include_str!("../../../testdata/mutation/exceptions.json");

/// Bits of a field that are all flipped when it is short, else a sample of so many.
const FLIPS: usize = 120;

/// An accepted change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    /// JSON pointer; `*` stands for one step.
    path: String,
    /// `drop`, `double`, `cut`, `take`, `flip`.
    kinds: Vec<String>,
    /// Which part of the form's name it is for; all when absent.
    form: Option<String>,
    /// Why the bundle is still good.
    #[expect(dead_code, reason = "for the reader")]
    reason: String,
}

impl Exception {
    fn covers(&self, form: &Form, path: &str, kind: &str) -> bool {
        let steps = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (wanted, found) = (steps(&self.path), steps(path));
        self.form
            .as_ref()
            .is_none_or(|part| form.name.contains(part.as_str()))
            && self.kinds.iter().any(|each| each == kind)
            && wanted.len() == found.len()
            && wanted
                .iter()
                .zip(&found)
                .all(|(wanted, found)| wanted == "*" || wanted == found)
    }
}

/// A changed bundle.
struct Mutant {
    path: String,
    kind: &'static str,
    text: String,
}

#[test]
fn every_change_of_every_form_is_refused_but_for_those_that_are_listed() {
    let exceptions: Vec<Exception> = serde_json::from_str(EXCEPTIONS).unwrap();
    let (forge, stranger) = (Forge::new(), Forge::new());
    let (mut wrong, mut used) = (BTreeSet::new(), BTreeSet::new());
    let mut tried = 0;
    for (seed, form) in (1..).zip(Form::all()) {
        let good = forge.make(&form);
        let others = [forge.make(&form).bundle, stranger.make(&form).bundle];
        let verifier = Verifier::new(forge::trust(&forge.trusted_root()), good.policy.clone());
        assert!(
            accepts(&verifier, &good.bundle.to_string()),
            "{}",
            form.name
        );
        let original = Bundle::parse(good.bundle.to_string().as_bytes()).unwrap();
        for mutant in mutants(&good.bundle, &others, seed) {
            tried += 1;
            if !accepts(&verifier, &mutant.text) || is_the_same(&original, &mutant.text) {
                continue;
            }
            let covering = exceptions
                .iter()
                .position(|each| each.covers(&form, &mutant.path, mutant.kind));
            match covering {
                Some(at) => {
                    used.insert(at);
                }
                None => {
                    wrong.insert(format!("{} {}: {}", mutant.kind, mutant.path, form.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "accepted: {wrong:#?}");
    let idle: Vec<_> = (0..exceptions.len())
        .filter(|at| !used.contains(at))
        .map(|at| &exceptions[at].path)
        .collect();
    assert!(idle.is_empty(), "exceptions that nothing needs: {idle:#?}");
    assert!(tried > 20_000, "only {tried} changes were tried");
}

fn accepts(verifier: &Verifier, text: &str) -> bool {
    let Ok(bundle) = Bundle::parse(text.as_bytes()) else {
        return false;
    };
    let artifact = stella_bundle::verify::Artifact::Bytes(forge::ARTIFACT);
    verifier
        .verify(&bundle, &artifact, forge::NOW)
        .verdict
        .is_ok()
}

/// Says whether a change leaves all that is read: another spelling, or parts of a token that nobody signs.
fn is_the_same(original: &Bundle, text: &str) -> bool {
    let mut bundle = Bundle::parse(text.as_bytes()).unwrap();
    if bundle.timestamps.len() == original.timestamps.len() {
        for (found, good) in bundle.timestamps.iter_mut().zip(&original.timestamps) {
            if signed_parts(found) == signed_parts(good) {
                found.clone_from(good);
            }
        }
    }
    bundle == *original
}

/// A token without the certificates that came along: the trusted root has the signer itself.
fn signed_parts(response: &[u8]) -> SignedTimestamp {
    let mut token = SignedTimestamp::parse(response).unwrap();
    token.certificates.clear();
    token
}

fn mutants(good: &Value, others: &[Value], seed: u64) -> Vec<Mutant> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    for path in paths(good) {
        let mut add = |kind, value: Option<Value>| {
            let mut changed = good.clone();
            match value {
                Some(value) => *changed.pointer_mut(&path).unwrap() = value,
                None => remove(&mut changed, &path),
            }
            all.push(Mutant {
                path: path.clone(),
                kind,
                text: changed.to_string(),
            });
        };
        let value = good.pointer(&path).unwrap().clone();
        add("drop", None);
        for other in others {
            if let Some(taken) = other.pointer(&path) {
                add("take", Some(taken.clone()));
            }
        }
        match &value {
            Value::String(text) => {
                for cut in cuts(text) {
                    add("cut", Some(cut.into()));
                }
                for flipped in flips(text, &mut random) {
                    add("flip", Some(flipped.into()));
                }
            }
            Value::Array(list) if !list.is_empty() => {
                for element in list {
                    let mut longer = list.clone();
                    longer.push(element.clone());
                    add("double", Some(longer.into()));
                }
            }
            _ => {}
        }
        if let Some(text) = doubled_name(good, &path) {
            all.push(Mutant {
                path,
                kind: "double",
                text,
            });
        }
    }
    all
}

/// Every place in the document but its root.
fn paths(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, paths: &mut Vec<String>) {
        let below: Vec<(String, &Value)> = match value {
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| (name.clone(), value))
                .collect(),
            Value::Array(list) => (0..)
                .zip(list)
                .map(|(at, value): (usize, _)| (at.to_string(), value))
                .collect(),
            _ => return,
        };
        for (name, value) in below {
            let path = format!("{at}/{name}");
            paths.push(path.clone());
            walk(value, &path, paths);
        }
    }
    let mut paths = Vec::new();
    walk(value, "", &mut paths);
    paths
}

fn remove(document: &mut Value, path: &str) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(object) => drop(object.remove(name)),
        Value::Array(list) => drop(list.remove(name.parse().unwrap())),
        _ => panic!("{path}: nothing is there"),
    }
}

/// Writes the document with one name of an object standing twice.
fn doubled_name(good: &Value, path: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('/').unwrap();
    let Value::Object(object) = good.pointer(parent)? else {
        return None;
    };
    let member = format!("{}:{}", Value::from(name), object[name]);
    let mut marked = good.clone();
    *marked.pointer_mut(path)? = "<twice>".into();
    let mark = format!("{}:\"<twice>\"", Value::from(name));
    Some(
        marked
            .to_string()
            .replacen(&mark, &format!("{member},{member}"), 1),
    )
}

/// Shorter texts; of base64 shorter bytes.
fn cuts(text: &str) -> Vec<String> {
    let lengths = |length: usize| [0, length / 2, length.saturating_sub(1)];
    match decode_base64(text) {
        Some(bytes) if !text.is_empty() => lengths(bytes.len())
            .map(|to| encode_base64(&bytes[..to]))
            .to_vec(),
        _ => lengths(text.len())
            .iter()
            .filter_map(|to| text.get(..*to))
            .map(str::to_owned)
            .collect(),
    }
}

/// Texts in which one bit differs; of base64 one bit of the bytes.
fn flips(text: &str, random: &mut Random) -> Vec<String> {
    let is_base64 = text.len() > 3 && decode_base64(text).is_some();
    let bytes = if is_base64 {
        decode_base64(text).unwrap()
    } else {
        text.as_bytes().to_vec()
    };
    let bits = bytes.len() * 8;
    let chosen: Vec<usize> = if bits <= FLIPS {
        (0..bits).collect()
    } else {
        (0..FLIPS).map(|_| random.below(bits)).collect()
    };
    let flip = |bit: usize| {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if is_base64 {
            return Some(encode_base64(&flipped));
        }
        String::from_utf8(flipped).ok()
    };
    chosen.into_iter().filter_map(flip).collect()
}

/// A small generator (xorshift64*): the same changes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % bound
    }
}
