//! Expressions and their values.

use crate::{Error, Variables, functions, parser};

/// Bounds on one substitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the result, and of any value on the way to it.
    pub output_bytes: usize,
    /// Expressions inside arguments of expressions.
    pub depth: usize,
    /// Characters compared in glob matching; the time of `${v#*a*b*}` grows faster than its value.
    pub match_steps: usize,
    /// Bytes of values and arguments that operators look at: a short text may ask for a long value many times.
    pub work_bytes: usize,
    /// Bounds on reading the result as YAML.
    pub yaml: yaml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output_bytes: 32 << 20,
            depth: 32,
            match_steps: 20_000_000,
            work_bytes: 64 << 20,
            yaml: yaml::Limits::default(),
        }
    }
}

/// A piece of text or an argument.
#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    Expression(Expression),
}

/// `${name operator arguments}`
#[derive(Debug)]
pub(crate) struct Expression {
    pub name: String,
    pub operator: Operator,
    pub arguments: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `${v}`
    Value,
    /// `${v:-d}` and its kin
    Default,
    /// `${v,^}`: parsed, without effect
    Transform,
    /// `${#v}`
    Length,
    LowerFirst,
    Lower,
    UpperFirst,
    Upper,
    /// `${v:n:len}`
    Substring,
    TrimShortestPrefix,
    TrimLongestPrefix,
    TrimShortestSuffix,
    TrimLongestSuffix,
    ReplaceFirst,
    ReplaceAll,
    ReplacePrefix,
    ReplaceSuffix,
}

/// Replaces the expressions in `text` by their values. In strict mode a variable must be set unless its expression has
/// a default; otherwise it is empty.
///
/// # Errors
/// A malformed expression anywhere in the text, before anything is looked up; an unset variable; a result
/// cut inside a character; more than `limits` allow.
pub fn substitute(text: &str, variables: &Variables, strict: bool, limits: &Limits) -> Result<String, Error> {
    let parts = parser::parse(text, limits.depth)?;
    let mut evaluation = Evaluation {
        variables,
        strict,
        limits,
        steps_left: limits.match_steps,
        bytes_left: limits.work_bytes,
    };
    let value = evaluation.parts(&parts)?;
    String::from_utf8(value).map_err(|_| Error::NotUtf8)
}

/// Values are bytes, since operators may cut them inside a character.
struct Evaluation<'a> {
    variables: &'a Variables,
    strict: bool,
    limits: &'a Limits,
    steps_left: usize,
    bytes_left: usize,
}

impl Evaluation<'_> {
    fn parts(&mut self, parts: &[Part]) -> Result<Vec<u8>, Error> {
        let mut value = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => value.extend_from_slice(text.as_bytes()),
                Part::Expression(expression) => value.append(&mut self.expression(expression)?),
            }
            self.check_length(value.len())?;
        }
        Ok(value)
    }

    fn expression(&mut self, expression: &Expression) -> Result<Vec<u8>, Error> {
        let arguments: Vec<Vec<u8>> = expression
            .arguments
            .iter()
            .map(|argument| self.parts(std::slice::from_ref(argument)))
            .collect::<Result<_, _>>()?;
        let value = match self.variables.get(&expression.name) {
            Some(value) => value,
            None if self.strict && expression.operator != Operator::Default => {
                return Err(Error::NotSet(expression.name.clone()));
            }
            None => &[],
        };
        let first = arguments.first().map_or(&[][..], Vec::as_slice);
        let second = arguments.get(1).map(Vec::as_slice);
        self.charge(value, &arguments)?;
        let max = self.limits.output_bytes;
        Ok(match expression.operator {
            Operator::Value | Operator::Transform => value.to_vec(),
            Operator::Default if value.is_empty() => arguments.concat(),
            Operator::Default => value.to_vec(),
            Operator::Length => value.len().to_string().into_bytes(),
            Operator::LowerFirst => functions::map_first(value, functions::lower),
            Operator::Lower => functions::map_all(value, functions::lower),
            Operator::UpperFirst => functions::map_first(value, functions::upper),
            Operator::Upper => functions::map_all(value, functions::upper),
            Operator::Substring => functions::substring(value, first, second).to_vec(),
            Operator::TrimShortestPrefix => {
                functions::trim_prefix(value, first, false, self.steps())?.to_vec()
            }
            Operator::TrimLongestPrefix => functions::trim_prefix(value, first, true, self.steps())?.to_vec(),
            Operator::TrimShortestSuffix => functions::trim_suffix(value, first, false, self.steps())?,
            Operator::TrimLongestSuffix => functions::trim_suffix(value, first, true, self.steps())?,
            Operator::ReplaceFirst => functions::replace(value, first, second.unwrap_or_default(), 1, max)?,
            Operator::ReplaceAll => {
                functions::replace(value, first, second.unwrap_or_default(), usize::MAX, max)?
            }
            Operator::ReplacePrefix => match second {
                Some(with) if value.starts_with(first) => functions::replace(value, first, with, 1, max)?,
                _ => value.to_vec(),
            },
            Operator::ReplaceSuffix => match (second, value.strip_suffix(first)) {
                (Some(with), Some(kept)) => [kept, with].concat(),
                _ => value.to_vec(),
            },
        })
    }

    /// Takes what an operator looks at.
    fn charge(&mut self, value: &[u8], arguments: &[Vec<u8>]) -> Result<(), Error> {
        let bytes = arguments.iter().map(Vec::len).sum::<usize>().saturating_add(value.len());
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => Err(Error::Limit { what: "bytes of values looked at", limit: self.limits.work_bytes }),
        }
    }

    fn steps(&mut self) -> functions::Steps<'_> {
        functions::Steps { left: &mut self.steps_left, limit: self.limits.match_steps }
    }

    fn check_length(&self, length: usize) -> Result<(), Error> {
        if length <= self.limits.output_bytes {
            return Ok(());
        }
        Err(Error::Limit { what: "bytes of output", limit: self.limits.output_bytes })
    }
}
