//! Server-side apply: order, stages, inventory, change sets, prune, health verdicts, and the thin client edge.
//!
//! The rules are functions from values to values: [`prepare`] makes built objects into managed ones, [`order`] splits
//! them into stages, [`policy`] reads what an object says about itself, [`ignore`] which of its fields are left to others,
//! [`ownership`] reads who owns which field,
//! [`kstatus`] tells whether an object is ready. [`applier`] and [`prune`] are the edge to one cluster; [`observe`]
//! watches what was applied there.

pub mod applier;
pub mod change;
mod check;
pub mod cluster;
mod compare;
pub mod drift;
pub mod error;
mod hash;
pub mod ignore;
pub mod kstatus;
pub mod manager;
pub mod mapper;
pub mod mask;
pub mod object;
pub mod observe;
pub mod order;
pub mod ownership;
pub mod policy;
pub mod prepare;
pub mod prune;
pub mod read;
pub mod repairs;
pub mod request;
