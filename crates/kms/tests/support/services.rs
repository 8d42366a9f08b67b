//! Key services whose servers are local.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use auth::Http;
use kms::{KeyServices, Limits};
use net::AddressPolicy;

use crate::support::{environment, http};

/// Those that `support::useless` goes beyond.
const LIMITS: Limits = Limits { timeout: Duration::from_millis(500), answer_bytes: 4096 };

/// With these variables.
pub async fn services(variables: &[(&str, &str)]) -> KeyServices {
    services_at(AddressPolicy::default(), variables).await
}

/// Whose hosts may be where `addresses` permits them.
pub async fn services_at(addresses: AddressPolicy, variables: &[(&str, &str)]) -> KeyServices {
    KeyServices::new(environment(variables), addresses, &LIMITS).await.unwrap()
}

/// Whose client for hosts of tenants is made from this one.
pub fn services_over(client: reqwest::ClientBuilder, variables: &[(&str, &str)]) -> KeyServices {
    let tenants =
        Http::within(client.timeout(LIMITS.timeout), LIMITS.answer_bytes, AddressPolicy::default()).unwrap();
    KeyServices { clouds: http(), tenants, environment: environment(variables) }
}
