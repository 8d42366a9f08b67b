//! Semantic versions.

pub(super) fn semver(text: &str) -> Result<(), String> {
    let is_identifier = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let stranger = |text: &str| text.chars().find(|c| !is_identifier(*c)).map(strconv::quote_rune);
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    if build == Some("") {
        return Err("build is empty".to_owned());
    }
    for identifier in build.iter().flat_map(|build| build.split('.')) {
        if identifier.is_empty() {
            return Err("build identifier is empty".to_owned());
        }
        if let Some(c) = stranger(identifier) {
            return Err(format!("invalid character {c} in build identifier"));
        }
    }
    let (core, pre_release) = match text.split_once('-') {
        Some((core, pre_release)) => (core, Some(pre_release)),
        None => (text, None),
    };
    for identifier in pre_release.iter().flat_map(|pre_release| pre_release.split('.')) {
        if identifier.is_empty() {
            return Err("pre-release identifier is empty".to_owned());
        }
        if let Some(c) = stranger(identifier) {
            return Err(format!("invalid character {c} in pre-release identifier"));
        }
        let are_digits = identifier.bytes().all(|byte| byte.is_ascii_digit());
        if are_digits && identifier.len() > 1 && identifier.starts_with('0') {
            return Err("pre-release numeric identifier starts with zero".to_owned());
        }
    }
    let numbers: Vec<_> = core.split('.').collect();
    if numbers.len() != 3 {
        return Err("versionCore must have 3 numbers separated by dot".to_owned());
    }
    for (name, number) in ["major", "minor", "patch"].into_iter().zip(numbers) {
        if number.is_empty() {
            return Err(format!("{name} is empty"));
        }
        if number.len() > 1 && number.starts_with('0') {
            return Err(format!("{name} starts with zero"));
        }
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("{name} contains non-digit"));
        }
    }
    Ok(())
}
