//! The regions of buckets that stores have told, so that they are asked once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use url::Url;

/// Buckets whose region is remembered.
const BUCKETS: usize = 4096;

/// Regions by the URL of the bucket. A wrong one costs a failed attempt, so whose keys asked makes no difference.
#[derive(Debug, Default)]
pub struct Regions(Mutex<HashMap<String, String>>);

impl Regions {
    pub(super) fn get(&self, bucket: &Url) -> Option<String> {
        self.regions().get(bucket.as_str()).cloned()
    }

    pub(super) fn put(&self, bucket: &Url, region: &str) {
        let mut regions = self.regions();
        if regions.len() >= BUCKETS {
            regions.clear();
        }
        regions.insert(bucket.to_string(), region.to_owned());
    }

    pub(super) fn forget(&self, bucket: &Url) {
        self.regions().remove(bucket.as_str());
    }

    fn regions(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
