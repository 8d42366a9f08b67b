//! Values by name, such as a host's or a namespace's, for as long as somebody uses them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One value for each name.
#[derive(Debug)]
pub struct Named<T>(Mutex<HashMap<String, Weak<T>>>);

impl<T> Named<T> {
    /// The value of `name`, which is made if there is none.
    pub fn get(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = values.get(name).and_then(Weak::upgrade) {
            return used;
        }
        values.retain(|_, value| value.strong_count() > 0);
        let value = Arc::new(new());
        values.insert(name.to_owned(), Arc::downgrade(&value));
        value
    }

    /// How many names are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_value_lives_while_it_is_used() {
        let named = Named::default();
        let used = named.get("used", || 1);
        drop(named.get("unused", || 1));
        for name in 0..64 {
            drop(named.get(&name.to_string(), || 2));
        }
        assert_eq!(named.len(), 2, "that in use and the last one");
        assert!(Arc::ptr_eq(&named.get("used", || 3), &used));
        assert_eq!(*named.get("unused", || 3), 3, "it was forgotten");
    }
}
