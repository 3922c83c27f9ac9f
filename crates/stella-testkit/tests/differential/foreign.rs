//! Clients in other languages: what they are asked is laid into a folder, and one process answers for all of it.
//!
//! They are installed by `cargo xtask foreign --prepare`; their drivers are `tests/foreign/verify_many.*`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use stella_testkit::forge::mutants::Random;
use stella_testkit::forge::{ARTIFACT, Material, SIGNER};

use crate::corpus::{Corpus, Input, Set};
use crate::verdicts::{Answer, Client, Comparison, Extent};

/// So many inputs of one kind in one place that stella accepts are in the sample.
const ALIKE: usize = 6;

/// One of so many inputs that stella refuses is in the sample.
const SAMPLE: usize = 200;

/// How long a client may take for the sample, in seconds.
const PATIENCE: &str = "300";

/// How long it may take for everything.
const PATIENCE_FOR_ALL: &str = "7200";

/// Asks a client and compares, or says why it is left out.
pub(crate) fn compare(corpus: &Corpus, client: Client) {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let clients = temporary.parent().unwrap().join("foreign");
    let place = clients.join(match client {
        Client::Python => "venv",
        _ => "node",
    });
    let wanted = std::env::var("STELLA_FOREIGN").unwrap_or_default();
    let is_installed = place.join("prepared-from").exists();
    if wanted == "0" || (!is_installed && wanted != "1") {
        eprintln!("differential: {client:?} skipped: `cargo xtask foreign` installs and runs it");
        return;
    }
    assert!(
        is_installed,
        "STELLA_FOREIGN=1, but nothing is installed: cargo xtask foreign --prepare"
    );
    let extent = match std::env::var("STELLA_DIFFERENTIAL").as_deref() {
        Ok("all") => Extent::Everything,
        _ => Extent::Sample,
    };
    let folder = temporary.join(format!("differential-{client:?}"));
    lay(corpus, &folder, extent);
    let answers = ask(client, &place, &folder, extent);
    let mut comparison = Comparison::new(client);
    for (at, set) in corpus.sets.iter().enumerate() {
        for input in chosen(set, extent) {
            let answer = answers.get(&name(at, &input)).cloned();
            comparison.add(set, &input, answer.expect("an answer to every question"));
        }
    }
    let _ = fs::remove_dir_all(&folder);
    comparison.finish(extent);
}

/// Returns what is asked: all of it, or a few of what stella accepts, of each kind in each place, and some others.
fn chosen(set: &Set, extent: Extent) -> impl Iterator<Item = Input> {
    let mut random = Random::new(1);
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    set.inputs().filter(move |input| {
        let is_sampled = if input.is_accepted {
            let alike = seen.entry(input.change.clone()).or_default();
            *alike += 1;
            *alike <= ALIKE
        } else {
            random.below(SAMPLE) == 0
        };
        extent == Extent::Everything || is_sampled
    })
}

fn name(at: usize, input: &Input) -> String {
    format!("{at:02}/{:05}.sigstore.json", input.number)
}

/// Writes trusted root, artifact, signer and bundles.
fn lay(corpus: &Corpus, folder: &Path, extent: Extent) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    let signer = json!({"identity": SIGNER.name, "issuer": SIGNER.issuer});
    fs::write(
        folder.join("trusted_root.json"),
        corpus.trusted_root.to_string(),
    )
    .unwrap();
    fs::write(folder.join("artifact"), ARTIFACT).unwrap();
    fs::write(folder.join("signer.json"), signer.to_string()).unwrap();
    for (at, set) in corpus.sets.iter().enumerate() {
        let cases = folder.join("cases");
        fs::create_dir_all(cases.join(format!("{at:02}"))).unwrap();
        let has_certificate = set.form.material != Material::Key;
        let asked = json!({
            "logs": set.form.entries.len(),
            "scts": usize::from(has_certificate),
            "times": set.form.timestamps.max(usize::from(has_certificate)),
            "key": set.good.key_pem(),
        });
        let form = cases.join(format!("{at:02}/form.json"));
        fs::write(form, asked.to_string()).unwrap();
        for input in chosen(set, extent) {
            fs::write(cases.join(name(at, &input)), &input.text).unwrap();
        }
    }
}

/// Runs the client over the folder and returns its answers by name.
fn ask(client: Client, place: &Path, folder: &Path, extent: Extent) -> BTreeMap<String, Answer> {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/foreign")
        .canonicalize()
        .unwrap();
    let (program, driver): (PathBuf, &str) = match client {
        Client::Python => (place.join("bin/python"), "verify_many.py"),
        _ => {
            let machine = if cfg!(target_arch = "aarch64") {
                "arm64"
            } else {
                "x64"
            };
            let node = format!("node_modules/node-linux-{machine}/bin/node");
            (place.join(node), "verify_many.mjs")
        }
    };
    let patience = match extent {
        Extent::Everything => PATIENCE_FOR_ALL,
        Extent::Sample => PATIENCE,
    };
    let output = Command::new("timeout")
        .arg(patience)
        .arg(program)
        .arg(drivers.join(driver))
        .arg(folder)
        .current_dir(place)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{client:?}: {}: {said}",
        output.status
    );
    let answer = |line: &str| {
        let (name, said) = line.split_once(' ').expect("a name and an answer");
        let answer = match said.strip_prefix("refuse ") {
            Some(reason) => Answer::Refused(reason.to_owned()),
            None => Answer::Accepted,
        };
        assert!(said == "accept" || answer != Answer::Accepted, "{line}");
        (name.to_owned(), answer)
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(answer)
        .collect()
}
