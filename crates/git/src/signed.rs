//! Commits and tags as they were hashed, for those who verify signatures.

use gix::ObjectId;
use gix::objs::{FindExt, TagRef};

use crate::{Checkout, WalkError};

/// How many tags may stand between a ref and its commit.
const NESTED_TAGS: usize = 8;

/// The tag by which a commit was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What an annotated tag calls itself; the ref's name without `refs/tags/` for others.
    pub name: String,
    /// The tag object, which only annotated tags have.
    pub object: Option<TagObject>,
}

/// An annotated tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagObject {
    /// Its id.
    pub id: ObjectId,
    /// The object without the type and length in front.
    pub data: Vec<u8>,
    /// Whether it leads to the commit that was checked out; what the server says about that proves nothing.
    pub is_of_commit: bool,
}

/// A ref below `refs/tags/`, and the tag object it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagRefName {
    pub(crate) name: String,
    pub(crate) object: Option<ObjectId>,
}

impl Checkout {
    /// The commit without the type and length in front.
    pub fn commit_object(&self) -> Result<Vec<u8>, WalkError> {
        self.raw(self.commit.id)
    }

    /// The tag by which the commit was found; `None` if it was found in another way.
    pub fn tag(&self) -> Result<Option<Tag>, WalkError> {
        let Some(TagRefName { name, object }) = &self.tag else { return Ok(None) };
        let Some(id) = *object else { return Ok(Some(Tag { name: name.clone(), object: None })) };
        let data = self.raw(id)?;
        let (tag_name, mut target) = self.parse(id, &data)?;
        for _ in 1..NESTED_TAGS {
            match target {
                (id, gix::objs::Kind::Tag) => target = self.parse(id, &self.raw(id)?)?.1,
                _ => break,
            }
        }
        let is_of_commit = target == (self.commit.id, gix::objs::Kind::Commit);
        Ok(Some(Tag { name: tag_name, object: Some(TagObject { id, data, is_of_commit }) }))
    }

    fn raw(&self, id: ObjectId) -> Result<Vec<u8>, WalkError> {
        let mut buffer = Vec::new();
        self.objects.find(&id, &mut buffer).map_err(|error| self.broken(&id, &error))?;
        Ok(buffer)
    }

    /// The name of a tag, and what it points to.
    fn parse(&self, id: ObjectId, data: &[u8]) -> Result<(String, (ObjectId, gix::objs::Kind)), WalkError> {
        let tag = TagRef::from_bytes(data, gix::hash::Kind::Sha1);
        let tag = tag.map_err(|error| WalkError::Object { id, reason: error.to_string() })?;
        Ok((tag.name.to_string(), (tag.target(), tag.target_kind)))
    }
}
