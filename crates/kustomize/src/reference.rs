//! Name references: when a resource has got another name, whoever mentions it by the old one is told.
//!
//! One pass over the referrers; what a name may refer to is looked up by that name, never searched for.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;
use yaml::{Node, Value};

use crate::build::Build;
use crate::config::{Config, FieldSpec};
use crate::error::{Context, Error, Result};
use crate::meta;
use crate::resid::Gvk;
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::schema::Schema;
use crate::transform::field::{self, Create};

/// A renamed resource, as referrers see it.
struct Candidate {
    kind: SmolStr,
    name: SmolStr,
    namespace: SmolStr,
    effective_namespace: SmolStr,
    original_namespace: SmolStr,
    cluster_scoped: bool,
    previous: Vec<(Gvk, SmolStr)>,
    prefixes: Vec<SmolStr>,
    suffixes: Vec<SmolStr>,
    described: String,
}

/// All renamed resources, by each of their old names.
struct Candidates {
    list: Vec<Candidate>,
    by_name: HashMap<SmolStr, Vec<usize>>,
    /// Per original namespace, where its resources are today: effective and literal namespace.
    namespaces: HashMap<SmolStr, HashSet<(SmolStr, SmolStr)>>,
}

/// Updates all references.
pub(crate) fn fix(map: &mut ResMap, config: &Config, build: &mut Build<'_>) -> Result<()> {
    map.resources().iter().try_for_each(|resource| bound_namespaces(resource).map(drop))?;
    let candidates = Candidates::new(map.resources(), &build.schema);
    if candidates.list.is_empty() {
        return Ok(());
    }
    let mut fields_of: HashMap<Gvk, Vec<(&FieldSpec, &Gvk)>> = HashMap::new();
    for resource in map.contents_mut() {
        let original = resource.original_id(&build.schema).gvk;
        let fields = fields_of.entry(original).or_insert_with_key(|gvk| {
            let all = config.name_reference.iter();
            all.flat_map(|references| references.referrers.iter().map(move |spec| (spec, &references.target)))
                .filter(|(spec, _)| gvk.is_selected_by(&spec.gvk))
                .collect()
        });
        if fields.is_empty() {
            continue;
        }
        build.meter.count_work(fields.len())?;
        let view = View::new(resource, &candidates, &build.schema)?;
        let described = resource.describe();
        for (spec, target) in fields {
            let role = if spec.path.ends_with("roleRef/name") { role_gvk(&resource.node) } else { None };
            let fixer = Fixer { view: &view, target, role };
            field::apply_path(&mut resource.node, spec, Create::Nothing, &build.meter, &mut |node| {
                fixer.set(node)?;
                build.meter.count_bytes(node.as_str().map_or(0, str::len))
            })
            .context(|| format!("updating name reference in '{}' field of '{described}'", spec.path))?;
        }
    }
    Ok(())
}

impl Candidates {
    fn new(resources: &[Resource], schema: &Schema) -> Self {
        let mut candidates = Self { list: Vec::new(), by_name: HashMap::new(), namespaces: HashMap::new() };
        for resource in resources {
            let id = resource.id(schema);
            let original = resource.original_id(schema);
            let original_namespace = SmolStr::new(original.effective_namespace());
            let effective_namespace = SmolStr::new(id.effective_namespace());
            if !id.cluster_scoped {
                let now = (effective_namespace.clone(), id.namespace.clone());
                candidates.namespaces.entry(original_namespace.clone()).or_default().insert(now);
            }
            if resource.previous.is_empty() {
                continue;
            }
            let index = candidates.list.len();
            let previous: Vec<_> = resource.previous_ids().map(|id| (id.gvk, id.name)).collect();
            for (_, name) in &previous {
                let indexes = candidates.by_name.entry(name.clone()).or_default();
                if indexes.last() != Some(&index) {
                    indexes.push(index);
                }
            }
            candidates.list.push(Candidate {
                described: id.to_string(),
                kind: id.gvk.kind,
                name: id.name,
                namespace: id.namespace,
                effective_namespace,
                original_namespace,
                cluster_scoped: id.cluster_scoped,
                previous,
                prefixes: resource.prefixes.clone(),
                suffixes: resource.suffixes.clone(),
            });
        }
        candidates
    }
}

