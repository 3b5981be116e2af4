//! The index's fields: the parts of a message's text that are told apart in it, and what their terms were made by.
//!
//! Invariant: whatever changes the terms of any text changes [`versions`]. Nothing here opens or writes an index.

use super::words::{Terms, WORDS_VERSION, terms};
use crate::text::TEXT_VERSION;
use tantivy::schema::{Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// The field with the message number.
pub(super) const NUMBER: &str = "number";
/// The name that our tokenizer is registered under.
pub(super) const TOKENIZER: &str = "words";

/// The parts of a message's text that are told apart in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Values of Subject fields.
    Subject,
    /// Values of From fields.
    From,
    /// Values of To fields.
    To,
    /// Values of Cc fields.
    Cc,
    /// Values of Bcc fields.
    Bcc,
    /// All header fields but machine headers, as `Name: value`.
    Header,
    /// The body's entries.
    Body,
}

impl Part {
    /// How many there are.
    pub(crate) const COUNT: usize = 7;
    const ALL: [(Part, &'static str); Part::COUNT] = [
        (Part::Subject, "subject"),
        (Part::From, "from"),
        (Part::To, "to"),
        (Part::Cc, "cc"),
        (Part::Bcc, "bcc"),
        (Part::Header, "header"),
        (Part::Body, "body"),
    ];

    /// The part with the values of fields of this name, if they have one of their own.
    pub(crate) fn of_header(name: &str) -> Option<Part> {
        Part::ALL.iter().take(5).find(|(_, part)| part.eq_ignore_ascii_case(name)).map(|&(part, _)| part)
    }

    /// The index's field: they are made in this order.
    pub(crate) fn field(self) -> Field {
        Field::from_field_id(self as u32)
    }
}

/// The index's fields: the parts in their order, then the number.
pub(super) fn schema() -> Schema {
    let mut schema = Schema::builder();
    let words = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    for (_, name) in Part::ALL {
        schema.add_text_field(name, TextOptions::default().set_indexing_options(words.clone()));
    }
    schema.add_u64_field(NUMBER, NumericOptions::default().set_fast());
    schema.build()
}

/// The field with the message number.
pub(super) fn number_field() -> Field {
    Field::from_field_id(Part::COUNT as u32)
}

/// Gives tantivy our terms; text comes folded.
#[derive(Debug, Clone)]
pub(super) struct Words;

pub(super) struct WordStream<'a> {
    terms: Terms<'a>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;
    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { terms: terms(text), token: Token::default() }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(term) = self.terms.next() else { return false };
        self.token.text.clear();
        self.token.text.push_str(term);
        // Positions are not indexed; tantivy wants them to rise.
        self.token.position = self.token.position.wrapping_add(1);
        true
    }
    fn token(&self) -> &Token {
        &self.token
    }
    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// What the text was made by: another one means other terms, so another index. The Unicode versions are those that
/// decide what folds to what and what a word character is.
pub(super) fn versions() -> String {
    let (a, b) = (char::UNICODE_VERSION, unicode_normalization::UNICODE_VERSION);
    format!("text {TEXT_VERSION} words {WORDS_VERSION} unicode {a:?} {b:?} next ")
}
