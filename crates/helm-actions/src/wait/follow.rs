//! The objects of one kind and namespace, as a watch shows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apply::kstatus::Verdict;
use apply::manager::Manager;
use apply::mapper::RestMapping;
use apply::prepare::Owner;
use apply::request::{Requests, Target};
use futures::{Stream, StreamExt, stream};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, TypeMeta};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;

use super::Judge;
use crate::resources::Resource;

/// How long a watch that fails is left alone; the objects are asked for one by one meanwhile. Objects without a watch are asked for
/// again after it, as often as Flux asks for all.
const PAUSE: Duration = Duration::from_secs(5);

/// What Helm marks all objects of releases with.
const MANAGED: &str = "app.kubernetes.io/managed-by=Helm";

/// Objects of one kind and namespace, by their names, with their places among those that are waited for.
#[derive(Clone, Debug)]
pub(super) struct Group {
    mapped: RestMapping,
    namespace: String,
    places: BTreeMap<String, usize>,
    /// The labels that all of them have, and few others; none if there are no such.
    selector: Option<String>,
}

impl Group {
    pub(super) fn of_one(resource: &Resource) -> Self {
        Self {
            mapped: resource.mapped.clone(),
            namespace: resource.id.namespace.clone(),
            places: BTreeMap::from([(resource.id.name.clone(), 0)]),
            selector: None,
        }
    }

    /// Sorts objects into groups. Those that have no label of a release are groups of their own, for they cannot be told from others.
    pub(super) fn all<'a>(
        resources: impl Iterator<Item = (usize, &'a Resource)>,
        manager: &Manager,
    ) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (place, resource) in resources {
            let selector = selector(&resource.object, manager);
            let same = groups.iter_mut().find(|group| {
                selector.is_some()
                    && group.selector == selector
                    && group.mapped == resource.mapped
                    && group.namespace == resource.id.namespace
            });
            match same {
                Some(group) => drop(group.places.insert(resource.id.name.clone(), place)),
                None => groups.push(Self {
                    places: BTreeMap::from([(resource.id.name.clone(), place)]),
                    selector,
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
        let name = self.places.keys().next().map(String::as_str).unwrap_or_default();
        let config = match &self.selector {
            Some(selector) if self.places.len() > 1 => watcher::Config::default().labels(selector),
            _ => watcher::Config::default().fields(&format!("metadata.name={name}")),
        };
        watcher(api, config)
    }
}

/// The labels of the release that an object is of: those of its owner, or that of Helm.
fn selector(object: &Value, manager: &Manager) -> Option<String> {
    if let Some(owner) = Owner::of(object, manager) {
        let labels = owner.labels(manager).map(|(name, value)| format!("{name}={value}"));
        // The API server has taken them as labels.
        return Some(labels.join(","));
    }
    let managed = object.pointer("/metadata/labels/app.kubernetes.io~1managed-by").and_then(Value::as_str);
    (managed == Some("Helm")).then(|| MANAGED.to_owned())
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
    seen(client, group, timeout).flat_map(move |changes| stream::iter(judged(&places, changes, &judge)))
}

/// How the objects of groups stand that have no watch, again and again; without an end if there are any.
pub(super) fn polled(
    client: Client,
    groups: Vec<Group>,
    judge: Judge,
    timeout: Duration,
) -> impl Stream<Item = (usize, Option<Verdict>)> + Send {
    let turns = (0..groups.len()).cycle().enumerate();
    let groups = Arc::new(groups);
    let asked = stream::iter(turns).then(move |(turn, at)| {
        let (client, groups, judge) = (client.clone(), groups.clone(), judge.clone());
        async move {
            if at == 0 && turn > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let Some(group) = groups.get(at) else { return Vec::new() };
            judged(&group.places, ask(&client, group, timeout).await, &judge)
        }
    });
    asked.flat_map(stream::iter)
}

fn judged(
    places: &BTreeMap<String, usize>,
    changes: Vec<Seen>,
    judge: &Judge,
) -> Vec<(usize, Option<Verdict>)> {
    let judged = |(name, live): Seen| Some((*places.get(&name)?, live.map(|object| judge.verdict(&object))));
    changes.into_iter().filter_map(judged).collect()
}

/// Waits until an object is gone. Most are at once.
pub(super) async fn until_gone(client: &Client, resource: &Resource, timeout: Duration) {
    let requests = Requests { client: client.clone(), timeout };
    if matches!(requests.get(&resource.target()).await, Ok(None)) {
        return;
    }
    let group = Group::of_one(resource);
    let mut seen = std::pin::pin!(seen(client.clone(), group, timeout));
    while let Some(changes) = seen.next().await {
        if changes.iter().any(|(name, live)| live.is_none() && *name == resource.id.name) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apply::object::ObjectId;
    use kube::core::GroupVersionKind;
    use serde_json::json;

    const MANAGER: Manager = Manager { field_manager: "helm-controller", group: "helm.toolkit.fluxcd.io" };

    fn resource(name: &str, labels: Value) -> Resource {
        let gvk = GroupVersionKind::gvk("apps", "v1", "Deployment");
        let (kind, namespace) = ("Deployment".to_owned(), "apps".to_owned());
        Resource {
            id: ObjectId { group: "apps".into(), kind, namespace, name: name.into() },
            mapped: RestMapping { resource: ApiResource::from_gvk(&gvk), namespaced: true },
            gvk,
            object: json!({"metadata": {"name": name, "labels": labels}}),
            live: None,
        }
    }

    #[test]
    fn objects_of_one_release_are_watched_together_and_others_alone() {
        let ours = json!({"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "apps"});
        let helm = json!({"app.kubernetes.io/managed-by": "Helm"});
        let all = [
            resource("a", ours.clone()),
            resource("b", ours),
            resource("c", helm),
            resource("d", json!({})),
            resource("e", json!({})),
        ];
        let groups = Group::all((0..).zip(&all), &MANAGER);
        let groups: Vec<(usize, Option<&str>)> =
            groups.iter().map(|group| (group.places.len(), group.selector.as_deref())).collect();
        let owner = "helm.toolkit.fluxcd.io/name=web,helm.toolkit.fluxcd.io/namespace=apps";
        assert_eq!(groups, [(2, Some(owner)), (1, Some(MANAGED)), (1, None), (1, None)]);
    }
}
