//! Submodules: other repositories, each at the commit that the tree names, in directories of the tree.
//!
//! `.gitmodules` is foreign input. It can name any server; credentials go only to the one that they were given for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice};
use url::Url;

use crate::{Cache, Checkout, Connector, Error, Kind, Limits, Remote, TransportError, UrlError};
use net::Deadline;

const GITMODULES_FILE: &str = ".gitmodules";

/// Why a submodule has no repository that could be asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmoduleError {
    /// Not something that Git could read.
    #[error("{GITMODULES_FILE} cannot be read: {0}")]
    File(String),
    /// More than [`Limits::submodules`].
    #[error("more than the limit of {0} submodules")]
    TooMany(usize),
    /// `../` leads out of the server.
    #[error("relative URL {0:?} leaves the server")]
    Outside(String),
    /// Not a URL, or of a scheme that is not http, https or ssh.
    #[error("URL {0:?}: {1}")]
    Url(String, UrlError),
}

impl Cache {
    /// Makes the submodules of `checkout`, which came from `remote`, available too, and theirs, down to
    /// [`Limits::submodule_depth`]. Each URL has a cache of its own in this one. What is not in `.gitmodules` stays
    /// [`Kind::Submodule`].
    pub fn add_submodules(
        &self,
        connector: &Connector,
        remote: &Remote,
        checkout: &mut Checkout,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let limits = self.limits().clone();
        let left = limits.submodules;
        let mut modules = Modules { dir: self.dir().join("modules"), connector, deadline, limits, left };
        modules.add(remote, checkout, 1)
    }
}

struct Modules<'a> {
    dir: PathBuf,
    connector: &'a Connector,
    deadline: &'a Deadline,
    /// For the next submodule; its bytes shrink with each one.
    limits: Limits,
    /// How many submodules may still come.
    left: usize,
}

impl Modules<'_> {
    fn add(&mut self, remote: &Remote, checkout: &mut Checkout, depth: usize) -> Result<(), Error> {
        if depth > self.limits.submodule_depth {
            return Ok(());
        }
        let Some(text) = checkout.file(GITMODULES_FILE, self.limits.gitmodules_bytes)? else { return Ok(()) };
        let urls = parse(&text).map_err(|e| at(GITMODULES_FILE.into(), e))?;
        for (path, url) in urls {
            // Each is looked for in the tree, and there may be more of them than submodules.
            if self.deadline.is_over() {
                let url = net::redact(remote.url());
                return Err(Error::Clone { url, source: TransportError::Deadline });
            }
            let Some((Kind::Submodule, commit)) = checkout.find(&path)? else { continue };
            let module = self.module(remote, &url, commit, depth);
            let module = module
                .map_err(|source| Error::Submodule { path: path.to_string(), source: Box::new(source) })?;
            checkout.modules.insert(path, module);
        }
        Ok(())
    }

    fn module(
        &mut self,
        parent: &Remote,
        url: &str,
        commit: ObjectId,
        depth: usize,
    ) -> Result<Checkout, Error> {
        self.left = self.left.checked_sub(1).ok_or(SubmoduleError::TooMany(self.limits.submodules))?;
        let remote = parent.beside(url)?;
        let name =
            gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, remote.url().as_bytes());
        let name = name.map_err(|e| SubmoduleError::File(e.to_string()))?;
        let cache = Cache::new(self.dir.join(name.to_string()), self.limits.clone());
        let (mut module, fetched) = cache.commit_named(self.connector, &remote, commit, self.deadline)?;
        self.limits.pack_bytes = self.limits.pack_bytes.saturating_sub(fetched);
        self.add(&remote, &mut module, depth + 1)?;
        Ok(module)
    }
}

fn at(path: String, source: SubmoduleError) -> Error {
    Error::Submodule { path, source: Box::new(source.into()) }
}

impl Remote {
    /// The repository that a submodule of this one has as its `url`, with the same credentials on the same server.
    fn beside(&self, url: &str) -> Result<Remote, SubmoduleError> {
        let wrong = |error| SubmoduleError::Url(net::redact(url), error);
        let mut remote = Remote::new(&resolve(&self.url, url)?).map_err(wrong)?;
        // A proxy is the way to every server.
        remote.proxy = self.proxy.clone();
        if remote.server() == self.server() {
            remote.tls = self.tls.clone();
            if remote.auth == crate::Auth::None {
                remote.auth = self.auth.clone();
            }
        }
        Ok(remote)
    }
}

