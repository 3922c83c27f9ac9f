//! Twenty-five years of an archive: the promises are the tables of docs/design/archive.md, row by row.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod forger;
mod scene;
mod story;

use std::collections::BTreeMap;

use stella_archive::history::{Existence, HistoryError, judge};
use stella_archive::levels::Level;
use stella_testkit::forge::NOW;
use stella_testkit::organisation::{MONTH, ORIGIN};

use forger::forgery;
use story::{honest, years};

const DESIGN: &str = include_str!("../../../../docs/design/archive.md");

/// What a row promises of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Nothing,
    Refuse,
    Verify,
}

/// The promises of a row for L0, L1 and L2.
type Row = [Promise; 3];

/// Reads the rows whose first cell begins with a name in backquotes.
fn table() -> BTreeMap<String, Row> {
    let section = DESIGN.split("## What is promised").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("| `")?
            .trim_end_matches('|')
            .split('|')
            .collect();
        let (name, _) = cells[0].split_once('`').unwrap();
        let promise = |cell: &str| match cell.trim() {
            "verify" => Promise::Verify,
            "refuse" => Promise::Refuse,
            "—" => Promise::Nothing,
            other => panic!("{name}: {other:?} is no promise"),
        };
        let row = [promise(cells[1]), promise(cells[2]), promise(cells[3])];
        Some((name.to_owned(), row))
    });
    rows.collect()
}

fn check(is_mine: impl Fn(&str) -> bool) {
    let table = table();
    assert!(table.len() > 24, "the tables are gone");
    for (name, row) in table.iter().filter(|(name, _)| is_mine(name)) {
        let scenes = honest(name)
            .map(|scene| vec![scene])
            .or_else(|| forgery(name));
        let scenes = scenes.unwrap_or_else(|| panic!("no story of {name}"));
        for scene in scenes {
            scene.require(name, *row);
        }
    }
}

#[test]
fn what_happened_to_keys_and_services_leaves_honest_attestations_good() {
    check(|name| !name.starts_with("f-") && !name.contains("broken"));
}

#[test]
fn what_fell_as_an_algorithm_leaves_honest_attestations_good() {
    check(|name| name.contains("broken"));
}

#[test]
fn what_is_forged_is_refused() {
    check(|name| name.starts_with("f-"));
}

#[test]
fn without_a_clock_nothing_is_dated_and_old_anchors_reach_nowhere() {
    let story = years(|_| ());
    let mut scene = story.scene();
    scene.history.roots.clear();
    // Nobody can say that the first keys signed the second keyset in time.
    assert!(matches!(
        scene.weigh(),
        Err(HistoryError::KeysetNotSigned { version: 2, .. })
    ));
    scene.anchor = story.organisation.anchor(story.organisation.version());
    let judged = judge(&scene.history, &scene.anchor, &scene.known, None, scene.now).unwrap();
    let mut existences = judged.statements.iter().map(|each| &each.existence);
    assert!(existences.all(|each| *each == Existence::Undated));
    // With them the first month is of its time.
    let scene = story.scene();
    let judged = judge(&scene.history, &scene.anchor, &scene.known, None, scene.now).unwrap();
    let first = judged.statements[0].existence.by(scene.now);
    assert!(first <= NOW.plus(MONTH), "{first}");
    let Level::Holds(archived) = scene.weigh().unwrap().archived else {
        panic!("not archived");
    };
    assert_eq!(archived.existence.by(scene.now), first);
    assert_eq!(ORIGIN, judged.statements[0].manifest.origin);
}
