//! Texts cut to a width, counted in bytes: the package `goutils`.

use crate::call::{Call, Outcome};

const ELLIPSIS: &[u8] = b"...";

/// At most `width` bytes of a text, from near `offset` on, with `...` for what is left out.
pub(crate) fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let Some(room) = usize::try_from(width).ok().filter(|width| *width >= 4).map(|width| width - 3) else {
        return text.to_vec();
    };
    if text.len() <= room + 3 {
        return text.to_vec();
    }
    let offset = usize::try_from(offset).unwrap_or_default().min(text.len() - room);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    if offset <= 4 {
        return [part(0, room), ELLIPSIS].concat();
    }
    if offset + room < text.len() {
        // It shrinks: with a width of at least 7 once, for the offset is then 0.
        let end = part(offset, text.len());
        let end = if room < 4 { Vec::new() } else { abbreviate(end, 0, width - 3) };
        return [ELLIPSIS, &end].concat();
    }
    [ELLIPSIS, part(text.len() - room, text.len())].concat()
}

/// A text with separators instead of spaces, so that no line is longer than argument 0 if words allow it; long words are cut only
/// if they may be.
pub(crate) fn wrap(call: &Call<'_>, text: &[u8], separator: &[u8], cuts_words: bool) -> Outcome {
    let width = usize::try_from(call.int(0)).unwrap_or_default().max(1);
    let mut wrapped = Vec::new();
    let mut rest = text;
    let mut put = |line: &[u8]| {
        call.context.charge(line.len() + separator.len())?;
        wrapped.extend_from_slice(line);
        wrapped.extend_from_slice(separator);
        Ok::<_, gotemplate::Error>(())
    };
    while rest.len() > width {
        if let [b' ', after @ ..] = rest {
            rest = after;
            continue;
        }
        let (line, beyond) = rest.split_at(width + 1);
        let (line, after) = if let Some(space) = memchr::memrchr(b' ', line) {
            (rest.get(..space), rest.get(space + 1..))
        } else if cuts_words {
            (rest.get(..width), rest.get(width..))
        } else if let Some(space) = memchr::memchr(b' ', beyond) {
            (rest.get(..width + 1 + space), rest.get(width + 2 + space..))
        } else {
            break;
        };
        put(line.unwrap_or_default())?;
        rest = after.unwrap_or_default();
    }
    call.context.charge(rest.len())?;
    wrapped.extend_from_slice(rest);
    Ok(gotemplate::Value::String(wrapped.into()))
}
