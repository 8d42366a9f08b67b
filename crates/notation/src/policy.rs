//! Trust policy documents, `trustpolicy.json`: who is trusted to sign what (notation specification, "Trust Policy", version 1.0).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::level::Level;
use crate::name::Name;
use crate::policy_error::{PolicyError, StatementError};
use crate::scope::{self, ScopeError};

/// Statements that a document may have.
pub const MAX_STATEMENTS: usize = 100;
/// Scopes, trust stores and trusted identities that a statement may have, each.
pub const MAX_VALUES: usize = 100;
/// The one version of documents that is known.
const VERSION: &str = "1.0";
/// Stands for every repository, and for everybody.
const WILDCARD: &str = "*";
/// The kind of identities that is known; others are allowed and trust nobody.
const SUBJECT: &str = "x509.subject";

/// A trust policy document that was read and found valid.
#[derive(Debug)]
pub struct Document {
    statements: Vec<Statement>,
}

/// Who is trusted to sign the artifacts of some repositories.
#[derive(Debug)]
pub struct Statement {
    name: String,
    scopes: Vec<String>,
    /// What the failure of each check means.
    pub(crate) level: Level,
    /// Timestamps are looked at only for certificates that have expired.
    pub(crate) timestamp_after_expiry: bool,
    /// Which kinds of trust stores there are.
    pub(crate) stores: Vec<Store>,
    pub(crate) identities: Identities,
    /// It verifies nothing, and names whom it would trust.
    needless: bool,
}

/// A trust store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) kind: StoreKind,
    pub(crate) name: String,
}

/// What a trust store's certificates are trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// The scheme `notary.x509`.
    Ca,
    /// The scheme `notary.x509.signingAuthority`.
    SigningAuthority,
    /// Timestamps.
    Tsa,
}

/// Who is trusted, of those that a trust store vouches for.
#[derive(Debug)]
pub(crate) enum Identities {
    Everybody,
    Names(Vec<Name>),
}

impl Document {
    /// Reads a document. As with Flux, a statement that skips verification may name whom it would trust; that is dropped.
    ///
    /// # Errors
    /// When it is not JSON, says something that cannot be, or says too much.
    pub fn parse(json: &[u8]) -> Result<Document, PolicyError> {
        let document: Value = serde_json::from_slice(json)
            .map_err(|error| PolicyError::Json { line: error.line(), column: error.column() })?;
        let document = object(Some(&document), "the document")?;
        let version = text(&document, "version")?;
        let statements = match field(&document, "trustPolicies") {
            None => &[][..],
            Some(Value::Array(statements)) => statements,
            Some(_) => return Err(PolicyError::Type { field: "trustPolicies", expected: "a list" }),
        };
        // The types of all fields come before what the fields say.
        let fields = statements.iter().take(MAX_STATEMENTS + 1).map(Fields::read);
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        if version.is_empty() {
            return Err(PolicyError::NoVersion);
        }
        if version != VERSION {
            return Err(PolicyError::Version(version));
        }
        if fields.is_empty() {
            return Err(PolicyError::Empty);
        }
        if fields.len() > MAX_STATEMENTS {
            return Err(PolicyError::TooMany);
        }
        let mut statements = Vec::<Statement>::with_capacity(fields.len());
        for fields in fields {
            if statements.iter().any(|known| known.name == fields.name) {
                return Err(PolicyError::Duplicate(fields.name));
            }
            fields.check_size()?;
            statements.push(Statement::new(fields)?);
        }
        scope::check(
            statements.iter().map(|statement| (statement.name.as_str(), statement.scopes.as_slice())),
        )?;
        Ok(Document { statements })
    }

    /// The statement about a repository, `host/name`: the one that names it, else the one about all.
    ///
    /// # Errors
    /// When there is none, or the repository's name is none.
    pub fn statement(&self, repository: &str, reference: &str) -> Result<&Statement, ScopeError> {
        scope::check_format(repository)?;
        let about = |scope: &str| {
            self.statements.iter().find(|statement| statement.scopes.iter().any(|own| own == scope))
        };
        about(repository)
            .or_else(|| about(WILDCARD))
            .ok_or_else(|| ScopeError::NoStatement(reference.to_owned()))
    }

    /// The names of statements that verify nothing and still name whom they would trust.
    pub fn needless(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().filter(|statement| statement.needless).map(|statement| statement.name.as_str())
    }
}

/// The fields of a statement, as they stand there.
struct Fields {
    name: String,
    scopes: Vec<String>,
    level: String,
    overrides: BTreeMap<String, String>,
    timestamp: String,
    stores: Vec<String>,
    identities: Vec<String>,
}

impl Fields {
    fn read(statement: &Value) -> Result<Fields, PolicyError> {
        let statement = object(Some(statement), "trustPolicies")?;
        let verification = object(field(&statement, "signatureVerification"), "signatureVerification")?;
        let overrides = object(field(&verification, "override"), "override")?;
        let overrides = overrides.iter().map(|(check, action)| {
            let action = action
                .as_str()
                .ok_or(PolicyError::Type { field: "override", expected: "an object of strings" })?;
            Ok((check.clone(), action.to_owned()))
        });
        Ok(Fields {
            name: text(&statement, "name")?,
            scopes: texts(&statement, "registryScopes")?,
            level: text(&verification, "level")?,
            overrides: overrides.collect::<Result<_, PolicyError>>()?,
            timestamp: text(&verification, "verifyTimestamp")?,
            stores: texts(&statement, "trustStores")?,
            identities: texts(&statement, "trustedIdentities")?,
        })
    }

