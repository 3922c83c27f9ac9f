//! The archivist: `stella archive run` at its time, as a process of its own, with its reports and numbers.
//!
//! What it does stands in `DIR/archivist.yaml`; what it did in `DIR/archivist/`: a report for people and one in JSON for each
//! period, `metrics.prom`, which the instance shows with its own numbers, and `state.json`, by which a run that was missed is known.

mod numbers;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cronexpr::{Crontab, ParseOptions};
use serde::{Deserialize, Serialize};
use stella_bundle::time::UnixTime;
use stella_server::{ARCHIVE_METRICS, Clock as _, SystemClock};
use tokio::process::Command;

use crate::cli::archive::period::Cadence;
use crate::exit::{self, Failure};
use crate::terminal;
use numbers::{Numbers, Report};

/// The file with the schedule.
const CONFIGURATION: &str = "archivist.yaml";
/// Bytes of a file that is read.
const MAX_FILE: usize = 64 << 10;
/// A run that failed is tried again after this time, until it is time for the next.
const RETRY: Duration = Duration::from_secs(3600);
/// How often the clock is looked at: it may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);

/// What `archivist.yaml` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configuration {
    /// `weekly`, `monthly`, `quarterly`, or the five fields of cron.
    #[serde(default = "monthly")]
    schedule: String,
    /// By default as the schedule says, else monthly.
    #[serde(default)]
    cadence: Option<Cadence>,
    #[serde(default = "utc")]
    time_zone: String,
    key: String,
    pq_key: String,
    keysets: PathBuf,
    output: String,
    #[serde(default)]
    checkpoint_key: Option<String>,
    #[serde(default)]
    witness_policy: Option<PathBuf>,
    #[serde(default)]
    store: Option<PathBuf>,
    #[serde(default)]
    from: Vec<PathBuf>,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    keep_months: Option<u32>,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    reconcile: bool,
}

fn monthly() -> String {
    "monthly".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

/// When a run last went well.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    /// Seconds since 1970.
    last_success: i64,
}

/// Seals periods when their time has come.
pub(super) struct Archivist {
    directory: PathBuf,
    configuration: Configuration,
    crontab: Crontab,
    cadence: Cadence,
    numbers: Numbers,
}

