//! castoff through its binary, without builder or registry: what it decides, and what it says of
//! input that is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod against;
mod bad_input;
mod builders;
mod events;
mod flood;
mod help;
mod hidden;
mod hostile;
mod immutable;
mod inputs;
mod linked;
mod live;
mod odd_names;
mod plans;
mod publish_toml;
mod report;
mod reuse;
mod schema;
#[path = "../support/mod.rs"]
mod support;

use support::project::Project;

/// Two services, of which one is built.
const COMPOSE: &str = "\
name: shop
services:
  web:
    build: web
    image: ghcr.io/acme/shop-web:1.0
  cache:
    image: redis
";

fn shop() -> Project {
    Project::new()
        .file("compose.yaml", COMPOSE)
        .file("web/Dockerfile", "FROM scratch\nCOPY . /\n")
}
