//! stella under other names: called `cosign` or `rekor-cli`, or asked to be (`stella cosign …`), it takes the spellings of
//! their daily use.
//!
//! A table says for each command which flag becomes what. What has no counterpart is refused by its name: a flag that is
//! passed over in silence could be the one that a gate relies on.

mod cosign;
mod rekor_cli;

use std::ffi::OsString;
use std::path::Path;

use crate::exit::Failure;

/// A tool whose words are known.
struct Tool {
    name: &'static str,
    rules: &'static [Rule],
    /// Commands whose words and flags are stella's own already.
    own: &'static [&'static str],
    /// Short names of predicate types.
    types: &'static [(&'static str, &'static str)],
    /// Adds what the tool does unasked.
    with_defaults: fn(&str, Vec<String>) -> Vec<String>,
}

/// What becomes of `--` in some texts.
const LONG_DASHES: [char; 3] = ['\u{2012}', '\u{2013}', '\u{2014}'];

const TOOLS: [&Tool; 2] = [&cosign::TOOL, &rekor_cli::TOOL];

/// What becomes of a flag.
#[derive(Clone, Copy)]
enum Becomes {
    /// The same flag with its value.
    Same,
    /// Another flag with the value.
    Named(&'static str),
    /// A flag without a value, when it is true.
    Switch(&'static str),
    /// A flag without a value, when it is false.
    Unless(&'static str),
    /// Nothing, whatever it is.
    Nothing,
    /// Nothing, with its value.
    NothingWithValue,
    /// The type of a predicate by cosign's short names.
    Type,
    /// A digest, whose algorithm may be left out.
    Sha,
    /// The format of the output.
    Output,
    /// It cannot be done, for this reason; cosign's own default is fine.
    Refused(&'static str),
}

use Becomes::{Named, Nothing, NothingWithValue, Output, Refused, Same, Sha, Switch, Type, Unless};

type Flags = &'static [(&'static str, Becomes)];

/// A command of a tool.
struct Rule {
    theirs: &'static str,
    /// The words of stella's.
    stella: &'static [&'static str],
    /// What stands before each operand.
    operand: Option<&'static str>,
    flags: &'static [Flags],
}

const fn rule(
    theirs: &'static str,
    stella: &'static [&'static str],
    operand: Option<&'static str>,
    flags: &'static [Flags],
) -> Rule {
    Rule {
        theirs,
        stella,
        operand,
        flags,
    }
}

/// Returns the arguments of this process, in stella's own words whatever it was called.
pub(super) fn arguments(given: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let name = given.first().map(Path::new).and_then(Path::file_stem);
    let called = TOOLS
        .iter()
        .find(|tool| name.is_some_and(|name| name == tool.name));
    let asked = || {
        TOOLS
            .iter()
            .find(|tool| given.get(1).is_some_and(|first| first == tool.name))
    };
    let (tool, skip) = match (called, asked()) {
        (Some(tool), _) => (tool, 1),
        (None, Some(tool)) => (tool, 2),
        (None, None) => return Ok(given),
    };
    let words = given.iter().skip(skip);
    let words: Option<Vec<String>> = words.map(|word| Some(word.to_str()?.to_owned())).collect();
    let words = words.ok_or_else(|| Failure::usage("an argument is not UTF-8"))?;
    let turned = translate(tool, &words)?;
    let turned = turned.into_iter().map(OsString::from);
    Ok([OsString::from("stella")]
        .into_iter()
        .chain(turned)
        .collect())
}

/// Turns the arguments of a tool, without its name, into those of stella, without its.
fn translate(tool: &Tool, arguments: &[String]) -> Result<Vec<String>, Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        return Ok(vec!["--help".to_owned()]);
    };
    if command.starts_with('-') || tool.own.contains(&command.as_str()) {
        return Ok(match command.as_str() {
            "version" => vec!["--version".to_owned()],
            _ => arguments.to_vec(),
        });
    }
    let rule = tool
        .rules
        .iter()
        .find(|rule| rule.theirs == command)
        .ok_or_else(|| {
            let known: Vec<&str> = tool.rules.iter().map(|rule| rule.theirs).collect();
            Failure::usage(format!("{} {command} is not supported", tool.name)).hint(format!(
                "these are: {}; see also `stella --help`",
                known.join(", ")
            ))
        })?;
    let mut turned: Vec<String> = rule.stella.iter().map(|word| (*word).to_owned()).collect();
    let mut words = Words::new(rest);
    while let Some(word) = words.next() {
        if word.starts_with(LONG_DASHES) {
            return Err(Failure::usage(format!("{word:?} begins with a long dash"))
                .hint("a text processor made it of two short ones: write --"));
        }
        match word.split_once('=').unwrap_or((word, "")) {
            _ if !word.starts_with('-') || word == "-" => {
                turned.extend(rule.operand.map(str::to_owned));
                turned.push(word.to_owned());
            }
            (name, _) => turned.extend(flag(tool, rule, name, word, &mut words)?),
        }
    }
    Ok((tool.with_defaults)(rule.theirs, turned))
}