impl Archivist {
    /// Reads `DIR/archivist.yaml`.
    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(CONFIGURATION);
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {error}", path.display())).hint(
                "it names key, pqKey, keysets, output, and perhaps schedule (weekly, monthly, quarterly, or cron's five fields), timeZone, store, from, images, checkpointKey, witnessPolicy, keepMonths, prune, reconcile",
            )
        };
        let bytes = stella_attest::file::read(&path, MAX_FILE).map_err(|error| wrong(&error))?;
        let text = String::from_utf8_lossy(&bytes);
        let configuration: Configuration =
            serde_saphyr::from_str(&text).map_err(|error| wrong(&error))?;
        let (fields, usual) = match configuration.schedule.as_str() {
            "weekly" => ("15 3 * * MON", Cadence::Weekly),
            "monthly" => ("15 3 1 * *", Cadence::Monthly),
            "quarterly" => ("15 3 1 1,4,7,10 *", Cadence::Quarterly),
            fields => (fields, Cadence::Monthly),
        };
        if configuration.checkpoint_key.is_some() != configuration.witness_policy.is_some() {
            return Err(wrong(&"checkpointKey and witnessPolicy go together"));
        }
        let line = format!("{fields} {}", configuration.time_zone);
        let crontab = cronexpr::parse_crontab_with(&line, ParseOptions::default());
        let crontab = crontab.map_err(|error| wrong(&error))?;
        Ok(Self {
            directory: directory.to_owned(),
            cadence: configuration.cadence.unwrap_or(usual),
            configuration,
            crontab,
            numbers: Numbers::default(),
        })
    }

    /// Says when it will be at work.
    pub(super) fn announcement(&self) -> String {
        let last = self.last_success();
        let next = match last.map(|last| self.next(last)) {
            Some(Ok(next)) if next <= SystemClock.now() => "now: a run was missed".to_owned(),
            _ => match self.next(SystemClock.now()) {
                Ok(next) => format!("at {next}"),
                Err(_) => "never".to_owned(),
            },
        };
        format!(
            "{:?} archive in {}, {next}",
            self.cadence, self.configuration.output
        )
        .to_lowercase()
    }

    /// Works until the program ends.
    pub(super) async fn work(mut self) {
        let mut last = self.last_success().unwrap_or_else(|| SystemClock.now());
        loop {
            let Ok(next) = self.next(last) else {
                terminal::tell("archivist: the schedule names no time any longer");
                return std::future::pending().await;
            };
            wait_until(next).await;
            if self.run().await {
                last = SystemClock.now();
                continue;
            }
            // The next time may come before.
            let retry = SystemClock.now().plus(RETRY);
            wait_until(
                self.next(SystemClock.now())
                    .map_or(retry, |next| next.min(retry)),
            )
            .await;
        }
    }

    /// Returns the first time after another at which the schedule wants a run.
    fn next(&self, after: UnixTime) -> Result<UnixTime, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("schedule: {error}"));
        let after = jiff::Timestamp::from_second(after.seconds()).map_err(|error| wrong(&error))?;
        let next = self
            .crontab
            .find_next(after)
            .map_err(|error| wrong(&error))?;
        Ok(UnixTime::from_seconds(next.timestamp().as_second()))
    }

    /// Seals the last period that has ended; says whether that went well, also where attestations were refused or missing. What was
    /// sealed and too few witnesses cosigned is not done: they are asked again.
    async fn run(&mut self) -> bool {
        let Some(period) = self.cadence.last(SystemClock.now()) else {
            return false;
        };
        let folder = self.directory.join("archivist");
        if let Err(error) = fs::create_dir_all(&folder) {
            terminal::tell(&format!(
                "archivist: cannot make {}: {error}",
                folder.display()
            ));
        }
        let report = folder.join(format!("{}.json", period.name));
        let begun = SystemClock.now();
        let code = match self.command(&period.name).output().await {
            Ok(output) => {
                let text = [&output.stdout[..], &output.stderr].concat();
                let path = folder.join(format!("{}.txt", period.name));
                if let Err(error) = fs::write(&path, &text) {
                    terminal::tell(&format!(
                        "archivist: cannot write {}: {error}",
                        path.display()
                    ));
                }
                terminal::tell(&format!(
                    "archivist: {}",
                    String::from_utf8_lossy(&text).trim_end()
                ));
                output
                    .status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
            }
            Err(error) => {
                terminal::tell(&format!("archivist: cannot run: {error}"));
                None
            }
        };
        let is_over = matches!(code, Some(exit::OK | exit::SIGNATURE | exit::LOG));
        let sealed = (is_over && report.exists()).then(|| Report::read(&report));
        let sealed = sealed.filter(Report::is_cosigned);
        let is_sealed = sealed.is_some();
        let now = SystemClock.now();
        self.numbers.add(sealed, now.since(begun), now);
        self.record(is_sealed.then_some(now));
        is_sealed
    }

    fn command(&self, period: &str) -> Command {
        let Configuration {
            key,
            pq_key,
            keysets,
            output,
            checkpoint_key,
            witness_policy,
            store,
            from,
            images,
            keep_months,
            prune,
            reconcile,
            ..
        } = &self.configuration;
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        // Paths in the configuration begin where it lies.
        add("--dir", ".".into());
        add("--work", "archivist/work".into());
        add("--period", period.into());
        add("--report", format!("archivist/{period}.json").into());
        add("--key", key.into());
        add("--pq-key", pq_key.into());
        add("--keysets", keysets.into());
        add("--output", output.into());
        checkpoint_key
            .iter()
            .for_each(|each| add("--checkpoint-key", each.into()));
        witness_policy
            .iter()
            .for_each(|each| add("--witness-policy", each.into()));
        store.iter().for_each(|each| add("--store", each.into()));
        from.iter().for_each(|each| add("--from", each.into()));
        images.iter().for_each(|each| add("--image", each.into()));
        keep_months
            .iter()
            .for_each(|each| add("--keep-months", each.to_string().into()));
        arguments.extend(prune.then(|| "--prune".into()));
        arguments.extend(reconcile.then(|| "--reconcile".into()));
        let program = std::env::current_exe().unwrap_or_else(|_| "stella".into());
        let mut command = Command::new(program);
        command.args(["archive", "run"]).args(arguments);
        command.current_dir(&self.directory);
        // It ends with the service: what it began is gone on with.
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    fn last_success(&self) -> Option<UnixTime> {
        let path = self.directory.join("archivist/state.json");
        let bytes = stella_attest::file::read(&path, MAX_FILE).ok()?;
        let state: State = serde_json::from_slice(&bytes).ok()?;
        Some(UnixTime::from_seconds(state.last_success))
    }

    /// Keeps the numbers, and when it went well.
    fn record(&self, success: Option<UnixTime>) {
        let mut files = vec![(ARCHIVE_METRICS.to_owned(), self.numbers.to_text())];
        if let Some(time) = success {
            let state = State {
                last_success: time.seconds(),
            };
            let text = serde_json::to_string(&state).unwrap_or_default();
            files.push(("archivist/state.json".to_owned(), text));
        }
        for (name, text) in files {
            let (path, partial) = (
                self.directory.join(&name),
                self.directory.join(format!("{name}.partial")),
            );
            let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
            if let Err(error) = written {
                terminal::tell(&format!(
                    "archivist: cannot write {}: {error}",
                    path.display()
                ));
            }
        }
    }
}

