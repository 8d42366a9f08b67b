//! One watch: its objects are reduced as they arrive and dropped. Any failure is answered by a new list, so that what is
//! in the index is either complete or said to be old.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::table::{Table, reduce};
use super::{IndexOptions, Key, Shared, TakeIn, WatchState};
use crate::manager::Manager;
use crate::mapper::{MapError, RestMapping};
use crate::object::meta;
use crate::prepare::Owner;
use crate::request::segment;

/// An object as the watch decodes it: any JSON object with metadata will do.
#[derive(Clone)]
struct Seen {
    /// Name, namespace and version only.
    metadata: ObjectMeta,
    object: Value,
}

impl fmt::Debug for Seen {
    /// The content may be a Secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seen").field(&self.metadata.namespace).field(&self.metadata.name).finish()
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let text = |field| Some(meta(&object, field).to_owned()).filter(|t| !t.is_empty());
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

impl Resource for Seen {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(dt)
    }

    fn group(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(dt)
    }

    fn version(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(dt)
    }

    fn api_version(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::api_version(dt)
    }

    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// So many failures in a row are worth a line in the log: one alone is an everyday thing, such as a version that is too old.
const TOLD_FAILURES: u32 = 3;

/// Failures of a watch in a row. They end with a watch that lasts, not with a list that succeeds: where only watches fail, that would be
/// one list of all objects after another.
#[derive(Default)]
struct Failures {
    count: u32,
    /// The log says that they go on.
    is_told: bool,
    /// When the present watch will have lasted.
    lasts_at: Option<Instant>,
}

impl Failures {
    fn add(&mut self, key: &Key, state: &WatchState) {
        self.lasts_at = None;
        self.count = self.count.saturating_add(1);
        let (kind, group) = (&key.kind, &key.group);
        match state {
            WatchState::Failing(error) | WatchState::Forbidden(error)
                if self.count >= TOLD_FAILURES && !self.is_told =>
            {
                self.is_told = true;
                tracing::warn!(%kind, %group, error, "objects are not watched, it is tried again");
            }
            _ => tracing::debug!(%kind, %group, ?state, "watch failed"),
        }
    }

    /// A list is complete: a watch begins.
    fn begin_watch(&mut self, options: &IndexOptions) {
        self.lasts_at = (self.count > 0).then(|| Instant::now() + options.retry.longest);
    }

