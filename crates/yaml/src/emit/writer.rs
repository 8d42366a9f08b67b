//! Putting characters out while knowing the column and what stands before it.

/// The text so far and libyaml's notion of where it stands.
pub(super) struct Writer {
    pub text: String,
    /// Characters in the current line.
    pub column: usize,
    /// Indentation of the current block; `None` at the root.
    pub indent: Option<usize>,
    /// Characters after which text is folded.
    pub width: usize,
    /// The last character was white space that may stand before an indicator.
    pub whitespace: bool,
    /// Only indentation (spaces, `- `, `? `) stands in the current line.
    pub indention: bool,
    /// The indentation at which a foot comment was written: the next line there gets an empty line before it.
    pub foot_indent: Option<usize>,
}

impl Writer {
    pub fn new(width: usize) -> Self {
        Self {
            text: String::new(),
            column: 0,
            indent: None,
            width,
            whitespace: true,
            indention: true,
            foot_indent: None,
        }
    }

    pub fn put(&mut self, c: char) {
        self.text.push(c);
        self.column += 1;
    }

    pub fn put_str(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += if text.is_ascii() { text.len() } else { text.chars().count() };
    }

    pub fn put_break(&mut self) {
        self.text.push('\n');
        self.column = 0;
        self.indention = true;
    }

    /// A line break as it stands in a scalar.
    pub fn put_text_break(&mut self, c: char) {
        self.text.push(c);
        self.column = 0;
        self.indention = true;
    }

    /// Goes to the block's indentation, on a new line unless already there.
    pub fn put_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.put_break();
        }
        if self.foot_indent == Some(indent) {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.foot_indent = None;
    }

    /// An indicator that needs white space before it.
    pub fn put_spaced(&mut self, indicator: &str) {
        self.space_before();
        self.put_tight(indicator);
    }

    /// An indicator that follows at once.
    pub fn put_tight(&mut self, indicator: &str) {
        self.put_str(indicator);
        self.whitespace = false;
        self.indention = false;
    }

    /// `-`, `?` or `:` at the start of a line, which counts as indentation.
    pub fn put_block_indicator(&mut self, indicator: &str) {
        self.space_before();
        self.put_str(indicator);
        self.whitespace = false;
    }

    pub fn space_before(&mut self) {
        if !self.whitespace {
            self.put(' ');
        }
    }
}

/// What YAML 1.1 counts as a line break.
pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// What go-yaml writes as it is: nothing above U+FFFF, for one.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{A0}'..='\u{FFFD}') && c != '\u{FEFF}'
}
