//! Label selectors as flags: one that the API server would refuse is refused at the start, where somebody sees it.

/// A text that is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no label selector: key=value, key!=value, key in (a,b), key notin (a,b), key or !key, separated by commas"
)]
pub struct NoSelector(String);

/// A label selector, or nothing, which selects all.
///
/// # Errors
/// For a text that the API server cannot read.
pub fn label_selector(text: &str) -> Result<String, NoSelector> {
    let is_valid = text.trim().is_empty() || requirements(text).all(is_requirement);
    if is_valid { Ok(text.to_owned()) } else { Err(NoSelector(text.to_owned())) }
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
            return is_key(key.trim()) && is_value(value.trim());
        }
    }
    let Some((key, set)) = text.split_once(|c: char| c.is_whitespace() || c == '(') else {
        return is_key(text);
    };
    // The parenthesis may follow the operator at once.
    let set = text.get(key.len()..).unwrap_or(set).trim();
    let set = set.strip_prefix("notin").or_else(|| set.strip_prefix("in")).map(str::trim);
    let values = set.and_then(|set| set.strip_prefix('(')?.strip_suffix(')'));
    is_key(key) && values.is_some_and(|values| values.split(',').all(|value| is_value(value.trim())))
}

fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    !name.is_empty()
        && is_value(name)
        && prefix.is_none_or(|prefix| !prefix.is_empty() && is_name(prefix, 253))
}

fn is_value(text: &str) -> bool {
    text.is_empty() || is_name(text, 63)
}

fn is_name(text: &str, longest: usize) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= longest
        && text.chars().all(is_inner)
        && is_edge(text.chars().next())
        && is_edge(text.chars().next_back())
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
            "a > 1",
            "reconcile.fluxcd.io/watch=Enabled",
        ] {
            assert_eq!(label_selector(text), Ok(text.to_owned()), "{text}");
        }
        for text in [
            "a b", "a=b=c", "a in b", "a in (b", "a,", "=b", "a=b c", "a/b/c", "/a", "-a", "a=b;c",
            "a is (b)",
        ] {
            assert!(label_selector(text).is_err(), "{text}");
        }
        assert!(label_selector(&format!("a={}", "x".repeat(64))).is_err());
    }
}
