//! The objects of one kind and namespace, as a watch shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use apply::kstatus::Verdict;
use apply::mapper::RestMapping;
use apply::request::{Requests, Target};
use futures::{Stream, StreamExt, stream};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, TypeMeta};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;

use super::Judge;
use crate::resources::Resource;

/// How long a watch that fails is left alone; the objects are asked for one by one meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// What Helm marks all objects of releases with.
const MANAGED: &str = "app.kubernetes.io/managed-by=Helm";

/// Objects of one kind and namespace, by their names, with their places among those that are waited for.
#[derive(Clone, Debug)]
pub(super) struct Group {
    mapped: RestMapping,
    namespace: String,
    places: BTreeMap<String, usize>,
    /// Whether the label of Helm is on all of them.
    is_labelled: bool,
}

impl Group {
    pub(super) fn of_one(resource: &Resource) -> Self {
        Self {
            mapped: resource.mapped.clone(),
            namespace: resource.id.namespace.clone(),
            places: BTreeMap::from([(resource.id.name.clone(), 0)]),
            is_labelled: false,
        }
    }

    /// Sorts objects into groups. Those without the label of Helm are groups of their own, for they cannot be told from others.
    pub(super) fn all<'a>(resources: impl Iterator<Item = (usize, &'a Resource)>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (place, resource) in resources {
            let is_labelled = is_labelled(&resource.object);
            let same = groups.iter_mut().find(|group| {
                is_labelled
                    && group.is_labelled
                    && group.mapped == resource.mapped
                    && group.namespace == resource.id.namespace
            });
            match same {
                Some(group) => drop(group.places.insert(resource.id.name.clone(), place)),
                None => groups.push(Self {
                    places: BTreeMap::from([(resource.id.name.clone(), place)]),
                    is_labelled,
                    ..Self::of_one(resource)
                }),
            }
        }
        groups
    }

    /// What an event shows. The items of a list come without kind and version.
    fn seen(&self, object: DynamicObject) -> Seen {
        let ApiResource { api_version, kind, .. } = &self.mapped.resource;
        let types = TypeMeta { api_version: api_version.clone(), kind: kind.clone() };
        let name = object.metadata.name.clone().unwrap_or_default();
        (name, serde_json::to_value(DynamicObject { types: Some(types), ..object }).ok())
    }

    fn events(
        &self,
        client: &Client,
    ) -> impl Stream<Item = watcher::Result<Event<DynamicObject>>> + Send + use<> {
        let resource = &self.mapped.resource;
        let api: Api<DynamicObject> = match self.mapped.namespaced {
            true => Api::namespaced_with(client.clone(), &self.namespace, resource),
            false => Api::all_with(client.clone(), resource),
        };
        let config = match self.places.keys().next() {
            Some(name) if self.places.len() == 1 => {
                watcher::Config::default().fields(&format!("metadata.name={name}"))
            }
            _ => watcher::Config::default().labels(MANAGED),
        };
        watcher(api, config)
    }
}

fn is_labelled(object: &Value) -> bool {
    let label = object.pointer("/metadata/labels/app.kubernetes.io~1managed-by");
    label.and_then(Value::as_str) == Some("Helm")
}

/// A change of an object: its name, and how it is now; nothing if it is gone.
type Seen = (String, Option<Value>);

/// What is seen of a group, from what there is now on. While the watch fails, the objects are asked for.
fn seen(client: Client, group: Group, timeout: Duration) -> impl Stream<Item = Vec<Seen>> + Send {
    let events = group.events(&client).boxed();
    // The names that were listed since the list began.
    let listed: Vec<String> = Vec::new();
    stream::unfold(
        (events, listed, client, group),
        move |(mut events, mut listed, client, group)| async move {
            loop {
                let changes = match events.next().await? {
                    Ok(Event::Init) => {
                        listed.clear();
                        continue;
                    }
                    Ok(Event::InitApply(object)) => {
                        let seen = group.seen(object);
                        listed.push(seen.0.clone());
                        vec![seen]
                    }
                    Ok(Event::InitDone) => {
                        let missing = group.places.keys().filter(|name| !listed.contains(name));
                        missing.map(|name| (name.clone(), None)).collect()
                    }
                    Ok(Event::Apply(object)) => vec![group.seen(object)],
                    Ok(Event::Delete(object)) => vec![(object.metadata.name.unwrap_or_default(), None)],
                    Err(error) => {
                        tracing::debug!(
                            kind = group.mapped.resource.kind,
                            error = net::chain(&error),
                            "watch failed"
                        );
                        tokio::time::sleep(PAUSE).await;
                        ask(&client, &group, timeout).await
                    }
                };
                return Some((changes, (events, listed, client, group)));
            }
        },
    )
}

async fn ask(client: &Client, group: &Group, timeout: Duration) -> Vec<Seen> {
    let requests = Requests { client: client.clone(), timeout };
    let mut seen = Vec::new();
    for name in group.places.keys() {
        let target = Target { mapped: &group.mapped, namespace: &group.namespace, name };
        if let Ok(live) = requests.get(&target).await {
            seen.push((name.clone(), live));
        }
    }
    seen
}

/// How the objects of a group stand, again and again; nothing for one that is gone.
pub(super) fn states(
    client: Client,
    group: Group,
    judge: Judge,
    timeout: Duration,
) -> impl Stream<Item = (usize, Option<Verdict>)> + Send {
    let places = group.places.clone();
    seen(client, group, timeout).flat_map(move |changes| {
        let judged: Vec<_> = changes
            .into_iter()
            .filter_map(|(name, live)| Some((*places.get(&name)?, live.map(|object| judge.verdict(&object)))))
            .collect();
        stream::iter(judged)
    })
}

/// Waits until the object of a group is gone.
pub(super) async fn until_gone(client: &Client, group: &Group, timeout: Duration) {
    let mut seen = std::pin::pin!(seen(client.clone(), group.clone(), timeout));
    while let Some(changes) = seen.next().await {
        if changes.iter().any(|(name, live)| live.is_none() && group.places.contains_key(name)) {
            return;
        }
    }
}