/// Waits for a time of the wall clock.
async fn wait_until(time: UnixTime) {
    loop {
        let left = time.since(SystemClock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Archivist, Failure> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIGURATION), text).unwrap();
        Archivist::read(folder.path())
    }

    const KEYS: &str = "key: a\npqKey: b\nkeysets: org\noutput: archive\n";

    #[test]
    fn schedules_are_words_or_cron_s_fields_in_a_time_zone() {
        for (text, after, expected) in [
            ("", "2026-11-29T00:00:00Z", "2026-12-01T03:15:00Z"),
            (
                "schedule: weekly\n",
                "2026-11-29T00:00:00Z",
                "2026-11-30T03:15:00Z",
            ),
            (
                "schedule: quarterly\n",
                "2026-11-29T00:00:00Z",
                "2027-01-01T03:15:00Z",
            ),
            (
                "schedule: 0 6 2 * *\ntimeZone: Europe/Vienna\n",
                "2026-11-29T00:00:00Z",
                "2026-12-02T05:00:00Z",
            ),
        ] {
            let archivist = of(&format!("{KEYS}{text}")).unwrap();
            let after = UnixTime::parse_rfc3339(after).unwrap();
            assert_eq!(archivist.next(after).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_unknown_or_no_schedule_is_refused() {
        for wrong in [
            "key: a\n",
            &format!("{KEYS}schedule: sometimes\n"),
            &format!("{KEYS}timeZone: Middle/Earth\n"),
            &format!("{KEYS}colour: red\n"),
            &format!("{KEYS}checkpointKey: c\n"),
            &format!("{KEYS}witnessPolicy: w\n"),
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        of(&format!("{KEYS}checkpointKey: c\nwitnessPolicy: w\n")).unwrap();
    }

    #[test]
    fn what_too_few_witnesses_cosigned_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        for (text, expected) in [
            (r#"{"witnesses": null}"#, true),
            (r#"{"witnesses": {"cosigned": []}}"#, true),
            (
                r#"{"witnesses": {"error": "the quorum is not reached"}}"#,
                false,
            ),
        ] {
            fs::write(&report, text).unwrap();
            assert_eq!(Report::read(&report).is_cosigned(), expected, "{text}");
        }
    }
}