    fn check_size(&self) -> Result<(), PolicyError> {
        for (field, values) in [
            ("registryScopes", &self.scopes),
            ("trustStores", &self.stores),
            ("trustedIdentities", &self.identities),
        ] {
            if values.len() > MAX_VALUES {
                return Err(PolicyError::TooManyValues { statement: self.name.clone(), field });
            }
        }
        Ok(())
    }
}

impl Statement {
    fn new(fields: Fields) -> Result<Statement, StatementError> {
        let Fields { name, scopes, level, overrides, timestamp, stores, identities } = fields;
        let statement = || name.clone();
        if name.is_empty() {
            return Err(StatementError::NoName);
        }
        let level = Level::new(&level, &overrides)
            .map_err(|source| StatementError::Level { statement: statement(), source })?;
        if !matches!(timestamp.as_str(), "" | "always" | "afterCertExpiry") {
            return Err(StatementError::Timestamp { statement: statement(), value: timestamp });
        }
        let timestamp_after_expiry = timestamp == "afterCertExpiry";
        if level.skips_all() {
            let needless = !stores.is_empty() || !identities.is_empty();
            let (stores, identities) = (Vec::new(), Identities::Names(Vec::new()));
            return Ok(Statement {
                name,
                scopes,
                level,
                timestamp_after_expiry,
                stores,
                identities,
                needless,
            });
        }
        if stores.is_empty() || identities.is_empty() {
            return Err(StatementError::Nobody(statement()));
        }
        let stores = stores.iter().map(|store| Store::parse(&name, store)).collect::<Result<_, _>>()?;
        let identities = Identities::parse(&name, &identities)?;
        Ok(Statement { name, scopes, level, timestamp_after_expiry, stores, identities, needless: false })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the failure of each check means.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The name of the first trust store of a kind.
    pub(crate) fn store(&self, kind: StoreKind) -> Option<&str> {
        self.stores.iter().find(|store| store.kind == kind).map(|store| store.name.as_str())
    }
}

impl Store {
    fn parse(statement: &str, text: &str) -> Result<Store, StatementError> {
        let (statement, store) = (|| statement.to_owned(), || text.to_owned());
        let Some((kind, name)) = text.split_once(':') else {
            return Err(StatementError::Store { statement: statement(), store: store() });
        };
        let kind = match kind {
            "ca" => StoreKind::Ca,
            "signingAuthority" => StoreKind::SigningAuthority,
            "tsa" => StoreKind::Tsa,
            _ => {
                let kind = kind.to_owned();
                return Err(StatementError::StoreType { statement: statement(), kind, store: store() });
            }
        };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_allowed) {
            return Err(StatementError::StoreName {
                statement: statement(),
                name: name.to_owned(),
                store: store(),
            });
        }
        Ok(Store { kind, name: name.to_owned() })
    }
}

impl Identities {
    fn parse(name: &str, texts: &[String]) -> Result<Identities, StatementError> {
        let statement = || name.to_owned();
        if texts.iter().any(|text| text == WILDCARD) {
            let is_alone = texts.len() == 1;
            return is_alone
                .then_some(Identities::Everybody)
                .ok_or_else(|| StatementError::Wildcard(statement()));
        }
        let mut names = Vec::<(&str, Name)>::new();
        for text in texts {
            let identity = || text.clone();
            if text.is_empty() {
                return Err(StatementError::NoIdentity(statement()));
            }
            let Some((kind, value)) = text.split_once(':') else {
                return Err(StatementError::Separator { statement: statement(), identity: identity() });
            };
            if kind != SUBJECT {
                continue;
            }
            if value.is_empty() {
                return Err(StatementError::NoValue { statement: statement(), identity: identity() });
            }
            let name = Name::parse(value).map_err(|source| StatementError::Name {
                statement: statement(),
                identity: identity(),
                source,
            })?;
            names.push((text, name));
        }
        for (at, (one, name)) in names.iter().enumerate() {
            let overlaps =
                |(other_at, (_, other)): &(usize, &(&str, Name))| *other_at != at && name.is_subset_of(other);
            if let Some((_, (other, _))) = names.iter().enumerate().find(overlaps) {
                let (one, other) = ((*one).to_owned(), (*other).to_owned());
                return Err(StatementError::Overlap { statement: statement(), one, other });
            }
        }
        Ok(Identities::Names(names.into_iter().map(|(_, name)| name).collect()))
    }
}

/// A field, whatever the case of its name: Go reads JSON so, and the last one counts. `null` is none.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = object.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

fn object(value: Option<&Value>, field: &'static str) -> Result<Map<String, Value>, PolicyError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(_) => Err(PolicyError::Type { field, expected: "an object" }),
    }
}

fn text(object: &Map<String, Value>, name: &'static str) -> Result<String, PolicyError> {
    match field(object, name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(PolicyError::Type { field: name, expected: "a string" }),
    }
}

fn texts(object: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, PolicyError> {
    let wrong = PolicyError::Type { field: name, expected: "a list of strings" };
    match field(object, name) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or(wrong)
        }
        Some(_) => Err(wrong),
    }
}
