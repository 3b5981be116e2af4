//! The search line of people, mapped to search's keys: words and phrases, fields, `-`, `OR`, parentheses.
//!
//! Invariant: every line either has one meaning or is an error that says where and what to do; no word is dropped. What
//! matching means is storage's business (substrings, in every script, whatever the case), and every key is one that IMAP
//! SEARCH has, but `has:attachment`, `filename:` and `in:`. A line's length, terms and depth are bounded.

mod field;
mod lex;

use lex::{Lexer, Token, Word};
use storage::search::Key;

/// Most terms in one line.
pub(crate) const MAX_TERMS: usize = 1_024;
/// Deepest nesting of parentheses and NOTs.
pub(crate) const MAX_DEPTH: usize = 32;
/// Longest line, bytes.
pub(crate) const MAX_BYTES: usize = 32 << 10;

/// Why a line is no query, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {at} of the query: {why}")]
pub(crate) struct QueryError {
    /// From 1.
    at: usize,
    why: Why,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("the quote that begins here is not closed; write \\\" for a quote inside quotes")]
    Quote,
    #[error("the query is longer than {MAX_BYTES} bytes")]
    Bytes,
    #[error("the query has more than {MAX_TERMS} terms")]
    Long,
    #[error("parentheses and NOTs are nested deeper than {MAX_DEPTH}")]
    Deep,
    #[error("this parenthesis is not closed; put it in quotes if it is part of the text")]
    Open,
    #[error("there is no parenthesis to close; put it in quotes if it is part of the text")]
    Close,
    #[error("nothing stands between these parentheses; put them in quotes if they are part of the text")]
    Nothing,
    #[error("{0} needs something behind it")]
    Behind(&'static str),
    #[error("OR needs something before it; put it in quotes if you look for the word")]
    Before,
    #[error("{0} needs something after the colon, such as {0}{1}")]
    Empty(&'static str, &'static str),
    #[error("there is no field {0}; put the text in quotes if you look for it as it stands. The fields are {fields}", fields = field::names())]
    Field(String),
    #[error("{0}{1}: a date looks like {0}2019-12-31, {0}2019-12 or {0}2019")]
    Date(&'static str, String),
    #[error("{0}{1}: a size looks like {0}500k, {0}10M or {0}1G")]
    Size(&'static str, String),
    #[error("is:{0} is not known; there are is:answered, is:flagged and is:forwarded")]
    Flag(String),
    #[error("has:{0} is not known; there is has:attachment")]
    Has(String),
    #[error("in: means nothing here, for the folder is given already")]
    In,
    #[error("header: needs the field's name, such as header:List-Id or header:X-Mailer:pine")]
    Header,
}

impl Why {
    fn at(self, at: usize) -> QueryError {
        QueryError { at, why: self }
    }
}

/// A line's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Query {
    /// What a message, a placement say of themselves.
    Key(Key),
    /// In this folder of the archive, or below it.
    In(String),
    /// All of them.
    And(Vec<Query>),
    /// One of them.
    Or(Vec<Query>),
    /// The others.
    Not(Box<Query>),
}

impl Query {
    /// Whether the folder matters.
    pub(crate) fn asks_for_folders(&self) -> bool {
        match self {
            Query::Key(_) => false,
            Query::In(_) => true,
            Query::And(all) | Query::Or(all) => all.iter().any(Query::asks_for_folders),
            Query::Not(inner) => inner.asks_for_folders(),
        }
    }

    /// The folders that it names.
    pub(crate) fn folders(&self) -> Vec<&str> {
        match self {
            Query::Key(_) => Vec::new(),
            Query::In(folder) => vec![folder],
            Query::And(all) | Query::Or(all) => all.iter().flat_map(Query::folders).collect(),
            Query::Not(inner) => inner.folders(),
        }
    }

    /// The key that it is in a folder (its path inside the archive; the top folder's is empty).
    pub(crate) fn key(&self, folder: &str) -> Key {
        match self {
            Query::Key(key) => key.clone(),
            Query::In(named) if is_in(folder, named) => Key::All,
            Query::In(_) => Key::Nothing,
            Query::And(all) => {
                let keys: Vec<Key> =
                    all.iter().map(|query| query.key(folder)).filter(|key| *key != Key::All).collect();
                match keys.contains(&Key::Nothing) {
                    true => Key::Nothing,
                    false => one_or(keys, Key::All, Key::And),
                }
            }
            Query::Or(all) => {
                let keys = all.iter().map(|query| query.key(folder)).filter(|key| *key != Key::Nothing);
                let keys: Vec<Key> = keys.collect();
                match keys.contains(&Key::All) {
                    true => Key::All,
                    false => one_or(keys, Key::Nothing, Key::Or),
                }
            }
            Query::Not(inner) => match inner.key(folder) {
                Key::All => Key::Nothing,
                Key::Nothing => Key::All,
                other => Key::Not(Box::new(other)),
            },
        }
    }

    /// What is looked for in the text, as typed: what a snippet shows. What must not be there is left out.
    pub(crate) fn needles(&self) -> Vec<&str> {
        fn of(key: &Key) -> Vec<&str> {
            match key {
                Key::Text(text) | Key::Body(text) => vec![text],
                Key::And(all) | Key::Or(all) => all.iter().flat_map(of).collect(),
                _ => Vec::new(),
            }
        }
        match self {
            Query::Key(key) => of(key),
            Query::And(all) | Query::Or(all) => all.iter().flat_map(Query::needles).collect(),
            Query::In(_) | Query::Not(_) => Vec::new(),
        }
    }
}

/// Whether a folder is the named one or below it, whatever the case; the name may begin with `/`.
pub(crate) fn is_in(folder: &str, named: &str) -> bool {
    let (folder, named) = (folder.to_lowercase(), named.trim_matches('/').to_lowercase());
    folder.strip_prefix(&named).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The one of a list, or the list; `none` for an empty one.
fn one_or<T>(mut all: Vec<T>, none: T, list: impl FnOnce(Vec<T>) -> T) -> T {
    match all.len() {
        0 => none,
        1 => all.pop().unwrap_or(none),
        _ => list(all),
    }
}

/// The meaning of a line; an empty one finds everything.
pub(crate) fn parse(line: &str) -> Result<Query, QueryError> {
    if line.len() > MAX_BYTES {
        return Err(Why::Bytes.at(MAX_BYTES));
    }
    let mut parser = Parser { lexer: Lexer::new(line), terms: 0 };
    if parser.lexer.peek()?.is_none() {
        return Ok(Query::Key(Key::All));
    }
    let query = parser.any(0)?;
    match parser.lexer.peek()? {
        None => Ok(query),
        // Only what closes nothing stops the one above early.
        Some((at, _)) => Err(Why::Close.at(at)),
    }
}

/// The line's key, for those who search one folder; `in:` is refused there.
pub(crate) fn parse_key(line: &str) -> Result<Key, QueryError> {
    let query = parse(line)?;
    match query.folders().first() {
        None => Ok(query.key("")),
        Some(_) => Err(Why::In.at(1)),
    }
}

struct Parser<'l> {
    lexer: Lexer<'l>,
    terms: usize,
}

impl Parser<'_> {
    /// `a b OR c d`: one of the sides must hold.
    fn any(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut sides = vec![self.all(depth)?];
        while let Some((at, Token::Or)) = self.lexer.peek()? {
            self.lexer.next()?;
            if matches!(self.lexer.peek()?, None | Some((_, Token::Or | Token::Close))) {
                return Err(Why::Behind("OR").at(at));
            }
            sides.push(self.all(depth)?);
        }
        Ok(one_or(sides, Query::Key(Key::All), Query::Or))
    }

    /// Terms beside each other: all must hold.
    fn all(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut terms = Vec::new();
        loop {
            match self.lexer.peek()? {
                None | Some((_, Token::Close)) if !terms.is_empty() => break,
                Some((_, Token::Or)) if !terms.is_empty() => break,
                Some((at, Token::Or)) => return Err(Why::Before.at(at)),
                Some((at, Token::Close)) => {
                    return Err(if depth == 0 { Why::Close } else { Why::Nothing }.at(at));
                }
                None => return Err(Why::Behind("a parenthesis").at(self.lexer.at())),
                Some((at, Token::And)) => {
                    self.lexer.next()?;
                    if terms.is_empty()
                        || matches!(self.lexer.peek()?, None | Some((_, Token::Or | Token::Close)))
                    {
                        return Err(Why::Behind("AND").at(at));
                    }
                }
                Some(_) => terms.push(self.term(depth)?),
            }
        }
        Ok(one_or(terms, Query::Key(Key::All), Query::And))
    }

    fn term(&mut self, depth: usize) -> Result<Query, QueryError> {
        let Some((at, token)) = self.lexer.next()? else {
            return Err(Why::Behind("NOT").at(self.lexer.at()));
        };
        if depth >= MAX_DEPTH && matches!(token, Token::Not | Token::Open) {
            return Err(Why::Deep.at(at));
        }
        match token {
            Token::Not => {
                if matches!(self.lexer.peek()?, None | Some((_, Token::Or | Token::And | Token::Close))) {
                    return Err(Why::Behind("NOT").at(at));
                }
                Ok(Query::Not(Box::new(self.term(depth + 1)?)))
            }
            Token::Open => {
                if self.lexer.peek()?.is_none() {
                    return Err(Why::Open.at(at));
                }
                let inner = self.any(depth + 1)?;
                match self.lexer.next()? {
                    Some((_, Token::Close)) => Ok(inner),
                    _ => Err(Why::Open.at(at)),
                }
            }
            Token::Word(word) => {
                self.terms += 1;
                if self.terms > MAX_TERMS {
                    return Err(Why::Long.at(at));
                }
                let Word { field, value } = word;
                match field {
                    Some(field) => field.meaning(&value).map_err(|why| why.at(at)),
                    None => Ok(Query::Key(Key::Text(value))),
                }
            }
            Token::Close | Token::Or | Token::And => Err(Why::Close.at(at)),
        }
    }
}

#[cfg(test)]
mod tests;
