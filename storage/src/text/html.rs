//! HTML as the text that a reader sees.
//!
//! A tokenizer, no tree: tags go, block tags separate words, script, style and head go with their content, character
//! references are decoded, attributes left out. Linear in the input, whatever is left open in it.

use mail_parser::decoders::html::add_html_token;
use memchr::memmem;

/// Elements whose content is not shown. Left open, they hide nothing.
const HIDDEN: [&str; 7] = ["script", "style", "title", "template", "noframes", "svg", "xml"];

/// Elements that don't end a head.
const IN_HEAD: [&str; 13] = [
    "html", "head", "base", "basefont", "bgsound", "link", "meta", "title", "noscript", "noframes", "style",
    "script", "template",
];

/// Elements that part words; all others stand in the line.
const BLOCKS: [&str; 56] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "button",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "hr",
    "html",
    "iframe",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "select",
    "summary",
    "table",
    "tbody",
    "td",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
    "video",
];

/// The visible text of an HTML document or fragment.
pub(super) fn visible_text(html: &str) -> String {
    let mut reader = Reader {
        html,
        at: 0,
        out: String::with_capacity(html.len() / 4),
        in_head: false,
        unclosed: Vec::new(),
        quotes: true,
    };
    reader.read();
    reader.out
}

struct Reader<'a> {
    html: &'a str,
    at: usize,
    out: String,
    in_head: bool,
    /// Ends that are known not to come any more, so that they aren't looked for again.
    unclosed: Vec<&'static str>,
    /// Quotes in tags are still balanced.
    quotes: bool,
}

impl Reader<'_> {
    fn read(&mut self) {
        while self.at < self.html.len() {
            let rest = &self.html[self.at..];
            let end = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
            self.text(end);
            if self.at < self.html.len() {
                self.markup();
            }
        }
    }

    /// Shows the next `len` bytes.
    fn text(&mut self, len: usize) {
        let text = &self.html[self.at..self.at + len];
        self.at += len;
        if !self.in_head {
            push_text(text, &mut self.out);
        }
    }

    /// At a `<`.
    fn markup(&mut self) {
        let rest = &self.html[self.at..];
        if rest.starts_with("<!--") {
            let end = self.end_of(4, "-->");
            self.skip_to(end);
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            let end = self.end_of(2, ">");
            self.skip_to(end);
        } else {
            let closing = rest.as_bytes().get(1) == Some(&b'/');
            let name_start = if closing { 2 } else { 1 };
            let after = &rest[name_start..];
            let name_len = after
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':'))
                .count();
            if after.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()) {
                let name = after[..name_len.min(16)].to_ascii_lowercase();
                self.tag(&name, closing, name_start + name_len);
            } else {
                self.text(1);
            }
        }
    }

    fn tag(&mut self, name: &str, closing: bool, from: usize) {
        let end = self.end_of_tag(self.at + from);
        // A tag that is never closed hides nothing.
        let Some(end) = end else { return self.text(1) };
        let empty = self.html.as_bytes().get(end.saturating_sub(2)) == Some(&b'/');
        self.at = end;
        if name == "head" {
            self.in_head = !closing;
        } else if self.in_head && !IN_HEAD.contains(&name) {
            self.in_head = false;
        }
        if BLOCKS.contains(&name) && !self.in_head {
            self.out.push('\n');
        }
        if let Some(hidden) = HIDDEN.iter().find(|hidden| **hidden == name)
            && !closing
            && !empty
            && !self.unclosed.contains(hidden)
        {
            match find_closing(&self.html[self.at..], hidden) {
                Some(len) => self.at += len,
                None => self.unclosed.push(hidden),
            }
        }
    }

    /// Where the tag that goes on at `from` ends: at a `>` outside quotes, if quotes are balanced.
    fn end_of_tag(&mut self, from: usize) -> Option<usize> {
        let bytes = self.html.as_bytes();
        if self.quotes {
            let mut at = from;
            loop {
                let found = bytes.get(at..).and_then(|rest| memchr::memchr3(b'>', b'"', b'\'', rest));
                let Some(found) = found else { break };
                at += found;
                if bytes[at] == b'>' {
                    return Some(at + 1);
                }
                let quote = bytes[at];
                // Only after `=` does a quote open a value.
                let opens = bytes[from..at].trim_ascii_end().ends_with(b"=");
                at += 1;
                if opens {
                    match memchr::memchr(quote, &bytes[at..]) {
                        Some(end) => at += end + 1,
                        None => break,
                    }
                }
            }
            self.quotes = false;
        }
        if self.unclosed.contains(&">") {
            return None;
        }
        let found = memchr::memchr(b'>', &bytes[from..]).map(|at| from + at + 1);
        if found.is_none() {
            self.unclosed.push(">");
        }
        found
    }

    /// Where `end` ends, from `skip` bytes on; `None` when it doesn't come.
    fn end_of(&mut self, skip: usize, end: &'static str) -> Option<usize> {
        if self.unclosed.contains(&end) {
            return None;
        }
        let found =
            self.html.as_bytes().get(self.at + skip..).and_then(|rest| memmem::find(rest, end.as_bytes()));
        if found.is_none() {
            self.unclosed.push(end);
        }
        found.map(|at| self.at + skip + at + end.len())
    }

    /// Passes over up to `end`; a `<` that nothing ends is text.
    fn skip_to(&mut self, end: Option<usize>) {
        match end {
            Some(end) => self.at = end,
            None => self.text(1),
        }
    }
}

