//! A search line's words: what stands in quotes, what a field's name begins, what joins.
//!
//! Left to others: what a field's value means (`field`), and how words are joined (`query`).

use super::field::Field;
use super::{QueryError, Why};

/// A piece of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    Or,
    And,
    Not,
    Word(Word),
}

/// A word or phrase, in a field or anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) field: Option<Field>,
    pub(super) value: String,
}

/// Takes the line apart.
pub(super) struct Lexer<'l> {
    line: &'l str,
    rest: &'l str,
    /// Of the rest's beginning, from 1.
    at: usize,
    peeked: Option<(usize, Token)>,
}

impl<'l> Lexer<'l> {
    pub(super) fn new(line: &'l str) -> Lexer<'l> {
        Lexer { line, rest: line, at: 1, peeked: None }
    }

    /// Where it stands: a character's number, from 1.
    pub(super) fn at(&self) -> usize {
        self.at.min(self.line.chars().count().max(1))
    }

    /// The next piece, without taking it.
    pub(super) fn peek(&mut self) -> Result<Option<(usize, Token)>, QueryError> {
        if self.peeked.is_none() {
            self.peeked = self.take()?;
        }
        Ok(self.peeked.clone())
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Token)>, QueryError> {
        match self.peeked.take() {
            Some(token) => Ok(Some(token)),
            None => self.take(),
        }
    }

    fn skip(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.at += gone.chars().count();
        self.rest = rest;
    }

    fn take(&mut self) -> Result<Option<(usize, Token)>, QueryError> {
        let blank = self.rest.len() - self.rest.trim_start().len();
        self.skip(blank);
        let at = self.at;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            '(' => self.single(Token::Open),
            ')' => self.single(Token::Close),
            // A dash by itself is a word, and one inside a word is part of it.
            '-' if self.rest.chars().nth(1).is_some_and(|c| !c.is_whitespace() && c != ')') => {
                self.single(Token::Not)
            }
            '"' => Token::Word(Word { field: None, value: self.quoted(at)? }),
            _ => self.bare(at)?,
        };
        Ok(Some((at, token)))
    }

    fn single(&mut self, token: Token) -> Token {
        self.skip(1);
        token
    }

    /// All up to the closing quote; a backslash takes the next quote or backslash as it is.
    fn quoted(&mut self, at: usize) -> Result<String, QueryError> {
        self.skip(1);
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((place, c)) = chars.next() {
            match c {
                '"' => {
                    self.skip(place + 1);
                    return Ok(value);
                }
                '\\' => match self.rest.get(place + 1..).and_then(|rest| rest.chars().next()) {
                    Some(escaped @ ('"' | '\\')) => {
                        chars.next();
                        value.push(escaped);
                    }
                    _ => value.push(c),
                },
                _ => value.push(c),
            }
        }
        Err(Why::Quote.at(at))
    }

    /// All up to the next blank or parenthesis.
    fn word(&mut self) -> &'l str {
        let end = self.rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')');
        let (word, _) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.skip(word.len());
        word
    }

    fn bare(&mut self, at: usize) -> Result<Token, QueryError> {
        if let Some((name, behind)) = self.rest.split_once(':')
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
        {
            match Field::named(name) {
                Some(field) => {
                    self.skip(name.len() + 1);
                    // A header's name may stand before a phrase.
                    if let (Field::Header, Some((header, phrase))) = (&field, self.rest.split_once(':'))
                        && phrase.starts_with('"')
                        && !header.contains(|c: char| c.is_whitespace() || c == '(' || c == ')' || c == '"')
                    {
                        self.skip(header.len() + 1);
                        let at = self.at;
                        let value = format!("{header}:{}", self.quoted(at)?);
                        return Ok(Token::Word(Word { field: Some(field), value }));
                    }
                    let quoted = self.rest.starts_with('"');
                    let value = if quoted { self.quoted(self.at)? } else { self.word().to_owned() };
                    return Ok(Token::Word(Word { field: Some(field), value }));
                }
                // `Re:` and `http://…` are text; anything else that looks like a field is a mistake that would find nothing.
                None if !behind.starts_with(|c: char| c.is_whitespace() || c == '/' || c == ')')
                    && !behind.is_empty() =>
                {
                    return Err(Why::Field(format!("{name}:")).at(at));
                }
                None => {}
            }
        }
        Ok(match self.word() {
            "OR" => Token::Or,
            "AND" => Token::And,
            "NOT" => Token::Not,
            word => Token::Word(Word { field: None, value: word.to_owned() }),
        })
    }
}
