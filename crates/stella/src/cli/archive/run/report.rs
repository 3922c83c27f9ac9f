//! What is said of a run, or of what it would do.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stella_archive::retention::{Hold, Prune};
use stella_archive::statement::Coverage;
use stella_attest::archive::run::{Outcome, Plan};

use super::super::{cosign, prune};
use super::Done;
use crate::terminal;

/// Missing entries that are shown.
const MOST_SHOWN: usize = 10;

/// Says what was done, or would be.
pub(super) fn say(period: &str, done: &Done, gone: &[String], place: &str) {
    match done {
        Done::Planned(plan) => say_plan(period, plan, gone, place),
        Done::Sealed(outcome, witnessed) => {
            say_outcome(outcome, gone, place);
            if let Some(Ok(witnessed)) = witnessed {
                cosign::say(witnessed);
            }
        }
    }
}

/// Returns the same as JSON.
pub(super) fn facts(period: &str, done: &Done, gone: &[String], place: &str) -> Value {
    match done {
        Done::Planned(plan) => plan_facts(period, plan, gone, place),
        Done::Sealed(outcome, witnessed) => {
            let mut facts = outcome_facts(outcome, gone, place);
            facts["witnesses"] = match witnessed {
                None => Value::Null,
                Some(Ok(witnessed)) => cosign::facts(witnessed),
                Some(Err(failure)) => json!({"error": failure.message}),
            };
            facts
        }
    }
}

fn say_outcome(outcome: &Outcome, gone: &[String], place: &str) {
    let manifest = &outcome.manifest;
    let (counts, name) = (manifest.counts, &manifest.period.name);
    if !outcome.is_new {
        terminal::tell(&format!(
            "note: {name} was sealed before, and stays as it is"
        ));
    }
    terminal::say(&format!(
        "{name}: {} attestations archived in {place}, {} bytes of {}",
        counts.verified, outcome.size, outcome.raw
    ));
    terminal::say(&format!(
        "  tree of {} leaves, statement {}, keyset {}",
        manifest.tree.size, manifest.sequence, manifest.keyset.version
    ));
    let left_out = [outcome.archived_before, outcome.earlier, outcome.later];
    found(
        &outcome.refused,
        left_out,
        &manifest.coverage,
        &outcome.missing,
        gone,
    );
    for period in &outcome.let_go.periods {
        terminal::say(&format!("  let go: the bytes of {period}"));
    }
    prune::say_left(&outcome.let_go);
}

fn say_plan(period: &str, plan: &Plan, gone: &[String], place: &str) {
    if plan.is_sealed {
        terminal::tell(&format!(
            "note: {period} was sealed before, and would stay as it is"
        ));
    }
    terminal::say(&format!(
        "{period}: {} attestations would be archived in {place}, of {} bytes, by statement {}",
        plan.verified, plan.raw, plan.sequence
    ));
    let left_out = [plan.archived_before, plan.earlier, plan.later];
    found(&plan.refused, left_out, &plan.coverage, &plan.missing, gone);
    for Hold { case, scope, .. } in &plan.holds {
        let what = scope.as_ref().map_or("released", |_| "set");
        terminal::say(&format!("  would be recorded: hold {case} {what}"));
    }
    for Prune {
        period,
        attestations,
        ..
    } in &plan.prunes
    {
        terminal::say(&format!(
            "  would be let go: the bytes of {period}, {attestations} attestations"
        ));
    }
}

/// Says what was found in the sources.
fn found(
    refused: &BTreeMap<String, u64>,
    [archived_before, earlier, later]: [u64; 3],
    coverage: &[Coverage],
    missing: &BTreeMap<String, Vec<u64>>,
    gone: &[String],
) {
    for (reason, count) in refused {
        terminal::say(&format!("  refused: {count} ({reason})"));
    }
    for (count, what) in [
        (archived_before, "archived in an earlier period"),
        (earlier, "from before --since"),
        (later, "of a later period"),
    ] {
        if count > 0 {
            terminal::say(&format!("  left out: {count} {what}"));
        }
    }
    for each in coverage {
        let Coverage {
            log,
            from,
            to,
            archived,
            missing,
        } = each;
        terminal::say(&format!(
            "  log {log}: of entries {from} to {to}, {archived} archived, {missing} missing"
        ));
    }
    for (log, indexes) in missing {
        let first = indexes.iter().take(MOST_SHOWN);
        let first: Vec<_> = first.map(ToString::to_string).collect();
        terminal::say(&format!("  missing of {log}: {} …", first.join(", ")));
    }
    for each in gone {
        terminal::say(&format!("  missing: {each}"));
    }
}

fn outcome_facts(outcome: &Outcome, gone: &[String], place: &str) -> Value {
    json!({
        "schema": "stella.archive-run/v1",
        "place": place,
        "manifest": outcome.manifest,
        "isNew": outcome.is_new,
        "refused": outcome.refused,
        "unreadable": gone,
        "missing": outcome.missing,
        "archivedBefore": outcome.archived_before,
        "earlier": outcome.earlier,
        "later": outcome.later,
        "size": outcome.size,
        "raw": outcome.raw,
        "letGo": outcome.let_go.periods,
        "notRemoved": outcome.let_go.left,
    })
}

fn plan_facts(period: &str, plan: &Plan, gone: &[String], place: &str) -> Value {
    json!({
        "schema": "stella.archive-plan/v1",
        "place": place,
        "period": period,
        "isSealed": plan.is_sealed,
        "sequence": plan.sequence,
        "verified": plan.verified,
        "refused": plan.refused,
        "unreadable": gone,
        "coverage": plan.coverage,
        "missing": plan.missing,
        "archivedBefore": plan.archived_before,
        "earlier": plan.earlier,
        "later": plan.later,
        "raw": plan.raw,
        "holds": plan.holds,
        "prunes": plan.prunes,
    })
}
