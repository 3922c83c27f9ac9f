//! A witness (C2SP tlog-witness) on the loopback: it decides as the specification says, and may be away.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use stella_bundle::key::KeyDetails;
use stella_keys::{EphemeralKey, Signer as _};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::cosignature::{self, UnixSeconds};
use stella_tlog::hash::Hash;
use stella_tlog::note::{KeyName, SignatureType, VerifierKey, signature_line};
use stella_tlog::tree::TreeSize;
use stella_tlog::witness::{AddCheckpoint, Decision, KnownLog, SIZE_CONTENT_TYPE, decide};

/// What a witness is and saw.
struct Inside {
    signer: EphemeralKey,
    key: VerifierKey,
    /// The key of the only log that it knows.
    log: Option<VerifierKey>,
    seen: Option<Checkpoint>,
    is_away: bool,
    asked: usize,
}

/// A witness of one log.
pub(crate) struct Witness {
    url: String,
    inside: Arc<Mutex<Inside>>,
}

impl Witness {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let signer = EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
        let raw = signer.public_key().bits();
        let name = KeyName::new(&format!("witness.example.org/{}", address.port())).unwrap();
        let key = VerifierKey::new(name, SignatureType::CosignatureEd25519, raw).unwrap();
        let inside = Arc::new(Mutex::new(Inside {
            signer,
            key,
            log: None,
            seen: None,
            is_away: false,
            asked: 0,
        }));
        let served = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(&stream.unwrap(), &mut served.lock().unwrap());
            }
        });
        Self {
            url: format!("http://{address}/base"),
            inside,
        }
    }

    /// Returns its line in a policy.
    pub(crate) fn line(&self, name: &str) -> String {
        let key = self.inside.lock().unwrap().key.to_string();
        format!("witness {name} {key} {}\n", self.url)
    }

    /// Has it know a log.
    pub(crate) fn know(&self, key: &str) {
        self.inside.lock().unwrap().log = Some(VerifierKey::parse(key).unwrap());
    }

    pub(crate) fn leave(&self) {
        self.inside.lock().unwrap().is_away = true;
    }

    pub(crate) fn come_back(&self) {
        self.inside.lock().unwrap().is_away = false;
    }

    /// Returns how often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.inside.lock().unwrap().asked
    }
}

fn answer(mut stream: &TcpStream, inside: &mut Inside) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    inside.asked += 1;
    let (status, kind, body) = match (path.as_str(), inside.is_away) {
        (_, true) => (418, "text/plain", String::new()),
        ("/base/add-checkpoint", _) => inside.decide(&String::from_utf8(body).unwrap()),
        _ => (404, "text/plain", String::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

impl Inside {
    fn decide(&mut self, body: &str) -> (u16, &'static str, String) {
        let request = AddCheckpoint::parse(body).unwrap();
        let known = KnownLog {
            keys: self.log.iter().cloned().collect(),
            size: self.seen.as_ref().map_or(TreeSize::EMPTY, |seen| seen.size),
            root: self
                .seen
                .as_ref()
                .map_or(Hash::EMPTY_ROOT, |seen| seen.root),
        };
        let name = self.log.as_ref().map(|key| key.name().as_str().to_owned());
        let decision = decide(&request, |origin| {
            (name.as_deref() == Some(origin)).then_some(&known)
        });
        let status = decision.status();
        match decision {
            Decision::Cosign { checkpoint } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let time = UnixSeconds(now.as_secs());
                let signed = cosignature::to_be_signed(&self.key, time, &request.note.text);
                let signature = self.signer.sign(&signed.unwrap()).unwrap();
                let signature = cosignature::note_signature(time, &signature);
                self.seen = Some(checkpoint);
                (status, "text/plain", signature_line(&self.key, &signature))
            }
            Decision::Conflict { size } => (status, SIZE_CONTENT_TYPE, format!("{size}\n")),
            _ => (status, "text/plain", String::new()),
        }
    }
}