/// The absolute URL of a submodule.
fn resolve(parent: &Url, url: &str) -> Result<String, SubmoduleError> {
    if url.starts_with("./") || url.starts_with("../") {
        let outside = || SubmoduleError::Outside(url.to_owned());
        let mut path: Vec<&str> = parent.path().split('/').filter(|part| !part.is_empty()).collect();
        for part in url.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(path.pop().ok_or_else(outside)?),
                name => path.push(name),
            }
        }
        let mut resolved = parent.clone();
        resolved.set_path(&path.join("/"));
        resolved.set_query(None);
        return Ok(resolved.into());
    }
    if url.contains("://") {
        return Ok(url.to_owned());
    }
    // `git@host:path`. Two colons would name a program that helps, `ext::sh`.
    match url.split_once(':') {
        Some((host, path))
            if !host.contains(['/', '\\']) && !host.starts_with('-') && !path.starts_with(':') =>
        {
            Ok(format!("ssh://{host}/{}", path.trim_start_matches('/')))
        }
        _ => Err(SubmoduleError::Url(net::redact(url), UrlError::Scheme(String::new()))),
    }
}

/// Path and URL of each submodule. Other settings, such as commands that update them, mean nothing here.
fn parse(text: &[u8]) -> Result<BTreeMap<BString, String>, SubmoduleError> {
    use gix::config::file::{Metadata, init};
    // Nothing is looked up and nothing else read in: the text alone counts.
    let file = gix::config::File::from_bytes_no_includes(text, Metadata::api(), init::Options::default());
    let file = file.map_err(|e| SubmoduleError::File(e.to_string()))?;
    let mut modules = BTreeMap::new();
    for section in file.sections_by_name("submodule").into_iter().flatten() {
        let (path, url) = (section.value("path"), section.value("url"));
        if let (Some(path), Some(url)) = (path, url.as_ref().and_then(|url| url.to_str().ok())) {
            modules.insert(path.trim_end_with(|c| c == '/').into(), url.to_owned());
        }
    }
    Ok(modules)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Auth;
    use secret::Secret;

    #[test]
    fn urls_are_resolved_as_git_does_it() {
        for (parent, url, resolved) in [
            ("https://h/org/app.git", "../lib.git", Some("https://h/org/lib.git")),
            ("https://h/org/app.git/", "../lib.git", Some("https://h/org/lib.git")),
            ("https://h/org/app", "./lib", Some("https://h/org/app/lib")),
            ("https://h:8443/org/app", "../../other/lib", Some("https://h:8443/other/lib")),
            ("ssh://git@h:22/org/app", "../lib", Some("ssh://git@h:22/org/lib")),
            ("https://h/org/app", "../../../lib", None),
            ("https://h/app", "../a/../../lib", None),
            ("https://h/app", "http://other/lib", Some("http://other/lib")),
            ("https://h/app", "git@h:org/lib.git", Some("ssh://git@h/org/lib.git")),
            ("https://h/app", "h:/org/lib.git", Some("ssh://h/org/lib.git")),
            ("https://h/app", "/srv/git/lib.git", None),
            ("https://h/app", "lib.git", None),
            ("https://h/app", "--upload-pack=touch x", None),
            ("https://h/app", "-oProxyCommand=x:y", None),
            ("https://h/app", "ext::sh -c id", None),
        ] {
            let got = resolve(&Url::parse(parent).unwrap(), url);
            assert_eq!(got.as_deref().ok(), resolved, "{parent} {url}");
        }
    }

    #[test]
    fn submodules_are_asked_of_http_and_ssh_servers_only() {
        let parent = Remote::new("https://h/app").unwrap();
        for url in ["file:///etc", "git://h/r", "ftp://h/r", "ext::sh -c id", "--upload-pack=x", "fd::17", ""]
        {
            assert!(parent.beside(url).is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_stay_on_their_server() {
        let auth = Auth::Basic { username: "me".into(), password: Secret::new("pw") };
        let parent = Remote::new("https://h/org/app").unwrap().with_auth(auth.clone()).unwrap();
        for (url, same) in [
            ("../lib", true),
            ("https://h/else/lib", true),
            ("https://h:443/lib", true),
            ("http://h/lib", false),
            ("https://h:8443/lib", false),
            ("https://other/lib", false),
            ("https://h.other/lib", false),
        ] {
            let remote = parent.beside(url).unwrap();
            assert_eq!(remote.auth, if same { auth.clone() } else { Auth::None }, "{url}");
        }
        let own = parent.beside("https://you:own@h/lib").unwrap();
        assert_eq!(own.auth, Auth::Basic { username: "you".into(), password: Secret::new("own") });
    }

    #[test]
    fn a_gitmodules_file_is_only_data() {
        let text = b"[submodule \"a\"]\n\tpath = libs/a/\n\turl = ../a # comment\n\tupdate = !touch /tmp/x\n\
                     [include]\n\tpath = /etc/passwd\n[submodule \"no-url\"]\n\tpath = b\n\
                     [submodule \"q\"]\n\tpath = \"with space\"\n\turl = \"https://h/q\"\n";
        let modules = parse(text).unwrap();
        let expected = [("libs/a", "../a"), ("with space", "https://h/q")]
            .map(|(p, u)| (BString::from(p), u.to_owned()));
        assert_eq!(modules, BTreeMap::from(expected));
        assert!(matches!(parse(b"[submodule \"a\"\n"), Err(SubmoduleError::File(_))));
    }
}
