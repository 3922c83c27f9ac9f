//! As much of XML as STS needs: the text of one element whose name occurs once.

/// Returns the text of the element `name`; `None` where there is none, or more than one, or one with others inside.
pub(super) fn text<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = document.split_once(&start)?;
    let (text, after) = rest.split_once(&end)?;
    let is_alone = !after.contains(&start) && !text.contains(['<', '&']);
    is_alone.then_some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_when_there_is_one_of_it() {
        assert_eq!(text("<a><b> x </b></a>", "b"), Some("x"));
        assert_eq!(text("<a><b>x</b></a>", "c"), None);
        assert_eq!(text("<a><b>x</a>", "b"), None);
        assert_eq!(text("<b>x</b><b>y</b>", "b"), None);
        assert_eq!(text("<b><c>x</c></b>", "b"), None);
        assert_eq!(text("<b>&#x41;</b>", "b"), None);
    }
}
