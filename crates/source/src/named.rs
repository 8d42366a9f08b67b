//! Values by name, such as a host's or a namespace's, for as long as somebody uses them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Names that are remembered before those are forgotten that nobody uses.
const REMEMBERED_NAMES: usize = 64;

/// One value for each name.
pub struct Named<T>(Mutex<HashMap<String, Arc<T>>>);

impl<T> Named<T> {
    /// The value of `name`, which is made if there is none.
    pub fn get(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= REMEMBERED_NAMES && !values.contains_key(name) {
            values.retain(|_, value| Arc::strong_count(value) > 1);
        }
        values.entry(name.to_owned()).or_insert_with(|| Arc::new(new())).clone()
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
        for name in 0..REMEMBERED_NAMES {
            drop(named.get(&name.to_string(), || 2));
        }
        assert!(Arc::ptr_eq(&named.get("used", || 3), &used));
        assert_eq!(*named.get("unused", || 3), 3, "it was forgotten");
    }
}
