//! What people install: `config` as our own engine builds it, and the chart as Helm renders it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod admitted;
mod documents;
mod effects;
mod flux;
mod lifecycle;
mod manifests;
mod monitoring;
mod rendering;
mod rights;
mod values;
