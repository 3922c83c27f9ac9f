//! Lists of subjects: every character literal except `.*`, which stands for any run of printable characters.

/// One line of such a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubjectPattern {
    /// Literal pieces; between two of them anything may stand.
    pieces: Vec<String>,
}

impl SubjectPattern {
    /// Reads a pattern; `.*` alone, or at the beginning, is refused: it would give every name away.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let pieces: Vec<String> = text.split(".*").map(str::to_owned).collect();
        let begins_literally = pieces.first().is_some_and(|piece| !piece.is_empty());
        begins_literally.then_some(Self { pieces })
    }

    /// Says whether the whole of `subject` is such a name.
    pub(crate) fn matches(&self, subject: &str) -> bool {
        if subject.chars().any(char::is_control) {
            return false;
        }
        let Some((first, middle)) = self.pieces.split_first() else {
            return false;
        };
        let Some((last, middle)) = middle.split_last() else {
            return subject == first;
        };
        let Some(mut rest) = subject.strip_prefix(first.as_str()) else {
            return false;
        };
        // The leftmost place of each piece leaves the most for those after it.
        for piece in middle {
            let Some((_, after)) = rest.split_once(piece.as_str()) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_literal_and_anchored() {
        let cases = [
            ("repo:local/.*", "repo:local/demo:ref:refs/heads/main", true),
            ("repo:local/.*", "xrepo:local/demo", false),
            ("repo:local/.*", "repo:local/a\nb", false),
            ("repo:o/r.js:.*", "repo:o/rxjs:ref:x", false),
            ("repo:o/r:ref:.*/main", "repo:o/r:ref:refs/heads/main", true),
            (
                "repo:o/r:ref:.*/main",
                "repo:o/r:ref:refs/heads/main2",
                false,
            ),
            ("a.*b.*b", "ab", false),
            ("a.*b.*b", "abb", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(
                SubjectPattern::parse(pattern).unwrap().matches(subject),
                expected,
                "{pattern} {subject}"
            );
        }
    }

    #[test]
    fn a_pattern_for_every_name_cannot_be_written() {
        assert_eq!(SubjectPattern::parse(".*"), None);
        assert_eq!(SubjectPattern::parse(""), None);
    }
}
