//! Compares a value with a schema.

mod array;
mod object;
mod scalar;

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::STEPS_PER_EXPRESSION;
use crate::document::Json;
use crate::format::{Check, Format};
use crate::limits::{Exceeded, Meter};
use crate::report::{self, Failure, Kind};
use crate::schema::{Id, Schema, Schemas, type_name};
use crate::scope::{Place, Scope, Token};

/// What was not looked at yet, if a schema asks for it.
#[derive(Debug, Default)]
struct Unevaluated<'f> {
    properties: BTreeSet<&'f str>,
    items: BTreeSet<usize>,
}

impl Unevaluated<'_> {
    fn is_empty(&self) -> bool {
        self.properties.is_empty() && self.items.is_empty()
    }

    fn merge(&mut self, other: &Unevaluated<'_>) {
        self.properties.retain(|name| other.properties.contains(name));
        self.items.retain(|index| other.items.contains(index));
    }
}

/// Whether a value meets a schema: what is not evaluated yet, or what is wrong.
type Verdict<'f> = Result<Unevaluated<'f>, Box<Failure>>;

/// For the comparison of a schema with metaschemas: the metaschema of each resource in it, by its pointer.
pub(crate) type Resources<'f> = BTreeMap<&'f str, Id>;

/// A comparison of one value.
pub(crate) struct Comparison<'f, 'd> {
    pub(crate) schemas: &'f Schemas<'d>,
    pub(crate) meter: &'f Meter<'f>,
    /// Empty where no metaschema is compared, or where all are the same.
    pub(crate) resources: Resources<'f>,
}

impl<'f, 'd> Comparison<'f, 'd> {
    /// Compares a value. What is wrong has a list item a line, each after a line break; `None` if nothing is.
    pub(crate) fn run(&self, value: &Json, schema: Id) -> Result<Option<String>, Exceeded> {
        self.failure(value, schema, 0).map(|failure| failure.map(|failure| report::lines(*failure)))
    }

    fn failure(&self, value: &Json, schema: Id, depth: usize) -> Result<Option<Box<Failure>>, Exceeded> {
        let scope = Scope { around: None, schema, keyword: "", value: 0, same: 0, depth };
        let Some(found) = self.schemas.get(schema) else { return Ok(None) };
        let unevaluated = self.unevaluated(value, found, false)?;
        let frame = Frame {
            run: self,
            value,
            place: &Place::ROOT,
            schema: found,
            scope: &scope,
            unevaluated,
            failures: Vec::new(),
            is_quiet: false,
            // Only while a schema is compared is there one.
            metaschema: schema,
        };
        Ok(frame.compare()?.err())
    }

    fn unevaluated<'v>(
        &self,
        value: &'v Json,
        schema: &Schema<'_>,
        is_wanted: bool,
    ) -> Result<Unevaluated<'v>, Exceeded> {
        let mut unevaluated = Unevaluated::default();
        match value {
            Json::Object(entries)
                if !schema.all_properties_evaluated
                    && (is_wanted || schema.unevaluated_properties.is_some()) =>
            {
                self.meter.step(entries.len())?;
                unevaluated.properties = entries.keys().map(String::as_str).collect();
            }
            Json::Array(items)
                if !schema.all_items_evaluated && (is_wanted || schema.unevaluated_items.is_some()) =>
            {
                self.meter.step(items.len())?;
                unevaluated.items = (schema.items_evaluated..items.len()).collect();
            }
            _ => {}
        }
        Ok(unevaluated)
    }
}

/// A value that is being compared with a schema.
struct Frame<'f, 'd> {
    run: &'f Comparison<'f, 'd>,
    value: &'f Json,
    place: &'f Place<'f>,
    schema: &'f Schema<'d>,
    scope: &'f Scope<'f>,
    unevaluated: Unevaluated<'f>,
    failures: Vec<Failure>,
    /// Whether it is of interest only that something is wrong.
    is_quiet: bool,
    metaschema: Id,
}

