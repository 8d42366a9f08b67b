//! helm-controller: keeps releases of Helm charts as HelmReleases say.
//!
//! What it decides before a release is touched, in the order of a run; nothing here reads or writes anything:
//!
//! | Module | Question |
//! |---|---|
//! | [`chart_template`] | Which source object does `spec.chart` make? |
//! | [`dependencies`] | May the run go on, as `spec.dependsOn` has it? |
//! | [`source`] | Which source has the chart, may it be used, is it ready? |
//! | [`chart_version`] | Which version has a chart whose artifact has a digest? |
//!
//! What becomes of the release is decided in the crate `helm-state`. The texts are those of Flux; each module names where they are from.

#![forbid(unsafe_code)]

pub mod chart_template;
pub mod chart_version;
pub mod dependencies;
pub mod source;
