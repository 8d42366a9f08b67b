//! Why signatures are not good, for messages.

use std::fmt::{self, Display};

/// Causes that an error tells.
const SHOWN_CAUSES: usize = 5;
/// Characters of each.
pub(super) const SHOWN_CAUSE_CHARS: usize = 300;

/// Each cause once, and no more of them than can be read.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    shown: Vec<String>,
    others: usize,
}

impl Causes {
    /// One more.
    pub fn add(&mut self, cause: impl Display) {
        let cause: String = cause.to_string().chars().take(SHOWN_CAUSE_CHARS).collect();
        if self.shown.contains(&cause) {
            return;
        }
        if self.shown.len() < SHOWN_CAUSES {
            self.shown.push(cause);
        } else {
            self.others += 1;
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no signatures found");
        }
        f.write_str(&self.shown.join("; "))?;
        if self.others > 0 { write!(f, "; and {} more", self.others) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_no_more_of_them_than_can_be_read() {
        let mut causes = Causes::default();
        assert_eq!(causes.to_string(), "no signatures found");
        for cause in ["a", "b", "a", "c", "d", "e", "f", "g"] {
            causes.add(cause);
        }
        assert_eq!(causes.to_string(), "a; b; c; d; e; and 2 more");
        let mut long = Causes::default();
        long.add("x".repeat(10_000));
        assert_eq!(long.to_string().len(), SHOWN_CAUSE_CHARS);
    }
}
