//! Finding comments and deciding whether they stand above, beside or below something.
//!
//! The rules are go-yaml's: a comment block directly under a line and followed by an empty line, or one indented less
//! than the current block, belongs to what came before; anything else belongs to what follows.

use super::cursor::Mark;
use super::scanner::Scanner;
use super::token::{Comment, Place, Token, TokenKind};

/// Blanks and line breaks looked through for the next comment.
const REACH: usize = 512;

impl Scanner<'_> {
    /// Takes a comment at the end of the current line; it belongs to the token at `token_index`.
    pub(super) fn scan_line_comment(&mut self, token_index: usize) {
        if self.cursor.newlines > 0 || !matches!(self.cursor.peek(0), b' ' | b'\t' | b'#') {
            return;
        }
        let blanks = (0..REACH).take_while(|ahead| self.cursor.is_blank(*ahead)).count();
        if blanks == REACH || self.cursor.peek(blanks) != b'#' {
            return;
        }
        self.cursor.skip_many(blanks);
        let start = self.cursor.mark;
        let text = self.cursor.read_line().to_owned();
        let comment = Comment { place: Place::Line, text, token_index, start, scan_index: 0, end_index: 0 };
        self.comments.push_back(comment);
    }

    /// A comment right behind the first `-` of a sequence stands above the item's content.
    pub(super) fn promote_sequence_comment(&mut self) {
        let here = self.cursor.mark;
        let Some(comment) = self.comments.back_mut().filter(|comment| comment.place == Place::Line) else {
            return;
        };
        let mut last_two = self.tokens.iter().rev();
        let ends_in_entry = matches!(last_two.next(), Some(Token { kind: TokenKind::BlockEntry, .. }))
            && matches!(last_two.next(), Some(Token { kind: TokenKind::BlockSequenceStart, .. }));
        if !ends_in_entry || self.cursor.is_break(0) {
            return;
        }
        comment.place = Place::Head;
        if comment.start.line + 1 == here.line {
            comment.token_index = here.index;
        }
    }

    /// Takes the comment block that begins here, and those that follow it across blank lines.
    pub(super) fn scan_comments(&mut self, scan_mark: Mark) {
        let mut last_two = self.tokens.iter().rev();
        let token = match (last_two.next(), last_two.next()) {
            (Some(Token { kind: TokenKind::FlowEntry, .. }), Some(before)) => Some(before),
            (last, _) => last,
        };
        let after_colon = matches!(token, Some(Token { kind: TokenKind::Value, .. }));
        let mut token_index = token.map_or(0, |token| token.start.index);

        let mut scan_index = scan_mark.index;
        let mut block_indent = self.indent.max(0);
        let mut recent_empty = false;
        let mut first_empty = self.cursor.newlines <= 1;
        let mut line = i64::from(self.cursor.mark.line);
        let mut column = i64::from(self.cursor.mark.column);
        let mut text = String::new();
        let mut start = Mark::default();
        // The line on which a comment counts as directly below what came before.
        let mut foot_line = -1;
        if scan_mark.line > 0 {
            foot_line = line - i64::from(self.cursor.newlines) + 1;
            if self.cursor.newlines == 0 && self.cursor.mark.column > 1 {
                foot_line += 1;
            }
        }

        let mut peek = 0;
        while peek < REACH {
            column += 1;
            if self.cursor.is_blank(peek) {
                peek += 1;
                continue;
            }
            let byte = self.cursor.peek(peek);
            let here = self.cursor.mark.index + peek;
            let closes_flow = self.flow_level > 0 && matches!(byte, b']' | b'}');
            let dedented = i64::from(start.column) - 1 < block_indent;
            if closes_flow || self.cursor.is_break_or_end(peek) {
                if closes_flow || !recent_empty {
                    let below = i64::from(start.line) == foot_line && !after_colon;
                    if closes_flow || first_empty && (below || dedented) {
                        if !text.is_empty() {
                            if dedented {
                                token_index = start.index;
                            }
                            self.push_foot(std::mem::take(&mut text), token_index, start, scan_index, here);
                            scan_index = here;
                            token_index = here;
                        }
                    } else if !text.is_empty() && byte != 0 {
                        text.push('\n');
                    }
                }
                if !self.cursor.is_break(peek) {
                    break;
                }
                first_empty = false;
                recent_empty = true;
                column = 0;
                line += 1;
                peek += 1;
                continue;
            }
            if !text.is_empty() && column - 1 < block_indent && column != i64::from(start.column) {
                // Indented less than the block: what was read so far closes the block.
                self.push_foot(std::mem::take(&mut text), token_index, start, scan_index, here);
                scan_index = here;
                token_index = here;
            }
            if byte != b'#' {
                break;
            }
            if text.is_empty() {
                start = Mark { index: here, line: line as u32, column: column as u32 };
            } else {
                text.push('\n');
            }
            recent_empty = false;
            while self.cursor.mark.index < here {
                if self.cursor.is_break(0) {
                    self.cursor.read_break();
                } else {
                    self.cursor.skip();
                }
            }
            text.push_str(self.cursor.read_line());

            // The break that ends the comment's own line is not looked at again.
            peek = 1;
            column = 0;
            line = i64::from(self.cursor.mark.line);
            block_indent = self.indent.max(0);
        }
        if !text.is_empty() {
            let end_index = (self.cursor.mark.index + peek).saturating_sub(1);
            let token_index = start.index;
            self.comments.push_back(Comment {
                place: Place::Head,
                text,
                token_index,
                start,
                scan_index,
                end_index,
            });
        }
    }

    fn push_foot(
        &mut self,
        text: String,
        token_index: usize,
        start: Mark,
        scan_index: usize,
        end_index: usize,
    ) {
        self.comments.push_back(Comment {
            place: Place::Foot,
            text,
            token_index,
            start,
            scan_index,
            end_index,
        });
    }
}
