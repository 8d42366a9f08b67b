//! What stores answer in XML, element by element.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Elements within elements; those of stores are few.
const DEPTH: usize = 16;
const MALFORMED: &str = "malformed XML";

/// What is met in a document. The path names the element and all that it is in.
pub(crate) enum Step<'a> {
    /// An element begins.
    Begin(&'a [String], &'a BytesStart<'a>),
    /// An element ends; if it has none in it, this is its text.
    End(&'a [String], &'a str),
}

/// The text of the first element of that name.
pub(crate) fn text_of(xml: &[u8], name: &str) -> Option<String> {
    let mut found = None;
    // What is no XML has no such element.
    let _ = walk(xml, &mut |step| match step {
        Step::End(path, text) if found.is_none() && path.last().is_some_and(|last| last == name) => {
            found = Some(text.to_owned());
        }
        _ => {}
    });
    found
}

/// Tells of every step.
///
/// # Errors
/// For what is no XML, and for elements that are too deep.
pub(crate) fn walk(xml: &[u8], tell: &mut dyn FnMut(Step<'_>)) -> Result<(), &'static str> {
    let mut reader = Reader::from_reader(xml);
    let (mut path, mut text) = (Vec::<String>::new(), String::new());
    loop {
        match reader.read_event().map_err(|_| MALFORMED)? {
            Event::Start(start) => {
                path.push(name_of(&start));
                if path.len() > DEPTH {
                    return Err(MALFORMED);
                }
                text.clear();
                tell(Step::Begin(&path, &start));
            }
            Event::Empty(empty) => {
                path.push(name_of(&empty));
                tell(Step::Begin(&path, &empty));
                tell(Step::End(&path, ""));
                path.pop();
            }
            Event::End(_) => {
                tell(Step::End(&path, &text));
                path.pop();
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode().map_err(|_| MALFORMED)?),
            Event::CData(part) => text.push_str(&part.decode().map_err(|_| MALFORMED)?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|_| MALFORMED)? {
                Some(c) => text.push(c),
                None => {
                    let name = reference.decode().map_err(|_| MALFORMED)?;
                    let known = quick_xml::escape::resolve_predefined_entity(&name);
                    text.push_str(known.ok_or(MALFORMED)?);
                }
            },
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err(MALFORMED),
            _ => {}
        }
    }
}

fn name_of(start: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(start.local_name().as_ref()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_code_message_and_region() {
        let text =
            b"\xef\xbb\xbf<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>no &amp; no</Message><Region>r</Region></Error>";
        assert_eq!(text_of(text, "Message").as_deref(), Some("no & no"));
        assert_eq!(text_of(text, "Region").as_deref(), Some("r"));
        assert_eq!(text_of(b"<html>", "Code"), None);
    }
}