    /// Forgets the failures if the watch has lasted.
    fn look(&mut self, key: &Key) {
        if self.lasts_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        if self.is_told {
            tracing::info!(kind = %key.kind, group = %key.group, failures = self.count, "objects are watched again");
        }
        *self = Self::default();
    }
}

/// Watches until the index lets go of the key.
pub(super) async fn run(shared: Weak<Shared>, key: Key, retry_now: Arc<Notify>) {
    let Some((client, manager, options, mapper)) =
        shared.upgrade().map(|s| (s.client.clone(), s.manager, s.options.clone(), s.mapper.clone()))
    else {
        return;
    };
    let mut failures = Failures::default();
    // A kind that is not served is looked for again when somebody asks for it; by itself, what others find out will do.
    let mut since = Instant::now();
    loop {
        let state = match mapper.resolve_preferred_since(&key.group, &key.kind, since).await {
            Ok(mapped) => follow(&shared, &key, &mapped, &client, &manager, &options, &mut failures).await,
            Err(error @ MapError::NoMatch { .. }) => Some(WatchState::NotServed(error.to_string())),
            Err(error) => Some(WatchState::Failing(error.to_string())),
        };
        let Some(state) = state else { return };
        let Some(index) = shared.upgrade() else { return };
        failures.add(&key, &state);
        index.failed(&key, state);
        if index.retire(&key) {
            return;
        }
        drop(index);
        // Being asked for again cuts the wait short.
        let (begun, pause) = (Instant::now(), options.retry.after(failures.count));
        since = match timeout(pause, retry_now.notified()).await {
            Ok(()) => Instant::now(),
            Err(_) => begun.checked_sub(options.rediscovery).unwrap_or(begun),
        };
    }
}

/// Takes in events until the watch fails, which is the state it gives, or is no longer needed.
async fn follow(
    shared: &Weak<Shared>,
    key: &Key,
    mapped: &RestMapping,
    client: &Client,
    manager: &Manager,
    options: &IndexOptions,
    failures: &mut Failures,
) -> Option<WatchState> {
    let mut stream = std::pin::pin!(events(key, mapped, client, manager, options));
    let mut expiry: Option<Timestamp> = None;
    loop {
        // What is over is due at once.
        let until_expiry =
            expiry.map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
        let until_lasting = failures.lasts_at.map(|at| at.saturating_duration_since(Instant::now()));
        let wait = [until_expiry, until_lasting].into_iter().flatten().fold(options.idle, Duration::min);
        let event = timeout(wait, stream.next()).await;
        failures.look(key);
        let index = shared.upgrade()?;
        match event {
            Err(_) if expiry.is_some() => expiry = index.expire(key),
            Err(_) => {}
            Ok(None) => return Some(WatchState::Failing("the watch ended".into())),
            Ok(Some(Err(error))) => {
                let state = state_of(&error);
                // What discovery said is no longer so.
                if matches!(state, WatchState::NotServed(_)) {
                    index.mapper.mark_stale(&key.group, &key.kind);
                }
                return Some(state);
            }
            Ok(Some(Ok(event))) => {
                if matches!(event, Event::InitDone) {
                    failures.begin_watch(options);
                }
                expiry = [expiry, take(&index, key, mapped, event)].into_iter().flatten().min();
            }
        }
        if index.retire(key) {
            return None;
        }
    }
}

fn events(
    key: &Key,
    mapped: &RestMapping,
    client: &Client,
    manager: &Manager,
    options: &IndexOptions,
) -> impl Stream<Item = watcher::Result<Event<Seen>>> + use<> {
    let config = watcher::Config::default().page_size(options.page_size);
    let api = |namespace: &str| -> Api<Seen> {
        if mapped.namespaced && !namespace.is_empty() {
            Api::namespaced_with(client.clone(), &segment(namespace), &mapped.resource)
        } else {
            Api::all_with(client.clone(), &mapped.resource)
        }
    };
    match &key.only {
        None => watcher(api(""), config.labels(&manager.key("name"))),
        Some((namespace, name)) => {
            watcher(api(namespace), config.fields(&format!("metadata.name={}", selector_value(name))))
        }
    }
}

/// A value in a field selector, where three characters have a meaning.
fn selector_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

/// Takes in an event. Gives when a verdict that came with it will change by itself.
fn take(index: &Shared, key: &Key, mapped: &RestMapping, event: Event<Seen>) -> Option<Timestamp> {
    match event {
        Event::Init => index.begin_list(key),
        Event::InitDone => index.end_list(key),
        Event::Apply(seen) | Event::InitApply(seen) => {
            return put(index, key, mapped, seen.object, Table::put);
        }
        Event::Delete(seen) => index.remove(key, meta(&seen.object, "namespace"), meta(&seen.object, "name")),
    }
    None
}

/// Reduces an object and takes it in. Gives when its verdict will change by itself.
fn put(
    index: &Shared,
    key: &Key,
    mapped: &RestMapping,
    mut object: Value,
    take: TakeIn,
) -> Option<Timestamp> {
    // Items of lists come without them.
    if let Value::Object(fields) = &mut object {
        fields.insert("apiVersion".into(), mapped.resource.api_version.as_str().into());
        fields.insert("kind".into(), mapped.resource.kind.as_str().into());
    }
    let (name, owner) =
        ((meta(&object, "namespace"), meta(&object, "name")), Owner::of(&object, &index.manager));
    loop {
        let rule = index.rule(key, owner.as_ref());
        let observed = reduce(&object, &index.manager, Timestamp::now(), rule.as_deref());
        let expiry = observed.verdict.fails_at;
        if index.put(key, name, observed, rule.as_ref(), take) {
            return expiry;
        }
    }
}

/// Why objects could not be read again.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// The kind is not served.
    #[error(transparent)]
    Kind(#[from] MapError),
    /// The API server did not list them.
    #[error(transparent)]
    List(#[from] kube::Error),
}

/// Reads an owner's objects of a kind once more, to judge them by the rule they now have. Tries until it succeeds or the
/// kind is not watched any more.
pub(super) async fn reread_health(shared: Weak<Shared>, key: Key, owner: Owner) {
    let mut failures = 0_u32;
    loop {
        let Some(index) = shared.upgrade() else { return };
        if !index.lock().watches.contains_key(&key) {
            return;
        }
        let (client, mapper, options) = (index.client.clone(), index.mapper.clone(), index.options.clone());
        let manager = index.manager;
        drop(index);
        let result = match mapper.resolve_preferred(&key.group, &key.kind).await {
            Ok(mapped) => {
                read_owned(&shared, &key, &mapped, client, &manager, &owner, options.page_size).await
            }
            Err(error) => Err(error.into()),
        };
        let Err(error) = result else { return };
        tracing::debug!(kind = %key.kind, group = %key.group, %error, "objects are not judged yet");
        failures = failures.saturating_add(1);
        tokio::time::sleep(options.retry.after(failures)).await;
    }
}

async fn read_owned(
    shared: &Weak<Shared>,
    key: &Key,
    mapped: &RestMapping,
    client: Client,
    manager: &Manager,
    owner: &Owner,
    page_size: u32,
) -> Result<(), ReadError> {
    let labels: Vec<_> =
        owner.labels(manager).iter().map(|(label, value)| format!("{label}={value}")).collect();
    let api: Api<Seen> = Api::all_with(client, &mapped.resource);
    let mut page = ListParams::default().labels(&labels.join(",")).limit(page_size);
    loop {
        let list = api.list(&page).await?;
        let Some(index) = shared.upgrade() else { return Ok(()) };
        for seen in list.items {
            put(&index, key, mapped, seen.object, Table::reread);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn state_of(error: &watcher::Error) -> WatchState {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status {
        Some(s) if s.code == 403 => WatchState::Forbidden(s.message.clone()),
        Some(s) if s.code == 404 => WatchState::NotServed(s.message.clone()),
        _ => WatchState::Failing(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::WatchEvent;

    #[test]
    fn an_object_of_any_shape_is_decoded() {
        for object in [
            "{}",
            r#"{"metadata": 3}"#,
            r#"{"metadata": {"name": 1, "labels": ["x"], "managedFields": {}}, "status": []}"#,
        ] {
            let event = format!(r#"{{"type": "ADDED", "object": {object}}}"#);
            let decoded = serde_json::from_str::<WatchEvent<Seen>>(&event);
            assert!(matches!(decoded, Ok(WatchEvent::Added(_))), "{object}");
        }
    }

    #[test]
    fn a_name_is_one_value_of_a_field_selector() {
        assert_eq!(selector_value(r"a,metadata.namespace=b\"), r"a\,metadata.namespace\=b\\");
    }
}
