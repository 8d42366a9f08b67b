//! Commits and tags as they were hashed, for those who verify signatures.

use gix::ObjectId;
use gix::objs::Kind;

use crate::commit::TagLinks;
use crate::objects::Buffer;
use crate::{Checkout, WalkError};

/// How many tags may stand between a ref and its commit.
const NESTED_TAGS: usize = 8;

/// The tag by which a commit was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What an annotated tag calls itself; the ref's name without `refs/tags/` for others.
    pub name: String,
    /// The ref's name without `refs/tags/`. A signature says nothing about it.
    pub ref_name: String,
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
        self.raw(self.commit.id, Kind::Commit)
    }

    /// The tag by which the commit was found; `None` if it was found in another way.
    pub fn tag(&self) -> Result<Option<Tag>, WalkError> {
        let Some(TagRefName { name: ref_name, object }) = &self.tag else { return Ok(None) };
        let ref_name = ref_name.clone();
        let Some(id) = *object else {
            return Ok(Some(Tag { name: ref_name.clone(), ref_name, object: None }));
        };
        let data = self.raw(id, Kind::Tag)?;
        let TagLinks { mut target, mut kind, name } = tag_links(id, &data)?;
        for _ in 1..NESTED_TAGS {
            if kind != Kind::Tag {
                break;
            }
            TagLinks { target, kind, .. } = tag_links(target, &self.raw(target, Kind::Tag)?)?;
        }
        let is_of_commit = (target, kind) == (self.commit.id, Kind::Commit);
        Ok(Some(Tag { name, ref_name, object: Some(TagObject { id, data, is_of_commit }) }))
    }

    fn raw(&self, id: ObjectId, kind: Kind) -> Result<Vec<u8>, WalkError> {
        let mut buffer = Buffer::default();
        let data = self.objects.read(&id, kind, &mut buffer).map_err(|error| self.broken(&id, error))?;
        Ok(data.to_vec())
    }
}

fn tag_links(id: ObjectId, data: &[u8]) -> Result<TagLinks, WalkError> {
    TagLinks::parse(id, data).map_err(|error| WalkError::Object { id, reason: error.to_string() })
}
