//! What is odd about values, yet no error.

use std::fmt::{Arguments, Write};

/// The most that are kept: a chart can have many more.
const MOST: usize = 100;

/// Warnings, each once. They name keys and never values, which may be secrets.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    pub(crate) fn add(&mut self, message: Arguments<'_>) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text.write_fmt(message);
        if self.0.len() < MOST && !self.0.contains(&text) {
            self.0.push(text);
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}
