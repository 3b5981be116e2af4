//! A message as a file (.eml in an archive, or under a generic type): its header lines that people read, its texts, and its attachments.
//!
//! Messages that are attached as messages don't come here: they are part of the mail's own structure.

use crate::bounds::{Stop, Taker};
use crate::{Format, html};
use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

pub(crate) fn take(taker: &mut Taker, bytes: &[u8]) -> Result<(), Stop> {
    let parsed = MessageParser::default().parse(bytes);
    let message = parsed.ok_or_else(|| Stop::Damaged("it is no message".into()))?;
    taker.deeper(|taker| self::message(taker, &message))
}

fn message(taker: &mut Taker, message: &Message<'_>) -> Result<(), Stop> {
    for (name, people) in [("From", message.from()), ("To", message.to()), ("Cc", message.cc())] {
        line(taker, name, &addresses(people))?;
    }
    line(taker, "Subject", message.subject().unwrap_or_default())?;
    for part in &message.parts {
        taker.entry()?;
        let name = part.attachment_name().unwrap_or_default();
        match &part.body {
            PartType::Text(text) => taker.push(text)?,
            PartType::Html(text) => taker.push(&html::visible(text))?,
            PartType::Message(nested) => taker.deeper(|taker| self::message(taker, nested))?,
            PartType::Binary(file) | PartType::InlineBinary(file) => {
                line(taker, "", name)?;
                let found = part.content_type();
                let media_type =
                    found.map(|found| format!("{}/{}", found.ctype(), found.subtype().unwrap_or_default()));
                let format = Format::of(&media_type.unwrap_or_default().to_ascii_lowercase(), name, file);
                if let Some(format) = format {
                    match crate::take(taker, format, file) {
                        Err(stop) if stop.ends_all() => return Err(stop),
                        Err(stop) => taker.note(&stop),
                        Ok(()) => {}
                    }
                }
            }
            PartType::Multipart(_) => {}
        }
        taker.line()?;
    }
    Ok(())
}

fn line(taker: &mut Taker, name: &str, value: &str) -> Result<(), Stop> {
    if value.is_empty() {
        return Ok(());
    }
    if !name.is_empty() {
        taker.push(name)?;
        taker.push(": ")?;
    }
    taker.push(value)?;
    taker.line()
}

fn addresses(people: Option<&Address<'_>>) -> String {
    let one = |person: &mail_parser::Addr<'_>| match (person.name(), person.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => name.or(address).unwrap_or_default().to_owned(),
    };
    people.map(|people| people.iter().map(one).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}
