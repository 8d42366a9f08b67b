//! Which styles can carry a text without changing it.

use super::writer::{is_blank, is_break, is_printable};

/// The outcome of looking through a scalar once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Analysis {
    pub multiline: bool,
    pub flow_plain: bool,
    pub block_plain: bool,
    pub single_quoted: bool,
    pub block: bool,
}

impl Analysis {
    /// `tabs_special`: go-yaml v2 does not let a tab into any style but double quotes.
    pub fn of(text: &str, tabs_special: bool) -> Self {
        if is_simple(text) {
            return Self {
                multiline: false,
                flow_plain: true,
                block_plain: true,
                single_quoted: true,
                block: true,
            };
        }
        if text.is_empty() {
            return Self {
                multiline: false,
                flow_plain: false,
                block_plain: true,
                single_quoted: true,
                block: false,
            };
        }
        let mut flow_indicators = text.starts_with("---") || text.starts_with("...");
        let mut block_indicators = flow_indicators;
        let (mut breaks, mut special, mut tabs) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let (mut after_space, mut after_break, mut after_blank) = (false, false, true);
        let mut first = true;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let before_blank = chars.peek().is_none_or(|next| is_blank(*next));
            if c.is_ascii_punctuation() {
                let (flow, block) = indicates(c, first, after_blank, before_blank);
                flow_indicators |= flow;
                block_indicators |= block;
            }
            if c == '\t' && !tabs_special {
                tabs = true;
            } else if !is_printable(c) {
                special = true;
            }
            break_space |= c == ' ' && after_break;
            space_break |= is_break(c) && after_space;
            breaks |= is_break(c);
            after_space = c == ' ';
            after_break = is_break(c);
            after_blank = is_blank(c) || is_break(c) || c == '\0';
            first = false;
        }
        let starts = text.starts_with(|c| c == ' ' || is_break(c));
        let ends_in_space = text.ends_with(' ');
        let ends = ends_in_space || text.ends_with(is_break);
        let awkward = break_space || space_break || tabs || special;
        let plain = !starts && !ends && !awkward && !breaks;
        Self {
            multiline: breaks,
            flow_plain: plain && !flow_indicators,
            block_plain: plain && !block_indicators,
            single_quoted: !awkward,
            block: !ends_in_space && !space_break && !special,
        }
    }
}

/// Most scalars: names, paths, versions and numbers, which no style can harm.
fn is_simple(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/'))
}

/// Whether a character means something in flow and in block context.
fn indicates(c: char, first: bool, after_blank: bool, before_blank: bool) -> (bool, bool) {
    match c {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
            if first =>
        {
            (true, true)
        }
        '?' | ':' if first => (true, before_blank),
        '-' if first => (before_blank, before_blank),
        ',' | '?' | '[' | ']' | '{' | '}' => (true, false),
        ':' => (true, before_blank),
        '#' if after_blank => (true, true),
        _ => (false, false),
    }
}
