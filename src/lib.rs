//! castoff builds every service of a compose project and publishes all of them, or none.

pub mod cli;
pub mod commands;
pub mod compose;
pub mod excerpt;
pub mod exit;
pub mod interpolate;
pub mod oci;
