//! Lists of objects, page by page.

use std::collections::HashSet;

use net::Deadline;

use crate::error::RequestError;
use crate::{Client, Object, retried};

/// One page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub objects: Vec<Object>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

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
}
