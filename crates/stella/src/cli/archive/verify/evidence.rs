//! A file that was taken out of an archive: each of its attestations at each level.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::history::{self, History, Judgement};
use stella_archive::levels::{Level, Levels, Scales, read_roots};
use stella_attest::archive::extract;
use stella_attest::file;
use stella_bundle::attestation_set::AttestationSet;
use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::identity::escape;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::Artifact;

use super::{Args, WantedLevel, past, say_past};
use crate::artifact;
use crate::cli::archive::place::failure;
use crate::exit::{self, Failure};
use crate::terminal;

impl Args {
    /// Verifies a file that was taken out of an archive.
    pub(super) fn extracted(
        &self,
        set: AttestationSet,
        newer: Option<(History, Vec<Vec<u8>>)>,
        anchor: &Anchor,
        own: Option<&TrustedRoot>,
        known: &Falls,
    ) -> Result<u8, Failure> {
        let missing = || Failure::new(exit::SIGNATURE, "the file's past cannot be read");
        let carried = extract::of_file(set)
            .map_err(failure)?
            .ok_or_else(missing)?;
        let more = newer.iter().flat_map(|(_, roots)| roots.clone());
        let files: Vec<_> = carried.roots.into_iter().chain(more).collect();
        let roots = read_roots(&files);
        let mut past = carried.history;
        if let Some((longer, _)) = newer {
            let begins = longer.statements.get(..past.statements.len());
            if begins != Some(&past.statements[..]) {
                return Err(Failure::new(
                    exit::SIGNATURE,
                    "the past of the newer archive does not begin with the file's own",
                ));
            }
            past = longer;
        }
        past.roots = roots.iter().map(|(_, root)| root.clone()).collect();
        let now = self.known.now();
        let judgement = history::judge(&past, anchor, known, own, now);
        let judgement =
            judgement.map_err(|error| Failure::new(exit::SIGNATURE, error.to_string()))?;
        let policy = self.policy()?;
        let scales = Scales {
            judgement: &judgement,
            roots: &roots,
            own,
            known,
            policy: &policy,
            now,
        };
        let named = self
            .artifact
            .as_deref()
            .map(artifact::Artifact::read)
            .transpose()?;
        let compared = named.as_ref().map_or(Artifact::AsSigned, |named| {
            Artifact::Digests(&named.digests)
        });
        let mut rows = Vec::new();
        let mut is_good = !carried.attestations.is_empty();
        for (_, place) in &carried.attestations {
            let place = place.as_ref().ok_or_else(missing)?;
            let place = place.place();
            let levels = scales.weigh(&place, &compared);
            is_good &= levels.archived.holds() && self.is_reached(&levels);
            rows.push((place.index.0, levels));
        }
        self.report_levels(&judgement, &rows);
        Ok(if is_good { exit::OK } else { exit::SIGNATURE })
    }

    fn report_levels(&self, judgement: &Judgement, rows: &[(u64, Levels)]) {
        let newest = (judgement.statements.len() as u64).saturating_sub(1);
        if self.json {
            let row = |(index, levels): &(u64, Levels)| {
                json!({
                    "leaf": index,
                    "archived": level(&levels.archived),
                    "reverified": level(&levels.reverified),
                    "independent": level(&levels.independent),
                })
            };
            let mut facts = past(judgement, newest);
            facts["schema"] = json!("stella.archive-verify/v1");
            facts["attestations"] = rows.iter().map(row).collect();
            terminal::say_json(&facts);
            return;
        }
        say_past(judgement, newest);
        for (index, levels) in rows {
            terminal::say(&format!("  leaf {index}"));
            if let Level::Holds(archived) = &levels.archived {
                terminal::say(&format!("    archived {}", archived.existence));
            }
            for (name, told) in [
                ("L0 archived", level(&levels.archived)),
                ("L1 verified again", level(&levels.reverified)),
                ("L2 independent", level(&levels.independent)),
            ] {
                let because = told["because"]
                    .as_str()
                    .map(|because| format!(": {}", escape(because)));
                let result = told["result"].as_str().unwrap_or_default();
                terminal::say(&format!(
                    "    {name:<18} {result}{}",
                    because.unwrap_or_default()
                ));
            }
        }
    }

    /// Says whether the level that is asked for holds.
    fn is_reached(&self, levels: &Levels) -> bool {
        match self.level.unwrap_or(WantedLevel::Reverified) {
            WantedLevel::Archived => true,
            WantedLevel::Reverified => levels.reverified.holds(),
            WantedLevel::Independent => levels.independent.holds(),
        }
    }
}

fn level<T>(level: &Level<T>) -> Value {
    match level {
        Level::Holds(_) => json!({"result": "holds"}),
        Level::Refused(refusal) => json!({"result": "refused", "because": refusal.to_string()}),
        Level::Unknown(missing) => json!({"result": "unknown", "because": missing.to_string()}),
    }
}

/// Reads an exported set; none where the file is something else.
pub(super) fn read_set(path: &Path) -> Result<Option<AttestationSet>, Failure> {
    use std::io::Read as _;
    let mut first = [0; 1];
    let begun = fs::File::open(path).and_then(|mut file| file.read(&mut first));
    begun.map_err(|error| Failure::io("read", path, &error))?;
    if first != *b"{" {
        return Ok(None);
    }
    let bytes = file::read(path, MAX_BUNDLE).map_err(|error| Failure::io("read", path, &error))?;
    let set = AttestationSet::parse(&bytes);
    set.map(Some)
        .map_err(|error| Failure::new(exit::SIGNATURE, format!("{}: {error}", path.display())))
}
