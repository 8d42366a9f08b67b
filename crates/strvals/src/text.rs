//! The text that is being read.

/// What is left of a text.
pub(crate) struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self(text)
    }

    pub(crate) fn rest(&self) -> &'t str {
        self.0
    }

    /// Leaves out so many bytes.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }

    pub(crate) fn take(&mut self) -> Option<char> {
        let c = self.0.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    /// Takes the next character if it is this one.
    pub(crate) fn take_if(&mut self, wanted: char) -> bool {
        let is_next = self.0.starts_with(wanted);
        if is_next {
            self.skip(wanted.len_utf8());
        }
        is_next
    }

    /// What stands before the first of these characters, which is taken, too; without one, all the rest.
    pub(crate) fn until(&mut self, stops: &[char], has_escapes: bool) -> (String, Option<char>) {
        let mut before = String::new();
        while let Some(c) = self.take() {
            if stops.contains(&c) {
                return (before, Some(c));
            }
            match c {
                // At the end it is dropped.
                '\\' if has_escapes => before.extend(self.take()),
                c => before.push(c),
            }
        }
        (before, None)
    }

    /// Whether there is no value in JSON before the next comma or the end. Space is taken, and the comma.
    pub(crate) fn is_empty_value(&mut self) -> bool {
        self.0 = self.0.trim_start();
        self.0.is_empty() || self.take_if(',')
    }
}
