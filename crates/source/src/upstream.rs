//! What one kind of source does itself. All else of a pass is written once, in `crate::pass`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use api::source::Source;
use api::{Artifact, LocalObjectReference};
use artifact::store::{self, StoreError};
use jiff::Timestamp;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use net::Deadline;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::background::Host;
use crate::failure::{Failure, Interrupted, reason};
use crate::storage::ObjectStorage;

/// A kind of source.
///
/// ```text
/// begin ─▶ resolve ─▶ known_revision ─▶ fetch ─▶ has_changed ─▶ build ─▶ stored
///          (spec)                       (waits for servers)     (blocks)
/// ```
///
/// `fetch` may outlast its pass and may be given up; `build` runs on a thread of its own. The others only look at the object
/// in memory and must not wait.
///
/// # Guarantees
/// - One `fetch` and one `build` at a time for an object. A new spec, a request or a deletion gives up the fetch under way.
/// - `build` gets what the last `fetch` of this object brought, and writes only into the storage that it is handed.
///
/// # Caveats
/// - A `fetch` that is given up is dropped at its next await: threads that it started have to look at their deadline themselves.
pub trait Upstream: Send + Sync + 'static {
    /// The name of the kind.
    const KIND: &'static str;
    /// The API type.
    type Object: Source
        + HasStatus<Status: Clone>
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + Unpin
        + 'static;
    /// What the spec says and refers to, once it is read.
    type References: Clone + Send + Sync + 'static;
    /// What was fetched, to build from.
    type Content: Send + 'static;
    /// The file name of the link to the current artifact, for kinds with `status.url`.
    const LINK: Option<&'static str> = Some("latest.tar.gz");
    /// The reason of the condition that tells of something else than what is stored.
    const NEWS: &'static str = reason::NEW_REVISION;

    /// Whether an object only says something to others: nothing is fetched for it, and it has neither a finalizer nor a status.
    fn is_static(_object: &Self::Object) -> bool {
        false
    }

    /// A pass begins: what the status says of verification and the like that no longer holds.
    fn begin(&self, _object: &mut Self::Object, _now: Timestamp) {}

    /// Reads the spec and finds what it refers to.
    ///
    /// # Errors
    /// What is wrong with the spec, or not there yet.
    fn resolve(
        &self,
        object: &mut Self::Object,
        now: Timestamp,
    ) -> Result<Resolved<Self::References>, Failure>;

    /// The revision that the upstream must have for nothing to be done; `None` if the stored artifact does not fit the spec.
    fn known_revision(&self, object: &Self::Object, references: &Self::References) -> Option<String>;

    /// Whether the stored artifact was made from other settings than those in the spec.
    fn has_changed(&self, object: &Self::Object, references: &Self::References) -> bool;

    /// Asks the upstream, and fetches unless it has the known revision. Waits for its turn at `host`.
    fn fetch(
        self: Arc<Self>,
        request: Request<Self::Object, Self::References>,
        host: Host,
    ) -> impl Future<Output = Result<Fetched<Self::Content>, Interrupted>> + Send;

    /// What people call the content, such as the first line of a commit's message.
    fn title(&self, content: &Self::Content) -> String;

    /// Makes the artifact. Blocks; ends when the deadline is cancelled.
    ///
    /// # Errors
    /// Whatever goes wrong on the way.
    fn build(
        &self,
        build: Build<Self::Object, Self::References>,
        content: Self::Content,
        deadline: &Deadline,
    ) -> Result<Built, Failure>;

    /// The artifact in the status was made from the spec as it is: takes note of what it was made from.
    fn stored(&self, object: &mut Self::Object, references: Self::References);

    /// What was fetched is signed as the spec wants it.
    fn verified(&self, _object: &mut Self::Object, _verified: &Verified) {}

    /// What the status says of an artifact that is up to date.
    fn stored_text(revision: &str) -> String;

    /// The same with its reason. The title is that of the content, if that had to be read.
    fn in_storage(&self, _object: &Self::Object, revision: &str, _title: Option<&str>) -> (String, String) {
        (reason::SUCCEEDED.to_owned(), Self::stored_text(revision))
    }

    /// The reason of the event that tells of new content or of the end of a failure; `news` is that of most kinds.
    fn event_reason<'a>(_object: &'a Self::Object, news: &'a str) -> &'a str {
        news
    }

    /// The text of the event that tells of new content; without a title the revision says it.
    fn announcement(&self, object: &Self::Object, title: Option<&str>) -> String;

    /// Whether an artifact has this revision, in whatever form it is written.
    fn is_revision(artifact: &Artifact, revision: &str) -> bool {
        artifact.revision == revision
    }

    /// What dashboards read of an object beside what all sources have: the name of each label and its value.
    fn labels(object: &Self::Object) -> Vec<(&'static str, String)>;

    /// The watch tells of objects.
    fn observe(&self, _event: &Event<Self::Object>) {}

    /// The object is being deleted: removes what was kept of it outside the artifact storage. Blocks.
    ///
    /// # Errors
    /// When something cannot be removed.
    fn release(&self, _source: &ObjectRef<Self::Object>) -> Result<(), StoreError> {
        Ok(())
    }

    /// The object is gone.
    fn gone(&self, _source: &ObjectRef<Self::Object>) {}
}

