//! The border: with a policy, only images that it lets pass are copied.

use std::path::PathBuf;

use stella_attest::collect::{self, Wanted};
use stella_attest::mirror::Item;
use stella_attest::storage::Storage;
use stella_attest::verify::{Gate, Question};
use stella_bundle::digest::Digest;
use stella_server::{Clock as _, SystemClock};

use super::of_storage;
use crate::cli::Context;
use crate::cli::gate::{self, Origin, TrustFlags};
use crate::exit::{self, Failure};
use crate::registry::collect_failure;
use crate::terminal;

/// What may cross.
#[derive(Debug, clap::Args)]
pub(super) struct Border {
    /// Copy only images that this policy lets pass; the others are named, and the exit code is that of the first
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustFlags,
}

impl Border {
    /// Returns the images that may cross, and the code of the first that may not.
    pub(super) async fn pass(
        &self,
        context: &Context,
        source: &dyn Storage,
        items: Vec<Item>,
    ) -> Result<(Vec<Item>, u8), Failure> {
        let Some(path) = &self.policy else {
            return Ok((items, exit::OK));
        };
        let policy = gate::read_policy(path)?;
        let (gate, _) = gate::gate_of(context, policy, Origin::File, &self.trust)?;
        let (mut passed, mut code) = (Vec::new(), exit::OK);
        for item in items {
            let image = source.manifest(&item.source).await.map_err(of_storage)?;
            let image = image.ok_or_else(|| absent(source, &item.source))?;
            match refusal(&gate, source, &image.digest).await? {
                None => passed.push(item),
                Some(failure) => {
                    terminal::tell(&format!("{} does not cross", item.source));
                    terminal::tell_failure(&failure, "refused");
                    if code == exit::OK {
                        code = failure.code;
                    }
                }
            }
        }
        Ok((passed, code))
    }
}

/// Says that a place has no such image.
pub(in crate::cli) fn absent(source: &dyn Storage, name: &str) -> Failure {
    Failure::new(
        exit::NO_ARTIFACT,
        format!("{} has no {name}", source.name()),
    )
}

/// Says why an image may not cross; none when it may.
pub(in crate::cli) async fn refusal(
    gate: &Gate,
    source: &dyn Storage,
    image: &Digest,
) -> Result<Option<Failure>, Failure> {
    let wanted = Wanted {
        matters: &|predicate_type| gate.policy().may_weigh(predicate_type),
        ..Wanted::default()
    };
    let candidates = collect::collect_from(source, image, wanted)
        .await
        .map_err(collect_failure)?;
    let question = Question {
        artifact: vec![image.clone()],
        content: None,
        candidates,
    };
    let answer = gate.verify(question, SystemClock.now());
    let failure = exit::refusal(gate.policy(), &answer);
    // A mode that only warns lets it cross, as it would let it be released.
    let leniency = gate.policy().leniency();
    Ok(failure.filter(|failure| leniency.ending(failure.code).exit != exit::OK))
}
