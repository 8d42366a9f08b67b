//! Label selectors as flags: one that the API server would refuse is refused at the start, where somebody sees it.

/// A text that is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no label selector: key=value, key!=value, key in (a,b), key notin (a,b), key or !key, separated by commas"
)]
pub struct InvalidLabelSelector(String);

/// A label selector, or nothing, which selects all.
///
/// # Errors
/// For a text that the API server cannot read.
pub fn label_selector(text: &str) -> Result<String, InvalidLabelSelector> {
    let is_valid = text.trim().is_empty() || requirements(text).all(is_requirement);
    if is_valid { Ok(text.to_owned()) } else { Err(InvalidLabelSelector(text.to_owned())) }
}

/// What stands between the commas that are in no parentheses.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn is_requirement(text: &str) -> bool {
    let text = text.trim();
    if let Some(key) = text.strip_prefix('!') {
        return is_key(key.trim());
    }
    for operator in ["!=", "==", "=", ">", "<"] {
        if let Some((key, value)) = text.split_once(operator) {
            let value = value.trim();
            let is_comparable = !matches!(operator, ">" | "<") || value.parse::<i64>().is_ok();
            return is_key(key.trim()) && is_value(value) && is_comparable;
        }
    }
    let Some(end) = text.find(char::is_whitespace) else { return is_key(text) };
    let (key, set) = text.split_at(end);
    let set = set.trim();
    let set = set.strip_prefix("notin").or_else(|| set.strip_prefix("in")).map(str::trim);
    let values = set.and_then(|set| set.strip_prefix('(')?.strip_suffix(')'));
    is_key(key) && values.is_some_and(|values| values.split(',').all(|value| is_value(value.trim())))
}

fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    is_name(name) && prefix.is_none_or(is_subdomain)
}

fn is_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

fn is_name(text: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    text.len() <= 63 && is_made_of(text, |c| c.is_ascii_alphanumeric(), is_inner)
}

/// A DNS subdomain (RFC 1123) in lower case.
fn is_subdomain(text: &str) -> bool {
    let is_edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253 && text.split('.').all(|label| is_made_of(label, is_edge, |c| is_edge(c) || c == b'-'))
}

/// Whether a text has such characters, and such ones at both ends.
fn is_made_of(text: &str, is_edge: impl Fn(u8) -> bool, is_inner: impl Fn(u8) -> bool) -> bool {
    let edges = text.bytes().next().into_iter().chain(text.bytes().next_back());
    !text.is_empty() && text.bytes().all(is_inner) && edges.into_iter().all(is_edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_what_the_api_server_reads() {
        for text in [
            "",
            "a",
            "!a",
            "! a",
            "a=b",
            "a==b",
            "a!=b",
            "a=",
            "sharding.fluxcd.io/key=shard1",
            "!sharding.fluxcd.io/key",
            "a in (b)",
            "a in (b, c),d notin (e,f),!g",
            "a in(b,c)",
            "a in ()",
            "a > 1",
            "a<01",
            "A_b.c=d_E.f",
            "x-1.example.com/A_b=y",
            "reconcile.fluxcd.io/watch=Enabled",
        ] {
            assert_eq!(label_selector(text), Ok(text.to_owned()), "{text}");
        }
        for text in [
            "a b",
            "a=b=c",
            "a in b",
            "a in (b",
            "a,",
            "=b",
            "a=b c",
            "a/b/c",
            "/a",
            "-a",
            "a=b;c",
            "a is (b)",
            "a(b)",
            "a>x",
            "a<",
            "a>-1",
            "a<1.5",
            "A/x=y",
            "a_b/x=y",
            "a..b/x=y",
            "a-/x=y",
            "a/",
            "a>99999999999999999999",
        ] {
            assert!(label_selector(text).is_err(), "{text}");
        }
        for long in ["a=", "", "a/"].map(|start| format!("{start}{}", "x".repeat(64))) {
            assert!(label_selector(&long).is_err(), "{long}");
        }
    }
}
