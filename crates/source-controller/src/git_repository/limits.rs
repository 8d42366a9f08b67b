//! What one object may cost.

use artifact::{ignore, unpack};
use git::Bound;

use crate::flags::Arguments;

/// Part of the memory of the process that fetches may take together, by default.
const MEMORY_PART: u64 = 4;

/// Part of the volume of the storage that object caches may take, by default.
const VOLUME_PART: u64 = 4;
/// Bytes that object caches may take at most, by default.
const CACHE_BYTES: u64 = 10 << 30;

/// What one object may cost.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// What its server may send, and what its tree may hold.
    pub git: git::Limits,
    /// What all fetches may take together.
    pub memory: git::Memory,
    /// Its ignore rules.
    pub ignore: ignore::Limits,
    /// The archives that it includes: each of them, and their bytes together.
    pub include: unpack::Limits,
    /// Its signatures.
    pub verification: verification::Limits,
}

impl Limits {
    /// The limits that the process was started with.
    pub fn new(flags: &Arguments) -> Limits {
        let git = git::Limits {
            pack_bytes: flags.git_pack_max_size,
            tree_bytes: flags.git_tree_max_size,
            ..git::Limits::default().with_object_bytes(flags.git_object_max_size)
        };
        let memory = flags.git_memory_max_size.unwrap_or_else(|| budget::memory_limit() / MEMORY_PART);
        Limits { git, memory: git::Memory::new(memory), ..Limits::default() }
    }

    /// What a fetch for an object of a namespace may take.
    pub fn of(&self, namespace: &str) -> git::Limits {
        git::Limits { memory: Some(self.memory.of(namespace)), ..self.git.clone() }
    }
}

/// Bytes that object caches may take on a volume of so many bytes.
pub fn cache_bytes(flags: &Arguments, volume: u64) -> u64 {
    flags.git_cache_max_size.unwrap_or_else(|| CACHE_BYTES.min(volume / VOLUME_PART))
}

/// What to add to a message about a limit that an argument of the process moves.
pub fn hint(bound: Option<Bound>) -> String {
    let flag = match bound {
        Some(Bound::PackBytes) => "--git-pack-max-size",
        Some(Bound::ObjectBytes | Bound::DeltaBytes) => "--git-object-max-size",
        Some(Bound::FileBytes) => "--git-tree-max-size",
        Some(Bound::Memory) => "--git-memory-max-size",
        _ => return String::new(),
    };
    format!(" ({flag})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git_repository::build::BuildError;
    use crate::git_repository::failure::git_failure;
    use source::failure::Failure;

    #[test]
    fn an_exceeded_limit_names_the_argument_that_moves_it() {
        let over = |what| {
            let source = git::TransportError::Limit { limit: 7, what };
            git_failure(git::Error::Clone { url: "http://h/r".to_owned(), source }).message
        };
        let begin = "failed to checkout and determine revision: unable to clone 'http://h/r': \
                     the server sent more than the limit of 7";
        assert_eq!(over(Bound::PackBytes), format!("{begin} bytes of a pack (--git-pack-max-size)"));
        assert_eq!(over(Bound::ObjectBytes), format!("{begin} bytes in one object (--git-object-max-size)"));
        assert_eq!(
            over(Bound::Memory),
            format!("{begin} bytes of memory for all fetches together (--git-memory-max-size)")
        );
        assert_eq!(over(Bound::Refs), format!("{begin} refs"));
        let walk = git::WalkError::Limit { limit: 7, what: Bound::FileBytes };
        let message = Failure::from(BuildError::Walk(walk)).message;
        assert!(message.ends_with("limit of 7 bytes of files (--git-tree-max-size)"), "{message}");
    }

    #[test]
    fn object_caches_leave_most_of_a_small_volume_to_artifacts() {
        let flags = |args: &[&str]| {
            let parsed = runtime::flags::try_parse_from(["source-controller"].iter().chain(args));
            parsed.map(|flags: Arguments| [1 << 30, 1 << 40].map(|volume| cache_bytes(&flags, volume)))
        };
        assert_eq!(flags(&[]).ok(), Some([256 << 20, 10 << 30]));
        assert_eq!(flags(&["--git-cache-max-size=5"]).ok(), Some([5, 5]));
    }

    #[test]
    fn arguments_become_limits() {
        let arguments = [
            "source-controller",
            "--git-pack-max-size=1",
            "--git-object-max-size=2",
            "--git-tree-max-size=3",
            "--git-memory-max-size=4",
        ];
        let flags: Result<Arguments, _> = runtime::flags::try_parse_from(arguments);
        let git = flags.map(|flags| Limits::new(&flags).git).map_err(|error| error.to_string());
        let git =
            git.as_ref().map(|git| (git.pack_bytes, git.allocation_bytes, git.delta_bytes, git.tree_bytes));
        assert_eq!(git, Ok((1, 2, 4, 3)));
    }
}
