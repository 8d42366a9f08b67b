/// The order in which kinds are installed. Others come behind, by name.
pub const INSTALL_ORDER: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// The order in which kinds are removed. Others come behind, by name.
pub const UNINSTALL_ORDER: &[&str] = &[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "Ingress",
    "IngressClass",
    "Service",
    "CronJob",
    "Job",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "Pod",
    "DaemonSet",
    "RoleBindingList",
    "RoleBinding",
    "RoleList",
    "Role",
    "ClusterRoleBindingList",
    "ClusterRoleBinding",
    "ClusterRoleList",
    "ClusterRole",
    "CustomResourceDefinition",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "ConfigMap",
    "SecretList",
    "Secret",
    "ServiceAccount",
    "PodDisruptionBudget",
    "PodSecurityPolicy",
    "LimitRange",
    "ResourceQuota",
    "NetworkPolicy",
    "Namespace",
    "PriorityClass",
];

/// Sorts by an order of kinds. What is of one kind stays in its order.
pub fn sort_by_kind<T>(items: &mut [T], order: &[&str], kind: impl Fn(&T) -> &str) {
    let place = |kind: &str| order.iter().position(|known| *known == kind);
    items.sort_by(|a, b| {
        let (a, b) = (kind(a), kind(b));
        match (place(a), place(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => a.cmp(b),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_kinds_come_in_their_order_and_others_by_name_behind() {
        let mut kinds = ["Zebra", "Service", "Apple", "Namespace", "Service"].map(|k| k.to_owned()).to_vec();
        sort_by_kind(&mut kinds, INSTALL_ORDER, |kind| kind);
        assert_eq!(kinds, ["Namespace", "Service", "Service", "Apple", "Zebra"]);
        sort_by_kind(&mut kinds, UNINSTALL_ORDER, |kind| kind);
        assert_eq!(kinds, ["Service", "Service", "Namespace", "Apple", "Zebra"]);
    }

    #[test]
    fn both_orders_have_the_same_kinds() {
        let sorted = |order: &[&str]| {
            let mut kinds: Vec<String> = order.iter().map(|kind| (*kind).to_owned()).collect();
            kinds.sort();
            kinds
        };
        assert_eq!(sorted(INSTALL_ORDER), sorted(UNINSTALL_ORDER));
    }
}
