//! Paging by the `Link` header (RFC 8288), as the distribution spec uses it.

/// Returns the address of the next page as it stands: mostly a path. None on the last page.
#[must_use]
pub fn next_page(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        let (parameters, following) = after
            .split_once('<')
            .map_or((after, ""), |(mine, _)| (mine, &after[mine.len()..]));
        let is_next = parameters.split([';', ',']).any(|each| {
            let each = each.trim();
            each.strip_prefix("rel=")
                .is_some_and(|relation| relation.trim_matches('"') == "next")
        });
        if is_next {
            return Some(target);
        }
        rest = following;
    }
    None
}

/// Writes the header for a next page.
#[must_use]
pub fn write_next(path: &str) -> String {
    format!("<{path}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_others() {
        let path = "/v2/a/tags/list?n=2&last=b";
        assert_eq!(next_page(&write_next(path)), Some(path));
        assert_eq!(next_page(r#"</x>; rel="prev", </y>; rel=next"#), Some("/y"));
        for header in [
            "",
            "</x>",
            r#"</x>; rel="last""#,
            "<x",
            r#"</x; rel="next""#,
        ] {
            assert_eq!(next_page(header), None, "{header}");
        }
    }
}
