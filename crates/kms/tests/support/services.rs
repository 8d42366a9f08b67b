//! Key services whose servers are local.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use auth::Http;
use kms::KeyServices;
use net::AddressPolicy;

use crate::support::{environment, http};

pub const ANSWER_BYTES: usize = 4096;

/// With these variables.
pub fn services(variables: &[(&str, &str)]) -> KeyServices {
    services_over(client(), variables)
}

/// Whose clients are made from this one.
pub fn services_over(client: reqwest::ClientBuilder, variables: &[(&str, &str)]) -> KeyServices {
    let tenants = Http::within(client, ANSWER_BYTES, AddressPolicy::default()).unwrap();
    KeyServices { clouds: http(), tenants, environment: environment(variables) }
}

pub fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().timeout(Duration::from_millis(500)).no_proxy()
}
