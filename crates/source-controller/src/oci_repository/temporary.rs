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

    /// Counts the bytes of the content of a layer; none if the spec does not want it extracted. `slot` is kept until that is
    /// over, also on the thread of one that is given up.
    pub async fn content_bytes(
        &self,
        object: &OciRepository,
        mut file: File,
        slot: impl Send + 'static,
        deadline: &Deadline,
    ) -> Result<(File, u64), Interrupted> {
        let operation = object.spec.layer_selector.as_ref().and_then(|selector| selector.operation);
        if operation == Some(LayerOperation::Copy) {
            return Ok((file, 0));
        }
        let (limits, left) = (self.limits.clone(), deadline.remaining());
        let count = move |deadline: &Deadline| {
            let _slot = slot;
            let bytes = Sorted::content_bytes(&file, &limits, deadline);
            file.rewind()?;
            Ok::<_, io::Error>((file, bytes))
        };
        let counted = blocking::run(Deadline::new(left), Some(left), &self.stop, count).await?;
        Ok(counted.map_err(|error| not_pulled(object, &error))?)
    }

    /// Waits until there is room for the content of a layer, which has so many bytes.
    pub async fn content_room(
        &self,
        object: &OciRepository,
        bytes: u64,
        deadline: &Deadline,
    ) -> Result<ByteShare, Failure> {
        take(&self.contents, object, bytes, deadline).await
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
    use std::io::Read;
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

    fn unlimited() -> Deadline {
        Deadline::new(Duration::from_secs(60))
    }

    /// For what is not to be had.
    fn soon() -> Deadline {
        Deadline::new(Duration::from_millis(20))
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
        let _room = files.room(&object, 4096, &unlimited()).await.unwrap();
        assert_eq!(
            message(files.room(&object, 1, &soon()).await),
            "failed to pull artifact from 'oci://registry/app': timed out waiting for 1 bytes of the 4096 that \
             temporary files may have (half of --oci-temporary-max-size)"
        );
    }

    #[tokio::test]
    async fn content_is_counted_for_a_layer_that_is_extracted() {
        let files = files(8192);
        let (extract, copy) = (object(LayerOperation::Extract), object(LayerOperation::Copy));
        let counted = files.content_bytes(&extract, archive(), (), &unlimited()).await;
        let (mut file, bytes) = counted.unwrap_or_else(|_| panic!("it can be read"));
        assert_eq!(bytes, 65536);
        let mut magic = [0; 2];
        file.read_exact(&mut magic).unwrap();
        assert_eq!(magic, [0x1f, 0x8b], "the file is at its beginning");
        let counted = files.content_bytes(&copy, archive(), (), &unlimited()).await;
        assert!(counted.is_ok_and(|(_, bytes)| bytes == 0));
    }

    #[tokio::test]
    async fn room_for_content_is_not_that_for_layers() {
        let (files, object) = (files(8192), object(LayerOperation::Extract));
        let _layer = files.room(&object, 4096, &unlimited()).await.unwrap();
        let content = files.content_room(&object, 4096, &unlimited()).await.unwrap();
        assert!(files.content_room(&object, 1, &soon()).await.is_err());
        drop(content);
        assert!(files.content_room(&object, 1, &unlimited()).await.is_ok());
    }
}
