//! Base64 and base32.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gotemplate::value::Type;

use crate::call::Table;

const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table) {
    table.add("b64enc", &[TEXT], TEXT, |call| call.string(STANDARD.encode(call.text(0))));
    // The text of an error takes the place of what was to be read.
    table.add("b64dec", &[TEXT], TEXT, |call| match decode_base64(call.text(0)) {
        Ok(bytes) => call.string(bytes),
        Err(message) => call.string(message),
    });
    table.add("b32enc", &[TEXT], TEXT, |call| call.string(encode_base32(call.text(0))));
    table.add("b32dec", &[TEXT], TEXT, |call| match decode_base32(call.text(0)) {
        Ok(bytes) => call.string(bytes),
        Err(message) => call.string(message),
    });
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The number that a character stands for.
fn value(alphabet: &[u8], byte: u8) -> Option<u64> {
    alphabet.iter().position(|character| *character == byte).map(|value| value as u64)
}

/// The whole bytes of a group of characters, each of so many bits.
fn bytes_of(group: u64, length: usize, bits: usize) -> impl Iterator<Item = u8> {
    (group << (64 - length * bits)).to_be_bytes().into_iter().take(length * bits / 8)
}

/// Go's `base64.StdEncoding`: line ends do not count.
pub(crate) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    base64(text).map_err(|at| format!("illegal base64 data at input byte {at}"))
}

/// The bytes, or where the text is bad, as Go counts it.
fn base64(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let mut rest =
        text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).peekable();
    while rest.peek().is_some() {
        let (mut group, mut length) = (0_u64, 0);
        while length < 4 {
            let Some((at, byte)) = rest.next() else { return Err(text.len() - length) };
            if let Some(value) = value(BASE64, byte) {
                group = group << 6 | value;
                length += 1;
                continue;
            }
            if byte != b'=' || length < 2 {
                return Err(at);
            }
            if length == 2 {
                match rest.next() {
                    Some((_, b'=')) => {}
                    Some((at, _)) => return Err(at - 1),
                    None => return Err(text.len()),
                }
            }
            // Nothing may follow the padding.
            if let Some((at, _)) = rest.next() {
                return Err(at);
            }
            break;
        }
        bytes.extend(bytes_of(group, length, 6));
    }
    Ok(bytes)
}

/// Go's `base32.StdEncoding`. Unlike base64, it counts without the line ends.
fn decode_base32(text: &[u8]) -> Result<Vec<u8>, String> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    base32(&text).map_err(|at| format!("illegal base32 data at input byte {at}"))
}

/// As [`base64`]. What follows the padding of the last eight characters is not read.
fn base32(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut rest, mut at_end) = (text, false);
    while !rest.is_empty() && !at_end {
        let (mut group, mut length) = (0_u64, 0);
        while length < 8 {
            let Some((byte, after)) = rest.split_first() else { return Err(text.len() - length) };
            rest = after;
            let at = text.len() - rest.len() - 1;
            if *byte == b'=' && length >= 2 && rest.len() < 8 {
                let missing = 7 - length;
                if rest.len() < missing {
                    return Err(text.len());
                }
                if let Some(other) = rest.iter().take(missing).position(|byte| *byte != b'=') {
                    return Err(at + other);
                }
                if matches!(length, 3 | 6) {
                    return Err(at);
                }
                at_end = true;
                break;
            }
            group = group << 5 | value(BASE32, *byte).ok_or(at)?;
            length += 1;
        }
        bytes.extend(bytes_of(group, length, 5));
    }
    Ok(bytes)
}

fn encode_base32(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let bits = group.iter().chain(&[0; 5]).take(5).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let count = (group.len() * 8).div_ceil(5);
        for position in 0..8 {
            let value = (bits >> (35 - 5 * position)) as usize & 31;
            let character = BASE32.get(value).copied().unwrap_or(b'=');
            text.push(if position < count { character } else { b'=' });
        }
    }
    text
}
