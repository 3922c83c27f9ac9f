//! Changes of a bundle, one at a time: every field is dropped, doubled, cut short, taken from another bundle, and bits of
//! it are flipped.
//!
//! Which of them may be accepted is [`super::exceptions`].

use serde_json::Value;
use stella_bundle::json::{decode_base64, encode_base64};

/// Bits of a field that are all flipped when it is short, else a sample of so many.
const FLIPS: usize = 120;

/// What was done to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Its text or bytes are shorter.
    Cut,
    /// Its name, or one of its elements, stands twice.
    Double,
    /// It is gone.
    Drop,
    /// One bit differs.
    Flip,
    /// It is another bundle's.
    Take,
}

impl Kind {
    /// Returns the word for it in lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Double => "double",
            Self::Drop => "drop",
            Self::Flip => "flip",
            Self::Take => "take",
        }
    }
}

/// A changed bundle.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Where: a JSON pointer.
    pub path: String,
    /// What was done there.
    pub kind: Kind,
    /// The bundle, as JSON; a text because a name may stand twice in it.
    pub text: String,
}

/// Returns every change of a good bundle, the same for the same seed; `others` are bundles to take from.
#[must_use]
pub fn all(good: &Value, others: &[Value], seed: u64) -> Vec<Mutant> {
    let mut random = Random::new(seed);
    let mut all = Vec::new();
    for path in paths(good) {
        let mut add = |kind, text: Option<String>| {
            all.extend(text.map(|text| Mutant {
                path: path.clone(),
                kind,
                text,
            }));
        };
        add(Kind::Drop, without(good, &path));
        for other in others {
            let taken = other.pointer(&path).cloned();
            add(Kind::Take, taken.and_then(|value| with(good, &path, value)));
        }
        match good.pointer(&path) {
            Some(Value::String(text)) => {
                for cut in cuts(text) {
                    add(Kind::Cut, with(good, &path, cut.into()));
                }
                for flipped in flips(text, &mut random) {
                    add(Kind::Flip, with(good, &path, flipped.into()));
                }
            }
            Some(Value::Array(list)) => {
                for element in list {
                    let longer = list.iter().chain([element]).cloned().collect();
                    add(Kind::Double, with(good, &path, longer));
                }
            }
            _ => {}
        }
        add(Kind::Double, doubled_name(good, &path));
    }
    all
}

/// Returns every place in a document but its root.
#[must_use]
pub fn paths(document: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, paths: &mut Vec<String>) {
        let below: Vec<(String, &Value)> = match value {
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| (name.clone(), value))
                .collect(),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(at, value)| (at.to_string(), value))
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
    walk(document, "", &mut paths);
    paths
}

/// Returns the document with another value at a place that exists.
#[must_use]
pub fn with(document: &Value, path: &str, value: Value) -> Option<String> {
    let mut changed = document.clone();
    *changed.pointer_mut(path)? = value;
    Some(changed.to_string())
}

/// Returns the document without what is at a place.
#[must_use]
pub fn without(document: &Value, path: &str) -> Option<String> {
    let mut changed = document.clone();
    remove(&mut changed, path)?;
    Some(changed.to_string())
}

/// Takes what is at a place out of a document; none when nothing is there.
pub fn remove(document: &mut Value, path: &str) -> Option<Value> {
    let (parent, name) = path.rsplit_once('/')?;
    match document.pointer_mut(parent)? {
        Value::Object(object) => object.remove(name),
        Value::Array(list) => {
            let at = name.parse().ok().filter(|at| *at < list.len())?;
            Some(list.remove(at))
        }
        _ => None,
    }
}

/// Returns the document with one name of an object standing twice.
#[must_use]
pub fn doubled_name(document: &Value, path: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('/')?;
    let Value::Object(object) = document.pointer(parent)? else {
        return None;
    };
    let member = format!("{}:{}", Value::from(name), object.get(name)?);
    let mark = format!("{}:\"<twice>\"", Value::from(name));
    let marked = with(document, path, "<twice>".into())?;
    Some(marked.replacen(&mark, &format!("{member},{member}"), 1))
}

/// Returns shorter texts; of base64 shorter bytes.
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

/// Returns texts in which one bit differs; of base64 one bit of the bytes.
fn flips(text: &str, random: &mut Random) -> Vec<String> {
    let bits = flippable_bits(text);
    let chosen: Vec<usize> = if bits <= FLIPS {
        (0..bits).collect()
    } else {
        (0..FLIPS).map(|_| random.below(bits)).collect()
    };
    chosen
        .into_iter()
        .filter_map(|bit| flipped(text, bit))
        .collect()
}

/// Returns the bytes of base64 when a text is that.
fn as_base64(text: &str) -> Option<Vec<u8>> {
    decode_base64(text).filter(|_| text.len() > 3)
}

/// Returns how many bits [`flipped`] can flip.
#[must_use]
pub fn flippable_bits(text: &str) -> usize {
    as_base64(text).map_or(text.len(), |bytes| bytes.len()) * 8
}

/// Returns a text with one bit flipped; of base64 one bit of the bytes. None when it is no text any more.
#[must_use]
pub fn flipped(text: &str, bit: usize) -> Option<String> {
    let flip = |mut bytes: Vec<u8>| {
        *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
        Some(bytes)
    };
    match as_base64(text) {
        Some(bytes) => flip(bytes).map(|bytes| encode_base64(&bytes)),
        None => String::from_utf8(flip(text.as_bytes().to_vec())?).ok(),
    }
}

/// A small generator (xorshift64*): the same numbers in every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the generator of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Zero would stay zero for ever.
        Self(if seed == 0 { 1 } else { seed })
    }

    /// Returns a number below `bound`, 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number)
            .unwrap_or_default()
            .checked_rem(bound)
            .unwrap_or_default()
    }
}
