//! Workflow commands of GitHub Actions: a refusal becomes an annotation of the run.
//!
//! A line that begins with `::` is a command, so no text of others may begin one.

use stella_bundle::identity::escape;

use super::{Judged, Run};

/// Returns the report: a line for each artifact.
pub(crate) fn document(run: &Run) -> String {
    run.judged
        .iter()
        .map(|each| format!("{}\n", line(each)))
        .collect()
}

fn line(judged: &Judged) -> String {
    let given = escape(&judged.given);
    let Some(failure) = &judged.failure else {
        return format!(
            "::notice title=stella verify::{}",
            data(&format!("{given} is attested"))
        );
    };
    let (command, end) = match judged.ending.allowed_by {
        None => ("error", String::new()),
        Some(mode) => (
            "warning",
            format!("\npasses, because the mode is {}", mode.name()),
        ),
    };
    let mut message = format!(
        "{given}: {} (code {})",
        escape(&failure.message),
        failure.code
    );
    let lines = [failure.hint.clone(), failure.docs()];
    message.extend(lines.into_iter().flatten().map(|line| format!("\n{line}")));
    message.push_str(&end);
    format!("::{command} title=stella verify::{}", data(&message))
}

/// Escapes the message of a workflow command, as GitHub's toolkit does.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(data("100%\r\n::error::x"), "100%25%0D%0A::error::x");
    }
}
