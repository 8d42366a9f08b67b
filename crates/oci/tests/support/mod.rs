//! A server that misbehaves, a token server, and what asks them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod hostile;
pub mod tokens;

use std::error::Error;
use std::time::Duration;

use hostile::{Answer, Hostile};
use net::Deadline;
use oci::{Access, Client, Credentials, Limits, Repository};
use secret::Secret;

/// More time than anything takes that ends.
pub fn soon() -> Deadline {
    Deadline::new(Duration::from_secs(60))
}

pub fn basic(username: &str, password: &str) -> Access {
    let credentials = Credentials::Basic { username: username.into(), password: Secret::new(password) };
    Access { credentials, ..Access::default() }
}

pub fn client(access: &Access) -> Client {
    Client::new(access, Limits::default()).unwrap()
}

/// A client with the user `me` and the password `hunter2`.
pub fn me() -> Client {
    client(&basic("me", "hunter2"))
}

/// A repository of the registry that listens there.
pub fn repository(address: &str) -> Repository {
    Repository::parse(&format!("oci://{address}/team/app")).unwrap()
}

/// Everything that an error could tell somebody: its text, its causes, and its `Debug` form.
pub fn all_of(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

/// What `me` and `hunter2` look like in a header.
pub const BASIC: &str = "Basic bWU6aHVudGVyMg==";

pub fn tags() -> Answer {
    Answer::ok(r#"{"tags":["v1"]}"#)
}

pub fn token(token: &str) -> Answer {
    Answer::ok(format!(r#"{{"token":"{token}"}}"#))
}

/// The tags that a client gets; of its errors, that none tells a secret.
pub async fn list(client: &Client, server: &Hostile) -> Result<Vec<String>, String> {
    let outcome = client.tags(&repository(&server.address()), &soon()).await;
    outcome.map_err(|error| {
        let all = all_of(&error);
        assert!(!all.contains("hunter2") && !all.contains("bWU6aHVudGVyMg"), "{all}");
        assert!(!all.contains("good"), "{all}");
        error.to_string()
    })
}
