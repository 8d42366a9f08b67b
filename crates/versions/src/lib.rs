//! Versions and constraints as Flux reads them: the rules of Masterminds/semver v3, not those of Cargo.
//!
//! Versions are loose (`v` prefix, leading zeros) but need three dot parts. A constraint is `||` of groups; a group is a
//! list of comparisons separated by blanks or commas. A pre-release only matches a group that names one itself.
//!
//! ```
//! let constraint = versions::Constraint::parse(">=1.2.0 <2.0.0 || ~3.1")?;
//! let takes = |tag| versions::Version::parse(tag).is_some_and(|version| constraint.matches(&version));
//! assert!(takes("v1.9.0") && takes("3.1.7+build"));
//! assert!(!takes("v2.0.0") && !takes("1.9.0-rc.1") && !takes("latest"));
//! # Ok::<(), versions::ConstraintError>(())
//! ```
//!
//! Both are read in one pass without recursion, so that whatever a server calls its tags, it costs no more than their bytes.

mod constraint;
mod version;

pub use constraint::{Constraint, ConstraintError};
pub use version::Version;
