//! Texts from outside that errors repeat.

/// Characters of one.
const SHOWN_CHARACTERS: usize = 100;

/// The text as far as it is shown, in one line.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
