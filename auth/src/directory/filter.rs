//! Search filters: read from the text of RFC 4515, or made of parts; kept as the bytes that go over the wire (RFC 4511 §4.5.1).
//!
//! Invariant: what users type never becomes filter text. It is put in as a value, with its length before it, so that there is
//! nothing to escape and nothing to forget: `*`, `(`, `)`, `\` and NUL are only characters there.

use super::ber;

/// Longest text of a filter, bytes.
pub const MAX_FILTER_BYTES: usize = 8_192;
/// Deepest nesting of a filter's parentheses.
pub const MAX_FILTER_DEPTH: usize = 32;

/// Active Directory's rule for "is in the group, or in one that is in it" (LDAP_MATCHING_RULE_IN_CHAIN).
pub(super) const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROX: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// A filter as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(Vec<u8>);

impl Filter {
    /// From text.
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn parse(text: &str) -> Result<Filter, String> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(format!("the filter is longer than {MAX_FILTER_BYTES} bytes"));
        }
        let mut parser = Parser { bytes: text.as_bytes(), at: 0 };
        let filter =
            parser.filter(0).map_err(|what| format!("{what} at byte {} of the filter", parser.at))?;
        if parser.at < text.len() {
            return Err(format!("something follows the filter's end at byte {}", parser.at));
        }
        Ok(Filter(filter))
    }
    /// The attribute has this value, whatever is in it.
    pub(super) fn equals(attribute: &str, value: &[u8]) -> Filter {
        Filter(assertion(EQUAL, attribute.as_bytes(), value))
    }
    /// The attribute is there.
    pub(super) fn present(attribute: &str) -> Filter {
        Filter(ber::value(PRESENT, attribute.as_bytes()))
    }
    /// The attribute matches this value by a rule.
    pub(super) fn matches(attribute: &str, rule: &str, value: &[u8]) -> Filter {
        Filter(extensible(Some(attribute.as_bytes()), Some(rule.as_bytes()), value, false))
    }
    /// All of these.
    pub(super) fn and(parts: impl IntoIterator<Item = Filter>) -> Filter {
        Filter(ber::value(AND, &joined(parts)))
    }
    /// One of these.
    pub(super) fn or(parts: impl IntoIterator<Item = Filter>) -> Filter {
        Filter(ber::value(OR, &joined(parts)))
    }
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn joined(parts: impl IntoIterator<Item = Filter>) -> Vec<u8> {
    parts.into_iter().flat_map(|part| part.0).collect()
}

fn assertion(tag: u8, attribute: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = ber::value(ber::OCTETS, attribute);
    ber::put(&mut out, ber::OCTETS, value);
    ber::value(tag, &out)
}

