//! Requests about one object, each with a deadline. Answers are plain JSON; nothing of them is logged, because they may be
//! Secrets.

use std::fmt::Write as _;
use std::time::Duration;

use http::Request as HttpRequest;
use kube::Client;
use kube::api::{
    DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::request::Error as BuildError;
use kube::core::{GroupVersionKind, Request};
use kube::core::{Resource, Status};
use serde_json::Value;

use crate::error::RequestError;
use crate::manager::Manager;
use crate::mapper::RestMapping;

/// Where an object is served.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The kind.
    pub mapped: &'a RestMapping,
    /// Ignored for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Empty for requests about the collection.
    pub name: &'a str,
}

impl Target<'_> {
    /// The collection's requests. Without a namespace the path of a namespaced kind is one that the server does not have.
    fn collection(&self) -> Request {
        let namespace = segment(self.namespace);
        let namespace = (self.mapped.namespaced && !namespace.is_empty()).then_some(namespace.as_str());
        Request::new(DynamicObject::url_path(&self.mapped.resource, namespace))
    }
}

/// Names come from manifests: whatever they hold, they stay one segment of the path.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        let dots_only = text.bytes().all(|b| b == b'.');
        if b.is_ascii_alphanumeric() || b"-_~:".contains(&b) || (b == b'.' && !dots_only) {
            out.push(char::from(b));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

/// Objects on one page of a list.
const PAGE: u32 = 500;

fn body(object: &Value) -> Result<Vec<u8>, RequestError> {
    serde_json::to_vec(object).map_err(kube::Error::SerdeError).map_err(RequestError::Transport)
}

/// Sends requests in one identity, each with a deadline.
#[derive(Clone)]
pub struct Requests {
    /// In whose identity.
    pub client: Client,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

impl Requests {
    /// The live object, if it exists.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn get(&self, target: &Target<'_>) -> Result<Option<Value>, RequestError> {
        match self.send(|| target.collection().get(&segment(target.name), &GetParams::default())).await {
            Err(error) if error.is_not_found() => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// The names and labels of a collection's objects that a label selector takes, page by page.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn list_metadata(&self, target: &Target<'_>, labels: &str) -> Result<Vec<Value>, RequestError> {
        let mut params = ListParams::default().labels(labels).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let mut page = self.send(|| target.collection().list_metadata(&params)).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                all.extend(items);
            }
            let next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
            if next.is_empty() {
                return Ok(all);
            }
            params = params.continue_token(next);
        }
    }

    /// Any patch. It is sent again when its answer is lost, unless it is a JSON patch, which may do other things the second time.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn patch(
        &self,
        target: &Target<'_>,
        params: &PatchParams,
        patch: &Patch<Value>,
    ) -> Result<Value, RequestError> {
        let request = || target.collection().patch(&segment(target.name), params, patch);
        match patch {
            Patch::Json(_) => self.send_once(request()).await,
            _ => self.send(request).await,
        }
    }

    /// Creates an object. The request is not sent again when its answer is lost.
    ///
    /// # Errors
    /// The API server refuses, for one because there is such an object, or does not answer.
    pub async fn create(
        &self,
        target: &Target<'_>,
        params: &PostParams,
        object: &Value,
    ) -> Result<Value, RequestError> {
        self.send_once(target.collection().create(params, body(object)?)).await
    }

    /// Puts an object in the place of the one that is there.
    ///
    /// # Errors
    /// The API server refuses, for one because there is no such object, or does not answer.
    pub async fn replace(
        &self,
        target: &Target<'_>,
        params: &PostParams,
        object: &Value,
    ) -> Result<Value, RequestError> {
        let body = body(object)?;
        self.send(|| target.collection().replace(&segment(target.name), params, body.clone())).await
    }

    /// The same, of an object whose fields the API server must all know.
    ///
    /// # Errors
    /// As above, and if it does not know one.
    pub async fn replace_strictly(
        &self,
        target: &Target<'_>,
        params: &PostParams,
        object: &Value,
    ) -> Result<Value, RequestError> {
        let body = body(object)?;
        self.send(|| strict(target.collection().replace(&segment(target.name), params, body.clone())?)).await
    }

    /// Asks for the deletion of the object of that name, whichever it is.
    ///
    /// # Errors
    /// The API server refuses, for one because there is no such object, or does not answer.
    pub async fn delete_named(
        &self,
        target: &Target<'_>,
        params: &DeleteParams,
    ) -> Result<Value, RequestError> {
        self.send(|| target.collection().delete(&segment(target.name), params)).await
    }

    /// The first objects of a collection that a label selector takes.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn list(
        &self,
        target: &Target<'_>,
        labels: &str,
        limit: u32,
    ) -> Result<Vec<Value>, RequestError> {
        let params = ListParams::default().labels(labels).limit(limit);
        let mut list = self.send(|| target.collection().list(&params)).await?;
        Ok(match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        })
    }

    /// Server-side apply that takes over fields of others.
    pub(crate) async fn apply(
        &self,
        target: &Target<'_>,
        object: &Value,
        manager: &Manager,
        dry_run: bool,
    ) -> Result<Value, RequestError> {
        let params = PatchParams { dry_run, force: true, ..PatchParams::apply(manager.field_manager) };
        self.send(|| target.collection().patch(&segment(target.name), &params, &Patch::Apply(object))).await
    }

    /// JSON patch. It must name the resourceVersion it is for: it may be sent twice.
    pub(crate) async fn json_patch(
        &self,
        target: &Target<'_>,
        patch: json_patch::Patch,
        manager: &Manager,
    ) -> Result<Value, RequestError> {
        let field_manager = Some(manager.field_manager.to_owned());
        let params = PatchParams { field_manager, ..PatchParams::default() };
        let patch = Patch::<()>::Json(patch);
        self.send(|| target.collection().patch(&segment(target.name), &params, &patch)).await
    }

    /// Asks whether an object could be created, without creating it.
    pub(crate) async fn dry_run_create(
        &self,
        target: &Target<'_>,
        object: &Value,
        manager: &Manager,
    ) -> Result<Value, RequestError> {
        let params = PostParams { dry_run: true, field_manager: Some(manager.field_manager.to_owned()) };
        let body = body(object)?;
        self.send(|| target.collection().create(&params, body.clone())).await
    }

    /// Asks for the deletion of exactly the object with this uid and, if given, in this version.
    pub(crate) async fn delete(
        &self,
        target: &Target<'_>,
        uid: &str,
        version: Option<&str>,
    ) -> Result<(), RequestError> {
        let preconditions =
            Preconditions { uid: Some(uid.to_owned()), resource_version: version.map(str::to_owned) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match self.send(|| target.collection().delete(&segment(target.name), &params)).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Whether the API server serves a kind, by its own word on that group version.
    pub(crate) async fn serves(&self, gvk: &GroupVersionKind) -> Result<bool, RequestError> {
        let (group, version) = (segment(&gvk.group), segment(&gvk.version));
        let path =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let request = || HttpRequest::get(path.as_str()).body(Vec::new()).map_err(BuildError::BuildRequest);
        match self.send(request).await {
            Ok(list) => {
                let resources = list.get("resources").and_then(Value::as_array).into_iter().flatten();
                Ok(resources.into_iter().any(|r| r.get("kind").is_some_and(|kind| *kind == gvk.kind)))
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a request, and once more if the connection was lost, which takes every request on it along. All requests here
    /// do the same when they arrive twice.
    async fn send(
        &self,
        request: impl Fn() -> Result<HttpRequest<Vec<u8>>, BuildError>,
    ) -> Result<Value, RequestError> {
        match self.send_once(request()).await {
            Err(RequestError::Transport(_)) => self.send_once(request()).await,
            answer => answer,
        }
    }

    async fn send_once(
        &self,
        request: Result<HttpRequest<Vec<u8>>, BuildError>,
    ) -> Result<Value, RequestError> {
        let request = request.map_err(|e| RequestError::Transport(kube::Error::BuildRequest(e)))?;
        let answer = tokio::time::timeout(self.timeout, self.client.request_text(request)).await;
        let text =
            answer.map_err(|_| RequestError::Deadline(self.timeout))?.map_err(|error| match error {
                kube::Error::Api(status) => RequestError::Api(plain(status)),
                other => RequestError::Transport(other),
            })?;
        serde_json::from_str(&text).map_err(|e| RequestError::Transport(kube::Error::SerdeError(e)))
    }
}

/// A request by which no field may be unknown to the API server. The parameters of a client for writes do not have it.
fn strict(request: HttpRequest<Vec<u8>>) -> Result<HttpRequest<Vec<u8>>, BuildError> {
    let (mut parts, body) = request.into_parts();
    let separator = if parts.uri.query().is_some() { '&' } else { '?' };
    parts.uri = format!("{}{separator}fieldValidation=Strict", parts.uri)
        .parse()
        .map_err(|error: http::uri::InvalidUri| BuildError::BuildRequest(error.into()))?;
    Ok(HttpRequest::from_parts(parts, body))
}

/// Gives an answer that was no API status the words of one: it came from a path the server does not have, or from
/// something in between.
fn plain(mut status: Box<Status>) -> Box<Status> {
    if status.reason == "Failed to parse error data" {
        status.reason.clear();
        if status.code == 404 {
            status.reason = "NotFound".into();
            status.message = "the server could not find the requested resource".into();
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_of_the_path() {
        for (name, path) in [
            ("system:node.x-1_y", "system:node.x-1_y"),
            ("../../secrets/a", "..%2F..%2Fsecrets%2Fa"),
            ("..", "%2E%2E"),
            ("a?dryRun=All#x", "a%3FdryRun%3DAll%23x"),
            ("%2f é", "%252f%20%C3%A9"),
        ] {
            assert_eq!(segment(name), path);
        }
    }
}
