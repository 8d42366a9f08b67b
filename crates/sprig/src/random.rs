//! Random texts and numbers.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gotemplate::value::Type;
use gotemplate::{Error, Value};

use crate::call::{Call, Outcome, Table};
use crate::host::{Host, below};
use crate::strings::characters;

const TEXT: Type = Type::String;

/// How many steps a random character takes.
const STEPS: usize = 4;

pub(crate) fn add(table: &mut Table, host: &Arc<dyn Host>) {
    let is_letter = |c: &char| c.is_ascii_alphabetic();
    let is_digit = |c: &char| c.is_ascii_digit();
    let ascii = || (' '..='~').collect::<Vec<char>>();
    let all = ascii();
    for (name, alphabet) in [
        ("randAlpha", all.iter().copied().filter(is_letter).collect()),
        ("randNumeric", all.iter().copied().filter(is_digit).collect()),
        ("randAlphaNum", all.iter().copied().filter(char::is_ascii_alphanumeric).collect()),
        ("randAscii", ascii()),
    ] {
        let host = host.clone();
        let alphabet: Vec<char> = alphabet;
        table.add(name, &[Type::Int], TEXT, move |call| {
            // A negative count gives nothing.
            let count = usize::try_from(call.int(0)).unwrap_or_default();
            call.context.charge(count)?;
            call.context.step(count.saturating_mul(STEPS))?;
            let pick = |_| {
                let index = below(&*host, alphabet.len() as u64)?;
                Ok(usize::try_from(index).ok().and_then(|index| alphabet.get(index)).copied().unwrap_or(' '))
            };
            let text = (0..count).map(pick).collect::<Result<String, Error>>()?;
            Ok(text.into())
        });
    }
    let source = host.clone();
    table.add("randBytes", &[Type::Int], TEXT, move |call| {
        let out_of_range = "runtime error: makeslice: len out of range";
        let count = usize::try_from(call.int(0)).map_err(|_| out_of_range)?;
        call.context.charge(count)?;
        let mut bytes = vec![0; count];
        source.fill(&mut bytes)?;
        call.string(STANDARD.encode(bytes))
    });
    let source = host.clone();
    table.add("randInt", &[Type::Int, Type::Int], Type::Int, move |call| {
        let bound = u64::try_from(call.int(1).wrapping_sub(call.int(0))).unwrap_or_default();
        if bound == 0 {
            return Err("invalid argument to Intn".into());
        }
        let value = below(&*source, bound)?;
        Ok(Value::Int(call.int(0).wrapping_add(value.cast_signed())))
    });
    let source = host.clone();
    table.add("shuffle", &[TEXT], TEXT, move |call| shuffle(call, &*source));
    let source = host.clone();
    table.add("uuidv4", &[], TEXT, move |call| call.string(uuid(&*source)?));
}

fn shuffle(call: &Call<'_>, host: &dyn Host) -> Outcome {
    let text = call.text(0);
    call.context.charge(text.len().saturating_mul(size_of::<char>()))?;
    call.context.step(text.len().saturating_mul(STEPS))?;
    let mut text: Vec<char> = characters(text).map(|(c, _)| c).collect();
    for last in (1..text.len()).rev() {
        let other = below(host, last as u64 + 1)?;
        text.swap(last, usize::try_from(other).unwrap_or(last));
    }
    call.string(text.into_iter().collect::<String>())
}

/// A UUID of version 4.
fn uuid(host: &dyn Host) -> Result<String, Error> {
    let mut bytes = [0; 16];
    host.fill(&mut bytes)?;
    let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}
