//! Lists of Azure, in XML.

use percent_encoding::percent_decode_str;
use quick_xml::events::BytesStart;

use crate::Object;
use crate::list::Page;
use crate::xml::{Step, walk};

const MALFORMED: &str = "it is no list of objects";

/// A blob as it is read.
#[derive(Default)]
struct Blob {
    object: Object,
    /// Whether the name is escaped, because XML cannot hold it.
    is_escaped: bool,
    has_size: bool,
    /// Accounts with folders list those as well.
    is_folder: bool,
}

/// Reads a page of a list.
pub fn page(xml: &[u8]) -> Result<Page, &'static str> {
    let (mut blobs, mut next, mut is_list) = (Vec::<Blob>::new(), None, false);
    walk(xml, &mut |step| match step {
        Step::Begin([root], _) => is_list |= root == "EnumerationResults",
        Step::Begin([_, _, blob], _) if blob == "Blob" => blobs.push(Blob::default()),
        Step::Begin([_, _, _, name], start) if name == "Name" => {
            if let Some(blob) = blobs.last_mut() {
                blob.is_escaped = is_escaped(start);
            }
        }
        Step::Begin(..) => {}
        Step::End([_, marker], text) if marker == "NextMarker" => {
            next = Some(text.to_owned()).filter(|text| !text.is_empty());
        }
        Step::End([_, _, blob, fields @ ..], text) if blob == "Blob" => {
            let Some(blob) = blobs.last_mut() else { return };
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            match fields[..] {
                ["Name"] => text.clone_into(&mut blob.object.key),
                ["Properties", "Etag"] => crate::escape::unquoted(text).clone_into(&mut blob.object.etag),
                ["Properties", "Content-Length"] => {
                    let size = text.parse();
                    blob.has_size = size.is_ok();
                    blob.object.size = size.unwrap_or_default();
                }
                ["Properties", "ResourceType"] => blob.is_folder = text == "directory",
                _ => {}
            }
        }
        Step::End(..) => {}
    })?;
    if !is_list {
        return Err(MALFORMED);
    }
    let mut page = Page { objects: Vec::new(), next };
    for Blob { mut object, is_escaped, has_size, .. } in blobs.into_iter().filter(|blob| !blob.is_folder) {
        if object.key.is_empty() || object.etag.is_empty() || !has_size {
            return Err(MALFORMED);
        }
        if is_escaped {
            let key = percent_decode_str(&object.key).decode_utf8();
            object.key = key.map_err(|_| "a key is not UTF-8")?.into_owned();
        }
        page.objects.push(object);
    }
    Ok(page)
}

fn is_escaped(start: &BytesStart<'_>) -> bool {
    start.attributes().flatten().any(|attribute| {
        attribute.key.as_ref() == b"Encoded" && attribute.value.eq_ignore_ascii_case(b"true")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(body: &str, marker: &str) -> String {
        format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\"><Prefix>p</Prefix>\
             <Blobs>{body}</Blobs>{marker}</EnumerationResults>"
        )
    }

    fn blob(name: &str, properties: &str) -> String {
        format!("<Blob>{name}<Properties><Content-MD5 />{properties}</Properties><OrMetadata /></Blob>")
    }

    #[test]
    fn a_page_has_objects_and_says_where_the_next_one_begins() {
        let properties =
            "<Etag>0x8CB</Etag><Content-Length>12</Content-Length><BlobType>BlockBlob</BlobType>";
        let body = [
            blob("<Name>a/b &amp; c</Name>", properties),
            blob("<Name Encoded=\"true\">d%EF%BF%BE%25</Name>", properties),
            blob("<Name>folder</Name>", &format!("{properties}<ResourceType>directory</ResourceType>")),
        ];
        let text = list(&body.concat(), "<NextMarker>2!1&amp;=</NextMarker>");
        let object = |key: &str| {
            let (key, etag) = (key.to_owned(), "0x8CB".to_owned());
            Object { key, etag, size: 12, ..Object::default() }
        };
        let expected =
            Page { objects: vec![object("a/b & c"), object("d\u{fffe}%")], next: Some("2!1&=".to_owned()) };
        assert_eq!(page(text.as_bytes()).unwrap(), expected);
        assert_eq!(page(list("", "<NextMarker />").as_bytes()).unwrap(), Page::default());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let whole = "<Etag>1</Etag><Content-Length>1</Content-Length>";
        for (text, error) in [
            (String::new(), MALFORMED),
            ("<html>hello</html>".to_owned(), MALFORMED),
            ("<EnumerationResults><Blobs>".to_owned(), "malformed XML"),
            (list(&blob("", whole), ""), MALFORMED),
            (list(&blob("<Name>a</Name>", "<Etag>1</Etag>"), ""), MALFORMED),
            (
                list(&blob("<Name>a</Name>", "<Etag>1</Etag><Content-Length>-1</Content-Length>"), ""),
                MALFORMED,
            ),
            (list(&blob("<Name Encoded=\"true\">%ff</Name>", whole), ""), "a key is not UTF-8"),
        ] {
            assert_eq!(page(text.as_bytes()), Err(error), "{text}");
        }
    }
}