/// What one referrer may refer to.
struct View<'a> {
    candidates: &'a Candidates,
    cluster_scoped: bool,
    effective_namespace: SmolStr,
    /// Namespaces of the service accounts that a role binding names.
    bound: HashSet<SmolStr>,
    prefixes: Vec<SmolStr>,
    suffixes: Vec<SmolStr>,
    described: String,
}

impl<'a> View<'a> {
    fn new(referrer: &Resource, candidates: &'a Candidates, schema: &Schema) -> Result<Self> {
        let id = referrer.id(schema);
        Ok(Self {
            candidates,
            cluster_scoped: id.cluster_scoped,
            effective_namespace: SmolStr::new(id.effective_namespace()),
            bound: bound_namespaces(referrer)?,
            prefixes: referrer.prefixes.clone(),
            suffixes: referrer.suffixes.clone(),
            described: referrer.describe(),
        })
    }

    fn sees_namespace(&self, effective: &str, literal: &str) -> bool {
        self.cluster_scoped || effective == self.effective_namespace || self.bound.contains(literal)
    }

    fn sees(&self, candidate: &Candidate) -> bool {
        candidate.cluster_scoped || self.sees_namespace(&candidate.effective_namespace, &candidate.namespace)
    }
}

fn bound_namespaces(referrer: &Resource) -> Result<HashSet<SmolStr>> {
    let mut namespaces = HashSet::new();
    if referrer.kind() != "RoleBinding" {
        return Ok(namespaces);
    }
    for subject in referrer.node.get("subjects").map(Node::items).unwrap_or_default() {
        if meta::text(subject, "kind") != "ServiceAccount" {
            continue;
        }
        if let Some(namespace) = subject.get("namespace") {
            let text = namespace.as_str().filter(|_| !namespace.is_null()).ok_or_else(|| {
                Error::Invalid(format!(
                    "Invalid Input: namespace is blank for resource \"{}\"",
                    referrer.describe()
                ))
            })?;
            namespaces.insert(text.into());
        }
    }
    Ok(namespaces)
}

/// Group and kind that a binding's `roleRef` names.
fn role_gvk(node: &Node) -> Option<Gvk> {
    let role = node.get("roleRef")?;
    let text = |key: &str| role.get(key).filter(|node| !node.is_null()).and_then(Node::as_str);
    Some(Gvk { group: text("apiGroup")?.into(), version: SmolStr::default(), kind: text("kind")?.into() })
}

/// One field of one referrer.
struct Fixer<'a> {
    view: &'a View<'a>,
    target: &'a Gvk,
    role: Option<Gvk>,
}

