//! How the API server merges a strategic merge patch: by which keys lists merge, and which fields are taken as a whole
//! (`patchStrategy` and `patchMergeKey` of the types of Kubernetes 1.37). What is not named here is replaced if it is a list, and merged
//! if it is a map.

use Shape::{List, Map, Replaced, Retained, RetainedList, Set};

/// How a field merges.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A map.
    Map(Type),
    /// A map that takes no key but those of the patch.
    Retained,
    /// A map that is put in the place of the one that is there.
    Replaced,
    /// A list of maps, by the value of a key.
    List(&'static str, Type),
    /// The same, of maps that take no key but those of the patch.
    RetainedList(&'static str),
    /// A list of texts, each of which is there or not.
    Set,
}

/// The types that have such fields.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Object(Root),
    Metadata,
    /// What has `metadata` and a `spec` of a Pod.
    PodTemplate,
    PodSpec,
    Container,
    /// What has a `template` of a Pod, and perhaps a strategy.
    Workload,
    CronSpec,
    JobTemplate,
    ServiceSpec,
    Webhook,
    ValidatingSpec,
    MutatingSpec,
    BudgetSpec,
    Other,
}

/// The kinds that have such fields, by what their `spec` is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root {
    Pod,
    Workload,
    CronJob,
    Service,
    ServiceAccount,
    WebhookConfiguration,
    ValidatingPolicy,
    MutatingPolicy,
    DisruptionBudget,
    PodTemplate,
    Other,
}

/// Groups whose kinds are built into the API server and known to the client; others are merged as plain JSON.
const BUILT_IN: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// The type of a kind; `None` if the API server takes no strategic merge patch for it.
pub(super) fn type_of(group: &str, kind: &str) -> Option<Type> {
    if !BUILT_IN.contains(&group) {
        return None;
    }
    Some(Type::Object(match (group, kind) {
        ("", "Pod") => Root::Pod,
        ("", "PodTemplate") => Root::PodTemplate,
        ("", "ReplicationController")
        | ("apps", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
        | ("batch", "Job") => Root::Workload,
        ("batch", "CronJob") => Root::CronJob,
        ("", "Service") => Root::Service,
        ("", "ServiceAccount") => Root::ServiceAccount,
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => Root::WebhookConfiguration,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => Root::ValidatingPolicy,
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => Root::MutatingPolicy,
        ("policy", "PodDisruptionBudget") => Root::DisruptionBudget,
        _ => Root::Other,
    }))
}

impl Type {
    /// How a field merges; `None` if it is replaced as a list, and is a map of nothing special else.
    pub(super) fn field(self, name: &str) -> Option<Shape> {
        Some(match (self, name) {
            (Self::Object(_) | Self::PodTemplate | Self::JobTemplate, "metadata") => Map(Self::Metadata),
            (Self::Metadata, "ownerReferences") => List("uid", Self::Other),
            (Self::Metadata, "finalizers") => Set,
            (Self::Object(Root::ServiceAccount), "secrets") => List("name", Self::Other),
            (Self::Object(Root::WebhookConfiguration), "webhooks") => List("name", Self::Webhook),
            (Self::Object(Root::PodTemplate), "template") => Map(Self::PodTemplate),
            (Self::Object(root), "spec") => Map(match root {
                Root::Pod => Self::PodSpec,
                Root::Workload => Self::Workload,
                Root::CronJob => Self::CronSpec,
                Root::Service => Self::ServiceSpec,
                Root::ValidatingPolicy => Self::ValidatingSpec,
                Root::MutatingPolicy => Self::MutatingSpec,
                Root::DisruptionBudget => Self::BudgetSpec,
                _ => return None,
            }),
            (Self::PodTemplate, "spec") => Map(Self::PodSpec),
            (Self::Workload, "template") => Map(Self::PodTemplate),
            (Self::Workload, "strategy") => Retained,
            (Self::CronSpec, "jobTemplate") => Map(Self::JobTemplate),
            (Self::JobTemplate, "spec") => Map(Self::Workload),
            (Self::PodSpec, "containers" | "initContainers" | "ephemeralContainers") => {
                List("name", Self::Container)
            }
            (Self::PodSpec, "volumes" | "resourceClaims") => RetainedList("name"),
            (Self::PodSpec, "imagePullSecrets" | "schedulingGates" | "evictionResponders") => {
                List("name", Self::Other)
            }
            (Self::PodSpec, "hostAliases") => List("ip", Self::Other),
            (Self::PodSpec, "topologySpreadConstraints") => List("topologyKey", Self::Other),
            (Self::Container, "ports") => List("containerPort", Self::Other),
            (Self::Container, "env") => List("name", Self::Other),
            (Self::Container, "volumeMounts") => List("mountPath", Self::Other),
            (Self::Container, "volumeDevices") => List("devicePath", Self::Other),
            (Self::ServiceSpec, "ports") => List("port", Self::Other),
            (Self::Webhook | Self::ValidatingSpec | Self::MutatingSpec, "matchConditions")
            | (Self::ValidatingSpec, "variables") => List("name", Self::Other),
            (Self::BudgetSpec, "selector") => Replaced,
            _ => return None,
        })
    }
}