/// A spec that was read.
pub struct Resolved<R> {
    /// What it says and refers to.
    pub references: R,
    /// The host that will be asked, without a port; only so many fetches ask one host at once.
    pub host: String,
    /// Whether the status has news of this that others should see soon.
    pub news: bool,
}

/// The host that is asked at `host` for an object of `namespace`: with a proxy it is the proxy, which may answer for any host.
pub fn asked_host(host: &str, namespace: &str, proxy: Option<&LocalObjectReference>) -> String {
    match proxy {
        Some(proxy) => format!("proxy {namespace}/{}", proxy.name),
        None => host.to_ascii_lowercase(),
    }
}

/// What is to be fetched.
pub struct Request<K, R> {
    /// For whom.
    pub object: K,
    /// What its spec says and refers to.
    pub references: R,
    /// The revision of which nothing is needed.
    pub known: Option<String>,
    /// What a server said before this does not count.
    pub since: Instant,
}

/// What an upstream has.
pub struct Fetched<C> {
    /// The revision, and what is in it unless that is known.
    pub outcome: Outcome<C>,
    /// Who has signed it, if that had to be verified.
    pub verified: Option<Verified>,
}

/// What a look at the upstream gave.
pub enum Outcome<C> {
    /// It still is at the known revision, which is named; nothing was fetched.
    Unchanged(String),
    /// Content that may be new.
    New {
        /// Its revision.
        revision: String,
        /// What the status says of a revision that is not the stored one.
        news: String,
        /// What to build from.
        content: C,
    },
}

/// A verification that succeeded.
#[derive(Debug, Clone)]
pub struct Verified {
    /// By whom the content is signed, in the words of the condition. Without it, the keys allow content that nobody has signed, and
    /// the condition is removed.
    pub message: Option<String>,
    /// What identifies the keys that were trusted.
    pub keys: String,
}

/// What an artifact is made for.
pub struct Build<K, R> {
    /// The object.
    pub object: K,
    /// What its spec says and refers to.
    pub references: R,
    /// Where its artifacts go.
    pub storage: ObjectStorage,
}

/// What was stored.
pub struct Built {
    /// The artifact.
    pub artifact: store::Artifact,
    /// Facts of the upstream for `status.artifact.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// See [`Upstream::title`].
    pub title: String,
    /// Who has signed it, if it had to be fetched anew and verified.
    pub verified: Option<Verified>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_a_proxy_does_not_count_for_the_host_behind_it() {
        assert_eq!(asked_host("GitHub.com", "ns", None), "github.com");
        let proxy = LocalObjectReference { name: "p".to_owned() };
        assert_eq!(asked_host("github.com", "ns", Some(&proxy)), "proxy ns/p");
    }
}