/// The length up to and with `</name` in any case.
fn find_closing(html: &str, name: &str) -> Option<usize> {
    let bytes = html.as_bytes();
    let mut from = 0;
    while let Some(at) = memmem::find(&bytes[from..], b"</") {
        let start = from + at + 2;
        let end = start + name.len();
        if bytes.get(start..end).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
            return Some(from + at);
        }
        from = start;
    }
    None
}

/// Appends text with its character references decoded.
fn push_text(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest name has 31 letters.
        let body = rest[1..]
            .bytes()
            .take(34)
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'#')
            .count();
        let semicolon = rest.as_bytes().get(body + 1) == Some(&b';');
        if body == 0 || !(semicolon || known_without_semicolon(&rest[1..=body])) {
            out.push('&');
            rest = &rest[1..];
            continue;
        }
        let token = format!("&{};", &rest[1..=body]);
        let start = out.len();
        add_html_token(out, token.as_bytes(), false);
        // A name that nobody knows stands as it was written.
        if out[start..] == token && !semicolon {
            out.pop();
        }
        rest = &rest[body + 1 + usize::from(semicolon)..];
    }
    out.push_str(rest);
}

/// Browsers know some references without their semicolon; mail has these.
fn known_without_semicolon(name: &str) -> bool {
    ["nbsp", "amp", "lt", "gt", "quot", "copy", "reg"].contains(&name)
        || name
            .strip_prefix('#')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_reader_sees() {
        for (html, expected) in [
            ("plain", "plain"),
            ("<p>one</p><p>two</p>", "\none\n\ntwo\n"),
            ("un<b>believ</b>able", "unbelievable"),
            ("a<br>b<BR/>c", "a\nb\nc"),
            ("<td>a</td><td>b</td>", "\na\n\nb\n"),
            ("<html><head><title>T</title><style>p{}</style></head><body>x", "\n\nx"),
            ("<head><meta a=b>hidden<body>shown", "\nshown"),
            ("<head>hidden<p>shown", "\nshown"),
            ("<script>if (a<b) x('</p>')</script>y", "y"),
            ("<SCRIPT>x</Script >y", "y"),
            ("<style>never closed", "never closed"),
            ("a<!-- c > -->b<!doctype html>c<?php x?>d", "abcd"),
            ("<a href=\"x>y\" title='>'>z</a>", "z"),
            ("<a href=\"broken>z</a>", "z"),
            ("a < b <3 <", "a < b <3 <"),
            ("<p", "<p"),
            (
                "&lt;b&gt; &amp;amp; &auml;&#228;&#xe4; &nosuch; &copy &#65 AT&T;&",
                "<b> &amp; äää &nosuch; © A AT&T;&",
            ),
            ("&nbsp;", "\u{a0}"),
            ("<o:p>x</o:p>", "x"),
            ("<img alt=\"not shown\">y", "y"),
            ("<p title=it's>x</p>", "\nx\n"),
        ] {
            assert_eq!(visible_text(html), expected, "{html}");
        }
    }

    #[test]
    fn what_is_left_open_costs_one_pass() {
        for piece in [
            "<",
            "<p ",
            "<a b=\"",
            "<!--",
            "<!",
            "<style>",
            "<title><p>",
            "&",
            "&#",
            "</",
            "<script></",
            "<a b=' \" ",
        ] {
            drop(visible_text(&piece.repeat(200_000)));
        }
    }

    proptest! {
        #[test]
        fn any_text(html in "(<|>|/|\"|'|=|&|;|#|!|-|p|script|style|head|body|nbsp|ä| |[0-9]){0,60}") {
            drop(visible_text(&html));
        }

        #[test]
        fn text_without_markup_is_itself(text in "[^<&]{0,60}") {
            prop_assert_eq!(visible_text(&text), text);
        }
    }
}
