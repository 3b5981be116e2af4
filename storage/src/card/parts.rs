//! The card's table of parts: where every entity lies, in a few bytes each.
//!
//! Layout: for each entity in preorder the distance to its parent and its kind in one number, the start of its header
//! counted from the entity before, the header's length, the body's length. The body follows its header at once.

use super::{Part, varint};
use crate::mime::{Entity, Kind};
use bytes::Bytes;

/// Encodes the places of `entities`.
pub(super) fn encode(entities: &[Entity]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entities.len() * 6);
    let mut last = 0;
    for (index, entity) in entities.iter().enumerate() {
        let kind = match entity.kind {
            Kind::Leaf => 0,
            Kind::Multipart => 1,
            Kind::Message => 2,
        };
        let distance = entity.parent.map_or(0, |parent| index - parent) as u64;
        varint::put(distance << 2 | kind, &mut out);
        varint::put(entity.header.start - last, &mut out);
        varint::put(entity.header.end - entity.header.start, &mut out);
        varint::put(entity.body.end - entity.body.start, &mut out);
        last = entity.header.start;
    }
    out
}

/// Decodes what [`encode`] made; `None` when it is something else.
pub(super) fn decode(mut bytes: Bytes) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut last = 0_u64;
    while !bytes.is_empty() {
        let head = varint::take(&mut bytes)?;
        let kind = match head & 3 {
            0 => Kind::Leaf,
            1 => Kind::Multipart,
            2 => Kind::Message,
            _ => return None,
        };
        let start = last.checked_add(varint::take(&mut bytes)?)?;
        let body = start.checked_add(varint::take(&mut bytes)?)?;
        let end = body.checked_add(varint::take(&mut bytes)?)?;
        last = start;
        let index = parts.len();
        let parent = match usize::try_from(head >> 2).ok()? {
            0 if index == 0 => None,
            0 => return None,
            distance => Some(index.checked_sub(distance)?),
        };
        if let Some(parent) = parent {
            parts.get_mut(parent)?.children.push(index);
        }
        parts.push(Part { parent, children: Vec::new(), header: start..body, body: body..end, kind });
    }
    if parts.is_empty() { None } else { Some(parts) }
}
