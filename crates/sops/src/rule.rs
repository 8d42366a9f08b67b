//! Which values of a document are encrypted.

use regex::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::NFA;

use crate::limits::{LimitError, Limits, shown};

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
    UnencryptedRegex(Pattern),
    EncryptedRegex(Pattern),
    UnencryptedCommentRegex(Pattern),
    EncryptedCommentRegex(Pattern),
}

/// A regular expression whose matching is counted.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    /// States of its automaton. In the worst case each of them is looked at for each byte of text.
    states: usize,
}

impl Pattern {
    /// Compiles a regular expression of a document, or says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        // The lines before the last show the whole expression.
        let problem = |error: &dyn std::fmt::Display| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            shown(last.strip_prefix("error: ").unwrap_or(last))
        };
        let regex = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build();
        let config = NFA::config().nfa_size_limit(Some(REGEX_BYTES));
        let nfa = NFA::compiler().configure(config).build(pattern);
        Ok(Pattern {
            regex: regex.map_err(|error| problem(&error))?,
            states: nfa.map_err(|error| problem(&error))?.states().len(),
        })
    }
}

/// What matching has cost in a document.
pub(crate) struct Work<'a> {
    limits: &'a Limits,
    spent: usize,
}

impl<'a> Work<'a> {
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits, spent: 0 }
    }

    fn is_match(&mut self, pattern: &Pattern, text: &str) -> Result<bool, LimitError> {
        self.spent = self.spent.saturating_add(pattern.states.saturating_mul(text.len() + 1));
        Limits::check("looks of a regular expression", self.spent, self.limits.regex_work)?;
        Ok(pattern.regex.is_match(text))
    }
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
    pub fn below(
        &self,
        scope: Scope,
        above: Above,
        key: Option<&str>,
        work: &mut Work<'_>,
    ) -> Result<Scope, LimitError> {
        let key_matches = match (self, key) {
            _ if scope.key_matches => true,
            (Rule::UnencryptedSuffix(suffix) | Rule::EncryptedSuffix(suffix), Some(key)) => {
                key.ends_with(suffix.as_str())
            }
            (Rule::UnencryptedRegex(pattern) | Rule::EncryptedRegex(pattern), Some(key)) => {
                work.is_match(pattern, key)?
            }
            _ => false,
        };
        Ok(Scope { key_matches, comment_matches: scope.comment_matches || above.any() })
    }

    /// Adds a comment, as it stands in the document, to those above.
    pub fn comment(&self, above: Above, text: &[u8], work: &mut Work<'_>) -> Result<Above, LimitError> {
        let last = match self {
            Rule::UnencryptedCommentRegex(pattern) | Rule::EncryptedCommentRegex(pattern) => {
                work.is_match(pattern, &String::from_utf8_lossy(text))?
            }
            _ => false,
        };
        Ok(Above { earlier: above.any(), last })
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
