//! The formats of documents, and how one is told from another.

use std::fmt;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Any bytes. Encrypted, they are a JSON object with one text, `data`.
    Binary,
    /// Lines `NAME=value`.
    Dotenv,
    /// Sections of keys and values.
    Ini,
    /// One object.
    Json,
    /// One or several documents, each of them a mapping.
    Yaml,
}

impl Format {
    /// The format that a file or key of this name has, by its suffix as Flux takes it: [`Format::Binary`] if nothing else fits.
    pub fn of_name(name: &str) -> Format {
        match name {
            // Of an image pull secret, and without a suffix of its own.
            _ if name.ends_with(".dockerconfigjson") || name.ends_with(".json") => Format::Json,
            _ if name.ends_with(".yaml") || name.ends_with(".yml") => Format::Yaml,
            _ if name.ends_with(".env") => Format::Dotenv,
            _ if name.ends_with(".ini") => Format::Ini,
            _ => Format::Binary,
        }
    }

    /// The format whose marker is in these bytes, if they are encrypted at all. JSON stands for binary content, too: both are read
    /// alike.
    ///
    /// Flux looks in random order. Here the longest markers come first, since a text may quote another format.
    pub fn of_marker(content: &[u8]) -> Option<Format> {
        [Format::Json, Format::Dotenv, Format::Yaml, Format::Ini]
            .into_iter()
            .find(|format| format.has_marker(content))
    }

    /// Whether these bytes hold what every encrypted document of the format does. Flux leaves others alone.
    pub fn has_marker(self, content: &[u8]) -> bool {
        memchr::memmem::find(content, self.marker()).is_some()
    }

    /// Whether these bytes hold a value that was encrypted. Together with no marker of a format that is a document that was cut off.
    pub fn is_cipher_text(content: &[u8]) -> bool {
        memchr::memmem::find(content, b"ENC[AES256_GCM,data:").is_some()
    }

    fn marker(self) -> &'static [u8] {
        match self {
            Format::Binary | Format::Json => b"\"mac\": \"ENC[",
            Format::Dotenv => b"sops_mac=ENC[",
            Format::Ini => b"[sops]",
            Format::Yaml => b"mac: ENC[",
        }
    }
}

impl fmt::Display for Format {
    /// Flux's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Binary => "binary",
            Format::Dotenv => "dotenv",
            Format::Ini => "INI",
            Format::Json => "JSON",
            Format::Yaml => "YAML",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_follow_from_names() {
        for (name, format) in [
            ("a.yaml", Format::Yaml),
            ("dir/a.yml", Format::Yaml),
            ("a.json", Format::Json),
            (".dockerconfigjson", Format::Json),
            ("my.dockerconfigjson", Format::Json),
            ("a.env", Format::Dotenv),
            (".env", Format::Dotenv),
            ("a.ini", Format::Ini),
            ("a.YAML", Format::Binary),
            ("a.yaml.enc", Format::Binary),
            ("yaml", Format::Binary),
            ("", Format::Binary),
        ] {
            assert_eq!(Format::of_name(name), format, "{name}");
        }
    }

    #[test]
    fn formats_follow_from_markers() {
        for (content, format) in [
            ("sops:\n    mac: ENC[AES", Some(Format::Yaml)),
            ("{\"sops\": {\n\t\"mac\": \"ENC[AES", Some(Format::Json)),
            ("sops_mac=ENC[AES", Some(Format::Dotenv)),
            ("[sops]\nmac = ENC[", Some(Format::Ini)),
            ("note: \"[sops]\"\nsops:\n    mac: ENC[AES", Some(Format::Yaml)),
            ("{\"mac\":\"ENC[AES", None),
            ("plain", None),
            ("", None),
        ] {
            assert_eq!(Format::of_marker(content.as_bytes()), format, "{content}");
        }
        assert!(Format::Binary.has_marker(b"{\"mac\": \"ENC[\"}"));
        assert!(Format::is_cipher_text(b"{\"data\": \"ENC[AES256_GCM,data:Zm9v"));
        assert!(!Format::is_cipher_text(b"text about ENC[AES256_GCM]"));
    }
}
