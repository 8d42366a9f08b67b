//! What all actions on one release share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apply::error::RequestError;
use apply::manager::Manager;
use apply::mapper::Mapper;
use apply::mask::Mask;
use apply::request::Requests;
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use helm_release::{Limits, Release};
use kube::Client;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::kept::Kept;
use crate::log::Log;
use crate::memory::Memory;
use crate::steps::Steps;
use crate::storage::Storage;

/// Where a release lives, in whose identity it is touched, and who wants to hear of it.
///
/// Everything that an action asks of the cluster goes through `client`: discovery is the caller's, by the mapper that it hands in.
#[derive(Clone)]
pub struct Configuration {
    /// The identity of the release in its cluster.
    pub client: Client,
    /// What the cluster serves.
    pub mapper: Arc<Mapper>,
    /// Who writes. Its field manager stands in what is applied.
    pub manager: Manager,
    /// Where the revisions are stored.
    pub storage_namespace: String,
    /// What a stored revision may ask for.
    pub limits: Limits,
    /// Longest wait for one answer of the API server.
    pub request_timeout: Duration,
    /// Most requests at a time.
    pub concurrency: usize,
    /// Values that no error may show. What the Secrets of a release hold is hidden in any case.
    pub mask: Mask,
    /// Hears of each write to the storage.
    pub observer: Observer,
    /// Hears what an action is at.
    pub steps: Steps,
    /// Keeps the last lines of what an action says.
    pub log: Log,
    /// Tells what an action keeps in memory.
    pub memory: Memory,
    /// The revision that was read or written last.
    pub kept: Kept,
    /// What ends waits before their time.
    pub stop: Stop,
}

/// What ends waits before their time. An action that is ended this way has failed, and is stored as such.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// The process ends: no wait goes on, and nothing more is applied.
    pub shutdown: CancellationToken,
    /// There is something newer to do: waits for the objects of a release end, those for hooks and deletions do not.
    pub interrupt: CancellationToken,
}

/// A write to the storage that has succeeded.
pub enum Write<'a> {
    /// A revision is new.
    Created(&'a Release),
    /// A revision has changed.
    Updated(&'a Release),
    /// A revision is gone.
    Deleted {
        /// The release.
        name: &'a str,
        /// The revision.
        revision: i64,
    },
}

/// Hears of each write to the storage, right behind it.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Write<'_>) + Send + Sync>);

impl Observer {
    /// Calls a function.
    pub fn new(observe: impl Fn(Write<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(crate) fn tell(&self, write: Write<'_>) {
        (self.0)(write);
    }
}

impl Default for Observer {
    /// Hears nothing.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Configuration {
    /// The stored revisions.
    pub fn storage(&self) -> Storage {
        Storage::new(self)
    }

    /// Runs futures side by side, as many at a time as may be; the answers are in the order of the futures.
    ///
    /// They are boxed because the compiler does not see of closures over references that what they give can go to another thread.
    pub(crate) async fn side_by_side<T>(&self, futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
        stream::iter(futures).buffered(self.concurrency).collect().await
    }

    pub(crate) fn requests(&self) -> Requests {
        Requests { client: self.client.clone(), timeout: self.request_timeout }
    }

    /// An error about an object without what the object or others keep secret.
    pub(crate) fn masked(&self, error: RequestError, object: &Value) -> RequestError {
        error.masked(&self.mask.with_data_of(object))
    }
}
