//! Names that the API server takes, and its words for those that it does not.

/// What is wrong with the name of an object, if anything.
pub(crate) fn invalid_subdomain(name: &str) -> Option<&'static str> {
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|byte| is_lower(*byte) || *byte == b'-') && has_ends(bytes, is_lower)
    };
    if name.len() > 253 {
        Some("must be no more than 253 characters")
    } else if !name.split('.').all(is_label) {
        Some(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and \
             end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        )
    } else {
        None
    }
}

/// What is wrong with the value of a label, if anything.
pub(crate) fn invalid_label_value(value: &str) -> Option<&'static str> {
    if value.len() > 63 {
        Some("must be no more than 63 characters")
    } else if !value.is_empty() && !is_qualified(value.as_bytes()) {
        Some(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and \
             end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        )
    } else {
        None
    }
}

/// What is wrong with the key of a label that has no prefix, if anything.
pub(crate) fn invalid_label_key(key: &str) -> Option<&'static str> {
    if key.len() > 63 {
        Some("name part must be no more than 63 characters")
    } else if !is_qualified(key.as_bytes()) {
        Some(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
             character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
             '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        )
    } else {
        None
    }
}

fn is_qualified(bytes: &[u8]) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    bytes.iter().all(is_inner) && has_ends(bytes, |byte| byte.is_ascii_alphanumeric())
}

/// Whether first and last byte are as wanted; without bytes there are none.
fn has_ends(bytes: &[u8], is_end: impl Fn(u8) -> bool) -> bool {
    bytes.first().is_some_and(|byte| is_end(*byte)) && bytes.last().is_some_and(|byte| is_end(*byte))
}
