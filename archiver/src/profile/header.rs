//! Fields of a message's header in their order, and the addresses in them: as much as filters and routing ask.
//!
//! Invariant: linear in the header, and nothing in it is believed; what can't be read is passed over.

/// Most of a header that is looked at, bytes.
pub(crate) const MAX_HEADER_BYTES: usize = 256 << 10;
/// Most addresses that are taken from one field.
const MAX_ADDRESSES: usize = 10_000;

/// A field: its name as written, and its unfolded value.
pub(crate) struct Field<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: Vec<u8>,
}

impl Field<'_> {
    /// Whether it is the field of this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value decoded (RFC 2047), without blanks around it.
    pub(crate) fn text(&self) -> String {
        storage::text::decode_words(self.value.trim_ascii())
    }
}

/// The fields of a header, from the top; what is no field is passed over.
pub(crate) fn fields(header: &[u8]) -> Vec<Field<'_>> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let header = header.get(..header.len().min(MAX_HEADER_BYTES)).unwrap_or_default();
    let mut open = false;
    for line in header.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if let (true, Some(last)) = (open, fields.last_mut()) {
                last.value.extend_from_slice(line);
            }
            continue;
        }
        let parted = memchr::memchr(b':', line).and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)));
        open = false;
        if let Some((name, value)) = parted {
            let name = name.trim_ascii_end();
            if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) {
                fields.push(Field { name, value: value.to_vec() });
                open = true;
            }
        }
    }
    fields
}

/// The addresses in a value such as `Ann <a@b>, c@d (Carl)`, in lower case. Quoted strings and comments hold none.
pub(crate) fn addresses(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut depth, mut escaped) = (false, 0_u32, false);
    for c in value.chars() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' if quoted || depth > 0 => escaped = true,
            '"' if depth == 0 => {
                quoted = !quoted;
                // A quoted local part is kept out too: such addresses can't be told from names.
                word.clear();
            }
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '<' | '>' | ',' | ';' | ':' => take(&mut word, &mut found),
            c if c.is_whitespace() => take(&mut word, &mut found),
            c => word.push(c),
        }
        if found.len() >= MAX_ADDRESSES {
            return found;
        }
    }
    take(&mut word, &mut found);
    found
}

fn take(word: &mut String, found: &mut Vec<String>) {
    if word.contains('@')
        && let Ok(address) = auth::check_address(word)
        && !found.contains(&address)
    {
        found.push(address);
    }
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_their_order() {
        let header = b"A: 1\r\nlong: a\r\n b\n\tc\nno field\n folded\nB : 2\n\nC: body\n";
        let found: Vec<_> = fields(header)
            .iter()
            .map(|field| (String::from_utf8_lossy(field.name).into_owned(), field.text()))
            .collect();
        let wanted = [("A", "1"), ("long", "a b\tc"), ("B", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_header_is_read_up_to_its_bound() {
        let filler = format!("X: {}\n", "x".repeat(MAX_HEADER_BYTES - 12));
        let at = format!("{filler}To: a@b\n");
        assert_eq!(at.len(), MAX_HEADER_BYTES);
        assert_eq!(addresses(&fields(at.as_bytes())[1].text()), ["a@b"]);
        let past = format!("X{at}");
        assert_eq!(addresses(&fields(past.as_bytes())[1].text()), ["a@b"], "only the line end is cut");
        assert_eq!(fields(format!("{filler}Y: 123456\nTo: a@b\n").as_bytes()).len(), 2);
    }

    #[test]
    fn addresses_of_every_form() {
        for (value, wanted) in [
            (
                "Ann Lee <Ann@Example.org>, bob@b.example (Bob <x@y>)",
                &["ann@example.org", "bob@b.example"][..],
            ),
            ("\"a@b, c@d\" <e@f>", &["e@f"]),
            ("Team: a@b, c@d;", &["a@b", "c@d"]),
            ("a@b,a@b", &["a@b"]),
            ("<a@b", &["a@b"]),
            ("undisclosed-recipients:;", &[]),
            ("a@b@c nobody @ x@", &[]),
            ("(unclosed a@b", &[]),
            ("\"unclosed a@b", &[]),
        ] {
            assert_eq!(addresses(value), wanted, "{value}");
        }
    }

    #[test]
    fn addresses_are_bounded() {
        let many = |count: usize| (0..count).map(|n| format!("a{n}@b,")).collect::<String>();
        assert_eq!(addresses(&many(100)).len(), 100);
        assert!(addresses(&many(MAX_ADDRESSES + 5)).len() <= MAX_ADDRESSES);
    }
}
