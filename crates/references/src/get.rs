//! Reading an object that a spec names.

use std::fmt::Debug;

use kube::Api;
use serde::de::DeserializeOwned;

use crate::{InvalidName, check_name};

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The name cannot be one; nothing was asked.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// What the API server says, in its own words, or why it said nothing.
    #[error("{}", runtime::error::chain(.0.as_ref()))]
    Api(#[source] Box<kube::Error>),
}

impl GetError {
    /// Whether the API server says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        match self {
            GetError::Name(_) => false,
            GetError::Api(error) => matches!(error.as_ref(), kube::Error::Api(status) if status.code == 404),
        }
    }
}

/// The object `name`, read with the client's identity in the namespace of `api`.
///
/// # Guarantees
/// - A name that could change the request, such as `../../other/secrets/x`, is refused and nothing is asked.
///
/// # Caveats
/// - The namespace is that of `api`: it comes from the object itself, or has been checked by [`crate::check_name`].
///
/// # Errors
/// For a name that is none, and what the API server says.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<K, GetError>
where
    K: Clone + DeserializeOwned + Debug,
{
    check_name(name)?;
    api.get(name).await.map_err(|error| GetError::Api(Box::new(error)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::Secret;
    use kube::Client;
    use kube::client::Body;

    use super::*;

    /// Answers each request with a status, and remembers its path.
    pub(crate) fn server(code: u16) -> (Client, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let paths = asked.clone();
        let server = tower::service_fn(move |request: http::Request<Body>| {
            paths.lock().unwrap().push(request.uri().to_string());
            let status = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": "SomeReason", "message": "what the server says",
            });
            let body = Body::from(status.to_string().into_bytes());
            async move { Ok::<_, std::io::Error>(http::Response::builder().status(code).body(body).unwrap()) }
        });
        (Client::new(server, "default"), asked)
    }

    fn api(code: u16) -> (Api<Secret>, Arc<Mutex<Vec<String>>>) {
        let (client, asked) = server(code);
        (Api::namespaced(client, "apps"), asked)
    }

    #[tokio::test]
    async fn an_invalid_name_sends_no_request() {
        let (api, asked) = api(404);
        for name in ["../../default/secrets/other", "a?watch=true", "", "a%2fb"] {
            let error = get(&api, name).await.unwrap_err();
            assert!(matches!(error, GetError::Name(_)) && !error.is_not_found(), "{name}: {error}");
        }
        assert_eq!(asked.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn an_error_is_the_sentence_of_the_api_server() {
        for (code, is_not_found) in [(404, true), (403, false)] {
            let (api, asked) = api(code);
            let error = get(&api, "app").await.unwrap_err();
            assert_eq!(
                (error.to_string().as_str(), error.is_not_found()),
                ("what the server says", is_not_found)
            );
            assert_eq!(*asked.lock().unwrap(), ["/api/v1/namespaces/apps/secrets/app"]);
        }
    }
}
