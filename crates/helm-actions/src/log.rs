//! The last lines of what an action says of its work (`internal/action/log.go` of helm-controller). The words are Helm's, as far as
//! the steps are those of Helm.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Lines that are kept.
const MOST_LINES: usize = 10;
/// Bytes of one line. Errors of the API server may be longer.
const MOST_BYTES: usize = 1024;

/// The last lines of one action. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<VecDeque<Line>>>);

#[derive(Debug)]
struct Line {
    first: Timestamp,
    last: Timestamp,
    text: String,
    /// How often it came again, right behind itself.
    repeats: usize,
}

impl Log {
    /// Keeps a line, with attributes.
    pub(crate) fn debug<const N: usize>(&self, message: &str, attributes: [(&str, Value); N]) {
        self.add(message, attributes);
    }

    /// The same of something that is wrong.
    pub(crate) fn warn<const N: usize>(&self, message: &str, attributes: [(&str, Value); N]) {
        self.add(&format!("warning: {message}"), attributes);
    }

    fn add<const N: usize>(&self, message: &str, attributes: [(&str, Value); N]) {
        let attributes: Map<String, Value> =
            attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut text = format!("{message}: {}", yaml::canonical_json(&attributes.into()));
        text.truncate(text.floor_char_boundary(MOST_BYTES));
        tracing::debug!("{text}");
        self.push(text, Timestamp::now());
    }

    fn push(&self, text: String, now: Timestamp) {
        let mut lines = self.lines();
        if let Some(line) = lines.back_mut().filter(|line| line.text == text) {
            line.repeats += 1;
            line.last = now;
            return;
        }
        if lines.len() == MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(Line { first: now, last: now, text, repeats: 0 });
    }

    /// The lines, each with its time. Of lines that are the same there are the first and the last one, and the number of the others.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Line { first, last, text: line, repeats } in self.lines().iter() {
            // Writing to a string does not fail.
            let _ = write!(text, "{first}: {line}");
            if *repeats > 0 {
                let _ = write!(text, "\n{last}: {line}");
            }
            match repeats.saturating_sub(1) {
                0 => {}
                1 => text.push_str(" (1 duplicate line omitted)"),
                omitted => drop(write!(text, " ({omitted} duplicate lines omitted)")),
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(1_700_000_000 + second, 500_000_000).unwrap()
    }

    #[test]
    fn lines_that_come_again_are_folded() {
        let log = Log::default();
        assert_eq!(log.text(), "");
        for (second, text) in
            [(0, "a: {}"), (1, "b: {}"), (2, "b: {}"), (3, "b: {}"), (4, "b: {}"), (5, "a: {}")]
        {
            log.push(text.to_owned(), at(second));
        }
        assert_eq!(
            log.text(),
            "2023-11-14T22:13:20.5Z: a: {}\n2023-11-14T22:13:21.5Z: b: {}\n2023-11-14T22:13:24.5Z: b: {} \
             (2 duplicate lines omitted)\n2023-11-14T22:13:25.5Z: a: {}"
        );
    }

    #[test]
    fn only_the_last_lines_are_kept_and_none_is_long() {
        let log = Log::default();
        for number in 0..50 {
            log.debug("a line", [("number", number.into()), ("padding", "ä".repeat(5000).into())]);
        }
        log.warn("the last one", [("b", 1.into()), ("a", "<x>".into())]);
        let text = log.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), MOST_LINES);
        assert!(lines.iter().all(|line| line.len() < MOST_BYTES + 50));
        assert!(
            lines.last().unwrap().ends_with(r#"Z: warning: the last one: {"a":"\u003cx\u003e","b":1}"#),
            "{text}"
        );
    }
}
