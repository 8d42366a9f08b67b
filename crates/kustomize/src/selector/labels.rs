//! Kubernetes' label selectors: `a=b, c!=d, e in (x, y), f notin (z), g, !h, i>1`.

use crate::error::{Error, Result};

/// Requirements that must all hold.
pub(crate) struct LabelSelector(Vec<Requirement>);

struct Requirement {
    key: String,
    test: Test,
}

enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Reads a selector; an empty one matches anything.
    pub fn parse(text: &str) -> Result<Self> {
        let fault =
            |what: &str| Error::Invalid(format!("unable to parse requirement: {what} in selector '{text}'"));
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = end_of_requirement(rest);
            let (one, tail) = rest.split_at(end);
            rest = tail.strip_prefix(',').unwrap_or(tail).trim_start();
            if tail.starts_with(',') && rest.is_empty() {
                return Err(fault("found ',' at the end"));
            }
            requirements.push(Requirement::parse(one.trim()).ok_or_else(|| fault(&format!("'{one}'")))?);
        }
        Ok(Self(requirements))
    }

    /// Applies the requirements to what `get` gives for a key.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = get(&requirement.key);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.iter().any(|wanted| wanted == value)),
                Test::NotIn(values) => {
                    !value.is_some_and(|value| values.iter().any(|wanted| wanted == value))
                }
                Test::Greater(bound) => number().is_some_and(|number| number > *bound),
                Test::Less(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}

/// Where the next comma outside parentheses stands.
fn end_of_requirement(text: &str) -> usize {
    let mut inside = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            b',' if !inside => return at,
            _ => {}
        }
    }
    text.len()
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        if let Some(key) = text.strip_prefix('!') {
            return Self::new(key, Test::Absent);
        }
        if let Some(open) = text.find('(') {
            let (head, list) = text.split_at(open);
            let values =
                list.strip_prefix('(')?.strip_suffix(')')?.split(',').map(|v| v.trim().to_owned()).collect();
            let (key, operator) = head.trim().rsplit_once(char::is_whitespace)?;
            return match operator {
                "in" => Self::new(key, Test::In(values)),
                "notin" => Self::new(key, Test::NotIn(values)),
                _ => None,
            };
        }
        for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
            if let Some((key, value)) = text.split_once(operator) {
                let value = value.trim();
                if value.contains(char::is_whitespace) || value.contains(['=', '!']) {
                    return None;
                }
                let values = vec![value.to_owned()];
                return Self::new(key, if negated { Test::NotIn(values) } else { Test::In(values) });
            }
        }
        if let Some((key, bound)) = text.split_once('>') {
            return Self::new(key, Test::Greater(bound.trim().parse().ok()?));
        }
        if let Some((key, bound)) = text.split_once('<') {
            return Self::new(key, Test::Less(bound.trim().parse().ok()?));
        }
        Self::new(text, Test::Exists)
    }

    fn new(key: &str, test: Test) -> Option<Self> {
        let key = key.trim();
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let sound = key.chars().all(valid) && ends(key.chars().next()) && ends(key.chars().last());
        sound.then(|| Self { key: key.to_owned(), test })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requirements_match_as_in_kubernetes() {
        let labels = |key: &str| match key {
            "app" => Some("web"),
            "n" => Some("5"),
            _ => None,
        };
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app == web, n", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (api, web), !gone", true),
            ("app notin (web)", false),
            ("other notin (web)", true),
            ("n>4", true),
            ("n<5", false),
            ("gone", false),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap().matches(labels), expected, "{selector}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for selector in ["a b", "=x", "a in b", "a=b=c", "a,", "!"] {
            assert!(LabelSelector::parse(selector).is_err(), "{selector}");
        }
    }
}
