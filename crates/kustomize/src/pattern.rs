//! Regular expressions whose matching is counted.

use regex::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::NFA;

use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::options::Limits;

/// States of the automaton times bytes of text that cost as much as a step.
const STATES_PER_STEP: usize = 64;

/// A compiled expression.
pub(crate) struct Pattern {
    regex: Regex,
    /// States of its automaton. In the worst case each of them is looked at for each byte of text.
    states: usize,
}

impl Pattern {
    /// Compiles an expression within the limits.
    pub fn new(pattern: &str, limits: &Limits) -> Result<Self> {
        if pattern.len() > limits.regex_bytes {
            return Err(Error::Limit {
                what: "bytes in a regular expression",
                limit: limits.regex_bytes as u64,
            });
        }
        let invalid = |error: &dyn std::fmt::Display| {
            Error::Invalid(format!("error parsing regexp `{pattern}`: {error}"))
        };
        let regex = RegexBuilder::new(pattern)
            .size_limit(limits.regex_memory)
            .dfa_size_limit(limits.regex_memory)
            .build()
            .map_err(|error| invalid(&error))?;
        let config = NFA::config().nfa_size_limit(Some(limits.regex_memory));
        let nfa = NFA::compiler().configure(config).build(pattern).map_err(|error| invalid(&error))?;
        Ok(Self { regex, states: nfa.states().len() })
    }

    /// Whether it is found in a text.
    pub fn is_match(&self, text: &str, meter: &Meter<'_>) -> Result<bool> {
        let limit = meter.limits.regex_text_bytes;
        if text.len() > limit {
            return Err(Error::Limit { what: "bytes of text for a regular expression", limit: limit as u64 });
        }
        meter.count_regex_work(1 + text.len().saturating_mul(self.states) / STATES_PER_STEP)?;
        Ok(self.regex.is_match(text))
    }
}
