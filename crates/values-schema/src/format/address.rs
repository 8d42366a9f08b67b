//! Addresses: of hosts, and of mailboxes. IPv6 is read as Go's `netip.ParseAddr` does.

use strconv::quote;

pub(super) fn ipv4(text: &str) -> Result<(), String> {
    let groups: Vec<_> = text.split('.').collect();
    if groups.len() != 4 {
        return Err("expected four decimals".to_owned());
    }
    for group in groups {
        if group.len() > 1 && group.starts_with('0') {
            return Err("leading zeros".to_owned());
        }
        if !(0..=255).contains(&strconv::atoi(group)?) {
            return Err("decimal must be between 0 and 255".to_owned());
        }
    }
    Ok(())
}

pub(super) fn ipv6(text: &str) -> Result<(), String> {
    if !text.contains(':') {
        return Err("missing colon".to_owned());
    }
    let at = |message: &str, at: &str| {
        let at = if at.is_empty() { String::new() } else { format!(" (at {})", quote(at.as_bytes())) };
        Err(format!("ParseAddr({}): {message}{at}", quote(text.as_bytes())))
    };
    match text.find(['.', ':', '%']).and_then(|index| text.get(index..=index)) {
        // An address of the fourth version, with a colon in it.
        Some(".") => fields(text).or_else(|(message, rest)| at(message, rest)),
        Some("%") => at("missing IPv6 address", ""),
        _ => {
            let has_zone = groups(text).or_else(|(message, rest)| at(message, rest).map(|()| false))?;
            if has_zone { Err("zone id is not a part of ipv6 address".to_owned()) } else { Ok(()) }
        }
    }
}

/// What is wrong, and the rest of the text from there.
type Fault<'t> = (&'static str, &'t str);

/// The four decimals of IPv4.
fn fields(text: &str) -> Result<(), Fault<'_>> {
    let (mut value, mut digits, mut dots) = (0_u32, 0, 0);
    let mut last = None;
    for (index, c) in text.char_indices() {
        let rest = text.get(index..).unwrap_or_default();
        if let Some(digit) = c.to_digit(10) {
            if digits == 1 && value == 0 {
                return Err(("IPv4 field has octet with leading zero", ""));
            }
            value = value * 10 + digit;
            digits += 1;
            if value > 255 {
                return Err(("IPv4 field has value >255", ""));
            }
        } else if c == '.' {
            if index == 0 || rest.len() == 1 || last == Some('.') {
                return Err(("IPv4 field must have at least one digit", rest));
            }
            if dots == 3 {
                return Err(("IPv4 address too long", ""));
            }
            dots += 1;
            (value, digits) = (0, 0);
        } else {
            return Err(("unexpected character", rest));
        }
        last = Some(c);
    }
    if dots < 3 { Err(("IPv4 address too short", "")) } else { Ok(()) }
}

/// The groups of IPv6; whether a zone follows.
fn groups(text: &str) -> Result<bool, Fault<'_>> {
    let (mut rest, zone) = match text.split_once('%') {
        Some((_, "")) => return Err(("zone must be a non-empty string", "")),
        Some((address, _)) => (address, true),
        None => (text, false),
    };
    let mut ellipsis = None;
    let mut bytes = 0;
    if let Some(after) = rest.strip_prefix("::") {
        ellipsis = Some(0);
        rest = after;
        if rest.is_empty() {
            return Ok(zone);
        }
    }
    while bytes < 16 {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits > 4 {
            return Err(("each group must have 4 or less digits", rest));
        }
        if digits == 0 {
            return Err(("each colon-separated field must have at least one digit", rest));
        }
        let after = rest.get(digits..).unwrap_or_default();
        if after.starts_with('.') {
            if ellipsis.is_none() && bytes != 12 {
                return Err(("embedded IPv4 address must replace the final 2 fields of the address", rest));
            }
            if bytes + 4 > 16 {
                return Err(("too many hex fields to fit an embedded IPv4 at the end of the address", rest));
            }
            fields(rest)?;
            (rest, bytes) = ("", bytes + 4);
            break;
        }
        bytes += 2;
        rest = after;
        if rest.is_empty() {
            break;
        }
        let Some(next) = rest.strip_prefix(':') else {
            return Err(("unexpected character, want colon", rest));
        };
        if next.is_empty() {
            return Err(("colon must be followed by more characters", rest));
        }
        rest = next;
        if let Some(next) = rest.strip_prefix(':') {
            if ellipsis.is_some() {
                return Err(("multiple :: in address", rest));
            }
            ellipsis = Some(bytes);
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
    }
    match (rest, bytes, ellipsis) {
        ("", ..16, None) => Err(("address string too short", "")),
        ("", 16, Some(_)) => Err(("the :: must expand to at least one field of zeros", "")),
        ("", ..) => Ok(zone),
        (rest, ..) => Err(("trailing garbage after address", rest)),
    }
}

pub(super) fn hostname(text: &str) -> Result<(), String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > 253 {
        return Err("more than 253 characters long".to_owned());
    }
    for label in text.split('.') {
        if !(1..=63).contains(&label.len()) {
            return Err("label must be 1 to 63 characters long".to_owned());
        }
        if label.starts_with('-') {
            return Err("label starts with hyphen".to_owned());
        }
        if label.ends_with('-') {
            return Err("label ends with hyphen".to_owned());
        }
        if let Some(c) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            return Err(format!("invalid character {}", strconv::quote_rune(c)));
        }
    }
    Ok(())
}

pub(super) fn email(text: &str) -> Result<(), String> {
    if text.len() > 254 {
        return Err("more than 255 characters long".to_owned());
    }
    let Some((local, domain)) = text.rsplit_once('@') else { return Err("missing @".to_owned()) };
    if local.len() > 64 {
        return Err("local part more than 64 characters long".to_owned());
    }
    local_part(local)?;
    if let Some(address) = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']')) {
        return match address.strip_prefix("IPv6:") {
            Some(address) => ipv6(address).map_err(|why| format!("invalid ipv6 address: {why}")),
            None => ipv4(address).map_err(|why| format!("invalid ipv4 address: {why}")),
        };
    }
    hostname(domain).map_err(|why| format!("invalid domain: {why}"))
}

fn local_part(local: &str) -> Result<(), String> {
    if let Some(quoted) = local.strip_prefix('"').and_then(|local| local.strip_suffix('"')) {
        return match quoted.contains(['\\', '"']) {
            true => Err("backslash and quote are not allowed within quoted local part".to_owned()),
            false => Ok(()),
        };
    }
    if local.starts_with('.') {
        return Err("starts with dot".to_owned());
    }
    if local.ends_with('.') {
        return Err("ends with dot".to_owned());
    }
    if local.contains("..") {
        return Err("consecutive dots".to_owned());
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    match local.chars().find(|c| !is_allowed(*c)) {
        Some(c) => Err(format!("invalid character {}", strconv::quote_rune(c))),
        None => Ok(()),
    }
}
