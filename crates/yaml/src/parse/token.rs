//! What the scanner hands to the parser.

use std::borrow::Cow;

use super::cursor::Mark;
use crate::Style;

/// A lexical unit with its extent.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub kind: TokenKind<'a>,
    pub start: Mark,
    pub end: Mark,
    /// The flow level at which this token may turn out to begin a `key:`.
    pub key_level: Option<u32>,
}

#[derive(Debug)]
pub(super) enum TokenKind<'a> {
    StreamStart,
    StreamEnd,
    VersionDirective { major: u8, minor: u8 },
    TagDirective { handle: &'a str, prefix: Box<str> },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag { handle: &'a str, suffix: Box<str> },
    Scalar(Cow<'a, str>, Style),
}

/// A comment waiting for the token it belongs to.
#[derive(Debug)]
pub(super) struct Comment {
    pub place: Place,
    pub text: String,
    /// The first token at or behind this index takes the comment.
    pub token_index: usize,
    pub start: Mark,
    /// Where the search for this comment began and where it ended; both 0 for line comments.
    pub scan_index: usize,
    pub end_index: usize,
}

/// Where a comment stands relative to its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Head,
    Line,
    Foot,
}
