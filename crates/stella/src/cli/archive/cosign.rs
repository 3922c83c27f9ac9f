//! `stella archive cosign`: witnesses say that they saw the archive's tree, and when.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use stella_attest::archive::cosign::{self, Witnessed, Witnessing};
use stella_attest::file;
use stella_attest::keyset::KeysetFolder;
use stella_attest::storage::Storage;
use stella_bundle::identity::escape;
use stella_client::network::{Network, NetworkOptions};
use stella_client::witness::moment;
use stella_client::{RetryPolicy, Retrying};
use stella_keys::{CheckpointSigner, Signer};
use stella_tlog::note::KeyName;
use stella_tlog::quorum::{Cosigned, MAX_POLICY, Policy};

use super::ceremony::{self, now};
use super::place::failure;
use super::prune::OrgFlags;
use super::run::lock;
use crate::exit::{self, Failure};
use crate::key::{For, PassphraseFlags};
use crate::terminal;

/// Have witnesses cosign the newest archive's checkpoint
///
/// A witness (c2sp.org/tlog-witness) cosigns a tree only where it grew out of the one that it saw before: what it has cosigned, nobody was
/// shown another past of. The note with its cosignatures is kept beside the archive, and shown by `stella archive verify
/// --witness-policy`. `stella archive run` and `renew` do the same where they are given a checkpoint key; this is for whoever was
/// not there then.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella archive cosign --checkpoint-key file:checkpoint.key --witness-policy witnesses.txt

A policy names each witness with its key and address, and how many must have cosigned (c2sp.org/tlog-policy):
  witness first  witness.example.org/one+b23ee2a5+BA… https://witness.example.org/one
  witness second witness.example.com+40ab3b7d+BP… https://witness.example.com
  group both 2 first second
  quorum both")]
pub(crate) struct Args {
    #[command(flatten)]
    org: OrgFlags,

    /// A folder for what is not finished
    #[arg(long, value_name = "DIR", default_value = "archive.work")]
    work: PathBuf,

    #[command(flatten)]
    witnesses: WitnessFlags,

    #[command(flatten)]
    passphrase: PassphraseFlags,
}

/// Who cosigns.
#[derive(Debug, clap::Args)]
pub(super) struct WitnessFlags {
    /// The organisation's checkpoint key (Ed25519): it signs the note that witnesses cosign
    #[arg(long, value_name = "KEY", requires = "witness_policy")]
    checkpoint_key: Option<String>,

    /// Which witnesses are asked, and who of them must cosign (c2sp.org/tlog-policy)
    #[arg(long, value_name = "FILE", requires = "checkpoint_key")]
    witness_policy: Option<PathBuf>,
}

/// Witnesses with the key that signs for them.
pub(super) struct Witnesses {
    signer: CheckpointSigner,
    policy: Policy,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let _lock = lock(args.org.output())?;
    let (keysets, storage) = args.org.open()?;
    let witnesses = args.witnesses.open(&args.passphrase, &keysets)?;
    let witnesses = witnesses.ok_or_else(|| {
        Failure::usage("expected --checkpoint-key KEY and --witness-policy FILE")
            .hint("`stella archive keyset add --role checkpoint` gives the organisation such a key")
    })?;
    let witnessed = witnesses.ask(storage, &keysets, &args.work).await?;
    match args.org.json {
        true => {
            let mut facts = facts(&witnessed);
            facts["schema"] = json!("stella.archive-cosign/v1");
            facts["period"] = json!(witnessed.period);
            facts["note"] = json!(witnessed.note.to_string());
            terminal::say_json(&facts);
        }
        false => {
            terminal::say(&format!("{}:", escape(&witnessed.period)));
            say(&witnessed);
        }
    }
    Ok(exit::OK)
}

impl WitnessFlags {
    /// Reads the policy, where one is named.
    pub(super) fn read_policy(&self) -> Result<Option<Policy>, Failure> {
        self.witness_policy.as_deref().map(read_policy).transpose()
    }

    /// Opens the key and reads the policy; none where nobody is to be asked.
    pub(super) fn open(
        &self,
        passphrase: &PassphraseFlags,
        keysets: &KeysetFolder,
    ) -> Result<Option<Witnesses>, Failure> {
        let given = self.checkpoint_key.as_ref().zip(self.read_policy()?);
        let Some((reference, policy)) = given else {
            return Ok(None);
        };
        let origin = &keysets.newest().map_err(ceremony::failure)?.origin;
        let name = KeyName::new(origin).map_err(|error| {
            Failure::usage(format!("{origin:?} cannot stand in a note: {error}"))
        })?;
        let signer: Arc<dyn Signer> = Arc::from(passphrase.open(reference, For::ItselfAlone)?);
        let signer =
            CheckpointSigner::text(name, signer).map_err(|error| crate::key::failure(&error))?;
        Ok(Some(Witnesses { signer, policy }))
    }
}

impl Witnesses {
    /// Asks all of them.
    pub(super) async fn ask(
        &self,
        storage: Arc<dyn Storage>,
        keysets: &KeysetFolder,
        work: &Path,
    ) -> Result<Witnessed, Failure> {
        fs::create_dir_all(work).map_err(|error| Failure::io("make", work, &error))?;
        let network = Arc::new(Network::new(NetworkOptions::default()));
        let transport = Retrying::new(network, RetryPolicy::default());
        let witnessing = Witnessing {
            storage,
            transport: &transport,
            keysets,
            signer: &self.signer,
            policy: &self.policy,
            work,
            now: &now,
        };
        cosign::cosign(&witnessing).await.map_err(failure)
    }
}

/// Reads a policy of witnesses.
pub(super) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = file::read(path, MAX_POLICY);
    let bytes = bytes.map_err(|error| Failure::io("read", path, &error))?;
    let wrong = |problem: String| Failure::usage(format!("{}: {problem}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong("no text".to_owned()))?;
    Policy::parse(&text).map_err(|error| {
        wrong(error.to_string()).hint(
            "the form is that of c2sp.org/tlog-policy: `stella archive cosign --help` shows one",
        )
    })
}

/// Says who cosigned, and who did not.
pub(super) fn say(witnessed: &Witnessed) {
    say_cosigned(&witnessed.cosigned);
    for (name, why) in &witnessed.silent {
        terminal::tell(&format!(
            "warning: {} did not cosign: {}",
            escape(name),
            escape(why)
        ));
    }
}

/// Says who cosigned.
pub(super) fn say_cosigned(cosigned: &[Cosigned]) {
    for Cosigned { witness, time } in cosigned {
        let time = moment(*time);
        terminal::say(&format!("  cosigned by {} at {time}", escape(witness)));
    }
}

/// Says the same as JSON.
pub(super) fn facts(witnessed: &Witnessed) -> Value {
    let silent = witnessed.silent.iter();
    let silent = silent.map(|(name, why)| json!({"witness": name, "reason": why}));
    json!({
        "cosigned": cosigned(&witnessed.cosigned),
        "notCosigned": silent.collect::<Vec<_>>(),
    })
}

/// Returns cosignatures as JSON.
pub(super) fn cosigned(cosigned: &[Cosigned]) -> Value {
    let cosigned = cosigned.iter();
    cosigned
        .map(|each| json!({"witness": each.witness, "time": moment(each.time).to_string()}))
        .collect()
}
