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

/// Go's `base64.StdEncoding`: line ends do not count.
pub(crate) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    decode(text, &BASE64).map_err(|at| format!("illegal base64 data at input byte {at}"))
}

fn decode_base32(text: &[u8]) -> Result<Vec<u8>, String> {
    // Unlike base64, it counts without the line ends.
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    decode(&text, &BASE32).map_err(|at| format!("illegal base32 data at input byte {at}"))
}

struct Alphabet {
    characters: &'static [u8],
    /// Of a character.
    bits: usize,
    /// How many characters are read together.
    group: usize,
    /// How many characters before the padding a group can have.
    lengths: &'static [usize],
}

const BASE64: Alphabet = Alphabet {
    characters: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    bits: 6,
    group: 4,
    lengths: &[2, 3],
};

const BASE32: Alphabet =
    Alphabet { characters: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bits: 5, group: 8, lengths: &[2, 4, 5, 7] };

/// The bytes, or where the text is bad, as Go counts it.
fn decode(text: &[u8], alphabet: &Alphabet) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::with_capacity(text.len() * alphabet.bits / 8);
    let mut rest =
        text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).peekable();
    while rest.peek().is_some() {
        let (mut group, mut length) = (0_u64, 0);
        for position in 0..alphabet.group {
            let Some((at, byte)) = rest.next() else { return Err(text.len() - position) };
            if let Some(value) = alphabet.characters.iter().position(|character| *character == byte) {
                group = group << alphabet.bits | value as u64;
                length += 1;
                continue;
            }
            if byte != b'=' || !alphabet.lengths.contains(&position) {
                return Err(at);
            }
            for _ in position + 1..alphabet.group {
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
        let count = length * alphabet.bits / 8;
        let aligned = group << (64 - length * alphabet.bits);
        bytes.extend(aligned.to_be_bytes().iter().take(count));
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
            let character = BASE32.characters.get(value).copied().unwrap_or(b'=');
            text.push(if position < count { character } else { b'=' });
        }
    }
    text
}
