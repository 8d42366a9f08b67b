use super::head::Head;

const EVENTS: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";
const DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
const OUTPUT_LOG_POLICY: &str = "helm.sh/hook-output-log-policy";

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Before the objects of a new release are created.
    PreInstall,
    /// Behind that.
    PostInstall,
    /// Before the objects of a release are removed.
    PreDelete,
    /// Behind that.
    PostDelete,
    /// Before the objects of a release are changed.
    PreUpgrade,
    /// Behind that.
    PostUpgrade,
    /// Before the objects of a release become those of an earlier revision.
    PreRollback,
    /// Behind that.
    PostRollback,
    /// When a release is tested.
    Test,
}

impl Event {
    /// Each with its name.
    const NAMES: [(Self, &'static str); 9] = [
        (Self::PreInstall, "pre-install"),
        (Self::PostInstall, "post-install"),
        (Self::PreDelete, "pre-delete"),
        (Self::PostDelete, "post-delete"),
        (Self::PreUpgrade, "pre-upgrade"),
        (Self::PostUpgrade, "post-upgrade"),
        (Self::PreRollback, "pre-rollback"),
        (Self::PostRollback, "post-rollback"),
        (Self::Test, "test"),
    ];

    /// The name, such as `pre-install`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(event, _)| *event == self).map(|(_, name)| *name).unwrap_or_default()
    }

    /// The event of a name; `test-success` is what Helm 2 called `test`.
    fn parse(name: &str) -> Option<Self> {
        let name = if name == "test-success" { "test" } else { name };
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(event, _)| *event)
    }
}

/// A document that is applied when something happens, and is no part of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The name of its object.
    pub name: String,
    /// The kind of its object.
    pub kind: String,
    /// The file that it is from.
    pub path: String,
    /// The text.
    pub manifest: String,
    /// When it runs.
    pub events: Vec<Event>,
    /// Those of less weight run first.
    pub weight: i64,
    /// When its object is removed, as the annotation says it.
    pub delete_policies: Vec<String>,
    /// When its output is shown, as the annotation says it.
    pub output_log_policies: Vec<String>,
}

impl Hook {
    /// `None` if the document is no hook; nothing within if Helm does not know one of its events.
    pub(super) fn of(head: &Head, file: &str, document: &str) -> Option<Option<Self>> {
        let events: Option<Vec<Event>> = words(head.annotation(EVENTS)?).map(|w| Event::parse(&w)).collect();
        let policies = |name| head.annotation(name).map(|text| words(text).collect()).unwrap_or_default();
        Some(events.map(|events| Self {
            name: head.name.clone(),
            kind: head.kind.clone(),
            path: file.to_owned(),
            manifest: document.to_owned(),
            events,
            weight: head.annotation(WEIGHT).and_then(|text| text.parse().ok()).unwrap_or_default(),
            delete_policies: policies(DELETE_POLICY),
            output_log_policies: policies(OUTPUT_LOG_POLICY),
        }))
    }
}

fn words(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|word| word.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn hook(annotations: &str) -> Option<Option<Hook>> {
        let document = format!("kind: Job\nmetadata:\n  name: j\n  annotations:\n{annotations}");
        Hook::of(&Head::read(&document).unwrap().0, "c/templates/j.yaml", &document)
    }

    #[test]
    fn a_document_with_events_is_a_hook() {
        let text = "    helm.sh/hook: Pre-Install, test-success\n    helm.sh/hook-weight: -5\n    helm.sh/hook-delete-policy: Hook-Failed,x\n";
        let hook = hook(text).unwrap().unwrap();
        assert_eq!(hook.events, [Event::PreInstall, Event::Test]);
        assert_eq!((hook.weight, hook.name.as_str(), hook.kind.as_str()), (-5, "j", "Job"));
        assert_eq!(hook.delete_policies, ["hook-failed", "x"]);
        assert!(hook.output_log_policies.is_empty());
    }

    #[test]
    fn an_unknown_event_makes_it_nothing_and_no_event_a_manifest() {
        assert_eq!(hook("    helm.sh/hook: pre-install,crd-install\n"), Some(None));
        assert_eq!(hook("    helm.sh/hook: \"\"\n"), Some(None));
        assert_eq!(hook("    other: x\n"), None);
        let odd = hook("    helm.sh/hook: test\n    helm.sh/hook-weight: heavy\n").unwrap().unwrap();
        assert_eq!(odd.weight, 0);
    }
}
