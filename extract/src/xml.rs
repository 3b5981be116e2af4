//! XML read forwards: names, text and attributes, nothing else.
//!
//! Invariant: entities that a document declares are never expanded (the five of XML and numbers are), nothing outside the document is
//! read, and elements may be nested as deep as they like: nobody recurses here.

use crate::bounds::Stop;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::io::{BufRead, BufReader, Read};

/// What stands in a document, names without their prefix.
pub(crate) enum Item<'a> {
    Start(&'a str, &'a Attributes<'a>),
    End(&'a str),
    Text(&'a str),
}

/// The attributes of an element.
pub(crate) struct Attributes<'a>(&'a BytesStart<'a>);

impl Attributes<'_> {
    /// The value of the attribute of this name, without prefix.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let found =
            self.0.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == name)?;
        let mut text = String::new();
        unescape(&found.value, &mut text);
        Some(text)
    }
}

/// Calls `each` for everything in the document.
pub(crate) fn walk(
    source: impl Read,
    each: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut source = BufReader::with_capacity(64 << 10, source);
    let start = source.fill_buf().map_err(|error| damaged(&error))?;
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        let mut whole = Vec::new();
        source.read_to_end(&mut whole).map_err(|error| damaged(&error))?;
        return events(crate::plain::decode(&whole).as_bytes(), each);
    }
    events(source, each)
}

fn damaged(error: &dyn std::fmt::Display) -> Stop {
    Stop::Damaged(format!("its XML can't be read: {error}"))
}

fn events(source: impl BufRead, each: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut reader = Reader::from_reader(source);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).map_err(|error| damaged(&error))? {
            Event::Start(start) => each(Item::Start(start.local_name().as_ref(), &Attributes(&start)))?,
            Event::Empty(start) => {
                let name = start.local_name();
                each(Item::Start(name.as_ref(), &Attributes(&start)))?;
                each(Item::End(name.as_ref()))?;
            }
            Event::End(end) => each(Item::End(end.local_name().as_ref()))?,
            Event::Text(text) => each(Item::Text(&text))?,
            Event::CData(text) => each(Item::Text(&text))?,
            Event::GeneralRef(name) => {
                if let Some(c) = reference(&name) {
                    each(Item::Text(c.encode_utf8(&mut [0; 4])))?;
                }
            }
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// The character that `&name;` stands for without a declaration.
fn reference(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(number)?
        }
    })
}

/// Text with its references replaced; unknown ones stay out.
fn unescape(text: &str, into: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        into.push_str(before);
        let Some((name, after)) = after.split_once(';') else { return };
        into.extend(reference(name));
        rest = after;
    }
    into.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(xml: &[u8]) -> Result<String, Stop> {
        let mut all = String::new();
        walk(xml, &mut |item| {
            match item {
                Item::Start(name, attributes) => {
                    all.push_str(&format!("<{name} {}>", attributes.value("a").unwrap_or_default()));
                }
                Item::End(name) => all.push_str(&format!("</{name}>")),
                Item::Text(text) => all.push_str(text),
            }
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn names_text_and_attributes() {
        assert_eq!(
            text(b"<?xml version='1.0'?><w:p x:a='1&amp;2'>a &lt; &#228;&#x263a;<w:r/><![CDATA[<c>]]></w:p>")
                .unwrap(),
            "<p 1&2>a < \u{e4}\u{263a}<r ></r><c></p>"
        );
        let wide: Vec<u8> = "\u{feff}<a>\u{e4}</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&wide).unwrap(), "<a >\u{e4}</a>");
    }

    #[test]
    fn declared_entities_stay_out() {
        let laughs = b"<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\"><!ENTITY x SYSTEM \"file:///etc/passwd\">]>\
                       <l>1&b;2&x;3</l>";
        assert_eq!(text(laughs).unwrap(), "<l >123</l>");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "<a>".repeat(300_000);
        assert!(text(deep.as_bytes()).is_ok());
    }

    #[test]
    fn broken_documents_are_errors() {
        assert!(matches!(text(b"<a"), Err(Stop::Damaged(_))));
    }
}
