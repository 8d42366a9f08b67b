//! The memory that budgets are derived from.

use std::fs;

/// Where a container sees its own limit: cgroup v2, then v1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// What is assumed where there is no limit: that of the install manifests.
const DEFAULT_BYTES: u64 = 1 << 30;
/// A limit above this is none: v1 writes a number that no machine has.
const MAX_BYTES: u64 = 1 << 46;

/// The memory that this process may have, in bytes: its cgroup's limit, or 1 GiB where there is none.
pub fn memory_limit() -> u64 {
    let mut texts = LIMIT_FILES.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.find_map(|text| parse(&text)).unwrap_or(DEFAULT_BYTES)
}

/// The text of a limit file, unless it says that there is none.
fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| (1..MAX_BYTES).contains(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_files_hold_a_number_or_say_that_there_is_none() {
        assert_eq!(parse("1073741824\n"), Some(1 << 30));
        for text in ["max\n", "9223372036854771712\n", "", "0", "x"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
