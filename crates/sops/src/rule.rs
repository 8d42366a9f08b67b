//! Which values of a document are encrypted.

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES: usize = 1 << 20;

/// The suffix of keys whose values stay as they are, where a document names no rule.
pub(crate) const DEFAULT_UNENCRYPTED_SUFFIX: &str = "_unencrypted";

/// The rule of a document; there is exactly one. Suffixes and regular expressions of the first four are compared with each key on
/// the way to a value, those of the last two with the comments that stand before a value or before what it is in.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    UnencryptedSuffix(String),
    EncryptedSuffix(String),
    UnencryptedRegex(Regex),
    EncryptedRegex(Regex),
    UnencryptedCommentRegex(Regex),
    EncryptedCommentRegex(Regex),
}

/// Compiles a regular expression of a document.
pub(crate) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build()
}

/// What is known of a place from the way to it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    /// A key on the way matches.
    key_matches: bool,
    /// A comment before something on the way matches.
    comment_matches: bool,
}

/// The comments of a mapping or list that stand directly before the place of the walk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Above {
    /// One before the last matches.
    earlier: bool,
    /// The last one matches.
    last: bool,
}

impl Above {
    fn any(self) -> bool {
        self.earlier || self.last
    }
}

impl Rule {
    /// Whether what is encrypted depends on comments, which do not outlive a build.
    pub fn is_of_comments(&self) -> bool {
        matches!(self, Rule::UnencryptedCommentRegex(_) | Rule::EncryptedCommentRegex(_))
    }

    /// The scope of what stands under `key`, with `above` before it.
    pub fn below(&self, scope: Scope, above: Above, key: Option<&str>) -> Scope {
        let matches = |key: &str| match self {
            Rule::UnencryptedSuffix(suffix) | Rule::EncryptedSuffix(suffix) => key.ends_with(suffix.as_str()),
            Rule::UnencryptedRegex(regex) | Rule::EncryptedRegex(regex) => regex.is_match(key),
            Rule::UnencryptedCommentRegex(_) | Rule::EncryptedCommentRegex(_) => false,
        };
        Scope {
            key_matches: scope.key_matches || key.is_some_and(matches),
            comment_matches: scope.comment_matches || above.any(),
        }
    }

    /// Adds a comment, as it stands in the document, to those above.
    pub fn comment(&self, above: Above, text: &[u8]) -> Above {
        let last = match self {
            Rule::UnencryptedCommentRegex(regex) | Rule::EncryptedCommentRegex(regex) => {
                regex.is_match(&String::from_utf8_lossy(text))
            }
            _ => false,
        };
        Above { earlier: above.any(), last }
    }

    /// Whether a value is encrypted; `scope` includes its key.
    pub fn encrypts_value(&self, scope: Scope) -> bool {
        match self {
            Rule::UnencryptedSuffix(_) | Rule::UnencryptedRegex(_) => !scope.key_matches,
            Rule::EncryptedSuffix(_) | Rule::EncryptedRegex(_) => scope.key_matches,
            Rule::UnencryptedCommentRegex(_) => !scope.comment_matches,
            Rule::EncryptedCommentRegex(_) => scope.comment_matches,
        }
    }

    /// Whether the last comment of `above` is encrypted; `scope` is that of what it stands in. A comment does not encrypt itself.
    pub fn encrypts_comment(&self, scope: Scope, above: Above) -> bool {
        match self {
            Rule::UnencryptedCommentRegex(_) => !(scope.comment_matches || above.any()),
            Rule::EncryptedCommentRegex(_) => scope.comment_matches || above.earlier,
            _ => self.encrypts_value(scope),
        }
    }
}
