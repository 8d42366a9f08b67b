//! Keywords about texts and numbers.

use std::cmp::Ordering;

use super::Frame;
use crate::limits::Exceeded;
use crate::number::Number;
use crate::report;
use crate::schema::Pattern;

impl Frame<'_, '_> {
    pub(super) fn string(&mut self, text: &str) -> Result<(), Exceeded> {
        let schema = self.schema;
        if schema.shortest.is_some() || schema.longest.is_some() {
            self.run.meter.look(text.len())?;
            let length = text.chars().count();
            if let Some(shortest) = schema.shortest.filter(|shortest| length < *shortest) {
                self.fail(report::wrong_count("minLength", length, shortest))?;
            }
            if let Some(longest) = schema.longest.filter(|longest| length > *longest) {
                self.fail(report::wrong_count("maxLength", length, longest))?;
            }
        }
        match &schema.pattern {
            Some(pattern) if !self.matches(pattern, text)? => self.fail(report::pattern(text, pattern)),
            _ => Ok(()),
        }
    }

    pub(super) fn matches(&self, pattern: &Pattern, text: &str) -> Result<bool, Exceeded> {
        // In the worst case each byte meets each state.
        self.run.meter.step(1 + text.len().saturating_mul(1 + pattern.text.len() / 16))?;
        Ok(pattern.regex.is_match(text.as_bytes()))
    }

    pub(super) fn number(&mut self, number: &Number) -> Result<(), Exceeded> {
        let schema = self.schema;
        self.bound(number, "minimum", schema.minimum, Ordering::is_lt)?;
        self.bound(number, "maximum", schema.maximum, Ordering::is_gt)?;
        self.bound(number, "exclusiveMinimum", schema.above, Ordering::is_le)?;
        self.bound(number, "exclusiveMaximum", schema.below, Ordering::is_ge)?;
        if let Some(divisor) = schema.multiple_of {
            self.run.meter.step(1 + (number.text().len() + divisor.text().len()) / 4)?;
            if !number.is_multiple_of(divisor) {
                self.fail(report::wrong_number("multipleOf", number, divisor))?;
            }
        }
        Ok(())
    }

    fn bound(
        &mut self,
        number: &Number,
        keyword: &str,
        bound: Option<&Number>,
        is_wrong: fn(Ordering) -> bool,
    ) -> Result<(), Exceeded> {
        let Some(bound) = bound else { return Ok(()) };
        self.run.meter.step(1 + (number.text().len() + bound.text().len()) / 4)?;
        if is_wrong(number.compare(bound)) {
            self.fail(report::wrong_number(keyword, number, bound))?;
        }
        Ok(())
    }
}
