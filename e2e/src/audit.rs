//! What the controllers ask the API server, by its audit log.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::User;
use crate::objects::Look;

/// The part of the API server's audit log written since a moment: what was asked, as it arrived.
#[derive(Debug)]
pub struct Audit {
    log: PathBuf,
    offset: u64,
}

/// One request of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is done: get, list, watch, create, patch, update, delete.
    pub verb: String,
    /// The resource, with its subresource behind a slash.
    pub resource: String,
    /// The namespace, empty where the request has none.
    pub namespace: String,
    /// The name of the object, empty where the path has none, as of what is created.
    pub name: String,
    /// Nothing is to be stored.
    pub dry_run: bool,
}

impl Request {
    /// Whether it only asks.
    pub fn is_read(&self) -> bool {
        matches!(&*self.verb, "get" | "list" | "watch")
    }
}

impl Audit {
    /// What is written to `log` from now on.
    pub fn from_now_on(log: &Path) -> Self {
        Self { log: log.to_owned(), offset: fs::metadata(log).map_or(0, |m| m.len()) }
    }

    /// The requests of `user` about what is in `namespace`.
    pub fn requests(&self, user: User, namespace: &str) -> Result<Vec<Request>> {
        let mut requests = self.all_requests(user)?;
        requests.retain(|request| request.namespace == namespace);
        Ok(requests)
    }

    /// All requests of `user` about resources, those included that it made in another identity.
    pub fn all_requests(&self, user: User) -> Result<Vec<Request>> {
        let text = fs::read(&self.log).context("read the audit log")?;
        let new = text.get(usize::try_from(self.offset)?..).unwrap_or_default();
        let entries =
            new.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let ours = entries.filter(|entry| {
            entry.text("/user/username") == user.identity() && entry.get("objectRef").is_some()
        });
        let request = |entry: Value| {
            let resource = [entry.text("/objectRef/resource"), entry.text("/objectRef/subresource")];
            Request {
                verb: entry.text("/verb").to_owned(),
                resource: resource.join("/").trim_end_matches('/').to_owned(),
                namespace: entry.text("/objectRef/namespace").to_owned(),
                name: entry.text("/objectRef/name").to_owned(),
                dry_run: entry.text("/requestURI").contains("dryRun=All"),
            }
        };
        Ok(ours.map(request).collect())
    }
}