impl<'f, 'd> Frame<'f, 'd> {
    fn compare(mut self) -> Result<Verdict<'f>, Exceeded> {
        let (run, schema) = (self.run, self.schema);
        // Looking for a cycle takes longer, the more schemas are compared with the same value.
        run.meter.step(4 + self.scope.same / 4)?;
        let most = run.meter.limits.nested_schemas;
        if self.scope.depth >= most {
            return Err(Exceeded::NestedSchemas(most));
        }
        if let Some(verdict) = self.first()? {
            return Ok(verdict);
        }
        if let Some(target) = schema.reference {
            let failure = self.refer(target, "$ref")?;
            if schema.draft < crate::draft::Draft::V2019 {
                return Ok(
                    failure.map_or_else(|| Ok(std::mem::take(&mut self.unevaluated)), |f| Err(Box::new(f)))
                );
            }
            self.failures.extend(failure);
        }
        match self.value {
            Json::Object(entries) => self.object(entries)?,
            Json::Array(items) => self.array(items)?,
            Json::String(text) => self.string(text)?,
            Json::Number(number) => self.number(number)?,
            Json::Null | Json::Bool(_) => {}
        }
        if self.failures.is_empty() || !self.is_quiet {
            self.references()?;
            self.combinators()?;
            self.condition()?;
            self.rest()?;
        }
        let mut failures = std::mem::take(&mut self.failures);
        Ok(match (failures.pop(), failures.is_empty()) {
            (None, _) => Ok(self.unevaluated),
            (Some(only), true) => Err(Box::new(only)),
            (Some(last), false) => {
                failures.push(last);
                let mut group = self.failure(Kind::Group)?;
                group.causes = failures;
                Err(Box::new(group))
            }
        })
    }

    /// What decides alone: a boolean schema, a cycle, `type`, `const`, `enum`, `format`.
    fn first(&mut self) -> Result<Option<Verdict<'f>>, Exceeded> {
        let (schema, value, meter) = (self.schema, self.value, self.run.meter);
        let text = match schema.boolean {
            Some(true) => return Ok(Some(Ok(std::mem::take(&mut self.unevaluated)))),
            Some(false) => Some("false schema".to_owned()),
            None => None,
        };
        let text = text.or_else(|| {
            let there = self.scope.repeated()?;
            let (here, there) = (self.scope.path(self.run.schemas), there.path(self.run.schemas));
            Some(report::cycle(&schema.location, &here, &there))
        });
        let text = text.or_else(|| {
            let is_wrong = !schema.types.is_empty() && !schema.types.has(value);
            is_wrong.then(|| report::wrong_type(type_name(value), schema.types))
        });
        if let Some(text) = text {
            return self.keyword(text).map(|failure| Some(Err(Box::new(failure))));
        }
        if schema.constant.is_some() || schema.enumeration.is_some() {
            meter.step(value.weight())?;
        }
        if let Some(want) = schema.constant.filter(|want| *want != value) {
            return self.keyword(report::wrong_constant(want)).map(|failure| Some(Err(Box::new(failure))));
        }
        if let Some(wanted) = schema.enumeration {
            let mut is_there = false;
            for want in wanted {
                meter.step(1)?;
                if want == value {
                    meter.step(want.weight())?;
                    is_there = true;
                    break;
                }
            }
            if !is_there {
                meter.step(wanted.iter().map(Json::weight).sum())?;
                return self.keyword(report::none_of(wanted)).map(|failure| Some(Err(Box::new(failure))));
            }
        }
        if let (Some(format), Json::String(text)) = (schema.format, value)
            && let Err(why) = self.format(format, text)?
        {
            let text = report::format_of(value, format.name, &why);
            return self.keyword(text).map(|failure| Some(Err(Box::new(failure))));
        }
        Ok(None)
    }

    fn format(&self, format: Format, text: &str) -> Result<Result<(), String>, Exceeded> {
        let meter = self.run.meter;
        meter.step(1 + text.len())?;
        let Check::Text(check) = format.check else {
            let translated = match goregexp::translate(text) {
                Ok(translated) => translated,
                Err(fault) => return Ok(Err(fault.to_string())),
            };
            return match translated.check_classes() {
                Ok(classes) => {
                    meter.step(STEPS_PER_EXPRESSION * classes)?;
                    Ok(Ok(()))
                }
                Err(fault) => Ok(Err(fault.to_string())),
            };
        };
        Ok(check(text))
    }

    /// `$recursiveRef` and `$dynamicRef`
    fn references(&mut self) -> Result<(), Exceeded> {
        let schema = self.schema;
        let schemas = self.run.schemas;
        if let Some(mut target) = schema.recursive_reference {
            if schemas.get(target).is_some_and(|target| target.is_recursive_anchor) {
                self.run.meter.step(self.scope.depth)?;
                for scope in self.scope.all() {
                    let resource = schemas.get(scope.schema).map(|schema| schema.resource);
                    if resource.and_then(|id| schemas.get(id)).is_some_and(|found| found.is_recursive_anchor)
                    {
                        target = scope.schema;
                    }
                }
            }
            let failure = self.refer(target, "$recursiveRef")?;
            self.failures.extend(failure);
        }
        if let Some((target, anchor)) = &schema.dynamic_reference {
            let mut target = *target;
            let begins = schemas.get(target).is_some_and(|target| target.dynamic_anchor == anchor);
            if !anchor.is_empty() && begins {
                self.run.meter.step(self.scope.depth)?;
                for scope in self.scope.all() {
                    let resource = schemas.get(scope.schema).map(|schema| schema.resource);
                    let anchors = resource.and_then(|id| schemas.get(id)).map(|found| &found.dynamic_anchors);
                    target = anchors.and_then(|anchors| anchors.get(anchor)).copied().unwrap_or(target);
                }
            }
            let failure = self.refer(target, "$dynamicRef")?;
            self.failures.extend(failure);
        }
        Ok(())
    }

    /// `not`, `allOf`, `anyOf`, `oneOf`
    fn combinators(&mut self) -> Result<(), Exceeded> {
        let schema = self.schema;
        if let Some(not) = schema.not
            && self.same(not, true)?.is_none()
        {
            self.fail("'not' failed".to_owned())?;
        }
        let mut causes = Vec::new();
        for id in &schema.all_of {
            causes.extend(self.same(*id, false)?);
            if self.is_quiet && !causes.is_empty() {
                break;
            }
        }
        if !causes.is_empty() {
            self.fail_with("'allOf' failed".to_owned(), causes)?;
        }
        let mut causes = Vec::new();
        let mut is_met = schema.any_of.is_empty();
        for id in &schema.any_of {
            match self.same(*id, false)? {
                Some(failure) => causes.push(failure),
                None => {
                    is_met = true;
                    // What is not evaluated depends on all that are met.
                    if self.unevaluated.is_empty() {
                        break;
                    }
                }
            }
        }
        if !is_met {
            self.fail_with("'anyOf' failed".to_owned(), causes)?;
        }
        self.one_of()
    }

    fn one_of(&mut self) -> Result<(), Exceeded> {
        let mut causes = Vec::new();
        let mut met = None;
        for (index, id) in self.schema.one_of.iter().enumerate() {
            match (self.same(*id, met.is_some())?, met) {
                (Some(failure), None) => causes.push(failure),
                (Some(_), Some(_)) => {}
                (None, None) => met = Some(index),
                (None, Some(first)) => return self.fail(report::one_of(first, index)),
            }
        }
        if met.is_none() && !self.schema.one_of.is_empty() {
            self.fail_with("'oneOf' failed, none matched".to_owned(), causes)?;
        }
        Ok(())
    }

    /// `if`, `then`, `else`
    fn condition(&mut self) -> Result<(), Exceeded> {
        let Some(condition) = self.schema.condition else { return Ok(()) };
        let next = match self.same(condition, true)? {
            None => self.schema.consequence,
            Some(_) => self.schema.alternative,
        };
        if let Some(next) = next {
            let failure = self.same(next, false)?;
            self.failures.extend(failure);
        }
        Ok(())
    }

    /// `unevaluatedProperties` and `unevaluatedItems`
    fn rest(&mut self) -> Result<(), Exceeded> {
        if let (Some(id), Json::Object(entries)) = (self.schema.unevaluated_properties, self.value) {
            for name in std::mem::take(&mut self.unevaluated.properties) {
                if let Some(value) = entries.get(name) {
                    let failure = self.part(id, value, Token::Key(name))?;
                    self.failures.extend(failure);
                }
            }
        }
        if let (Some(id), Json::Array(items)) = (self.schema.unevaluated_items, self.value) {
            for index in std::mem::take(&mut self.unevaluated.items) {
                if let Some(value) = items.get(index) {
                    let failure = self.part(id, value, Token::Index(index))?;
                    self.failures.extend(failure);
                }
            }
        }
        Ok(())
    }

    /// Compares the same value with another schema.
    fn same(&mut self, id: Id, is_quiet: bool) -> Result<Option<Failure>, Exceeded> {
        self.same_by(id, "", is_quiet)
    }

    fn same_by(
        &mut self,
        id: Id,
        keyword: &'static str,
        is_quiet: bool,
    ) -> Result<Option<Failure>, Exceeded> {
        let run = self.run;
        let scope = Scope {
            around: Some(self.scope),
            schema: id,
            keyword,
            value: self.scope.value,
            same: self.scope.same + 1,
            depth: self.scope.depth + 1,
        };
        let Some(found) = run.schemas.get(id) else { return Ok(None) };
        let unevaluated = run.unevaluated(self.value, found, !self.unevaluated.is_empty())?;
        let (schema, metaschema) = self.dialect(id, found, self.place)?;
        let frame = Frame {
            run,
            value: self.value,
            place: self.place,
            schema,
            scope: &scope,
            unevaluated,
            failures: Vec::new(),
            is_quiet: self.is_quiet || is_quiet,
            metaschema,
        };
        match frame.compare()? {
            Ok(rest) => {
                if !self.unevaluated.is_empty() {
                    run.meter.step(self.unevaluated.properties.len() + self.unevaluated.items.len())?;
                    // Both borrow from the value alone.
                    self.unevaluated.merge(&rest);
                }
                Ok(None)
            }
            Err(failure) => Ok(Some(*failure)),
        }
    }

    /// Compares a part of the value.
    fn part(&mut self, id: Id, value: &Json, token: Token<'_>) -> Result<Option<Failure>, Exceeded> {
        let run = self.run;
        let place = Place { around: Some(self.place), token };
        let scope = Scope {
            around: Some(self.scope),
            schema: id,
            keyword: "",
            value: self.scope.value + 1,
            same: 0,
            depth: self.scope.depth + 1,
        };
        let Some(found) = run.schemas.get(id) else { return Ok(None) };
        let unevaluated = run.unevaluated(value, found, false)?;
        let (schema, metaschema) = self.dialect(id, found, &place)?;
        let frame = Frame {
            run,
            value,
            place: &place,
            schema,
            scope: &scope,
            unevaluated,
            failures: Vec::new(),
            is_quiet: self.is_quiet,
            metaschema,
        };
        Ok(frame.compare()?.err().map(|failure| *failure))
    }

    /// Where a resource of a schema is compared with a metaschema, that of its own dialect counts from there on.
    fn dialect(
        &self,
        id: Id,
        schema: &'f Schema<'d>,
        place: &Place<'_>,
    ) -> Result<(&'f Schema<'d>, Id), Exceeded> {
        if id != self.metaschema || self.run.resources.is_empty() {
            return Ok((schema, self.metaschema));
        }
        let pointer = place.pointer();
        self.run.meter.look(pointer.len())?;
        let other = self.run.resources.get(pointer.as_str()).copied();
        let found = other.and_then(|other| Some((self.run.schemas.get(other)?, other)));
        Ok(found.unwrap_or((schema, self.metaschema)))
    }

    /// Compares the value with a schema that is referred to.
    fn refer(&mut self, id: Id, keyword: &'static str) -> Result<Option<Failure>, Exceeded> {
        let Some(failure) = self.same_by(id, keyword, false)? else { return Ok(None) };
        let mut reference = self.failure(Kind::Reference)?;
        reference.causes = match failure.kind {
            Kind::Group => failure.causes,
            _ => vec![failure],
        };
        Ok(Some(reference))
    }

    fn failure(&self, kind: Kind) -> Result<Failure, Exceeded> {
        if self.is_quiet {
            return Ok(Failure::default());
        }
        let place = report::quote(&self.place.pointer());
        let text = if let Kind::Keyword(text) = &kind { text.len() } else { 0 };
        self.run.meter.keep(size_of::<Failure>() + 2 * (place.len() + text) + 2 * self.scope.depth)?;
        self.run.meter.look(place.len() + text)?;
        Ok(Failure { place, kind, causes: Vec::new() })
    }

    fn keyword(&self, text: String) -> Result<Failure, Exceeded> {
        self.failure(Kind::Keyword(text))
    }

    fn fail(&mut self, text: String) -> Result<(), Exceeded> {
        self.fail_with(text, Vec::new())
    }

    fn fail_with(&mut self, text: String, causes: Vec<Failure>) -> Result<(), Exceeded> {
        let failure = self.keyword(text)?;
        self.failures.push(Failure { causes, ..failure });
        Ok(())
    }

    /// Whether nothing more can change the verdict.
    fn is_decided(&self) -> bool {
        self.is_quiet && !self.failures.is_empty()
    }
}
