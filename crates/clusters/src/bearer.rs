//! Tokens that end: each request gets one that is good.

use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use kube::{Client, client::Body};
use tower::BoxError;

use crate::tokens::{ClusterTokens, Token};

/// A client whose requests show these tokens. One that is refused is replaced at once, and the request sent again with the other.
pub fn with_bearer(client: &Client, tokens: Arc<ClusterTokens>) -> Client {
    let inner = client.clone();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (tokens, inner) = (tokens.clone(), inner.clone());
        async move {
            let again = copy(&request);
            let token = show(&tokens, &mut request).await?;
            let answer = inner.send(request).await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return Ok::<_, BoxError>(answer);
            }
            tokens.refused(&token).await;
            match again {
                None => Ok(answer),
                Some(mut request) => {
                    show(&tokens, &mut request).await?;
                    Ok(inner.send(request).await?)
                }
            }
        }
    });
    Client::new(service, client.default_namespace().to_owned())
}

/// The same request, unless its body can be read once alone.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Puts a token into a request.
async fn show(tokens: &ClusterTokens, request: &mut Request<Body>) -> Result<Token, BoxError> {
    let token = tokens.token(None).await?;
    // The source of the error would show the token.
    let header = HeaderValue::from_str(&format!("Bearer {}", token.secret.expose()));
    let mut header = header.map_err(|_| BoxError::from("the token cannot be sent in a header"))?;
    header.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, header);
    Ok(token)
}

#[cfg(test)]
mod tests;
