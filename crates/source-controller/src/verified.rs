//! With which keys each object was verified last by this process, so that other keys mean another verification.
//!
//! It is lost when the process ends; then every object is verified once more. The status alone does not prove it: others may write
//! that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};

/// What identifies the keys that objects of one kind were verified with.
pub struct VerifiedKeys<K: Lookup<DynamicType = ()>>(Mutex<HashMap<ObjectRef<K>, String>>);

impl<K: Resource<DynamicType = ()>> Default for VerifiedKeys<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource<DynamicType = ()>> VerifiedKeys<K> {
    /// Whether the object was last verified with these keys.
    pub fn is_current(&self, object: &ObjectRef<K>, keys: &str) -> bool {
        self.lock().get(object).is_some_and(|known| known == keys)
    }

    /// The object was verified.
    pub fn set(&self, object: ObjectRef<K>, keys: String) {
        self.lock().insert(object, keys);
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.lock().remove(object);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef<K>, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
