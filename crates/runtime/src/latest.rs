//! What this process last wrote, for the moments in which the watch does not know it yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::meta::is_older_version;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};

/// Objects that the watch may be behind with, before those are looked for that it is not.
const KEPT_WITHOUT_CHECK: usize = 16;

/// Objects as the API server answered our writes, of which the watch has not caught up with all.
pub struct Latest<K: Resource<DynamicType = ()> + 'static> {
    watched: Store<K>,
    written: Mutex<Written<K>>,
}

struct Written<K: Resource> {
    objects: HashMap<ObjectRef<K>, Arc<K>>,
    /// How many there may be before those are let go that the watch has seen.
    most: usize,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Latest<K> {
    /// Nothing written yet; `watched` is what the watch knows.
    pub fn new(watched: Store<K>) -> Self {
        Latest { watched, written: Mutex::new(Written { objects: HashMap::new(), most: KEPT_WITHOUT_CHECK }) }
    }

    /// Remembers the answer to a write.
    pub fn wrote(&self, mut object: K) {
        object.managed_fields_mut().clear();
        let mut written = self.lock();
        written.objects.insert(ObjectRef::from_obj(&object), Arc::new(object));
        if written.objects.len() > written.most {
            let behind = |key: &ObjectRef<K>, ours: &Arc<K>| {
                self.watched.get(key).is_some_and(|watched| is_newer(ours.as_ref(), watched.as_ref()))
            };
            written.objects.retain(|key, ours| behind(key, ours));
            written.most = 2 * written.objects.len() + KEPT_WITHOUT_CHECK;
        }
    }

    /// The newer one of what the watch knows and what was written.
    pub fn newest(&self, watched: Arc<K>) -> Arc<K> {
        let key = ObjectRef::from_obj(watched.as_ref());
        let written = &mut self.lock().objects;
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
        self.lock().objects.retain(|k, _| (&k.namespace, &k.name) != (&key.namespace, &key.name));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written<K>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// If their versions cannot be compared, the watch is believed.
fn is_newer<K: Resource>(ours: &K, watched: &K) -> bool {
    let version = |object: &K| object.resource_version().unwrap_or_default();
    ours.uid() == watched.uid() && is_older_version(&version(watched), &version(ours))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

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
        let latest = Latest::new(reflector::store().0);
        let newest = |watched: ConfigMap| latest.newest(Arc::new(watched)).resource_version().unwrap();
        assert_eq!(newest(object("u", "9")), "9");
        latest.wrote(object("u", "10"));
        assert_eq!(newest(object("u", "9")), "10");
        assert_eq!(newest(object("u", "11")), "11");
        assert_eq!(newest(object("u", "9")), "9", "forgotten once the watch was ahead");
        latest.wrote(object("u", "10"));
        assert_eq!(newest(object("another", "9")), "9", "made anew under the same name");
    }

    #[test]
    fn written_objects_are_let_go_when_the_watch_has_seen_them() {
        let (store, mut writer) = reflector::store();
        let latest = Latest::new(store);
        let named = |name: usize, version: &str| {
            let mut object = object("u", version);
            object.metadata.name = Some(name.to_string());
            object
        };
        for name in 0..1000 {
            writer.apply_watcher_event(&Event::Apply(named(name, "10")));
            latest.wrote(named(name, "10"));
        }
        assert!(latest.lock().objects.len() <= KEPT_WITHOUT_CHECK, "the watch knows all");
        for name in 0..1000 {
            latest.wrote(named(name, "11"));
        }
        let old = |name| latest.newest(Arc::new(named(name, "10"))).resource_version();
        assert!((0..1000).all(|name| old(name).as_deref() == Some("11")), "the watch is behind");
    }
}
