//! The temporary files of layers: one for a layer as it is pulled, and one for its content while its artifact is made.
//!
//! Any number of sources may have a layer that waits for its pass. So both kinds of file have a quota, and a fetch waits for its
//! shares. It waits for the second one only when it has the first, and then for nothing else: somebody always comes to the end.

use std::fs::File;
use std::io::{self, Seek};

use api::oci_repository::{LayerOperation, OciRepository};
use artifact::unpack::{self, Sorted};
use kube::ResourceExt;
use net::Deadline;
use source::blocking;
use source::failure::{Failure, Interrupted};
use source::quota::{ByteQuota, ByteShare, QuotaError};
use tokio_util::sync::CancellationToken;

use super::pull::not_pulled;

/// The temporary files of all layers.
pub struct TemporaryFiles {
    layers: ByteQuota,
    contents: ByteQuota,
    /// The content of one layer.
    limits: unpack::Limits,
    /// The process ends.
    stop: CancellationToken,
}

/// A layer in a file without a name, and the room for it and for its content.
pub struct Layer {
    /// The file, at its beginning.
    pub file: File,
    _room: ByteShare,
    _content_room: Option<ByteShare>,
}

impl TemporaryFiles {
    /// So many bytes for all files: one half for layers, the other one for their contents.
    pub fn new(bytes: u64, limits: unpack::Limits, stop: CancellationToken) -> TemporaryFiles {
        let quota = || ByteQuota::new(bytes / 2);
        TemporaryFiles { layers: quota(), contents: quota(), limits, stop }
    }

    /// Waits until there is room for a layer of so many bytes.
    pub async fn room(
        &self,
        object: &OciRepository,
        bytes: u64,
        deadline: &Deadline,
    ) -> Result<ByteShare, Failure> {
        take(&self.layers, object, bytes, deadline).await
    }

    /// Waits until there is room for the content of a layer, if the spec wants it extracted.
    pub async fn layer(
        &self,
        object: &OciRepository,
        mut file: File,
        room: ByteShare,
        deadline: &Deadline,
    ) -> Result<Layer, Interrupted> {
        let operation = object.spec.layer_selector.as_ref().and_then(|selector| selector.operation);
        if operation == Some(LayerOperation::Copy) {
            return Ok(Layer { file, _room: room, _content_room: None });
        }
        let (limits, left) = (self.limits.clone(), deadline.remaining());
        let count = move |deadline: &Deadline| {
            let bytes = Sorted::content_bytes(&file, &limits, deadline);
            file.rewind()?;
            Ok::<_, io::Error>((file, bytes))
        };
        let counted = blocking::run(Deadline::new(left), Some(left), &self.stop, count).await?;
        let (file, bytes) = counted.map_err(|error| not_pulled(object, &error))?;
        let content_room = take(&self.contents, object, bytes, deadline).await?;
        Ok(Layer { file, _room: room, _content_room: Some(content_room) })
    }
}

async fn take(
    quota: &ByteQuota,
    object: &OciRepository,
    bytes: u64,
    deadline: &Deadline,
) -> Result<ByteShare, Failure> {
    let taken = quota.take(&object.namespace().unwrap_or_default(), bytes, deadline).await;
    taken.map_err(|error: QuotaError| {
        not_pulled(object, &format!("{error} (half of --oci-temporary-max-size)"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use api::oci_repository::{LayerSelector, OciRepositorySpec};
    use artifact::archive::ArchiveWriter;
    use artifact::digest::Algorithm;

    use super::*;

    fn files(bytes: u64) -> TemporaryFiles {
        TemporaryFiles::new(bytes, unpack::Limits::default(), CancellationToken::new())
    }

    fn object(operation: LayerOperation) -> OciRepository {
        let layer_selector = LayerSelector { operation: Some(operation), ..LayerSelector::default() };
        let spec = OciRepositorySpec {
            url: "oci://registry/app".to_owned(),
            layer_selector: Some(layer_selector),
            ..OciRepositorySpec::default()
        };
        let mut object = OciRepository::new("app", spec);
        object.metadata.namespace = Some("ns".to_owned());
        object
    }

    fn soon() -> Deadline {
        Deadline::new(Duration::from_millis(200))
    }

    /// A layer whose content has 64 KiB, and which has far fewer itself.
    fn archive() -> File {
        let mut archive = ArchiveWriter::new(tempfile::tempfile().unwrap(), Algorithm::Sha256).unwrap();
        archive.file(b"a", false, 65536, &mut io::repeat(b'a').take(65536)).unwrap();
        let (_, mut file) = archive.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    #[tokio::test]
    async fn room_that_is_not_to_be_had_is_a_failure_that_names_the_flag() {
        let (files, object) = (files(8192), object(LayerOperation::Extract));
        let message = |taken: Result<ByteShare, Failure>| taken.unwrap_err().message;
        assert_eq!(
            message(files.room(&object, 4097, &soon()).await),
            "failed to pull artifact from 'oci://registry/app': 4097 bytes of temporary files exceed the limit of \
             4096 (half of --oci-temporary-max-size)"
        );
        let _room = files.room(&object, 4096, &soon()).await.unwrap();
        assert_eq!(
            message(files.room(&object, 1, &soon()).await),
            "failed to pull artifact from 'oci://registry/app': timed out waiting for 1 bytes of the 4096 that \
             temporary files may have (half of --oci-temporary-max-size)"
        );
    }

    #[tokio::test]
    async fn a_layer_that_is_extracted_has_room_for_its_content() {
        let (files, extract) = (files(2 * 65536), object(LayerOperation::Extract));
        let layer = || async {
            let room = files.room(&extract, 4096, &soon()).await.unwrap();
            files.layer(&extract, archive(), room, &soon()).await
        };
        let mut first = layer().await.unwrap_or_else(|_| panic!("there is room"));
        let mut magic = [0; 2];
        first.file.read_exact(&mut magic).unwrap();
        assert_eq!(magic, [0x1f, 0x8b], "the file is at its beginning");
        let Err(Interrupted::Failure(failure)) = layer().await else { panic!("there is no room left") };
        let text = "timed out waiting for 65536 bytes of the 65536 that temporary files may have";
        assert!(failure.message.contains(text), "{failure}");
        drop(first);
        assert!(layer().await.is_ok());
    }

    #[tokio::test]
    async fn a_layer_that_is_copied_needs_no_room_for_content() {
        let (files, copy) = (files(8192), object(LayerOperation::Copy));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"plain text").unwrap();
        let room = files.room(&copy, 10, &soon()).await.unwrap();
        let layer = files.layer(&copy, file, room, &soon()).await;
        assert!(layer.is_ok_and(|layer| layer._content_room.is_none()));
    }
}
