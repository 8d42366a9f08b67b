//! One cluster that objects are applied to.

use std::sync::Arc;

use kube::Client;

use crate::{
    manager::Manager,
    mapper::{Mapper, MapperOptions},
    observe::{Index, IndexOptions},
};

/// A cluster: how it is reached, what it serves, and what is known of the objects that were applied there. Another cluster
/// is another value. Clones share.
#[derive(Clone)]
pub struct Cluster {
    /// The controller's own identity there.
    pub client: Client,
    /// What the cluster serves.
    pub mapper: Arc<Mapper>,
    /// Applied objects as watches show them.
    pub index: Index,
}

impl Cluster {
    /// A cluster of which nothing is known yet.
    pub fn new(client: Client, manager: Manager, discovery: MapperOptions, watches: IndexOptions) -> Self {
        let mapper = Arc::new(Mapper::new(client.clone(), discovery));
        let index = Index::new(client.clone(), manager, mapper.clone(), watches);
        Self { client, mapper, index }
    }
}
