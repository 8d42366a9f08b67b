//! `gotk_resource_info`: what an object says of itself, with the labels that Flux's dashboards read from
//! kube-state-metrics.

use kube::{Resource, ResourceExt, runtime::reflector::Store};

use super::{Metrics, live::Sample};

/// What is told of an object beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceInfo {
    /// Status of its Ready condition, empty without.
    pub ready: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The revision that it has.
    pub revision: String,
    /// What only its kind has, such as `url`.
    pub more: Vec<(&'static str, String)>,
}

impl Metrics {
    /// Tells of the objects of `store` from now on. A series goes when its object goes.
    pub fn resources<K>(&self, store: Store<K>, describe: fn(&K) -> ResourceInfo)
    where
        K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    {
        self.live.add(Box::new(move || {
            store.state().iter().map(|object| sample(object.as_ref(), describe(object))).collect()
        }));
    }
}

fn sample<K: Resource<DynamicType = ()>>(object: &K, info: ResourceInfo) -> Sample {
    let mut labels = vec![
        ("customresource_group", K::group(&()).into_owned()),
        ("customresource_kind", K::kind(&()).into_owned()),
        ("customresource_version", K::version(&()).into_owned()),
        ("exported_namespace", object.namespace().unwrap_or_default()),
        ("name", object.name_any()),
        ("ready", info.ready),
        ("revision", info.revision),
        ("suspended", info.suspended.to_string()),
    ];
    labels.extend(info.more);
    labels.sort();
    let help = "The current state of a GitOps Toolkit resource.";
    Sample { name: "gotk_resource_info", help, labels, value: 1.0 }
}