impl Fixer<'_> {
    fn set(&self, node: &mut Node) -> Result<()> {
        match node.value_mut() {
            Value::Sequence(items) => items.iter_mut().try_for_each(|item| {
                if item.is_sequence() {
                    return Err(Error::invalid(
                        "a list of names is expected to hold strings or maps of strings",
                    ));
                }
                self.set_one(item)
            }),
            _ => self.set_one(node),
        }
    }

    fn set_one(&self, node: &mut Node) -> Result<()> {
        if node.is_null() {
            return Ok(());
        }
        if node.is_mapping() {
            return self.set_mapping(node);
        }
        let old = field::scalar(node)?;
        if let Some(referral) = self.select(old, None)?.filter(|referral| referral.name != old) {
            meta::set_text(node, &referral.name);
        }
        Ok(())
    }

    /// A map that names its target by `name` and `namespace`.
    fn set_mapping(&self, node: &mut Node) -> Result<()> {
        let name = node.get("name").filter(|name| !name.is_null());
        let name = name.ok_or_else(|| Error::invalid("path config error; no 'name' field in node"))?;
        let old = name.as_str().unwrap_or_default().to_owned();
        let namespace =
            node.get("namespace").map(|namespace| namespace.as_str().unwrap_or_default().to_owned());
        let Some(referral) = self.select(&old, Some(namespace.as_deref()))? else { return Ok(()) };
        if referral.name == old && referral.namespace.is_empty() {
            return Ok(());
        }
        meta::set_field(node, "name", &referral.name);
        if !referral.namespace.is_empty() {
            meta::set_field(node, "namespace", &referral.namespace);
        }
        Ok(())
    }

    /// The resource that an old name means. `by_map` is set, and holds the namespace given there, for a map.
    fn select(&self, old: &str, by_map: Option<Option<&str>>) -> Result<Option<&Candidate>> {
        let view = self.view;
        let Some(named) = view.candidates.by_name.get(old) else { return Ok(None) };
        let namespace = by_map.flatten();
        let by_original = namespace.is_some_and(|namespace| {
            let now = view.candidates.namespaces.get(namespace);
            now.into_iter().flatten().any(|(effective, literal)| view.sees_namespace(effective, literal))
        });
        let in_namespace = |candidate: &Candidate| match namespace {
            None => true,
            Some(_) if candidate.cluster_scoped => false,
            Some(namespace) if by_original => candidate.original_namespace == namespace,
            Some(namespace) => candidate.effective_namespace == namespace,
        };
        let had_kind = |candidate: &Candidate, wanted: &Gvk| {
            candidate.previous.iter().any(|(gvk, _)| gvk.is_selected_by(wanted))
        };
        let same_namespace = |candidate: &Candidate| {
            view.cluster_scoped
                || candidate.cluster_scoped
                || candidate.kind == "ServiceAccount"
                || candidate.effective_namespace == view.effective_namespace
        };
        let mut found: Vec<&Candidate> = named
            .iter()
            .filter_map(|index| view.candidates.list.get(*index))
            .filter(|candidate| view.sees(candidate) && in_namespace(candidate))
            .filter(|candidate| had_kind(candidate, self.target))
            .filter(|candidate| self.role.as_ref().is_none_or(|role| had_kind(candidate, role)))
            .filter(|candidate| same_namespace(candidate))
            .collect();
        if found.len() > 1 {
            found.retain(|candidate| self.is_in_same_layers(candidate, true));
        } else {
            return Ok(found.pop());
        }
        if found.len() > 1 {
            found.retain(|candidate| self.is_in_same_layers(candidate, false));
        }
        let Some(first) = found.first().copied() else { return Ok(None) };
        let same = found.iter().all(|other| {
            other.name == first.name && (by_map.is_none() || other.namespace == first.namespace)
        });
        if same {
            return Ok(Some(first));
        }
        let ids: Vec<&str> = found.iter().map(|candidate| candidate.described.as_str()).collect();
        Err(Error::Invalid(format!(
            "found multiple possible referrals: {} for '{old}' in {}",
            ids.join(", "),
            view.described
        )))
    }

    /// True when referrer and candidate have got the same prefixes and suffixes from the outer layers.
    fn is_in_same_layers(&self, candidate: &Candidate, allow_none: bool) -> bool {
        let same =
            |a: &[SmolStr], b: &[SmolStr]| allow_none && (a.is_empty() || b.is_empty()) || ends_alike(a, b);
        same(&self.view.prefixes, &candidate.prefixes) && same(&self.view.suffixes, &candidate.suffixes)
    }
}

/// True when the shorter list is the end of the longer one; an empty list only ends another empty one.
fn ends_alike(a: &[SmolStr], b: &[SmolStr]) -> bool {
    a.is_empty() == b.is_empty() && (a.ends_with(b) || b.ends_with(a))
}
