//! castoff builds every service of a compose project and publishes all of them, or none.

pub mod buildkit;
pub mod config;
pub mod cx;
pub mod engine;
pub mod event;
pub mod excerpt;
pub mod execute;
pub mod exit;
pub mod inputs;
pub mod interpolate;
pub mod ledger;
pub mod oci;
pub mod plan;
pub mod secret;
