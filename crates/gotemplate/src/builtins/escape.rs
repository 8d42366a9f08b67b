//! `html`, `js` and `urlquery`.

use crate::context::Context;
use crate::error::Error;
use crate::exec::Item;

/// The text with each character as `escape` writes it.
fn escaped(
    context: &Context<'_>,
    text: &[u8],
    escape: impl Fn(char, &[u8], &mut Vec<u8>),
) -> Result<Item, Error> {
    let limit = context.run.memory_left();
    let (mut rest, mut escaped) = (text, Vec::with_capacity(text.len()));
    while let Some((c, length)) = strconv::decode(rest) {
        let (bytes, behind) = rest.split_at(length);
        escape(c, bytes, &mut escaped);
        if escaped.len() > limit {
            break;
        }
        rest = behind;
    }
    context.charge(escaped.len())?;
    Ok(Item::Typed(crate::value::Text::from(escaped).into()))
}

pub(super) fn html(context: &Context<'_>, text: &[u8]) -> Result<Item, Error> {
    escaped(context, text, |c, bytes, to| {
        to.extend_from_slice(match c {
            '\0' => "\u{fffd}".as_bytes(),
            '"' => b"&#34;",
            '\'' => b"&#39;",
            '&' => b"&amp;",
            '<' => b"&lt;",
            '>' => b"&gt;",
            _ => bytes,
        });
    })
}

pub(super) fn js(context: &Context<'_>, text: &[u8]) -> Result<Item, Error> {
    escaped(context, text, |c, bytes, to| match c {
        '\\' | '\'' | '"' => to.extend_from_slice(&[b'\\', c as u8]),
        '<' | '>' | '&' | '=' | '\0'..' ' => to.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes()),
        c if c.is_ascii() || strconv::is_print(c) => to.extend_from_slice(bytes),
        c => to.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes()),
    })
}

pub(super) fn url_query(context: &Context<'_>, text: &[u8]) -> Result<Item, Error> {
    escaped(context, text, |c, bytes, to| match c {
        ' ' => to.push(b'+'),
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '~' => to.extend_from_slice(bytes),
        _ => bytes.iter().for_each(|byte| to.extend_from_slice(format!("%{byte:02X}").as_bytes())),
    })
}
