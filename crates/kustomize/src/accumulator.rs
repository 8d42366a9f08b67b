//! What a kustomization has gathered: resources, field specifications, vars.

use std::sync::Arc;

use crate::config::Config;
use crate::error::{Context, Result};
use crate::resmap::ResMap;
use crate::schema::Schema;
use crate::vars::Vars;

/// Resources and the rules that will be applied to them at the end.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    pub map: ResMap,
    pub config: Arc<Config>,
    pub vars: Vars,
}

impl Accumulator {
    /// Takes up what a base has gathered.
    pub fn merge(&mut self, other: Self, schema: &Schema) -> Result<()> {
        self.map.append_all(other.map, schema)?;
        self.merge_config(&other.config)?;
        self.vars.merge(other.vars)
    }

    /// Adds field specifications.
    pub fn merge_config(&mut self, config: &Arc<Config>) -> Result<()> {
        self.config = self.config.merge(config).context(|| "merging config".into())?;
        Ok(())
    }
}
