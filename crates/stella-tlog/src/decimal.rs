//! Decimal numbers as C2SP writes them: ASCII digits, no sign, no leading zero but for `0` itself.

/// Parses a canonical decimal number; `None` for anything else or beyond 64 bits.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
