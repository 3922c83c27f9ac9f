//! Two verdicts side by side, and the list of what stella may accept alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use stella_testkit::forge::{Form, exceptions, mutants::Kind};

use crate::corpus::{Input, Set};

const ACCEPTED: &str = include_str!("../../../../testdata/differential/accepted.json");

/// So many examples of what stella alone refuses are printed.
const EXAMPLES: usize = 12;

/// Who is asked besides stella.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Client {
    /// The library `@sigstore/verify`.
    #[serde(rename = "sigstore-js")]
    Javascript,
    #[serde(rename = "sigstore-python")]
    Python,
    /// The crate `sigstore-verify`.
    #[serde(rename = "sigstore-verify")]
    Rust,
}

/// How much of the corpus a client was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Everything,
    /// Some inputs: a line that none of them needs may still be needed by others.
    Sample,
}

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// With its reason.
    Refused(String),
}

/// Something that stella accepts and others need not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Who refuses it.
    clients: Vec<Client>,
    /// Which part of the form's name it is for; all when absent.
    form: Option<String>,
    /// Where the change is, a JSON pointer in which `*` stands for one step. Absent: the good bundle itself is refused,
    /// and so are the changes of it.
    path: Option<String>,
    /// What is done there.
    #[serde(default)]
    kinds: Vec<String>,
    /// What demands or allows it.
    #[expect(dead_code, reason = "for the reader")]
    clause: String,
}

impl Line {
    fn covers(&self, client: Client, form: &Form, change: Option<&(String, Kind)>) -> bool {
        let is_form = |part: &String| form.name.contains(part.as_str());
        let is_change = match (&self.path, change) {
            (None, None) => true,
            (Some(pattern), Some((path, kind))) => {
                self.kinds.iter().any(|each| each == kind.name())
                    && exceptions::is_match(pattern, path)
            }
            _ => false,
        };
        self.clients.contains(&client) && self.form.as_ref().is_none_or(is_form) && is_change
    }
}

/// The verdicts of stella and of one client.
pub(crate) struct Comparison {
    client: Client,
    lines: Vec<Line>,
    used: BTreeSet<usize>,
    /// Forms of which the client refuses the good bundle.
    unknown: BTreeSet<&'static str>,
    /// What stella alone accepts and no line covers, with the client's reason.
    unlisted: BTreeMap<String, String>,
    /// How often stella alone refuses, by kind and place of the change.
    stricter: BTreeMap<String, usize>,
    crashes: BTreeMap<String, usize>,
    asked: usize,
    accepted_by_both: usize,
    accepted_alone: usize,
}

impl Comparison {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            lines: serde_json::from_str(ACCEPTED).unwrap(),
            used: BTreeSet::new(),
            unknown: BTreeSet::new(),
            unlisted: BTreeMap::new(),
            stricter: BTreeMap::new(),
            crashes: BTreeMap::new(),
            asked: 0,
            accepted_by_both: 0,
            accepted_alone: 0,
        }
    }

    /// Adds one input; the good bundle of a form comes before its changes.
    pub(crate) fn add(&mut self, set: &Set, input: &Input, answer: Answer) {
        self.asked += 1;
        let name = match &input.change {
            Some((path, kind)) => format!("{}: {} {path}", set.form.name, kind.name()),
            None => set.form.name.to_owned(),
        };
        match (input.is_accepted, answer) {
            (true, Answer::Accepted) => self.accepted_by_both += 1,
            (false, Answer::Accepted) => {
                let place = name
                    .split_once(": ")
                    .map_or(name.as_str(), |(_, place)| place);
                *self.stricter.entry(place.to_owned()).or_default() += 1;
            }
            (true, Answer::Refused(reason)) => self.add_alone(set, input, name, reason),
            (false, Answer::Refused(reason)) => {
                if let Some(crash) = reason.strip_prefix("crash ") {
                    *self.crashes.entry(crash.to_owned()).or_default() += 1;
                }
            }
        }
    }

    fn add_alone(&mut self, set: &Set, input: &Input, name: String, reason: String) {
        self.accepted_alone += 1;
        let change = input.change.as_ref();
        if change.is_none() {
            self.unknown.insert(set.form.name);
        } else if self.unknown.contains(set.form.name) {
            // Who does not know the form has no opinion on its changes.
            return;
        }
        let covering = self
            .lines
            .iter()
            .position(|line| line.covers(self.client, &set.form, change));
        match covering {
            Some(at) => drop(self.used.insert(at)),
            None => drop(self.unlisted.insert(name, reason)),
        }
    }

    /// Reports, and requires that the list has all that is needed, and nothing else when everything was asked.
    pub(crate) fn finish(self, extent: Extent) {
        let Self { client, asked, .. } = self;
        let stricter: usize = self.stricter.values().sum();
        eprintln!(
            "differential: {client:?}: {asked} inputs, accepted by both {}, by stella alone {}, by the other alone {stricter}",
            self.accepted_by_both, self.accepted_alone
        );
        let mut places: Vec<_> = self.stricter.iter().collect();
        places.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        for (place, count) in places.into_iter().take(EXAMPLES) {
            eprintln!("differential: {client:?} alone accepts {count} times: {place}");
        }
        for (reason, count) in self.crashes.iter().take(EXAMPLES) {
            eprintln!("differential: {client:?} crashed {count} times: {reason}");
        }
        assert!(
            self.unlisted.is_empty(),
            "accepted by stella alone: {:#?}",
            self.unlisted
        );
        if extent == Extent::Sample {
            return;
        }
        let is_idle =
            |(at, line): &(usize, &Line)| line.clients.contains(&client) && !self.used.contains(at);
        let idle: Vec<_> = self
            .lines
            .iter()
            .enumerate()
            .filter(is_idle)
            .map(|(_, line)| (&line.form, &line.path))
            .collect();
        assert!(idle.is_empty(), "{client:?} needs no such lines: {idle:#?}");
    }
}
