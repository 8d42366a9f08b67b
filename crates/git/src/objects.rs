//! Reading objects. A read gives a slice; what lies in the memory behind it cannot be seen in any other way, so nobody can
//! take what an earlier read has left there for the content of an object.

use gix::ObjectId;
use gix::objs::{Data, Exists, Find, Kind};

use crate::TransportError;
use crate::error::chain;

/// The objects of a store.
#[derive(Clone)]
pub(crate) struct Objects(gix::odb::Handle);

/// Memory for one object after the other.
#[derive(Default)]
pub(crate) struct Buffer(Vec<u8>);

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("An object with id {0} could not be found")]
    Missing(ObjectId),
    #[error("Expected object of kind {expected} but got {actual} at {id}")]
    Kind { id: ObjectId, expected: Kind, actual: Kind },
    /// It has more bytes than may be allocated.
    #[error("object {0} is too large")]
    TooLarge(ObjectId),
    #[error("{0}")]
    Broken(String),
}

impl From<ReadError> for TransportError {
    fn from(error: ReadError) -> Self {
        TransportError::Protocol(error.to_string())
    }
}

impl Objects {
    pub(crate) fn new(handle: gix::odb::Handle) -> Self {
        Self(handle)
    }

    /// The object, whatever its kind; `None` if it is not here.
    ///
    /// The empty blob and the empty tree are known without being here, as to Git: it writes commits of the empty tree without
    /// storing that.
    pub(crate) fn find<'a>(
        &self,
        id: &gix::oid,
        Buffer(buffer): &'a mut Buffer,
    ) -> Result<Option<Data<'a>>, ReadError> {
        for (kind, empty) in [(Kind::Blob, id.is_empty_blob()), (Kind::Tree, id.is_empty_tree())] {
            if empty {
                return Ok(Some(Data::new(&[], kind, id.kind())));
            }
        }
        buffer.clear();
        self.0.try_find(id, buffer).map_err(|error| match error.is_resource_exhausted() {
            true => ReadError::TooLarge(id.to_owned()),
            false => ReadError::Broken(chain(&error)),
        })
    }

    /// The content of an object that has to be here and of this kind.
    pub(crate) fn read<'a>(
        &self,
        id: &gix::oid,
        expected: Kind,
        buffer: &'a mut Buffer,
    ) -> Result<&'a [u8], ReadError> {
        let Data { kind, data, .. } =
            self.find(id, buffer)?.ok_or_else(|| ReadError::Missing(id.to_owned()))?;
        match kind == expected {
            true => Ok(data),
            false => Err(ReadError::Kind { id: id.to_owned(), expected, actual: kind }),
        }
    }

    /// Whether the object is here.
    pub(crate) fn contains(&self, id: &gix::oid) -> bool {
        self.0.exists(id)
    }
}
