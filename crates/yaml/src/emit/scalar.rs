//! Writing scalars in each style.

use super::writer::{Writer, is_blank, is_break, is_printable};

impl Writer {
    /// A plain scalar; `fold` allows breaking it at spaces.
    pub(super) fn put_plain(&mut self, text: &str, fold: bool, space_if_empty: bool) {
        if !text.is_empty() || space_if_empty {
            self.space_before();
        }
        self.put_words(text, fold, false);
        if !text.is_empty() {
            self.whitespace = false;
        }
        self.indention = false;
    }

    /// `'text'`
    pub(super) fn put_single_quoted(&mut self, text: &str, fold: bool) {
        self.put_spaced("'");
        self.put_words(text, fold, true);
        self.put_tight("'");
    }

    /// Text in which only line breaks (doubled) and, in quotes, the quote itself need care.
    fn put_words(&mut self, text: &str, fold: bool, quoted: bool) {
        // Shorter text never gets past the width, even if each character is a quote and doubled.
        let most = if quoted { text.len().saturating_mul(2) } else { text.len() };
        let fold = fold && self.column.saturating_add(most) > self.width;
        if !fold && !text.contains(|c| is_break(c) || quoted && c == '\'') {
            self.put_str(text);
            self.indention &= text.is_empty();
            return;
        }
        let (mut after_space, mut after_break) = (false, false);
        let mut chars = text.char_indices().peekable();
        while let Some((position, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if c == ' ' {
                let inside = !quoted || position > 0 && next.is_some();
                if fold && !after_space && self.column > self.width && inside && next != Some(' ') {
                    self.put_indent();
                } else {
                    self.put(c);
                }
                after_space = true;
            } else if is_break(c) {
                if !after_break && c == '\n' {
                    self.put_break();
                }
                self.put_text_break(c);
                after_break = true;
            } else {
                if after_break {
                    self.put_indent();
                }
                if quoted && c == '\'' {
                    self.put(c);
                }
                self.put(c);
                self.indention = false;
                after_space = false;
                after_break = false;
            }
        }
    }

    /// `"text"`
    pub(super) fn put_double_quoted(&mut self, text: &str, fold: bool) {
        self.put_spaced("\"");
        // go-yaml looks for the byte order mark at the text's start only, but for every character.
        let escape_all = text.starts_with('\u{FEFF}');
        let mut after_space = false;
        let mut chars = text.char_indices().peekable();
        while let Some((position, c)) = chars.next() {
            if escape_all || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.put_escape(c);
                after_space = false;
            } else if c == ' ' {
                let next = chars.peek().map(|(_, next)| *next);
                if fold && !after_space && self.column > self.width && position > 0 && next.is_some() {
                    self.put_indent();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                after_space = true;
            } else {
                self.put(c);
                after_space = false;
            }
        }
        self.put_tight("\"");
    }

    fn put_escape(&mut self, c: char) {
        let short = match c {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0B' => 'v',
            '\x0C' => 'f',
            '\r' => 'r',
            '\x1B' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{A0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let code = u32::from(c);
                let escaped = match code {
                    0..=0xFF => format!("\\x{code:02X}"),
                    0x100..=0xFFFF => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                };
                return self.put_str(&escaped);
            }
        };
        self.put('\\');
        self.put(short);
    }

    /// The part of a block scalar's header behind `|` or `>`.
    pub(super) fn put_block_hints(&mut self, text: &str, indent: usize) {
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.put_tight(&indent.to_string());
        }
        let mut last = text.chars().rev();
        match (last.next(), last.next()) {
            (Some(end), None) if is_break(end) => self.put_tight("+"),
            (Some(end), Some(before)) if is_break(end) && is_break(before) => self.put_tight("+"),
            (Some(end), _) if is_break(end) => {}
            _ => self.put_tight("-"),
        }
    }

    /// The lines of a `|` block.
    pub(super) fn put_literal(&mut self, text: &str) {
        self.whitespace = true;
        for line in text.split_inclusive(is_break) {
            let (content, end) = match line.chars().next_back() {
                Some(end) if is_break(end) => (line.strip_suffix(end).unwrap_or(line), Some(end)),
                _ => (line, None),
            };
            if !content.is_empty() {
                self.put_indent();
                self.put_str(content);
                self.indention = false;
            }
            if let Some(end) = end {
                self.put_text_break(end);
            }
        }
    }

    /// The lines of a `>` block.
    pub(super) fn put_folded(&mut self, text: &str) {
        self.whitespace = true;
        let begins_with_blank_text =
            text.trim_start_matches(is_break).chars().next().is_none_or(|c| is_blank(c) || c == '\0');
        let (mut after_break, mut leading_spaces) = (true, true);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied();
            if is_break(c) {
                // go-yaml means to look at what follows the breaks here, but looks at the start of the text.
                if !after_break && !leading_spaces && c == '\n' && !begins_with_blank_text {
                    self.put_break();
                }
                self.put_text_break(c);
                after_break = true;
                continue;
            }
            if after_break {
                self.put_indent();
                leading_spaces = is_blank(c);
            }
            if !after_break && c == ' ' && next != Some(' ') && self.column > self.width {
                self.put_indent();
            } else {
                self.put(c);
            }
            self.indention = false;
            after_break = false;
        }
    }
}
