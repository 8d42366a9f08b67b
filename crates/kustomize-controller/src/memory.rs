//! How the memory of the process is shared out: what artifacts and builds may take by default.

use std::fs;

use crate::flags::Arguments;

/// Where a container sees its own limit: cgroup v2, then v1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// What is assumed where there is no limit: that of the install manifests.
const DEFAULT_MEMORY: u64 = 1 << 30;
/// A limit above this is none: v1 writes a number that no machine has.
const MAX_MEMORY: u64 = 1 << 46;

/// Part of the memory for the builds that run at once, one half; and for one unpacked artifact, an eighth, since four are
/// unpacked at once, two of one namespace.
const BUILDS_PART: u64 = 2;
const ARTIFACT_PART: u64 = 8;
/// What a node of a build takes at most; 177 MB were measured for 524,288 of them.
const NODE_BYTES: u64 = 320;
/// Bytes of files for each node that a build may have: twice what is usual in manifests.
const BYTES_PER_NODE: u64 = 64;
/// A build may always have this many nodes: some 10 MB of manifests, as large operators have them.
const MIN_NODES: u64 = 400_000;
/// More are of no use: building them takes longer than anybody waits.
const MAX_NODES: u64 = 10_000_000;
const MIN_ARTIFACT_BYTES: u64 = 128 << 20;

/// Limits that depend on the memory there is, each by its flag if that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Bytes of one artifact once unpacked, and of what one build fetches.
    pub artifact_bytes: u64,
    /// Nodes of one build.
    pub build_nodes: u64,
    /// Bytes of files and of objects of one build.
    pub build_bytes: u64,
}

impl Budgets {
    /// The limits for a process with so much memory.
    pub fn new(memory: u64, arguments: &Arguments) -> Self {
        let share = memory / BUILDS_PART / u64::from(arguments.concurrent.max(1));
        let nodes = (share / NODE_BYTES).clamp(MIN_NODES, MAX_NODES);
        let artifact = (memory / ARTIFACT_PART).max(MIN_ARTIFACT_BYTES);
        let build_nodes = arguments.build_max_nodes.unwrap_or(nodes);
        Self {
            artifact_bytes: arguments.artifact_max_unpacked_size.unwrap_or(artifact),
            build_nodes,
            build_bytes: arguments.build_max_bytes.unwrap_or(nodes * BYTES_PER_NODE),
        }
    }
}

/// The memory that this process may have.
pub fn limit() -> u64 {
    let mut texts = LIMIT_FILES.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.find_map(|text| parse(&text)).unwrap_or(DEFAULT_MEMORY)
}

/// The text of a limit file, unless it says that there is none.
fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| (1..MAX_MEMORY).contains(limit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn budgets(memory: u64, arguments: &[&str]) -> Budgets {
        let arguments = ["kustomize-controller"].iter().chain(arguments);
        Budgets::new(memory, &runtime::flags::try_parse_from(arguments).unwrap())
    }

    #[test]
    fn limit_files_hold_a_number_or_say_that_there_is_none() {
        assert_eq!(parse("1073741824\n"), Some(1 << 30));
        for text in ["max\n", "9223372036854771712\n", "", "0", "x"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn budgets_of_all_builds_fit_the_memory() {
        let limits = budgets(1 << 30, &[]);
        let expected = Budgets { artifact_bytes: 128 << 20, build_nodes: 419_430, build_bytes: 26_843_520 };
        assert_eq!(limits, expected);
        let limits = budgets(8 << 30, &["--concurrent=8"]);
        assert_eq!((limits.artifact_bytes, limits.build_nodes), (1 << 30, 1_677_721));
        let limits = budgets(256 << 20, &["--concurrent=20"]);
        assert_eq!((limits.artifact_bytes, limits.build_nodes), (128 << 20, 400_000));
        assert_eq!(budgets(1 << 45, &[]).build_nodes, 10_000_000);
    }

    #[test]
    fn budgets_are_what_flags_say() {
        let flags = ["--artifact-max-unpacked-size=1", "--build-max-nodes=2", "--build-max-bytes=3"];
        let expected = Budgets { artifact_bytes: 1, build_nodes: 2, build_bytes: 3 };
        assert_eq!(budgets(1 << 30, &flags), expected);
    }
}
