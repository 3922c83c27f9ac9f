//! Many bundles at once: across cores, and what several of them share is verified once for each core.
//!
//! Every report is the one that [`Verifier::verify`] gives. Where bundles come from, and which belong together, is the
//! caller's: neighbours that share a certificate or a checkpoint cost least.

use std::num::NonZeroUsize;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Artifact, Report, Verifier};
use crate::bundle::Bundle;
use crate::memo::Memo;
use crate::time::UnixTime;

/// So many neighbours go to one core at a time: enough to share what they have in common, few enough to balance.
const RUN: usize = 64;

/// One bundle over one artifact.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// What it should be about.
    pub artifact: Artifact<'a>,
}

impl Verifier {
    /// Verifies many bundles on up to `threads` threads; the reports come in the order of the questions.
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    /// use stella_bundle::verify::{Question, Verifier};
    /// # use stella_bundle::time::UnixTime;
    ///
    /// fn all_hold(verifier: &Verifier, questions: &[Question<'_>], now: UnixTime) -> bool {
    ///     let reports = verifier.verify_many(questions, now, NonZeroUsize::MIN);
    ///     reports.iter().all(|report| report.verdict.is_ok())
    /// }
    /// ```
    ///
    /// # Panics
    /// Only where [`Verifier::verify`] would.
    pub fn verify_many(
        &self,
        questions: &[Question<'_>],
        now: UnixTime,
        threads: NonZeroUsize,
    ) -> Vec<Report> {
        let threads = threads.get().min(questions.len().div_ceil(RUN)).max(1);
        let next = AtomicUsize::new(0);
        let work = || {
            let memo = Memo::remembering();
            let mut done = Vec::new();
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                let Some(questions) = questions.chunks(RUN).nth(run) else {
                    return done;
                };
                let tell = |each: &Question<'_>| self.tell(each.bundle, &each.artifact, now, &memo);
                done.push((run, questions.iter().map(tell).collect::<Vec<_>>()));
            }
        };
        let mut runs = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut runs = work();
            for other in others {
                runs.extend(
                    other
                        .join()
                        .unwrap_or_else(|cause| panic::resume_unwind(cause)),
                );
            }
            runs
        });
        runs.sort_unstable_by_key(|(run, _)| *run);
        runs.into_iter().flat_map(|(_, reports)| reports).collect()
    }
}
