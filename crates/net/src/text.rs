//! Texts that are fit for messages and logs.

use percent_encoding::percent_decode_str;

/// User names and passwords as they are written in URLs; bytes that are no UTF-8 are replaced.
pub fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_decoded() {
        for (text, plain) in
            [("p%40ss", "p@ss"), ("100%", "100%"), ("%zz", "%zz"), ("%ff", "\u{fffd}"), ("", "")]
        {
            assert_eq!(percent_decode(text), plain);
        }
    }
}
