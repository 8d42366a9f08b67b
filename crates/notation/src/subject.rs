//! The names in certificates as Go writes them (`pkix.Name.String`): trusted identities are compared with that text.

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Encode, Tag, Tagged};
use x509_cert::name::Name;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
/// The attributes that Go knows, in its order, and how they are called.
const KNOWN: [(ObjectIdentifier, &str); 9] = [
    (SERIAL_NUMBER, "SERIALNUMBER"),
    (COMMON_NAME, "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.17"), "POSTALCODE"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
];

/// A name: the known attributes first, equal ones joined by `+`, then the others from the last to the first.
pub(crate) fn text(name: &Name) -> String {
    let all: Vec<&AttributeTypeAndValue> = name.iter().collect();
    let mut parts = Vec::new();
    for (oid, key) in KNOWN {
        let mut values: Vec<String> =
            all.iter().filter(|part| part.oid == oid).filter_map(|part| value(part)).collect();
        if oid == COMMON_NAME || oid == SERIAL_NUMBER {
            // The last one counts.
            values = values.pop().filter(|value| !value.is_empty()).into_iter().collect();
        }
        let joined: Vec<String> = values.iter().map(|value| format!("{key}={}", escaped(value))).collect();
        if !joined.is_empty() {
            parts.push(joined.join("+"));
        }
    }
    let others = all.iter().rev().filter(|part| KNOWN.iter().all(|(oid, _)| *oid != part.oid));
    parts.extend(others.map(|part| {
        let der = part.value.to_der().unwrap_or_default();
        let digits: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}=#{digits}", part.oid)
    }));
    parts.join(",")
}

/// The text of an attribute, if it is one.
fn value(part: &AttributeTypeAndValue) -> Option<String> {
    let bytes = part.value.value();
    match part.value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            String::from_utf8(bytes.to_vec()).ok()
        }
        Tag::TeletexString => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// With a backslash before what means something in a name (RFC 2253).
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, character) in value.chars().enumerate() {
        let is_special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        if is_special {
            text.push('\\');
        }
        text.push(character);
    }
    text
}
