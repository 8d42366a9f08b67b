//! What a registry has about one artifact.

use net::Deadline;
use oci::{
    BlobError, Client, Descriptor, Digest, Manifest, ManifestError, Reference, ReferrersError, Repository,
    Resolved,
};

use crate::registry::Session;

/// Asks a registry about one artifact.
pub(super) struct Fetch<'a, 's> {
    pub(super) session: &'a mut Session<'s>,
    pub(super) repository: &'a Repository,
    /// The digest of its manifest.
    pub(super) digest: &'a Digest,
    pub(super) deadline: &'a Deadline,
}

impl Fetch<'_, '_> {
    /// What refers to the artifact.
    pub(super) async fn referrers(&mut self) -> Result<Vec<Descriptor>, ReferrersError> {
        let Fetch { repository, digest, deadline, .. } = *self;
        let ask = |client: Client| async move { client.referrers(repository, digest, deadline).await };
        self.session.ask(deadline, ReferrersError::request, ask).await
    }

    /// Digest, type and size of a manifest.
    pub(super) async fn resolve(&mut self, reference: &Reference) -> Result<Resolved, ManifestError> {
        self.session.resolve(reference, self.deadline).await
    }

    /// Another manifest of the repository.
    pub(super) async fn manifest(&mut self, digest: &Digest) -> Result<Manifest, ManifestError> {
        self.session.manifest(self.repository, digest, self.deadline).await
    }

    /// A blob of at most so many bytes.
    pub(super) async fn blob(&mut self, layer: &Descriptor, bytes: u64) -> Result<Vec<u8>, BlobError> {
        let Fetch { repository, deadline, .. } = *self;
        let ask = |client: Client| async move { client.small_blob(repository, layer, bytes, deadline).await };
        self.session.ask(deadline, BlobError::request, ask).await
    }
}