/// The words that are still to be read.
struct Words<'a> {
    rest: &'a [String],
}

impl<'a> Words<'a> {
    const fn new(rest: &'a [String]) -> Self {
        Self { rest }
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }
}

fn flag(
    tool: &Tool,
    rule: &Rule,
    name: &str,
    word: &str,
    words: &mut Words<'_>,
) -> Result<Vec<String>, Failure> {
    let given = word.split_once('=').map(|(_, value)| value.to_owned());
    let known = rule
        .flags
        .iter()
        .copied()
        .flatten()
        .find(|(known, _)| *known == name);
    let Some((_, becomes)) = known else {
        return Err(Failure::usage(format!(
            "{} {} {name} is not supported",
            tool.name, rule.theirs
        ))
        .hint(format!("see `stella {} --help`", rule.stella.join(" "))));
    };
    let mut value = || {
        given
            .clone()
            .or_else(|| words.next().map(str::to_owned))
            .ok_or_else(|| Failure::usage(format!("{name} needs a value")))
    };
    let is_true = match becomes {
        Switch(_) | Unless(_) | Nothing => is_true(name, given.as_deref())?,
        _ => true,
    };
    Ok(match becomes {
        Same => vec![name.to_owned(), value()?],
        Named("") => vec![value()?],
        Named(other) => vec![(*other).to_owned(), value()?],
        Switch(other) if is_true => vec![(*other).to_owned()],
        Unless(other) if !is_true => vec![(*other).to_owned()],
        Switch(_) | Unless(_) | Nothing => Vec::new(),
        NothingWithValue => {
            value()?;
            Vec::new()
        }
        Type => vec!["--type".to_owned(), predicate_type(tool, &value()?)],
        Sha => {
            let value = value()?;
            let digest = match value.contains(':') {
                true => value,
                false => format!("sha256:{value}"),
            };
            vec!["--artifact".to_owned(), digest]
        }
        Output => match value()?.as_str() {
            "json" => vec!["--json".to_owned()],
            _ => Vec::new(),
        },
        Refused(why) => {
            return Err(Failure::usage(format!(
                "{} {} {name} is not supported",
                tool.name, rule.theirs
            ))
            .hint(*why));
        }
    })
}

/// Reads a switch as Go does (`strconv.ParseBool`); without a value it is on.
fn is_true(name: &str, value: Option<&str>) -> Result<bool, Failure> {
    match value {
        None | Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some(_) => {
            Err(Failure::usage(format!("{name} is neither true nor false"))
                .hint("write true or false"))
        }
    }
}

fn predicate_type(tool: &Tool, name: &str) -> String {
    let known = tool.types.iter().find(|(known, _)| *known == name);
    known.map_or(name, |(_, uri)| *uri).to_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// Turns words, or says how they are refused.
    pub(super) fn turned(tool: &Tool, words: &str) -> Result<String, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        translate(tool, &words)
            .map(|words| words.join(" "))
            .map_err(|failure| {
                format!("{} ({})", failure.message, failure.hint.unwrap_or_default())
            })
    }

    #[test]
    fn every_flag_of_the_table_is_one_of_ours() {
        let root = Cli::command();
        for rule in TOOLS.iter().flat_map(|tool| tool.rules) {
            let mut command = &root;
            for word in rule.stella.iter().filter(|word| !word.starts_with('-')) {
                let is_it = |each: &&clap::Command| {
                    each.get_name() == *word || each.get_all_aliases().any(|alias| alias == *word)
                };
                command = command.get_subcommands().find(is_it).unwrap();
            }
            let has = |flag: &str| {
                let name = flag.trim_start_matches('-');
                command.get_arguments().any(|each| {
                    each.get_long() == Some(name)
                        || each
                            .get_all_aliases()
                            .is_some_and(|all| all.contains(&name))
                })
            };
            for (name, becomes) in rule.flags.iter().copied().flatten() {
                let ours = match becomes {
                    Same => name,
                    // A word that stands for something until the end is none of ours.
                    Named(other) | Switch(other) | Unless(other)
                        if !other.is_empty() && !other.contains('=') =>
                    {
                        other
                    }
                    _ => continue,
                };
                // Tables are shared, and not every command has every flag; what it lacks is said by its own parser.
                let is_shared = ["--platform", "--outfile", "--output-key-prefix", "--key"];
                assert!(
                    has(ours) || is_shared.contains(ours),
                    "{} {ours}",
                    rule.theirs
                );
            }
            assert!(rule.operand.is_none_or(has), "{}", rule.theirs);
        }
    }
}
