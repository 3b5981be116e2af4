//! BODYSTRUCTURE with all extension data (RFC 9051 §7.5.2) of a tree.
//!
//! Iterative, so that depth costs no stack. Defaults are spelled out (text/plain, us-ascii, 7bit); sizes are of the
//! encoded bytes; types stand as written.

use super::{envelope, string};
use crate::mime::field::Fields;
use crate::mime::param::{self, ContentType, Param};
use crate::mime::{Entity, Kind, Tree};
use std::borrow::Cow;

/// The structure of the whole tree.
pub(super) fn write(tree: &Tree) -> Vec<u8> {
    enum Step {
        Enter(usize),
        Leave(usize),
    }
    let mut out = Vec::new();
    let mut steps = vec![Step::Enter(0)];
    while let Some(step) = steps.pop() {
        let (index, entering) = match step {
            Step::Enter(index) => (index, true),
            Step::Leave(index) => (index, false),
        };
        let Some(entity) = tree.entities.get(index) else { continue };
        if entering {
            out.push(b'(');
        }
        match entity.kind {
            Kind::Leaf => {
                let described = Described::of(entity);
                described.basic(entity, &mut out);
                described.extensions(&mut out);
            }
            Kind::Message if entering => {
                Described::of(entity).basic(entity, &mut out);
                let child = entity.children.first().and_then(|&child| tree.entities.get(child));
                out.push(b' ');
                envelope::write(child.map_or(&[][..], |child| &child.header_bytes), &mut out);
                out.push(b' ');
            }
            Kind::Message => {
                out.extend_from_slice(format!(" {}", entity.lines).as_bytes());
                Described::of(entity).extensions(&mut out);
            }
            Kind::Multipart if entering => {}
            Kind::Multipart => Described::of(entity).multipart(&mut out),
        }
        if entering && entity.kind != Kind::Leaf {
            steps.push(Step::Leave(index));
            steps.extend(entity.children.iter().rev().map(|&child| Step::Enter(child)));
        } else {
            out.push(b')');
        }
    }
    out
}

/// BODY of a message that nothing is known of.
pub(super) fn plain_text(size: u64) -> String {
    format!("(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" {size} 0)")
}

/// What the Content-* fields of an entity say.
#[derive(Default)]
struct Described<'a> {
    content_type: Option<ContentType>,
    id: Option<Cow<'a, [u8]>>,
    description: Option<Cow<'a, [u8]>>,
    encoding: Option<Vec<u8>>,
    md5: Option<Cow<'a, [u8]>>,
    disposition: Option<(Vec<u8>, Vec<Param>)>,
    language: Vec<Vec<u8>>,
    location: Option<Cow<'a, [u8]>>,
}

impl<'a> Described<'a> {
    /// The first type and encoding count, as they do for the splitter; of the others the last, as Dovecot has it.
    fn of(entity: &'a Entity) -> Self {
        let mut found = Described::default();
        let mut typed = false;
        for field in Fields::new(&entity.header_bytes) {
            let Some((start, name)) = field.name.split_at_checked(8) else { continue };
            if !start.eq_ignore_ascii_case(b"Content-") {
                continue;
            }
            match &*name.to_ascii_lowercase() {
                b"type" if !typed => {
                    typed = true;
                    found.content_type = ContentType::parse(field.value);
                }
                b"id" => found.id = Some(field.unfolded()),
                b"description" => found.description = Some(field.unfolded()),
                b"transfer-encoding" if found.encoding.is_none() => {
                    found.encoding = param::encoding(field.value)
                }
                b"md5" => found.md5 = Some(field.unfolded()),
                b"disposition" => {
                    found.disposition = param::token_with_params(field.value).or(found.disposition)
                }
                b"language" => found.language = param::tokens(field.value),
                b"location" => found.location = Some(field.unfolded()),
                _ => {}
            }
        }
        found
    }

    /// Type to size, and lines for text.
    fn basic(&self, entity: &Entity, out: &mut Vec<u8>) {
        let params = self.content_type.as_ref().map_or(&[][..], |found| &found.params);
        let composite = |found: &ContentType| found.main_is("multipart") || found.main_is("message");
        let mut is_text = false;
        match &self.content_type {
            _ if entity.kind == Kind::Message => {
                let global = self.content_type.as_ref().is_some_and(|found| found.is("message", "global"));
                let sub: &[u8] = if global { b"global" } else { b"rfc822" };
                string::put(b"message", out);
                out.push(b' ');
                string::put(sub, out);
            }
            None => {
                is_text = true;
                out.extend_from_slice(b"\"text\" \"plain\"");
            }
            // A leaf that says it is composite is one that could not be opened (a limit, an encoding that RFC 2045 §6.4
            // forbids): opaque bytes. Other message types (partial, delivery-status) are leaves by right.
            Some(found) if composite(found) && is_opaque(found) => {
                out.extend_from_slice(b"\"application\" \"octet-stream\"");
            }
            Some(found) => {
                is_text = found.main_is("text");
                string::put(&found.main, out);
                out.push(b' ');
                string::put(&found.sub, out);
            }
        }
        out.push(b' ');
        put_params(params, is_text, out);
        out.push(b' ');
        string::put_or_nil(self.id.as_deref(), out);
        out.push(b' ');
        string::put_or_nil(self.description.as_deref(), out);
        out.push(b' ');
        string::put(self.encoding.as_deref().unwrap_or(b"7bit"), out);
        out.extend_from_slice(format!(" {}", entity.body.end - entity.body.start).as_bytes());
        if is_text {
            out.extend_from_slice(format!(" {}", entity.lines).as_bytes());
        }
    }

    /// MD5 and what follows it, for all but multiparts.
    fn extensions(&self, out: &mut Vec<u8>) {
        out.push(b' ');
        string::put_or_nil(self.md5.as_deref(), out);
        self.common_extensions(out);
    }

    /// What stands behind a multipart's parts.
    fn multipart(&self, out: &mut Vec<u8>) {
        out.push(b' ');
        let (sub, params) =
            self.content_type.as_ref().map_or((&b"mixed"[..], &[][..]), |found| (&found.sub, &found.params));
        string::put(sub, out);
        out.push(b' ');
        put_params(params, false, out);
        self.common_extensions(out);
    }

    fn common_extensions(&self, out: &mut Vec<u8>) {
        match &self.disposition {
            None => out.extend_from_slice(b" NIL"),
            Some((disposition, params)) => {
                out.extend_from_slice(b" (");
                string::put(disposition, out);
                out.push(b' ');
                put_params(params, false, out);
                out.push(b')');
            }
        }
        if self.language.is_empty() {
            out.extend_from_slice(b" NIL");
        } else {
            for (index, language) in self.language.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b" (" } else { b" " });
                string::put(language, out);
            }
            out.push(b')');
        }
        out.push(b' ');
        string::put_or_nil(self.location.as_deref(), out);
    }
}

fn is_opaque(found: &ContentType) -> bool {
    found.main_is("multipart") || found.is("message", "rfc822") || found.is("message", "global")
}

fn put_params(params: &[Param], needs_charset: bool, out: &mut Vec<u8>) {
    let adds_charset = needs_charset
        && param::find(params, "charset").is_none()
        && param::find(params, "charset*").is_none();
    if params.is_empty() && !adds_charset {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for (index, (name, value)) in params.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        string::put(name, out);
        out.push(b' ');
        string::put(value, out);
    }
    if adds_charset {
        if !params.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(b"\"charset\" \"us-ascii\"");
    }
    out.push(b')');
}
