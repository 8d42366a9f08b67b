//! How the memory of the process is shared out: what artifacts and builds may take by default.

use crate::flags::Arguments;

/// Part of the memory for all builds, and for all artifacts that are being unpacked.
const BUILDS_PART: u64 = 4;
const ARTIFACTS_PART: u64 = 8;
/// What a node of a build takes at most, in bytes; 177 MB were measured for 524,288 of them.
const NODE_BYTES: u64 = 320;
/// Bytes of files for each node that a build may have: twice what is usual in manifests.
pub(crate) const BYTES_PER_NODE: u64 = 64;
/// A build may always have this many nodes: some 10 MB of manifests, as large operators have them.
const MIN_NODES: u64 = 400_000;
/// More are of no use: building them takes longer than anybody waits.
const MAX_NODES: u64 = 10_000_000;
/// Room for as many small builds beside `--concurrent`: one that others always find, and one for objects that are left to apply.
const BUILDS_BESIDE: u64 = 2;
/// What a build gets at first, whatever `--concurrent` says: enough for nearly all.
const MIN_FIRST_NODES: u64 = 20_000;
const MIN_ARTIFACT_BYTES: u64 = 128 << 20;
/// Part of the memory for other clusters.
const CLUSTERS_PART: u64 = 4;
/// What one of them takes: its connections, what it serves, and what is known of some thousand objects.
const CLUSTER_BYTES: u64 = 3 << 20;
const MIN_CLUSTERS: u64 = 16;
/// How many artifacts are unpacked at once while they are small.
const ARTIFACTS_AT_ONCE: u64 = 8;

/// Limits that depend on the memory there is, those of one artifact and one build by their flags if these are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryShares {
    /// Bytes of one artifact once unpacked, and of what one build fetches.
    pub artifact_bytes: u64,
    /// Bytes of all artifacts that are being unpacked.
    pub all_artifact_bytes: u64,
    /// Bytes that an artifact gets at first.
    pub first_artifact_bytes: u64,
    /// Nodes of one build.
    pub build_nodes: u64,
    /// Bytes of files and of objects of one build.
    pub build_bytes: u64,
    /// Nodes of all builds.
    pub all_build_nodes: u64,
    /// Nodes that a build gets at first.
    pub first_build_nodes: u64,
    /// Other clusters that are connected to at once.
    pub clusters: u64,
}

impl MemoryShares {
    /// The limits for a process with so much memory.
    pub fn new(memory: u64, arguments: &Arguments) -> Self {
        let all_artifacts = (memory / ARTIFACTS_PART).max(MIN_ARTIFACT_BYTES);
        let artifact = arguments.artifact_max_unpacked_size.unwrap_or(all_artifacts);
        let all_nodes = (memory / BUILDS_PART / NODE_BYTES).max(MIN_NODES);
        let at_once = u64::from(arguments.concurrent) + BUILDS_BESIDE;
        let first_nodes = (all_nodes / at_once).max(MIN_FIRST_NODES);
        let nodes = arguments.build_max_nodes.unwrap_or((all_nodes / 2).clamp(MIN_NODES, MAX_NODES));
        Self {
            artifact_bytes: artifact,
            all_artifact_bytes: all_artifacts,
            first_artifact_bytes: (all_artifacts / ARTIFACTS_AT_ONCE).min(artifact),
            build_nodes: nodes,
            build_bytes: arguments.build_max_bytes.unwrap_or(nodes * BYTES_PER_NODE),
            all_build_nodes: all_nodes,
            first_build_nodes: first_nodes.min(nodes),
            clusters: arguments
                .remote_clusters_max
                .unwrap_or((memory / CLUSTERS_PART / CLUSTER_BYTES).max(MIN_CLUSTERS)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shares(memory: u64, arguments: &[&str]) -> MemoryShares {
        let arguments = ["kustomize-controller"].iter().chain(arguments);
        MemoryShares::new(memory, &runtime::flags::try_parse_from(arguments).unwrap())
    }

    #[test]
    fn shares_of_the_memory_fit_it() {
        let expected = MemoryShares {
            artifact_bytes: 128 << 20,
            all_artifact_bytes: 128 << 20,
            first_artifact_bytes: 16 << 20,
            build_nodes: 419_430,
            build_bytes: 26_843_520,
            all_build_nodes: 838_860,
            first_build_nodes: 139_810,
            clusters: 85,
        };
        assert_eq!(shares(1 << 30, &[]), expected);
        assert!(expected.all_build_nodes * NODE_BYTES + expected.all_artifact_bytes < 400 << 20);
        let large = shares(8 << 30, &["--concurrent=8"]);
        assert_eq!((large.artifact_bytes, large.build_nodes), (1 << 30, 3_355_443));
        let small = shares(256 << 20, &["--concurrent=200"]);
        assert_eq!((small.artifact_bytes, small.build_nodes), (128 << 20, 400_000));
        assert_eq!((small.all_build_nodes, small.first_build_nodes), (400_000, 20_000));
        assert_eq!(shares(1 << 45, &[]).build_nodes, 10_000_000);
    }

    #[test]
    fn shares_of_one_artifact_and_one_build_are_what_flags_say() {
        let flags = [
            "--artifact-max-unpacked-size=1",
            "--build-max-nodes=2",
            "--build-max-bytes=3",
            "--remote-clusters-max=4",
        ];
        let shares = shares(1 << 30, &flags);
        assert_eq!((shares.artifact_bytes, shares.build_nodes, shares.build_bytes), (1, 2, 3));
        assert_eq!((shares.first_artifact_bytes, shares.first_build_nodes), (1, 2));
        assert_eq!(shares.clusters, 4);
    }
}
