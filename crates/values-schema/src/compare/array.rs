//! Keywords about arrays.

use std::collections::HashMap;

use super::Frame;
use crate::document::Json;
use crate::draft::Draft;
use crate::limits::Exceeded;
use crate::report;
use crate::schema::{Additional, Id, Items};
use crate::scope::Token;

impl Frame<'_, '_> {
    pub(super) fn array(&mut self, items: &[Json]) -> Result<(), Exceeded> {
        let schema = self.schema;
        if let Some(least) = schema.least_items.filter(|least| items.len() < *least) {
            self.fail(report::wrong_count("minItems", items.len(), least))?;
        }
        if let Some(most) = schema.most_items.filter(|most| items.len() > *most) {
            self.fail(report::wrong_count("maxItems", items.len(), most))?;
        }
        if schema.has_unique_items
            && let Some((first, second)) = self.equal_items(items)?
        {
            self.fail(report::equal_items(first, second))?;
        }
        if schema.draft < Draft::V2020 {
            self.older_items(items)?;
        } else {
            let known = schema.prefix_items.len().min(items.len());
            for (index, (item, id)) in items.iter().zip(&schema.prefix_items).enumerate() {
                self.item(*id, item, index)?;
            }
            if let Some(id) = schema.further_items {
                for (index, item) in items.iter().enumerate().skip(known) {
                    self.item(id, item, index)?;
                }
            }
        }
        match schema.contains {
            Some(id) => self.contains(items, id),
            None => Ok(()),
        }
    }

    /// `items` and `additionalItems` before 2020-12.
    fn older_items(&mut self, items: &[Json]) -> Result<(), Exceeded> {
        let schema = self.schema;
        let known = match &schema.items {
            Items::Any => 0,
            Items::All(id) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(*id, item, index)?;
                }
                items.len()
            }
            Items::Each(ids) => {
                for (index, (item, id)) in items.iter().zip(ids).enumerate() {
                    self.item(*id, item, index)?;
                }
                ids.len().min(items.len())
            }
        };
        match schema.additional_items {
            Some(Additional::Allowed(false)) if known != items.len() => {
                self.fail(report::additional_items(items.len() - known))
            }
            Some(Additional::Schema(id)) => {
                for (index, item) in items.iter().enumerate().skip(known) {
                    self.item(id, item, index)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn item(&mut self, id: Id, item: &Json, index: usize) -> Result<(), Exceeded> {
        let failure = self.part(id, item, Token::Index(index))?;
        self.failures.extend(failure);
        Ok(())
    }

    fn contains(&mut self, items: &[Json], id: Id) -> Result<(), Exceeded> {
        let schema = self.schema;
        let (mut failures, mut matched) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match self.part(id, item, Token::Index(index))? {
                Some(failure) => failures.push(failure),
                None => {
                    matched.push(index);
                    if schema.draft >= Draft::V2020 {
                        self.unevaluated.items.remove(&index);
                    }
                }
            }
        }
        match schema.least_contained {
            Some(least) if matched.len() < least => {
                self.fail_with(report::too_few_contained(&matched, least), failures)?;
            }
            None if matched.is_empty() => {
                self.fail_with("no items match contains schema".to_owned(), failures)?;
            }
            _ => {}
        }
        match schema.most_contained.filter(|most| matched.len() > *most) {
            Some(most) => self.fail(report::too_many_contained(&matched, most)),
            None => Ok(()),
        }
    }

    /// The first item that is there already, and where.
    fn equal_items(&mut self, items: &[Json]) -> Result<Option<(usize, usize)>, Exceeded> {
        let mut seen = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            self.run.meter.step(item.weight())?;
            let mut canonical = String::new();
            item.put_canonical(&mut canonical);
            if let Some(first) = seen.get(&canonical) {
                return Ok(Some((*first, index)));
            }
            seen.insert(canonical, index);
        }
        Ok(None)
    }
}
