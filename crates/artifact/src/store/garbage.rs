//! Which files of an object have to go.
//!
//! Files past their time go first. If at least the wished number of files would remain, the oldest go until just
//! that many do. So the number is a maximum, not a history that is kept.

use std::time::{Duration, SystemTime};

/// A file that may be garbage. Ordered by age, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) modified: SystemTime,
    pub(super) name: String,
}

pub(super) struct Retention {
    pub(super) ttl: Duration,
    pub(super) records: usize,
}

/// The names to remove, never `current`.
pub(super) fn select(
    mut files: Vec<Candidate>,
    current: &str,
    now: SystemTime,
    retention: &Retention,
) -> Vec<String> {
    files.sort();
    let expired = |file: &Candidate| {
        file.name != current && now.duration_since(file.modified).is_ok_and(|age| age > retention.ttl)
    };
    let (mut garbage, mut kept): (Vec<_>, Vec<_>) = files.into_iter().partition(expired);
    while kept.len() > retention.records
        && let Some(oldest) = kept.iter().position(|file| file.name != current)
    {
        garbage.push(kept.remove(oldest));
    }
    garbage.into_iter().map(|file| file.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names by age in seconds, selected with `c` as the current one.
    fn selected(files: &[(&str, u64)], ttl: u64, records: usize) -> Vec<String> {
        let now = SystemTime::now();
        let files = files.iter().map(|(name, age)| Candidate {
            modified: now - Duration::from_secs(*age),
            name: (*name).to_owned(),
        });
        select(files.collect(), "c", now, &Retention { ttl: Duration::from_secs(ttl), records })
    }

    #[test]
    fn old_files_go_and_then_the_oldest_until_the_number_is_right() {
        // By number alone, by age alone, by both.
        assert_eq!(selected(&[("c", 0), ("d", 1), ("e", 2), ("f", 3)], 60, 2), ["f", "e"]);
        assert_eq!(selected(&[("c", 0), ("d", 1), ("e", 2), ("f", 4), ("g", 5)], 3, 4), ["g", "f"]);
        assert_eq!(selected(&[("c", 0), ("d", 1), ("e", 2), ("f", 3), ("g", 9)], 5, 2), ["g", "f", "e"]);
        assert_eq!(selected(&[("c", 0), ("d", 1)], 60, 2), [""; 0]);
        assert_eq!(selected(&[], 60, 2), [""; 0]);
    }

    #[test]
    fn the_current_file_stays_however_old_and_counts() {
        assert_eq!(selected(&[("c", 900), ("d", 1), ("e", 2)], 60, 2), ["e"]);
        assert_eq!(selected(&[("c", 900)], 60, 0), [""; 0]);
    }

    #[test]
    fn files_of_one_age_go_by_name_and_those_from_the_future_stay() {
        assert_eq!(selected(&[("z", 5), ("c", 5), ("a", 5), ("b", 5)], 60, 2), ["a", "b"]);
        let now = SystemTime::now();
        let future = Candidate { modified: now + Duration::from_secs(100), name: "x".to_owned() };
        assert_eq!(select(vec![future], "c", now, &Retention { ttl: Duration::ZERO, records: 1 }), [""; 0]);
    }
}
