//! Lists of objects, page by page.

use std::collections::HashSet;

use net::Deadline;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;

use super::{Client, xml};
use crate::error::RequestError;
use crate::{Object, retried};

/// Objects that are asked for in one page.
const PAGE_OBJECTS: &str = "1000";
/// RFC 3986's unreserved characters are not escaped.
const QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a list has no end of use.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The store does not give a page.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A page is none.
    #[error("the list is not understood: {0}")]
    Page(&'static str),
    /// There are too many pages.
    #[error("a list of more than {0} pages")]
    Pages(usize),
    /// There are too many objects.
    #[error("more than {0} objects")]
    Objects(usize),
    /// A page leads back to one that was there.
    #[error("the list goes round in a circle")]
    Circle,
}

impl ListError {
    fn request(&self) -> Option<&RequestError> {
        match self {
            ListError::Request(error) => Some(error),
            _ => None,
        }
    }
}

impl Client {
    /// Gives `take` every object whose key begins with `prefix`.
    ///
    /// # Errors
    /// What the store says, what exceeds the limits, and what `take` says.
    pub async fn list<E: From<ListError>>(
        &self,
        prefix: &str,
        deadline: &Deadline,
        take: &mut (dyn FnMut(Object) -> Result<(), E> + Send),
    ) -> Result<(), E> {
        let (mut next, mut seen, mut objects) = (None::<String>, HashSet::new(), 0_usize);
        for _ in 0..self.limits().pages {
            let page = retried(deadline, ListError::request, || self.page(prefix, next.as_deref(), deadline))
                .await?;
            objects = objects.saturating_add(page.objects.len());
            if objects > self.limits().objects {
                return Err(ListError::Objects(self.limits().objects).into());
            }
            for object in page.objects {
                take(object)?;
            }
            let Some(token) = page.next else { return Ok(()) };
            if !seen.insert(token.clone()) {
                return Err(ListError::Circle.into());
            }
            next = Some(token);
        }
        Err(ListError::Pages(self.limits().pages).into())
    }

    /// One page, from where the one before it ended.
    async fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
        deadline: &Deadline,
    ) -> Result<xml::Page, ListError> {
        let by_marker = self.endpoint.lists_by_marker();
        let mut pairs = vec![("delimiter", ""), ("encoding-type", "url")];
        if by_marker {
            pairs.extend([("max-keys", PAGE_OBJECTS), ("prefix", prefix)]);
            pairs.extend(from.map(|from| ("marker", from)));
        } else {
            pairs.extend(from.map(|from| ("continuation-token", from)));
            pairs.extend([
                ("fetch-owner", "true"),
                ("list-type", "2"),
                ("max-keys", PAGE_OBJECTS),
                ("prefix", prefix),
            ]);
        }
        let escape = |text: &str| utf8_percent_encode(text, const { &QUERY }).to_string();
        let query: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let mut url = self.url(deadline).await?;
        url.set_query(Some(&query.join("&")));
        let mut body = self.send(Method::GET, url, None, deadline).await?.ok(false).await?;
        let text = body.whole(self.limits().page_bytes).await?;
        xml::page(&text, by_marker).map_err(ListError::Page)
    }
}
