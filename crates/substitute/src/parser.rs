//! Text to expressions.
//!
//! The original scans with changing sets of accepted characters; each argument below says which ones end it.

use crate::expression::{Expression, Operator, Part};
use crate::{Error, SyntaxError};

/// Splits text into literal parts and `${...}` expressions nested at most `max_depth` deep.
pub(crate) fn parse(text: &str, max_depth: usize) -> Result<Vec<Part>, Error> {
    let mut parser = Parser { rest: until_nul(text), max_depth };
    let mut parts = Vec::new();
    while !parser.rest.is_empty() {
        if parser.eat("${") {
            parts.push(Part::Expression(parser.expression(1)?));
        } else {
            parts.push(Part::Text(parser.text(|_| false, &["$"])));
        }
    }
    Ok(parts)
}

/// The original takes a NUL character for the end of the text.
fn until_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

struct Parser<'a> {
    rest: &'a str,
    max_depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Literal text up to `${` or a character that `ends` holds for. In front of each character of `escaped` text,
    /// `$` escapes `$`, and `\` escapes `\` and `/`.
    fn text(&mut self, ends: impl Fn(char) -> bool, escapes: &[&str]) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if self.rest.starts_with("${") {
                break;
            }
            let escaped = match c {
                '$' if escapes.contains(&"$") => {
                    self.rest.strip_prefix('$').filter(|rest| rest.starts_with('$'))
                }
                '\\' if escapes.contains(&"\\") => {
                    self.rest.strip_prefix('\\').filter(|rest| rest.starts_with(['/', '\\']))
                }
                _ => None,
            };
            if escaped.is_none() && ends(c) {
                break;
            }
            let from = escaped.unwrap_or(self.rest);
            let mut chars = from.chars();
            text.extend(chars.next());
            self.rest = chars.as_str();
        }
        text
    }

    fn name(&mut self) -> Option<String> {
        let end = self.rest.find(|c| !is_name_char(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        if self.eat("}") { Ok(()) } else { Err(SyntaxError::BadSubstitution) }
    }

    /// An argument: either one nested expression or text. Neither may be missing.
    fn argument(
        &mut self,
        depth: usize,
        ends: impl Fn(char) -> bool,
        escapes: &[&str],
    ) -> Result<Part, Error> {
        if self.eat("${") {
            return self.expression(depth + 1).map(Part::Expression);
        }
        let before = self.rest.len();
        let text = self.text(ends, escapes);
        if self.rest.len() == before {
            return Err(SyntaxError::Argument.into());
        }
        Ok(Part::Text(text))
    }

    /// What follows `${`.
    fn expression(&mut self, depth: usize) -> Result<Expression, Error> {
        if depth > self.max_depth {
            return Err(Error::Limit { what: "nested expressions", limit: self.max_depth });
        }
        if self.eat("#") {
            let name = self.name().ok_or(SyntaxError::BadSubstitution)?;
            self.close()?;
            return Ok(Expression { name, operator: Operator::Length, arguments: Vec::new() });
        }
        let name = self.name().ok_or(SyntaxError::VariableName)?;
        let mut arguments = Vec::new();
        let operator = match self.peek() {
            Some(':') => self.colon(depth, &mut arguments)?,
            Some('=') => {
                self.eat("=");
                self.default_arguments(depth, &mut arguments)?;
                Operator::Default
            }
            Some(',' | '^') => {
                let operator = self.casing();
                self.close()?;
                operator
            }
            Some('/') => self.replacement(depth, &mut arguments)?,
            Some('#') => self.trimming(
                depth,
                "#",
                [Operator::TrimShortestPrefix, Operator::TrimLongestPrefix],
                &mut arguments,
            )?,
            Some('%') => self.trimming(
                depth,
                "%",
                [Operator::TrimShortestSuffix, Operator::TrimLongestSuffix],
                &mut arguments,
            )?,
            _ if self.eat("}") => Operator::Value,
            _ => return Err(SyntaxError::MissingClosingBrace.into()),
        };
        Ok(Expression { name, operator, arguments })
    }

    /// `:=d`, `:-d`, `:?d`, `:+d`, which all mean a default, or a substring `:n` or `:n:len`.
    fn colon(&mut self, depth: usize, arguments: &mut Vec<Part>) -> Result<Operator, Error> {
        self.eat(":");
        match self.peek() {
            Some('=' | '-' | '?' | '+') => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                self.default_arguments(depth, arguments)?;
                return Ok(Operator::Default);
            }
            // The original steps back by the width of this character instead of the colon's.
            Some(c) if c.len_utf8() > 1 => return Err(SyntaxError::BadSubstitution.into()),
            None => return Err(SyntaxError::BadSubstitution.into()),
            Some(_) => {}
        }
        arguments.push(self.argument(depth, |c| matches!(c, ':' | '}'), &[])?);
        if self.eat("}") {
            return Ok(Operator::Substring);
        }
        if !self.eat(":") {
            return Err(SyntaxError::BadSubstitution.into());
        }
        while self.eat(":") {}
        arguments.push(self.argument(depth, |c| c == '}', &[])?);
        self.close()?;
        Ok(Operator::Substring)
    }

    /// Text and nested expressions up to the closing brace.
    fn default_arguments(&mut self, depth: usize, arguments: &mut Vec<Part>) -> Result<(), Error> {
        while !self.eat("}") {
            arguments.push(self.argument(depth, |c| c == '}', &[])?);
        }
        Ok(())
    }

    fn casing(&mut self) -> Operator {
        for (text, operator) in [
            (",,", Operator::Lower),
            ("^^", Operator::Upper),
            (",^", Operator::Transform),
            ("^,", Operator::Transform),
            (",", Operator::LowerFirst),
        ] {
            if self.eat(text) {
                return operator;
            }
        }
        self.eat("^");
        Operator::UpperFirst
    }

    fn replacement(&mut self, depth: usize, arguments: &mut Vec<Part>) -> Result<Operator, Error> {
        self.eat("/");
        let operator = if self.eat("/") {
            Operator::ReplaceAll
        } else if self.eat("#") {
            Operator::ReplacePrefix
        } else if self.eat("%") {
            Operator::ReplaceSuffix
        } else {
            Operator::ReplaceFirst
        };
        arguments.push(self.argument(depth, |c| c == '/', &["$", "\\"])?);
        if !self.eat("/") {
            return Err(SyntaxError::BadSubstitution.into());
        }
        while self.eat("/") {}
        if !self.rest.starts_with('}') {
            arguments.push(self.argument(depth, |c| c == '}', &["$", "\\"])?);
        }
        self.close()?;
        Ok(operator)
    }

    fn trimming(
        &mut self,
        depth: usize,
        sign: &str,
        [shortest, longest]: [Operator; 2],
        arguments: &mut Vec<Part>,
    ) -> Result<Operator, Error> {
        self.eat(sign);
        let operator = if self.eat(sign) { longest } else { shortest };
        arguments.push(self.argument(depth, |c| c == '}', &[])?);
        self.close()?;
        Ok(operator)
    }
}

/// Letters, digits and `_`; a name may begin with a digit.
fn is_name_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
