//! Reads that both logs answer alike: checkpoint and tiles (C2SP tlog-tiles).

use stella_tlog::tile::{TileKind, TilePath};
use stella_wire::Response;
use stella_wire::problem::Code;

use crate::answer;
use crate::log::{Log, LogError};
use crate::problem::Problem;

/// Answers `checkpoint` and `tile/…`; any other path is not found. `entries` is how the log calls its entry bundles.
pub(crate) fn answer(log: &Log, entries: TileKind, path: &str) -> Result<Response, Problem> {
    if path == "checkpoint" {
        return Ok(answer::checkpoint(log.checkpoint().to_string()));
    }
    let path = TilePath::parse(path).ok_or_else(not_found)?;
    let read = match path.kind {
        TileKind::Hashes { level } => log.tile(level, path.index, path.width),
        kind if kind == entries => log.entries(path.index, path.width),
        _ => return Err(not_found()),
    };
    match read {
        Ok(bytes) => Ok(answer::immutable(bytes)),
        Err(LogError::NotFound) => Err(not_found()),
        Err(error) => Err(Problem::new(
            Code::Internal,
            "the log cannot be read now",
            "LOG_READ_FAILED",
        )
        .because(error)),
    }
}

/// The refusal of a path that nothing is at.
pub(crate) fn not_found() -> Problem {
    Problem::new(Code::NotFound, "not found", "NOT_FOUND")
}
