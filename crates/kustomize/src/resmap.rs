//! The resources of one layer, in order, with lookup by identity.

use std::collections::HashMap;

use smol_str::SmolStr;

use crate::error::{Error, Result};
use crate::resid::ResId;
use crate::resource::{Behavior, Resource};
use crate::schema::Schema;

/// Resources in order. Indexes are built when first asked for and dropped when names may have changed.
#[derive(Debug, Default)]
pub(crate) struct ResMap {
    list: Vec<Resource>,
    by_current_id: Option<HashMap<ResId, usize>>,
    by_any_id: Option<HashMap<ResId, Vec<usize>>>,
    by_any_name: Option<HashMap<SmolStr, Vec<usize>>>,
}

impl ResMap {
    pub fn resources(&self) -> &[Resource] {
        &self.list
    }

    pub fn into_resources(self) -> Vec<Resource> {
        self.list
    }

    /// Resources for a step that may change their names.
    pub fn resources_mut(&mut self) -> &mut Vec<Resource> {
        self.by_current_id = None;
        self.by_any_id = None;
        self.by_any_name = None;
        &mut self.list
    }

    /// Resources for a step that leaves names, order and number alone.
    pub fn contents_mut(&mut self) -> &mut [Resource] {
        &mut self.list
    }

    pub fn get(&self, index: usize) -> Option<&Resource> {
        self.list.get(index)
    }

    /// Drops what patches have emptied.
    pub fn drop_empty(&mut self) {
        if self.list.iter().any(Resource::is_empty) {
            self.resources_mut().retain(|resource| !resource.is_empty());
        }
    }

    /// Adds a resource at the end; one of the same current identity must not be there.
    pub fn append(&mut self, resource: Resource, schema: &Schema) -> Result<()> {
        let index = self.list.len();
        let current = self.by_current_id.get_or_insert_with(|| index_by_current_id(&self.list, schema));
        let id = resource.id(schema);
        if let Some(known) = current.get(&id) {
            return Err(twice(&id, self.list.get(*known), &resource));
        }
        current.insert(id, index);
        self.by_any_name = None;
        if let Some(any) = &mut self.by_any_id {
            for id in any_ids(&resource, schema) {
                any.entry(id).or_default().push(index);
            }
        }
        self.list.push(resource);
        Ok(())
    }

    /// Fails when two resources have the same current identity.
    pub fn check_unique(&mut self, schema: &Schema) -> Result<()> {
        if self.by_current_id.is_some() {
            return Ok(());
        }
        let index = index_by_current_id(&self.list, schema);
        for (position, resource) in self.list.iter().enumerate().filter(|(_, resource)| !resource.is_empty())
        {
            let id = resource.id(schema);
            let last = index.get(&id).copied().unwrap_or(position);
            if last != position {
                return Err(twice(&id, Some(resource), self.list.get(last).unwrap_or(resource)));
            }
        }
        self.by_current_id = Some(index);
        Ok(())
    }

    /// Adds all resources of `other`, in order.
    pub fn append_all(&mut self, other: ResMap, schema: &Schema) -> Result<()> {
        other.list.into_iter().try_for_each(|resource| self.append(resource, schema))
    }

    /// Adds a generated resource, or lets it replace or merge with the one it names.
    pub fn absorb(&mut self, mut resource: Resource, schema: &Schema) -> Result<()> {
        let id = resource.id(schema);
        let matches = self.matching_any_id(&id, schema);
        let behavior = resource.behavior;
        match (matches.as_slice(), behavior) {
            ([], Behavior::Merge | Behavior::Replace) => {
                Err(Error::Invalid(format!("id {id} does not exist; cannot merge or replace")))
            }
            ([], _) => self.append(resource, schema),
            ([index], Behavior::Merge | Behavior::Replace) => {
                let Some(old) = self.list.get_mut(*index) else { return Ok(()) };
                if behavior == Behavior::Merge {
                    crate::generate::merge_data(&mut resource, old);
                    let origin = crate::origin::ANNOTATION;
                    let kept = crate::meta::annotation(&old.node, origin).map(str::to_owned);
                    resource.inherit_metadata(old);
                    if let Some(kept) = kept {
                        crate::meta::set_annotation(&mut resource.node, origin, &kept);
                    }
                } else {
                    resource.inherit_metadata(old);
                }
                *old = resource;
                Ok(())
            }
            ([_], _) => Err(Error::Invalid(format!(
                "id {id} exists; can not use behavior: '{}', behavior must be merge or replace",
                behavior.as_str()
            ))),
            _ => Err(Error::Invalid(format!("found multiple objects that could accept merge of {id}"))),
        }
    }

    /// Resources that have or had this identity, in order.
    pub fn matching_any_id(&mut self, id: &ResId, schema: &Schema) -> Vec<usize> {
        let index = self.by_any_id.get_or_insert_with(|| {
            let mut index: HashMap<ResId, Vec<usize>> = HashMap::with_capacity(self.list.len());
            for (position, resource) in
                self.list.iter().enumerate().filter(|(_, resource)| !resource.is_empty())
            {
                for id in any_ids(resource, schema) {
                    index.entry(id).or_default().push(position);
                }
            }
            index
        });
        index.get(id).cloned().unwrap_or_default()
    }

    /// Resources that have or had this name, in order.
    pub fn matching_any_name(&mut self, name: &str) -> Vec<usize> {
        let index = self.by_any_name.get_or_insert_with(|| {
            let mut index: HashMap<SmolStr, Vec<usize>> = HashMap::with_capacity(self.list.len());
            for (position, resource) in
                self.list.iter().enumerate().filter(|(_, resource)| !resource.is_empty())
            {
                let former = resource.previous.iter().map(|previous| previous.name.clone());
                for name in former.chain([SmolStr::new(resource.name())]) {
                    let positions = index.entry(name).or_default();
                    if positions.last() != Some(&position) {
                        positions.push(position);
                    }
                }
            }
            index
        });
        index.get(name).cloned().unwrap_or_default()
    }

    /// The one resource that has or had this identity.
    pub fn the_one_with_any_id(&mut self, id: &ResId, schema: &Schema) -> Result<usize> {
        match self.matching_any_id(id, schema)[..] {
            [index] => Ok(index),
            [] => Err(Error::Invalid(format!(
                "no matches for Id {id}; failed to find unique target for patch {id}"
            ))),
            _ => Err(Error::Invalid(format!(
                "multiple matches for Id {id}; failed to find unique target for patch {id}"
            ))),
        }
    }
}

/// Today's identity and the former ones, each once.
fn any_ids(resource: &Resource, schema: &Schema) -> Vec<ResId> {
    let mut ids = vec![resource.id(schema)];
    for id in resource.previous_ids() {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

fn index_by_current_id(list: &[Resource], schema: &Schema) -> HashMap<ResId, usize> {
    let present = list.iter().enumerate().filter(|(_, resource)| !resource.is_empty());
    present.map(|(index, resource)| (resource.id(schema), index)).collect()
}

fn twice(id: &ResId, first: Option<&Resource>, second: &Resource) -> Error {
    let first = first.map(Resource::describe).unwrap_or_default();
    Error::Invalid(format!(
        "may not add resource with an already registered id: {id} (the first is {first}, the second {})",
        second.describe()
    ))
}