fn extensible(attribute: Option<&[u8]>, rule: Option<&[u8]>, value: &[u8], dn: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, part) in [(0x81, rule), (0x82, attribute), (0x83, Some(value))] {
        if let Some(part) = part {
            ber::put(&mut out, tag, part);
        }
    }
    if dn {
        ber::put(&mut out, 0x84, &[0xff]);
    }
    ber::value(EXTENSIBLE, &out)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }
    fn must(&mut self, byte: u8) -> Result<(), String> {
        if self.eat(byte) { Ok(()) } else { Err(format!("`{}` is missing", char::from(byte))) }
    }
    fn while_in(&mut self, good: impl Fn(u8) -> bool) -> &'a [u8] {
        let begin = self.at;
        while self.peek().is_some_and(&good) {
            self.at += 1;
        }
        self.bytes.get(begin..self.at).unwrap_or_default()
    }
    fn blanks(&mut self) {
        self.while_in(|byte| byte == b' ' || byte == b'\n' || byte == b'\r' || byte == b'\t');
    }

    fn filter(&mut self, depth: usize) -> Result<Vec<u8>, String> {
        if depth >= MAX_FILTER_DEPTH {
            return Err(format!("more than {MAX_FILTER_DEPTH} parentheses inside each other"));
        }
        self.must(b'(')?;
        self.blanks();
        let made = match self.peek() {
            Some(sign @ (b'&' | b'|')) => {
                self.at += 1;
                let mut parts = Vec::new();
                self.blanks();
                while self.peek() == Some(b'(') {
                    parts.extend(self.filter(depth + 1)?);
                    self.blanks();
                }
                ber::value(if sign == b'&' { AND } else { OR }, &parts)
            }
            Some(b'!') => {
                self.at += 1;
                self.blanks();
                let part = self.filter(depth + 1)?;
                self.blanks();
                ber::value(NOT, &part)
            }
            _ => self.item()?,
        };
        self.must(b')')?;
        Ok(made)
    }

    fn item(&mut self) -> Result<Vec<u8>, String> {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b';' | b'_');
        let attribute = self.while_in(name);
        if self.peek() == Some(b':') {
            return self.extensible(attribute);
        }
        if attribute.is_empty() {
            return Err("the name of an attribute is missing".into());
        }
        let tag = match self.peek() {
            Some(b'~') => APPROX,
            Some(b'>') => GREATER,
            Some(b'<') => LESS,
            _ => EQUAL,
        };
        self.at += usize::from(tag != EQUAL);
        self.must(b'=')?;
        let parts = self.value()?;
        match (tag, parts.as_slice()) {
            (_, [whole]) => Ok(assertion(tag, attribute, whole)),
            (EQUAL, [first, last]) if first.is_empty() && last.is_empty() => {
                Ok(ber::value(PRESENT, attribute))
            }
            (EQUAL, [first, middle @ .., last]) => {
                let mut pieces = Vec::new();
                let all = std::iter::once((0x80, first))
                    .chain(middle.iter().map(|part| (0x81, part)))
                    .chain(std::iter::once((0x82, last)));
                for (tag, piece) in all.filter(|(_, piece)| !piece.is_empty()) {
                    ber::put(&mut pieces, tag, piece);
                }
                if pieces.is_empty() {
                    return Err("`**` stands for nothing".into());
                }
                let mut out = ber::value(ber::OCTETS, attribute);
                ber::put(&mut out, ber::SEQUENCE, &pieces);
                Ok(ber::value(SUBSTRINGS, &out))
            }
            _ => Err("`*` goes with `=` only".into()),
        }
    }

    /// `attribute[:dn][:rule]:=value`, of which one of attribute and rule may be missing.
    fn extensible(&mut self, attribute: &[u8]) -> Result<Vec<u8>, String> {
        let (mut dn, mut rule): (bool, Option<&[u8]>) = (false, None);
        while self.eat(b':') {
            if self.eat(b'=') {
                let value = match self.value()?.as_slice() {
                    [whole] => whole.clone(),
                    _ => return Err("`*` goes with `=` only".into()),
                };
                if attribute.is_empty() && rule.is_none() {
                    return Err("neither an attribute nor a rule".into());
                }
                let attribute = Some(attribute).filter(|name| !name.is_empty());
                return Ok(extensible(attribute, rule, &value, dn));
            }
            let word = self.while_in(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
            match word {
                b"dn" if !dn && rule.is_none() => dn = true,
                [_, ..] if rule.is_none() => rule = Some(word),
                _ => return Err("this is no matching rule".into()),
            }
        }
        Err("`:=` is missing".into())
    }

    /// A value up to its `)`, in the pieces between its stars.
    fn value(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let mut pieces = vec![Vec::new()];
        while let Some(byte) = self.peek() {
            let piece = match byte {
                b')' => break,
                b'(' | 0 => return Err("`(` and NUL are written \\28 and \\00 in a value".into()),
                b'*' => {
                    self.at += 1;
                    pieces.push(Vec::new());
                    continue;
                }
                b'\\' => {
                    let digits = self.bytes.get(self.at + 1..self.at + 3);
                    let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                    let plain = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
                    self.at += 3;
                    plain
                        .and_then(|text| u8::from_str_radix(text, 16).ok())
                        .ok_or("two hex digits must follow `\\`")?
                }
                other => {
                    self.at += 1;
                    other
                }
            };
            if let Some(last) = pieces.last_mut() {
                last.push(piece);
            }
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Vec<u8> {
        Filter::parse(text).unwrap_or_else(|what| panic!("{text}: {what}")).0
    }

    /// RFC 4515 §4, with what `ldapsearch` sends for them.
    #[test]
    fn examples_of_the_rfc() {
        for (text, hex) in [
            ("(cn=Babs Jensen)", "a3110402636e040b42616273204a656e73656e"),
            ("(!(cn=Tim Howes))", "a211a30f0402636e040954696d20486f776573"),
            ("(o=univ*of*mich*)", "a41504016f3010800 4756e6976 8102 6f66 81046d696368"),
            ("(seeAlso=)", "a30b0407736565416c736f0400"),
            (
                "(cn:caseExactMatch:=Fred Flintstone)",
                "a925810e63617365457861637 44d617463688202636e830f4672656420466c696e7473746f6e65",
            ),
            ("(cn:=Betty Rubble)", "a912 8202636e 830c 4265747479 20 527562626c65"),
            (
                "(sn:dn:2.4.6.8.10:=Barney Rubble)",
                "a922810a322e342e362e382e31308202736e830d4261726e657920527562626c658401ff",
            ),
            ("(o:dn:=Ace Industry)", "a91482016f830c41636520496e6475737472798401ff"),
            ("(:1.2.3:=Wilma Flintstone)", "a9198105312e322e338310 57696c6d6120466c696e7473746f6e65"),
            (
                "(o=Parens R Us \\28for all your parenthetical needs\\29)",
                "a33304016f042e506172656e73205220557320286 66f7220616c6c20796f757220706172656e746865746963616c206e6565647329",
            ),
            ("(cn=*\\2A*)", "a4090402636e300381012a"),
            ("(filename=C:\\5cMyFile)", "a315040866696c656e616d650409433a5c4d7946696c65"),
            ("(bin=\\00\\00\\00\\04)", "a30b040362696e040400000004"),
            ("(sn=Lu\\c4\\8di\\c4\\87)", "a30d0402736e04074c75c48d69c487"),
            ("(objectClass=*)", "870b6f626a656374436c617373"),
            ("(uidNumber>=1000)", "a51104097569644e756d6265720404 31303030"),
            ("(uidNumber<=1000)", "a61104097569644e756d6265720404 31303030"),
            ("(sn~=x)", "a8070402736e040178"),
            ("( & (a=1) (| (b=2)(c=3) ) )", "a01aa306040161040131a110a306040162040132a306040163040133"),
            ("(&)", "a000"),
        ] {
            assert_eq!(hex::encode(parsed(text)), hex.replace(' ', ""), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for bad in [
            "",
            "(",
            ")",
            "()",
            "cn=x",
            "(cn=x",
            "(cn=x))",
            "(=x)",
            "(cn=\\)",
            "(cn=\\2)",
            "(cn=\\zz)",
            "(cn=\\+1)",
            "(cn=a(b)",
            "(cn=**)",
            "(a>=*)",
            "(!)",
            "(!(a=1)(b=2))",
            "(cn:=a*b)",
            "(:=x)",
            "(:dn:=x)",
            "(cn:a:b:=x)",
            "(&(a=1)",
            "(cn=\0)",
            "(c n=x)",
        ] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Filter::parse("(cn=x").unwrap_err(), "`)` is missing at byte 5 of the filter");
    }

    #[test]
    fn bounds() {
        let nested = |depth: usize| format!("{}(a=1){}", "(!".repeat(depth - 1), ")".repeat(depth - 1));
        assert!(Filter::parse(&nested(MAX_FILTER_DEPTH)).is_ok());
        assert!(Filter::parse(&nested(MAX_FILTER_DEPTH + 1)).is_err());
        let long = |bytes: usize| format!("(a={})", "x".repeat(bytes - 4));
        assert!(Filter::parse(&long(MAX_FILTER_BYTES)).is_ok());
        assert!(Filter::parse(&long(MAX_FILTER_BYTES + 1)).is_err());
    }

    proptest! {
        /// A value stays one value, whatever is in it.
        #[test]
        fn a_value_never_becomes_a_filter(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let filter = Filter::equals("uid", &value);
            let mut reader = ber::Reader::new(filter.bytes());
            let mut inside = reader.enter(EQUAL).unwrap();
            prop_assert!(reader.is_empty());
            prop_assert_eq!(inside.take(ber::OCTETS).unwrap(), b"uid");
            prop_assert_eq!(inside.take(ber::OCTETS).unwrap(), value.as_slice());
            prop_assert!(inside.is_empty());
            let escaped: String = value.iter().map(|byte| format!("\\{byte:02x}")).collect();
            prop_assert_eq!(parsed(&format!("(uid={escaped})")), filter.0);
        }

        #[test]
        fn no_text_breaks_it(text in ".{0,80}") {
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert!(ber::Reader::new(filter.bytes()).next().is_ok());
            }
        }
    }
}
