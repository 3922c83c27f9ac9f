//! JUnit XML, as CI systems show test results: one test case for each artifact.
//!
//! A refusal that a mode lets pass is a passed case that says so.

use std::fmt::Write as _;

use stella_bundle::identity::escape;

use super::{Judged, Run};

/// Returns the report.
pub(crate) fn document(run: &Run) -> String {
    let failures = run
        .judged
        .iter()
        .filter(|each| each.ending.exit != 0)
        .count();
    let seconds = run.elapsed.as_secs_f64();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites><testsuite name=\"stella verify\" tests=\"{}\" failures=\"{failures}\" time=\"{seconds:.3}\">",
        run.judged.len()
    );
    for judged in &run.judged {
        text.push_str(&case(judged));
    }
    text.push_str("</testsuite></testsuites>\n");
    text
}

fn case(judged: &Judged) -> String {
    let name = attribute(&judged.given);
    let Some(failure) = &judged.failure else {
        return format!("<testcase classname=\"stella.verify\" name=\"{name}\"/>\n");
    };
    let message = attribute(&escape(&failure.message));
    let mut more = format!("code {}", failure.code);
    let lines = [failure.hint.clone(), failure.docs()];
    more.extend(lines.into_iter().flatten().map(|line| format!("\n{line}")));
    let more = attribute(&more);
    let inside = match judged.ending.allowed_by {
        None => format!(
            "<failure type=\"{}\" message=\"{message}\">{more}</failure>",
            failure.code
        ),
        Some(mode) => format!(
            "<system-out>refused, but passes by mode {}: {message}; {more}</system-out>",
            mode.name()
        ),
    };
    format!("<testcase classname=\"stella.verify\" name=\"{name}\">{inside}</testcase>\n")
}

/// Returns text that is itself inside an attribute or an element.
///
/// Characters that XML cannot hold (XML 1.0 §2.2) become U+FFFD; line ends are written by number, so that a reader does
/// not make blanks of them (§3.3.3).
fn attribute(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                escaped.push('\u{fffd}')
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            attribute("a\"><failure/>&'"),
            "a&quot;&gt;&lt;failure/&gt;&amp;&apos;"
        );
        assert_eq!(
            attribute("a\u{0}\u{1b}[31m\u{ffff}\nb"),
            "a\u{fffd}\u{fffd}[31m\u{fffd}&#10;b"
        );
        assert_eq!(attribute("]]>"), "]]&gt;");
    }
}
