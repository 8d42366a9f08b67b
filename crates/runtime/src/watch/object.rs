//! Objects as a watch gives them.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    core::{PartialObjectMeta, error_boundary::InvalidObject},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::value::RawValue;

/// A `K`, or what is known of an object that is none, so that one bad object fails no list and no watch.
///
/// It is without `metadata.managedFields`, which nobody reads and which is half of an object. As kube's `DeserializeGuard`, but
/// decoded from the text at once: that one makes two trees of all values before it makes the object.
#[derive(Clone, Debug)]
pub(super) struct Watched<K>(pub(super) Result<K, InvalidObject>);

/// Where the managed fields are in the text of an object.
#[derive(Deserialize)]
struct WithManagedFields<'a> {
    #[serde(borrow)]
    metadata: Option<ManagedFields<'a>>,
}

#[derive(Deserialize)]
struct ManagedFields<'a> {
    #[serde(borrow, rename = "managedFields")]
    fields: Option<&'a RawValue>,
}

/// The text of an object with nothing in place of its managed fields.
fn without_managed_fields(text: &str) -> Cow<'_, str> {
    let fields =
        serde_json::from_str(text).ok().and_then(|object: WithManagedFields<'_>| object.metadata?.fields);
    let parts = fields.and_then(|fields| {
        let (start, length) = (fields.get().as_ptr().addr() - text.as_ptr().addr(), fields.get().len());
        Some((text.get(..start)?, text.get(start + length..)?))
    });
    parts.map_or(Cow::Borrowed(text), |(before, after)| Cow::Owned([before, "null", after].concat()))
}

impl<'de, K: Resource + DeserializeOwned> Deserialize<'de> for Watched<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let text = without_managed_fields(text.get());
        let decoded = serde_json::from_str(&text).map(Ok).or_else(|error| {
            let PartialObjectMeta::<K> { metadata, .. } =
                serde_json::from_str(&text).map_err(D::Error::custom)?;
            Ok(Err(InvalidObject { error: error.to_string(), metadata }))
        });
        decoded.map(Self)
    }
}

impl<K: Resource> Resource for Watched<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &K::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &K::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &K::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &K::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::core::{ObjectList, WatchEvent};
    use serde_json::{Value, json};

    use super::*;

    fn map(name: &str, data: &Value) -> Value {
        let fields =
            json!([{"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": {"f:\"a]\"": {}}}}]);
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": name, "managedFields": fields, "labels": {"managedFields": "kept"}},
        })
    }

    #[test]
    fn an_object_is_decoded_without_its_managed_fields() {
        let text = json!({"type": "MODIFIED", "object": map("a", &json!({"managedFields": "kept, too"}))});
        let event: WatchEvent<Watched<ConfigMap>> = serde_json::from_str(&text.to_string()).unwrap();
        let WatchEvent::Modified(Watched(Ok(object))) = event else { panic!("{event:?}") };
        assert_eq!(object.managed_fields(), []);
        assert_eq!(object.labels()["managedFields"], "kept");
        assert_eq!(object.data, Some([("managedFields".to_owned(), "kept, too".to_owned())].into()));
    }

    #[test]
    fn an_object_that_is_none_of_the_kind_has_a_name_and_leaves_the_others_as_they_are() {
        let items = [map("good", &json!({})), map("bad", &json!([1])), map("bare", &Value::Null)];
        let text = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {}, "items": items});
        let list: ObjectList<Watched<ConfigMap>> = serde_json::from_str(&text.to_string()).unwrap();
        let names: Vec<_> = list.items.iter().map(|object| (object.name_any(), object.0.is_ok())).collect();
        assert_eq!(names, [("good".to_owned(), true), ("bad".to_owned(), false), ("bare".to_owned(), true)]);
        let error = list.items.iter().find_map(|object| object.0.as_ref().err()).unwrap();
        assert!(error.error.starts_with("invalid type: sequence, expected a map"), "{}", error.error);
    }

    #[test]
    fn text_that_is_no_object_is_an_error_and_odd_managed_fields_are_left_out() {
        for text in ["1", "[]", "{\"metadata\": 1}", "{\"metadata\": {\"managedFields\": [}}"] {
            assert!(serde_json::from_str::<Watched<ConfigMap>>(text).is_err(), "{text}");
        }
        let odd = serde_json::from_str::<Watched<ConfigMap>>(
            "{\"metadata\": {\"name\": \"a\", \"managedFields\": 1}}",
        );
        assert!(odd.unwrap().0.is_ok());
    }
}
