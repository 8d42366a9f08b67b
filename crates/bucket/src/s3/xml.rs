//! Lists of S3, in XML.

use percent_encoding::percent_decode;

use crate::Object;
use crate::escape::unquoted;
use crate::list::Page;
use crate::xml::{Step, walk};

/// Reads a page of a list; `by_marker` if it is of the first version of the protocol.
pub fn page(xml: &[u8], by_marker: bool) -> Result<Page, &'static str> {
    let (mut page, mut is_truncated, mut is_escaped) = (Page::default(), false, false);
    let (mut token, mut marker, mut sizes) = (None, None, Vec::new());
    let mut is_list = false;
    walk(xml, &mut |step| {
        let (path, text) = match step {
            Step::Begin([_, contents], _) if contents == "Contents" => {
                page.objects.push(Object::default());
                return;
            }
            Step::Begin(..) => return,
            Step::End(path, text) => (path, text),
        };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        is_list |= path.first() == Some(&"ListBucketResult");
        match path.get(1..).unwrap_or_default() {
            ["IsTruncated"] => is_truncated = text == "true",
            ["EncodingType"] => is_escaped = text == "url",
            ["NextContinuationToken"] => token = Some(text.to_owned()),
            ["NextMarker"] => marker = Some(text.to_owned()),
            ["Contents", field] => {
                let Some(object) = page.objects.last_mut() else { return };
                match *field {
                    "Key" => text.clone_into(&mut object.key),
                    "ETag" => unquoted(text).clone_into(&mut object.etag),
                    "Size" => sizes.push(text.parse::<u64>().ok().map(|size| object.size = size)),
                    _ => {}
                }
            }
            _ => {}
        }
    })?;
    if !is_list || sizes.len() != page.objects.len() || sizes.contains(&None) {
        return Err("it is no list of objects");
    }
    if is_escaped {
        for object in &mut page.objects {
            object.key = unescape(&object.key)?;
        }
        marker = marker.map(|marker: String| unescape(&marker)).transpose()?;
    }
    if page.objects.iter().any(|object| object.key.is_empty()) {
        return Err("an object has no key");
    }
    if is_truncated {
        let last = || page.objects.last().map(|object| object.key.clone());
        let next = if by_marker { marker.or_else(last) } else { token };
        page.next = Some(next.filter(|next| !next.is_empty()).ok_or("it does not say where it goes on")?);
    }
    Ok(page)
}

/// What `encoding-type=url` has escaped; a space is a plus.
fn unescape(text: &str) -> Result<String, &'static str> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8().map(Into::into).map_err(|_| "a key is not UTF-8")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(body: &str) -> String {
        format!("<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3\">{body}</ListBucketResult>")
    }

    fn contents(key: &str, etag: &str, size: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><ETag>{etag}</ETag><Size>{size}</Size><Owner><ID>x</ID></Owner></Contents>"
        )
    }

    fn object(key: &str, etag: &str, size: u64) -> Object {
        Object { key: key.to_owned(), etag: etag.to_owned(), size, ..Object::default() }
    }

    #[test]
    fn a_page_has_objects_and_says_where_the_next_one_begins() {
        let text = list(&format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b&#61;</NextContinuationToken>{}{}",
            contents("a&lt;b", "&quot;1&#x22;", "3"),
            contents("a+b%20c", "2-1", "0"),
        ));
        let expected = [object("a<b", "1", 3), object("a+b%20c", "2-1", 0)];
        let read = page(text.as_bytes(), false).unwrap();
        assert_eq!((read.objects.as_slice(), read.next.as_deref()), (&expected[..], Some("a&b=")));
        let escaped =
            list(&format!("<EncodingType>url</EncodingType>{}", contents("a+b%20%2B%C3%A9", "1", "1")));
        assert_eq!(page(escaped.as_bytes(), false).unwrap().objects, [object("a b +é", "1", 1)]);
        assert_eq!(page(list("").as_bytes(), false).unwrap(), Page::default());
    }

    #[test]
    fn a_page_by_marker_goes_on_after_its_last_key() {
        let truncated = "<IsTruncated>true</IsTruncated>";
        let text = list(&format!("{truncated}{}", contents("a", "1", "1")));
        assert_eq!(page(text.as_bytes(), true).unwrap().next.as_deref(), Some("a"));
        let text = list(&format!("{truncated}<NextMarker>b</NextMarker>{}", contents("a", "1", "1")));
        assert_eq!(page(text.as_bytes(), true).unwrap().next.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let deep = list(&"<a>".repeat(100));
        for (text, error) in [
            ("", "it is no list of objects"),
            ("<html>hello</html>", "it is no list of objects"),
            ("<ListBucketResult><Contents>", "malformed XML"),
            (&list("&unknown;"), "malformed XML"),
            (&deep, "malformed XML"),
            (&list("<IsTruncated>true</IsTruncated>"), "it does not say where it goes on"),
            (&list(&contents("", "1", "1")), "an object has no key"),
            (&list(&contents("a", "1", "-1")), "it is no list of objects"),
            (&list("<Contents><Key>a</Key></Contents>"), "it is no list of objects"),
            (
                &list(&format!("<EncodingType>url</EncodingType>{}", contents("%ff", "1", "1"))),
                "a key is not UTF-8",
            ),
        ] {
            assert_eq!(page(text.as_bytes(), false), Err(error), "{text}");
        }
    }
}
