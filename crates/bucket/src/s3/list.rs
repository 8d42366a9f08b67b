//! Pages of lists.

use net::Deadline;
use reqwest::Method;

use super::{Store, xml};
use crate::escape;
use crate::list::{ListError, Page};

/// Objects that are asked for in one page.
const PAGE_OBJECTS: &str = "1000";

impl Store {
    /// One page, from where the one before it ended.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Page, ListError> {
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
        let mut url = self.url(deadline).await?;
        url.set_query(Some(&escape::query(pairs)));
        let mut body = self.send(Method::GET, url, None, deadline).await?.ok(false).await?;
        let text = body.whole(self.http.limits().page_bytes).await?;
        xml::page(&text, by_marker).map_err(ListError::Page)
    }
}
