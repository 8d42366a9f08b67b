//! Keywords about objects.

use std::collections::BTreeMap;

use super::Frame;
use crate::document::Json;
use crate::draft::Draft;
use crate::limits::Exceeded;
use crate::report::{self, Failure, Kind};
use crate::schema::{Additional, Dependency, Id};
use crate::scope::Token;

type Entries = BTreeMap<String, Json>;

impl<'f> Frame<'f, '_> {
    pub(super) fn object(&mut self, entries: &'f Entries) -> Result<(), Exceeded> {
        let schema = self.schema;
        self.run.meter.step(schema.required.len())?;
        if let Some(least) = schema.least_properties.filter(|least| entries.len() < *least) {
            self.fail(report::wrong_count("minProperties", entries.len(), least))?;
        }
        if let Some(most) = schema.most_properties.filter(|most| entries.len() > *most) {
            self.fail(report::wrong_count("maxProperties", entries.len(), most))?;
        }
        let missing: Vec<_> =
            schema.required.iter().copied().filter(|name| !entries.contains_key(*name)).collect();
        if !missing.is_empty() {
            self.fail(report::missing(&missing))?;
        }
        if self.is_decided() {
            return Ok(());
        }
        self.dependencies(entries)?;
        self.properties(entries)?;
        if schema.draft >= Draft::V6
            && let Some(id) = schema.property_names
        {
            self.names(entries, id)?;
        }
        self.dependents(entries)
    }

    fn dependencies(&mut self, entries: &Entries) -> Result<(), Exceeded> {
        let schema = self.schema;
        self.run.meter.step(schema.dependencies.len())?;
        for (name, dependency) in &schema.dependencies {
            if !entries.contains_key(*name) {
                continue;
            }
            match dependency {
                Dependency::Properties(required) => self.required_beside(name, required, entries)?,
                Dependency::Schema(id) => {
                    let failure = self.same(*id, false)?;
                    self.failures.extend(failure);
                }
            }
        }
        Ok(())
    }

    fn required_beside(
        &mut self,
        name: &str,
        required: &[String],
        entries: &Entries,
    ) -> Result<(), Exceeded> {
        self.run.meter.step(required.len())?;
        let missing: Vec<_> =
            required.iter().map(String::as_str).filter(|name| !entries.contains_key(*name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.fail(report::missing_beside(&missing, name))
    }

    fn properties(&mut self, entries: &'f Entries) -> Result<(), Exceeded> {
        let schema = self.schema;
        let mut additional = Vec::new();
        for (name, value) in entries {
            if self.is_decided() {
                return Ok(());
            }
            self.run.meter.step(1)?;
            let mut is_evaluated = false;
            if let Some(id) = schema.properties.get(name.as_str()) {
                is_evaluated = true;
                self.property(*id, name, value)?;
            }
            for (pattern, id) in &schema.pattern_properties {
                if self.matches(pattern, name)? {
                    is_evaluated = true;
                    self.property(*id, name, value)?;
                }
            }
            match schema.additional_properties {
                Some(allowed) if !is_evaluated => {
                    is_evaluated = true;
                    match allowed {
                        Additional::Allowed(true) => {}
                        Additional::Allowed(false) => additional.push(name.as_str()),
                        Additional::Schema(id) => self.property(id, name, value)?,
                    }
                }
                _ => {}
            }
            if is_evaluated {
                self.unevaluated.properties.remove(name.as_str());
            }
        }
        if additional.is_empty() {
            return Ok(());
        }
        self.fail(report::additional_properties(&additional))
    }

    fn property(&mut self, id: Id, name: &str, value: &Json) -> Result<(), Exceeded> {
        let failure = self.part(id, value, Token::Key(name))?;
        self.failures.extend(failure);
        Ok(())
    }

    /// `propertyNames`
    fn names(&mut self, entries: &Entries, id: Id) -> Result<(), Exceeded> {
        for name in entries.keys() {
            let name_value = Json::String(name.clone());
            // A name is a value of its own, at no place in the other.
            if let Some(failure) = self.run.failure(&name_value, id, self.scope.depth + 1)? {
                let causes = match failure.kind {
                    Kind::Group => failure.causes,
                    _ => vec![*failure],
                };
                let failure = self.keyword(report::property_name(name))?;
                self.failures.push(Failure { causes, ..failure });
            }
        }
        Ok(())
    }

    fn dependents(&mut self, entries: &Entries) -> Result<(), Exceeded> {
        let schema = self.schema;
        self.run.meter.step(schema.dependent_schemas.len() + schema.dependent_required.len())?;
        for (name, id) in &schema.dependent_schemas {
            if entries.contains_key(*name) {
                let failure = self.same(*id, false)?;
                self.failures.extend(failure);
            }
        }
        for (name, required) in &schema.dependent_required {
            if entries.contains_key(*name) {
                self.required_beside(name, required, entries)?;
            }
        }
        Ok(())
    }
}
