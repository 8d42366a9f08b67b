//! Text to tokens: indentation, simple keys and indicators, in the manner of libyaml as go-yaml carries it on.
//!
//! A `key:` is only recognised at its colon, so tokens queue up until the first of them can no longer become a key.

use std::collections::VecDeque;

use super::Dialect;
use super::cursor::{Cursor, Mark};
use super::token::{Comment, Token, TokenKind};
use crate::Error;

/// A key must be followed by its colon within this many characters, on the same line.
const SIMPLE_KEY_REACH: u32 = 1024;

/// Tokens that go-yaml v3 keeps ahead of the parser, so that comments behind a token are seen before it is taken.
const LOOKAHEAD: usize = 2;

/// A place where a `key:` may have begun.
#[derive(Debug, Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    /// The colon must follow, since the key stands at the block's indentation.
    required: bool,
    token_number: usize,
    mark: Mark,
}

#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub cursor: Cursor<'a>,
    pub tokens: VecDeque<Token<'a>>,
    pub comments: VecDeque<Comment>,
    /// Column of the current block, -1 outside any.
    pub indent: i64,
    pub flow_level: usize,
    pub simple_key_allowed: bool,
    indents: Vec<i64>,
    /// One per flow level.
    simple_keys: Vec<SimpleKey>,
    tokens_taken: usize,
    max_depth: usize,
    /// Tokens kept ahead of the parser.
    lookahead: usize,
    started: bool,
    /// The first token in the queue is certain.
    ready: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str, max_depth: usize, dialect: Dialect) -> Result<Self, Error> {
        Ok(Self {
            cursor: Cursor::new(text)?,
            tokens: VecDeque::new(),
            comments: VecDeque::new(),
            indent: -1,
            flow_level: 0,
            simple_key_allowed: true,
            indents: Vec::new(),
            simple_keys: vec![SimpleKey::default()],
            tokens_taken: 0,
            max_depth,
            lookahead: if dialect == Dialect::V2 { 0 } else { LOOKAHEAD },
            started: false,
            ready: false,
        })
    }

    /// Scans until the next token is certain; false when it already was.
    pub fn fill(&mut self) -> Result<bool, Error> {
        if self.ready {
            return Ok(false);
        }
        while self.tokens.len() <= self.lookahead || self.head_may_become_key()? {
            self.fetch()?;
        }
        self.ready = true;
        Ok(true)
    }

    /// Takes the next token; [`Scanner::fill`] must have run.
    pub fn take(&mut self) -> Option<Token<'a>> {
        self.tokens_taken += 1;
        self.ready = false;
        self.tokens.pop_front()
    }

    fn head_may_become_key(&mut self) -> Result<bool, Error> {
        let level = match self.tokens.front() {
            Some(Token { key_level: Some(level), .. }) => *level as usize,
            _ => return Ok(false),
        };
        match self.simple_keys.get(level) {
            Some(key) if key.token_number == self.tokens_taken => self.is_key_still_possible(level),
            _ => Ok(false),
        }
    }

    fn fetch(&mut self) -> Result<(), Error> {
        if !self.started {
            self.started = true;
            let mark = self.cursor.mark;
            self.push(TokenKind::StreamStart, mark, mark);
            return Ok(());
        }
        let scan_mark = self.cursor.mark;
        self.skip_to_next_token(scan_mark)?;
        self.unroll_indent(i64::from(self.cursor.mark.column), scan_mark);

        if self.cursor.at_end() {
            return self.fetch_stream_end();
        }
        if self.cursor.mark.column == 0 && self.cursor.peek(0) == b'%' {
            self.begin_top_level()?;
            let (start, kind) = (self.cursor.mark, self.scan_directive()?);
            self.push(kind, start, self.cursor.mark);
            return Ok(());
        }
        if self.cursor.at_document_indicator() {
            let kind =
                if self.cursor.peek(0) == b'-' { TokenKind::DocumentStart } else { TokenKind::DocumentEnd };
            self.begin_top_level()?;
            self.push_indicator(kind, 3);
            return Ok(());
        }

        let mut comment_index = self.cursor.mark.index;
        let binds_back = if self.flow_level == 0 { b':' } else { b',' };
        if self.cursor.peek(0) == binds_back
            && let Some(last) = self.tokens.back()
        {
            // A comment behind `:` or `,` belongs to what stands before it.
            comment_index = last.start.index;
        }
        self.fetch_content()?;
        if !matches!(self.tokens.back(), Some(Token { kind: TokenKind::BlockEntry, .. })) {
            self.scan_line_comment(comment_index);
        }
        Ok(())
    }

    fn fetch_content(&mut self) -> Result<(), Error> {
        let in_flow = self.flow_level > 0;
        let spaced = self.cursor.is_space_or_end(1);
        match self.cursor.peek(0) {
            b'[' => self.fetch_flow_start(TokenKind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(TokenKind::FlowMappingStart),
            b']' => self.fetch_flow_end(TokenKind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(TokenKind::FlowMappingEnd),
            b',' => {
                self.drop_simple_key()?;
                self.simple_key_allowed = true;
                self.push_indicator(TokenKind::FlowEntry, 1);
                Ok(())
            }
            b'-' if spaced => self.fetch_block_entry(),
            b'?' if in_flow || spaced => self.fetch_key(),
            b':' if in_flow || spaced => self.fetch_value(),
            b'*' | b'&' => {
                self.save_simple_key(false)?;
                let (start, kind) = (self.cursor.mark, self.scan_anchor()?);
                self.push_key_candidate(kind, start);
                Ok(())
            }
            b'!' => {
                self.save_simple_key(false)?;
                let (start, kind) = (self.cursor.mark, self.scan_tag()?);
                self.push_key_candidate(kind, start);
                Ok(())
            }
            b'|' | b'>' if !in_flow => {
                self.drop_simple_key()?;
                self.simple_key_allowed = true;
                let start = self.cursor.mark;
                let (kind, end) = self.scan_block_scalar()?;
                self.push(kind, start, end);
                Ok(())
            }
            b'\'' | b'"' => {
                self.save_simple_key(false)?;
                let (start, kind) = (self.cursor.mark, self.scan_quoted()?);
                self.push_key_candidate(kind, start);
                Ok(())
            }
            byte if self.starts_plain(byte, spaced) => {
                self.save_simple_key(false)?;
                let start = self.cursor.mark;
                let (kind, end) = self.scan_plain()?;
                let key_level = self.current_level();
                self.tokens.push_back(Token { kind, start, end, key_level });
                Ok(())
            }
            _ => Err(self.error(self.cursor.mark, "found character that cannot start any token")),
        }
    }

    fn starts_plain(&self, byte: u8, spaced: bool) -> bool {
        match byte {
            b'-' => !self.cursor.is_blank(1),
            b'?' | b':' => self.flow_level == 0 && !spaced,
            b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"'
            | b'%' | b'@' | b'`' => false,
            _ => !self.cursor.is_space_or_end(0),
        }
    }

    fn skip_to_next_token(&mut self, scan_mark: Mark) -> Result<(), Error> {
        loop {
            self.cursor.skip_spaces();
            if self.flow_level > 0 || !self.simple_key_allowed {
                self.cursor.skip_blanks();
            }
            self.promote_sequence_comment();
            if self.cursor.peek(0) == b'#' {
                self.scan_comments(scan_mark);
            }
            if !self.cursor.is_break(0) {
                return Ok(());
            }
            self.cursor.read_break();
            if self.flow_level == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    fn fetch_stream_end(&mut self) -> Result<(), Error> {
        if self.cursor.mark.column != 0 {
            self.cursor.mark.column = 0;
            self.cursor.mark.line += 1;
        }
        self.begin_top_level()?;
        let mark = self.cursor.mark;
        self.push(TokenKind::StreamEnd, mark, mark);
        Ok(())
    }

    /// Closes all blocks before a directive, a document marker or the end.
    fn begin_top_level(&mut self) -> Result<(), Error> {
        self.unroll_indent(-1, self.cursor.mark);
        self.drop_simple_key()?;
        self.simple_key_allowed = false;
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: TokenKind<'a>) -> Result<(), Error> {
        self.save_simple_key(true)?;
        let key_level = self.current_level();
        self.simple_keys.push(SimpleKey::default());
        self.flow_level += 1;
        self.check_depth()?;
        let start = self.cursor.mark;
        self.cursor.skip();
        self.tokens.push_back(Token { kind, start, end: self.cursor.mark, key_level });
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: TokenKind<'a>) -> Result<(), Error> {
        self.drop_simple_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            self.simple_keys.pop();
        }
        self.simple_key_allowed = false;
        self.push_indicator(kind, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.error_here("block sequence entries are not allowed in this context"));
            }
            self.roll_indent(self.cursor.mark, None, TokenKind::BlockSequenceStart)?;
        }
        self.drop_simple_key()?;
        self.simple_key_allowed = true;
        self.push_indicator(TokenKind::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.error_here("mapping keys are not allowed in this context"));
            }
            self.roll_indent(self.cursor.mark, None, TokenKind::BlockMappingStart)?;
        }
        self.drop_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.push_indicator(TokenKind::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Error> {
        let level = self.simple_keys.len().saturating_sub(1);
        let key = self.simple_keys.get(level).copied().unwrap_or_default();
        if self.is_key_still_possible(level)? {
            let position = key.token_number.saturating_sub(self.tokens_taken).min(self.tokens.len());
            let token = Token { kind: TokenKind::Key, start: key.mark, end: key.mark, key_level: None };
            self.tokens.insert(position, token);
            self.roll_indent(key.mark, Some(position), TokenKind::BlockMappingStart)?;
            if let Some(key) = self.simple_keys.get_mut(level) {
                key.possible = false;
            }
            self.simple_key_allowed = false;
        } else {
            if self.flow_level == 0 {
                if !self.simple_key_allowed {
                    return Err(self.error_here("mapping values are not allowed in this context"));
                }
                self.roll_indent(self.cursor.mark, None, TokenKind::BlockMappingStart)?;
            }
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.push_indicator(TokenKind::Value, 1);
        Ok(())
    }

    fn current_level(&self) -> Option<u32> {
        Some(self.simple_keys.len().saturating_sub(1) as u32)
    }

    fn push(&mut self, kind: TokenKind<'a>, start: Mark, end: Mark) {
        self.tokens.push_back(Token { kind, start, end, key_level: None });
    }

    fn push_indicator(&mut self, kind: TokenKind<'a>, length: usize) {
        let start = self.cursor.mark;
        self.cursor.skip_many(length);
        self.push(kind, start, self.cursor.mark);
    }

    fn push_key_candidate(&mut self, kind: TokenKind<'a>, start: Mark) {
        let key_level = self.current_level();
        self.tokens.push_back(Token { kind, start, end: self.cursor.mark, key_level });
    }

    /// Remembers that the next token may begin a key; `then_allowed` says whether another may follow at once.
    fn save_simple_key(&mut self, then_allowed: bool) -> Result<(), Error> {
        if self.simple_key_allowed {
            let required = self.flow_level == 0 && self.indent == i64::from(self.cursor.mark.column);
            self.drop_simple_key()?;
            let token_number = self.tokens_taken + self.tokens.len();
            let saved = SimpleKey { possible: true, required, token_number, mark: self.cursor.mark };
            if let Some(key) = self.simple_keys.last_mut() {
                *key = saved;
            }
        }
        self.simple_key_allowed = then_allowed;
        Ok(())
    }

    fn drop_simple_key(&mut self) -> Result<(), Error> {
        match self.simple_keys.last_mut() {
            Some(SimpleKey { possible: true, required: true, mark, .. }) => {
                let mark = *mark;
                Err(self.error(mark, "could not find expected ':'"))
            }
            Some(key) => {
                key.possible = false;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn is_key_still_possible(&mut self, level: usize) -> Result<bool, Error> {
        let here = self.cursor.mark;
        let Some(key) = self.simple_keys.get_mut(level).filter(|key| key.possible) else { return Ok(false) };
        if key.mark.line == here.line && here.column <= key.mark.column + SIMPLE_KEY_REACH {
            return Ok(true);
        }
        key.possible = false;
        let (required, mark) = (key.required, key.mark);
        if required { Err(self.error(mark, "could not find expected ':'")) } else { Ok(false) }
    }

    /// Opens a block at `mark` if that is deeper than the current one; its start token goes to `position` in the queue.
    fn roll_indent(&mut self, mark: Mark, position: Option<usize>, kind: TokenKind<'a>) -> Result<(), Error> {
        if self.flow_level > 0 || self.indent >= i64::from(mark.column) {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = i64::from(mark.column);
        self.check_depth()?;
        let token = Token { kind, start: mark, end: mark, key_level: None };
        self.tokens.insert(position.unwrap_or(self.tokens.len()), token);
        Ok(())
    }

    /// Closes blocks deeper than `column`. A block ends before the comments that stand at its own indentation, so that
    /// later ones can become foot comments of the blocks around it.
    fn unroll_indent(&mut self, column: i64, from: Mark) {
        if self.flow_level > 0 || self.indent <= column {
            return;
        }
        let mut end = Mark { index: from.index.saturating_sub(1), ..from };
        while self.indent > column {
            let mut stop = end.index;
            for comment in self.comments.iter().rev() {
                if comment.end_index < stop {
                    break;
                }
                if i64::from(comment.start.column) == self.indent + 1 {
                    end = comment.start;
                }
                stop = comment.scan_index;
            }
            self.push(TokenKind::BlockEnd, end, end);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn check_depth(&self) -> Result<(), Error> {
        if self.flow_level + self.indents.len() <= self.max_depth {
            return Ok(());
        }
        let line = self.cursor.mark.line + 1;
        Err(Error::Limit { line, what: "nested collections", limit: self.max_depth })
    }

    /// A scanner error as go-yaml places it: at the construct's start, or where it failed when that is the first line.
    pub fn error(&self, context: Mark, message: &str) -> Error {
        let here = self.cursor.mark;
        let line = match (context.line, here.line) {
            (0, 0) => 0,
            (0, line) | (line, _) => line + 1,
        };
        let line_of_v2 = if here.line == 0 { context.line } else { here.line + 1 };
        Error::Syntax { line, line_of_v2, column: here.column + 1, message: message.into() }
    }

    /// A scanner error at the position.
    fn error_here(&self, message: &str) -> Error {
        self.error(self.cursor.mark, message)
    }
}
