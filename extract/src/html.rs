//! HTML files as what a reader sees, through the mail parser's own conversion.
//!
//! That one knows line breaks and paragraphs; here the other elements that part words are made breaks first.

use mail_parser::decoders::html::html_to_text;

/// Elements that begin or end a line, and cells.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "option",
    "pre",
    "section",
    "td",
    "th",
];
const MORE_BLOCKS: [&str; 6] = ["table", "tr", "ul", "title", "p", "tbody"];

/// The visible text.
pub(crate) fn visible(html: &str) -> String {
    let mut marked = String::with_capacity(html.len() + html.len() / 8);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        marked.push_str(before);
        let name = tag[1..].trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let name = name[..end].to_ascii_lowercase();
        if BLOCKS.contains(&name.as_str()) || MORE_BLOCKS.contains(&name.as_str()) {
            marked.push_str("<br>");
        }
        marked.push('<');
        rest = &tag[1..];
    }
    marked.push_str(rest);
    let text = html_to_text(&marked);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sees() {
        let html = "<html><head><title>t</title><style>p{}</style></head><body><div>one</div><div>two <b>bo</b>ld</div>\
                    <table><tr><td>a</td><td>b &amp; c</td></tr></table><script>no()</script></body></html>";
        assert_eq!(visible(html), "one\ntwo bold\na\nb & c");
        assert_eq!(visible("plain"), "plain");
        assert_eq!(visible("a < b"), "a");
    }
}
