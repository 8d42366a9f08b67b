//! What this process last wrote, for the moments in which the watch does not know it yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

/// Objects as the API server answered our writes. An object stays here until the watch has caught up with it.
pub struct Latest<K: Resource>(Mutex<HashMap<ObjectRef<K>, Arc<K>>>);

impl<K: Resource<DynamicType = ()>> Default for Latest<K> {
    fn default() -> Self {
        Latest(Mutex::default())
    }
}

impl<K: Resource<DynamicType = ()>> Latest<K> {
    /// Remembers the answer to a write.
    pub fn wrote(&self, object: K) {
        self.lock().insert(ObjectRef::from_obj(&object), Arc::new(object));
    }

    /// The newer one of what the watch knows and what was written.
    pub fn newest(&self, watched: Arc<K>) -> Arc<K> {
        let key = ObjectRef::from_obj(watched.as_ref());
        let mut written = self.lock();
        match written.get(&key) {
            Some(ours) if is_newer(ours.as_ref(), watched.as_ref()) => ours.clone(),
            Some(_) => {
                written.remove(&key);
                watched
            }
            None => watched,
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &ObjectRef<K>) {
        self.lock().retain(|k, _| (&k.namespace, &k.name) != (&key.namespace, &key.name));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef<K>, Arc<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resource versions of one kind can be compared as numbers; if one cannot, the watch is believed.
fn is_newer<K: Resource>(ours: &K, watched: &K) -> bool {
    let version = |object: &K| object.resource_version().and_then(|v| v.parse::<u64>().ok());
    ours.uid() == watched.uid()
        && version(ours).zip(version(watched)).is_some_and(|(ours, theirs)| ours > theirs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(uid: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some("a".into());
        object.metadata.namespace = Some("b".into());
        object.metadata.uid = Some(uid.into());
        object.metadata.resource_version = Some(version.into());
        object
    }

    #[test]
    fn a_write_counts_until_the_watch_has_seen_it() {
        let latest = Latest::default();
        let newest = |watched: ConfigMap| latest.newest(Arc::new(watched)).resource_version().unwrap();
        assert_eq!(newest(object("u", "9")), "9");
        latest.wrote(object("u", "10"));
        assert_eq!(newest(object("u", "9")), "10");
        assert_eq!(newest(object("u", "11")), "11");
        assert_eq!(newest(object("u", "9")), "9", "forgotten once the watch was ahead");
        latest.wrote(object("u", "10"));
        assert_eq!(newest(object("another", "9")), "9", "made anew under the same name");
    }
}
