//! A bucket, whatever the store: what is the same for all.

use net::{ClientError, Deadline};

use crate::error::RequestError;
use crate::http::Body;
use crate::list::{ListError, Page};
use crate::name::{self, NameError};
use crate::{Limits, Object, azure, gcs, retried, s3};

/// One bucket of a store.
#[derive(Debug)]
pub struct Client {
    bucket: String,
    limits: Limits,
    store: Store,
}

#[derive(Debug)]
enum Store {
    S3(s3::Store),
    Gcs(gcs::Store),
    Azure(azure::Store),
}

impl Client {
    /// The bucket `bucket` of a store that speaks S3, in `region` or in the one that the endpoint or the store names. Requests go
    /// through `access`.
    ///
    /// # Errors
    /// For certificates and proxies that cannot be used.
    pub fn s3(
        endpoint: s3::Endpoint,
        bucket: &str,
        region: Option<&str>,
        access: s3::Access,
        limits: Limits,
    ) -> Result<Client, ClientError> {
        let store = Store::S3(s3::Store::new(endpoint, bucket, region, access, limits.clone())?);
        Ok(Client { bucket: bucket.to_owned(), limits, store })
    }

    /// The bucket `bucket` of Google Cloud Storage.
    ///
    /// # Errors
    /// For proxies that cannot be used.
    pub fn gcs(
        endpoint: gcs::Endpoint,
        bucket: &str,
        access: gcs::Access,
        limits: Limits,
    ) -> Result<Client, ClientError> {
        let store = Store::Gcs(gcs::Store::new(endpoint, bucket, access, limits.clone())?);
        Ok(Client { bucket: bucket.to_owned(), limits, store })
    }

    /// The container `container` of Azure Blob Storage.
    ///
    /// # Errors
    /// For proxies that cannot be used, and for tokens that would be sent in the clear.
    pub fn azure(
        endpoint: azure::Endpoint,
        container: &str,
        access: azure::Access,
        limits: Limits,
    ) -> Result<Client, azure::AccessError> {
        let store = Store::Azure(azure::Store::new(endpoint, container, access, limits.clone())?);
        Ok(Client { bucket: container.to_owned(), limits, store })
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a bucket of this store may have its name. What the clouds allow they know better.
    ///
    /// # Errors
    /// For names that no bucket has.
    pub fn check_name(&self) -> Result<(), NameError> {
        match self.store {
            Store::S3(_) => name::check(&self.bucket),
            Store::Gcs(_) | Store::Azure(_) => name::check_segment(&self.bucket),
        }
    }

    /// Whether there is such a bucket. A list tells that, too; this is for one that failed.
    ///
    /// # Errors
    /// When the store does not say.
    pub async fn find(&self, deadline: &Deadline) -> Result<bool, RequestError> {
        let ask = || async {
            match &self.store {
                Store::S3(store) => store.find(deadline).await,
                Store::Gcs(store) => store.find(deadline).await,
                Store::Azure(store) => store.find(deadline).await,
            }
        };
        match retried(deadline, |error| Some(error), ask).await {
            Ok(()) => Ok(true),
            Err(RequestError::Refused(refusal)) if refusal.is_of_missing_bucket() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The content of an object, which is still as it was listed, or as it has become since: see [`Body::etag`]. `None` if there is
    /// no such object any more.
    ///
    /// # Errors
    /// When the store does not give it, and when it is too large.
    pub async fn get(&self, object: &Object, deadline: &Deadline) -> Result<Option<Body>, RequestError> {
        let body = match &self.store {
            Store::S3(store) => store.get(object, deadline).await?,
            Store::Gcs(store) => store.get(object, deadline).await?,
            Store::Azure(store) => store.get(object, deadline).await?,
        };
        let Some(body) = body else { return Ok(None) };
        let limit = self.limits.object_bytes;
        if body.size() > limit {
            return Err(RequestError::TooLarge { request: body.request().to_owned(), limit });
        }
        Ok(Some(body))
    }

    /// One page of a list, from where the one before it ended.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Page, ListError> {
        match &self.store {
            Store::S3(store) => store.page(prefix, from, deadline).await,
            Store::Gcs(store) => store.page(prefix, from, deadline).await,
            Store::Azure(store) => store.page(prefix, from, deadline).await,
        }
    }
}
