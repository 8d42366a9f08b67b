//! Scanning what stands before nodes and documents: directives, anchors, aliases and tags.

use super::cursor::{Cursor, Mark};
use super::scanner::Scanner;
use super::token::TokenKind;
use crate::Error;

fn is_word(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.peek(0), b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-')
}

impl<'a> Scanner<'a> {
    /// `%YAML` or `%TAG` with the rest of its line.
    pub(super) fn scan_directive(&mut self) -> Result<TokenKind<'a>, Error> {
        let start = self.cursor.mark;
        self.cursor.skip();
        let name = self.cursor.read_while(is_word);
        if name.is_empty() {
            return Err(self.error(start, "could not find expected directive name"));
        }
        if !self.cursor.is_space_or_end(0) {
            return Err(self.error(start, "found unexpected non-alphabetical character"));
        }
        self.cursor.skip_blanks();
        let kind = match name {
            "YAML" => self.scan_version(start)?,
            "TAG" => self.scan_tag_directive(start)?,
            _ => return Err(self.error(start, "found unknown directive name")),
        };
        self.cursor.skip_blanks();
        if self.cursor.peek(0) == b'#' {
            self.cursor.read_line();
        }
        if !self.cursor.is_break_or_end(0) {
            return Err(self.error(start, "did not find expected comment or line break"));
        }
        self.cursor.read_break();
        Ok(kind)
    }

    fn scan_version(&mut self, start: Mark) -> Result<TokenKind<'a>, Error> {
        let major = self.scan_version_number(start)?;
        if self.cursor.peek(0) != b'.' {
            return Err(self.error(start, "did not find expected digit or '.' character"));
        }
        self.cursor.skip();
        Ok(TokenKind::VersionDirective { major, minor: self.scan_version_number(start)? })
    }

    fn scan_version_number(&mut self, start: Mark) -> Result<u8, Error> {
        let digits = self.cursor.read_while(|cursor| cursor.peek(0).is_ascii_digit());
        if digits.is_empty() {
            return Err(self.error(start, "did not find expected version number"));
        }
        if digits.len() > 2 {
            return Err(self.error(start, "found extremely long version number"));
        }
        Ok(digits.parse().unwrap_or(u8::MAX))
    }

    fn scan_tag_directive(&mut self, start: Mark) -> Result<TokenKind<'a>, Error> {
        let handle = self.scan_tag_handle(true, start)?;
        if !self.cursor.is_blank(0) {
            return Err(self.error(start, "did not find expected whitespace"));
        }
        self.cursor.skip_blanks();
        let prefix = self.scan_tag_uri("", start)?;
        if !self.cursor.is_space_or_end(0) {
            return Err(self.error(start, "did not find expected whitespace or line break"));
        }
        Ok(TokenKind::TagDirective { handle, prefix: prefix.into() })
    }

    /// `&name` or `*name`.
    pub(super) fn scan_anchor(&mut self) -> Result<TokenKind<'a>, Error> {
        let start = self.cursor.mark;
        let is_alias = self.cursor.peek(0) == b'*';
        self.cursor.skip();
        let name = self.cursor.read_while(is_word);
        let ends = self.cursor.is_space_or_end(0)
            || matches!(self.cursor.peek(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
        if name.is_empty() || !ends {
            return Err(self.error(start, "did not find expected alphabetic or numeric character"));
        }
        Ok(if is_alias { TokenKind::Alias(name) } else { TokenKind::Anchor(name) })
    }

    /// `!<uri>`, `!handle!suffix`, `!suffix` or `!`.
    pub(super) fn scan_tag(&mut self) -> Result<TokenKind<'a>, Error> {
        let start = self.cursor.mark;
        let kind = if self.cursor.peek(1) == b'<' {
            self.cursor.skip_many(2);
            let suffix = self.scan_tag_uri("", start)?;
            if self.cursor.peek(0) != b'>' {
                return Err(self.error(start, "did not find the expected '>'"));
            }
            self.cursor.skip();
            TokenKind::Tag { handle: "", suffix: suffix.into() }
        } else {
            let handle = self.scan_tag_handle(false, start)?;
            if handle.len() > 1 && handle.ends_with('!') {
                let suffix = self.scan_tag_uri("", start)?;
                TokenKind::Tag { handle, suffix: suffix.into() }
            } else {
                let suffix = self.scan_tag_uri(handle, start)?;
                if suffix.is_empty() {
                    TokenKind::Tag { handle: "", suffix: "!".into() }
                } else {
                    TokenKind::Tag { handle: "!", suffix: suffix.into() }
                }
            }
        };
        if !self.cursor.is_space_or_end(0) {
            return Err(self.error(start, "did not find expected whitespace or line break"));
        }
        Ok(kind)
    }

    fn scan_tag_handle(&mut self, directive: bool, start: Mark) -> Result<&'a str, Error> {
        if self.cursor.peek(0) != b'!' {
            return Err(self.error(start, "did not find expected '!'"));
        }
        let begin = self.cursor.mark.index;
        self.cursor.skip();
        self.cursor.read_while(is_word);
        let bare = self.cursor.mark.index == begin + 1;
        if self.cursor.peek(0) == b'!' {
            self.cursor.skip();
        } else if directive && !bare {
            return Err(self.error(start, "did not find expected '!'"));
        }
        Ok(self.cursor.slice(begin, self.cursor.mark.index))
    }

    /// The URI part of a tag; `head` is a handle that turned out to be its beginning.
    fn scan_tag_uri(&mut self, head: &str, start: Mark) -> Result<String, Error> {
        let mut uri = Vec::from(head.get(1..).unwrap_or_default());
        let mut found = !head.is_empty();
        loop {
            match self.cursor.peek(0) {
                b'%' => self.scan_uri_escape(&mut uri, start)?,
                byte if is_word(&self.cursor) || b";/?:@&=+$,.!~*'()[]".contains(&byte) => {
                    uri.push(byte);
                    self.cursor.skip();
                }
                _ => break,
            }
            found = true;
        }
        if !found {
            return Err(self.error(start, "did not find expected tag URI"));
        }
        String::from_utf8(uri).map_err(|_| self.error(start, "found an incorrect trailing UTF-8 octet"))
    }

    fn scan_uri_escape(&mut self, uri: &mut Vec<u8>, start: Mark) -> Result<(), Error> {
        let digit = |ahead| char::from(self.cursor.peek(ahead)).to_digit(16);
        match (digit(1), digit(2)) {
            (Some(high), Some(low)) => {
                uri.push((high << 4 | low) as u8);
                self.cursor.skip_many(3);
                Ok(())
            }
            _ => Err(self.error(start, "did not find URI escaped octet")),
        }
    }
}
