//! The repositories that a statement of a trust policy is about.

use crate::quote;

/// Stands for every repository.
const WILDCARD: &str = "*";

/// What is wrong with the scopes of a trust policy, or with the name of a repository. The texts are notation-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A statement is about nothing.
    #[error(
        "trust policy statement {} has zero registry scopes, it must specify registry scopes with at least one value",
        quote(.0)
    )]
    None(String),
    /// A statement is about everything, and something.
    #[error(
        "trust policy statement {} uses wildcard registry scope '*', a wildcard scope cannot be used in conjunction with other \
         scope values",
        quote(.0)
    )]
    Mixed(String),
    /// A pattern.
    #[error(
        "registry scope {} with wild card(s) is not valid, make sure it is a fully qualified repository without the scheme, \
         protocol or tag. For example domain.com/my/repository or a local scope like local/myOCILayout",
        quote(.0)
    )]
    Pattern(String),
    /// Not a repository.
    #[error(
        "registry scope {} is not valid, make sure it is a fully qualified repository without the scheme, protocol or tag. For \
         example domain.com/my/repository or a local scope like local/myOCILayout",
        quote(.0)
    )]
    Format(String),
    /// Two statements are about the same.
    #[error(
        "registry scope {} is present in multiple trust policy statements, one registry scope value can only be associated with \
         one statement",
        quote(.0)
    )]
    Duplicate(String),
    /// No statement is about the artifact.
    #[error(
        "artifact {} has no applicable trust policy statement. Trust policy applicability for a given artifact is determined by \
         registryScopes. To create a trust policy, see: https://notaryproject.dev/docs/quickstart/#create-a-trust-policy",
        quote(.0)
    )]
    NoStatement(String),
}

/// Whether the scopes of all statements, by their names, can be told from each other.
///
/// # Errors
/// When they cannot, and for what is no scope.
pub(crate) fn check<'a>(statements: impl Iterator<Item = (&'a str, &'a [String])>) -> Result<(), ScopeError> {
    let mut all = Vec::new();
    for (name, scopes) in statements {
        if scopes.is_empty() {
            return Err(ScopeError::None(name.to_owned()));
        }
        let is_wildcard = |scope: &String| scope == WILDCARD;
        if scopes.len() > 1 && scopes.iter().any(is_wildcard) {
            return Err(ScopeError::Mixed(name.to_owned()));
        }
        scopes.iter().filter(|scope| !is_wildcard(scope)).try_for_each(|scope| check_format(scope))?;
        all.extend(scopes);
    }
    all.sort_unstable();
    let twice = all.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some((*one).clone()),
        _ => None,
    });
    twice.map_or(Ok(()), |scope| Err(ScopeError::Duplicate(scope)))
}

/// Whether a text is a repository with its registry, `host/name`.
///
/// # Errors
/// When it is not.
pub(crate) fn check_format(scope: &str) -> Result<(), ScopeError> {
    if scope.len() > 1 && scope.contains('*') {
        return Err(ScopeError::Pattern(scope.to_owned()));
    }
    match scope.split_once('/') {
        Some((domain, repository)) if is_domain(domain) && repository.split('/').all(is_component) => Ok(()),
        _ => Err(ScopeError::Format(scope.to_owned())),
    }
}

/// Names of letters, digits and inner dashes, with dots between them and perhaps a port.
fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lower case letters and digits with `.`, `_`, `__` or dashes between them.
fn is_component(text: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    text.starts_with(is_plain) && text.ends_with(is_plain) && text.split(is_plain).all(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_repositories_with_their_registry() {
        for scope in [
            "registry.example.com/my/app",
            "localhost:5000/a",
            "a/b",
            "A.b-c/d__e/f.g/h--i/j_k",
            "127.0.0.1:5000/team/app",
        ] {
            assert_eq!(check_format(scope), Ok(()), "{scope}");
        }
        for scope in [
            "",
            "*",
            "app",
            "a/",
            "/b",
            "a/B",
            "a/b:tag",
            "a/b@sha256:00",
            "https://a/b",
            "a:/b",
            "a:x/b",
            "-a/b",
            "a-/b",
            "a..b/c",
            "a/b___c",
            "a/b..c",
            "a/-b",
            "a/b-",
            "a//b",
            "a/b._c",
        ] {
            assert_eq!(check_format(scope), Err(ScopeError::Format(scope.to_owned())), "{scope}");
        }
        for scope in ["*.example.com/app", "example.com/*", "**"] {
            assert_eq!(check_format(scope), Err(ScopeError::Pattern(scope.to_owned())), "{scope}");
        }
    }
}
