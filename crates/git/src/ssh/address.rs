//! What an SSH URL says: `ssh://[user@]host[:port]/path`.

use url::{Host, Url};

use super::known_hosts::DEFAULT_PORT;
use crate::UrlError;
use net::percent_decode;
use percent_encoding::percent_decode_str;

/// Who asks which server for which repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: String,
    /// A name in lower case, or an IP address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The repository as the server's `git-upload-pack` is told, `~user` expanded there.
    path: Vec<u8>,
}

impl Address {
    pub(crate) fn new(url: &Url) -> Result<Address, UrlError> {
        let mut path = percent_decode_str(url.path()).collect::<Vec<u8>>();
        if path.is_empty() {
            return Err(UrlError::Path("the path of the repository is missing"));
        }
        if path.iter().any(|byte| matches!(byte, b'\0' | b'\n')) {
            return Err(UrlError::Path("the path of the repository has a newline or NUL in it"));
        }
        if path.starts_with(b"/~") {
            path.remove(0);
        }
        let user = match percent_decode(url.username()) {
            none if none.is_empty() => "git".to_owned(),
            user => user,
        };
        let host = match url.host() {
            Some(Host::Domain(name)) => percent_decode(name).to_ascii_lowercase(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => String::new(),
        };
        Ok(Address { user, host, port: url.port().unwrap_or(DEFAULT_PORT), path })
    }

    /// The command, quoted for a shell as Git does it: servers without a shell parse this form.
    pub(crate) fn command(&self) -> Vec<u8> {
        let mut command = b"git-upload-pack '".to_vec();
        for &byte in &self.path {
            match byte {
                b'\'' | b'!' => command.extend_from_slice(&[b'\'', b'\\', byte, b'\'']),
                _ => command.push(byte),
            }
        }
        command.push(b'\'');
        command
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, UrlError> {
        Address::new(&Url::parse(url).unwrap())
    }

    #[test]
    fn forms_of_ssh_urls() {
        for (url, user, host, port, command) in [
            ("ssh://h/r.git", "git", "h", 22, "git-upload-pack '/r.git'"),
            ("ssh://me@h:2222/a/r", "me", "h", 2222, "git-upload-pack '/a/r'"),
            ("ssh://me:secret@H.Example.com/r", "me", "h.example.com", 22, "git-upload-pack '/r'"),
            ("ssh://my%40name@h/r", "my@name", "h", 22, "git-upload-pack '/r'"),
            ("ssh://git@[::1]:2222/r", "git", "::1", 2222, "git-upload-pack '/r'"),
            ("ssh://10.0.0.1/r", "git", "10.0.0.1", 22, "git-upload-pack '/r'"),
            ("ssh://h/~/r", "git", "h", 22, "git-upload-pack '~/r'"),
            ("ssh://h/~me/r", "git", "h", 22, "git-upload-pack '~me/r'"),
            ("ssh://h/a%20b", "git", "h", 22, "git-upload-pack '/a b'"),
        ] {
            let address = address(url).unwrap();
            assert_eq!(
                (address.user.as_str(), address.host.as_str(), address.port),
                (user, host, port),
                "{url}"
            );
            assert_eq!(String::from_utf8(address.command()).unwrap(), command, "{url}");
        }
    }

    #[test]
    fn paths_do_not_leave_their_quotes() {
        for (url, command) in [
            ("ssh://h/a'b", r"git-upload-pack '/a'\''b'"),
            ("ssh://h/';id;'", r"git-upload-pack '/'\'';id;'\'''"),
            ("ssh://h/$(id)`id`", "git-upload-pack '/$(id)`id`'"),
            ("ssh://h/a!b", r"git-upload-pack '/a'\!'b'"),
            ("ssh://h/a%5C'b", r"git-upload-pack '/a\'\''b'"),
            ("ssh://h/--upload-pack=id", "git-upload-pack '/--upload-pack=id'"),
            ("ssh://h/~--upload-pack=id", "git-upload-pack '~--upload-pack=id'"),
            ("ssh://h/a%0Db", "git-upload-pack '/a\rb'"),
        ] {
            assert_eq!(String::from_utf8(address(url).unwrap().command()).unwrap(), command, "{url}");
        }
        for url in ["ssh://h/a%0Ab", "ssh://h/a%00b", "ssh://h", "ssh://h?x"] {
            assert!(matches!(address(url), Err(UrlError::Path(_))), "{url}");
        }
    }
}
