//! No archive makes the loader panic: damaged bytes, odd names, odd content.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use helm_chart::{Limits, load_archive, read_metadata};
use proptest::prelude::*;
use support::{CHART_YAML, archive, gzip, member};

fn small() -> Limits {
    Limits { bytes: 1 << 20, files: 50, depth: 4, ..Limits::default() }
}

/// What Chart.yaml and its like may consist of.
const LINES: &str = r"((apiVersion|name|version|type|dependencies|alias|import-values|annotations|condition|[a-z]): ?(v1|v2|app|1\.2\.3|library|\[\]|\{a: b\}|~|'|&a|\*a|- x|\|)?\n| *- name: (a|b)\n|  version: '\*'\n|---\n|\t){0,12}";

/// The files that mean something in a chart, and others.
const NAMES: &str = r"app/(Chart\.yaml|Chart\.lock|requirements\.(yaml|lock)|values\.yaml|values\.schema\.json|templates/[a-c]\.yaml|charts/[ab](\.tgz|/Chart\.yaml|/values\.yaml)?|crds/x\.yaml|\.\./x|[a-z/\\:.]{0,12})";

proptest! {
    #[test]
    fn files_of_all_sorts_are_loaded_or_refused(files in prop::collection::vec((NAMES, LINES), 0..8)) {
        let mut members: Vec<(&str, &[u8])> = vec![("app/Chart.yaml", CHART_YAML.as_bytes())];
        members.extend(files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())));
        let archive = archive(&members);
        if let Ok(chart) = load_archive(archive.as_slice(), &small()) {
            prop_assert!(chart.size() <= 1 << 20);
            prop_assert!(!chart.metadata.name.is_empty());
        }
        let _ = read_metadata(archive.as_slice(), &small());
    }

    #[test]
    fn archives_with_damaged_bytes_are_loaded_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        is_packed_behind in any::<bool>(),
    ) {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [("app/Chart.yaml", CHART_YAML), ("app/values.yaml", "a: 1\n"), ("app/charts/b/Chart.yaml", CHART_YAML)] {
            tar.append(&member(name, text.len() as u64, b'0'), text.as_bytes()).unwrap();
        }
        let mut bytes = tar.into_inner().unwrap();
        // Behind the compression it is the tar that is damaged, otherwise the compression.
        if !is_packed_behind {
            bytes = gzip(&bytes);
        }
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes.splice(index..=index, [byte]);
        }
        let bytes = if is_packed_behind { gzip(&bytes) } else { bytes };
        let _ = load_archive(bytes.as_slice(), &small());
        let _ = read_metadata(bytes.as_slice(), &small());
    }
}
