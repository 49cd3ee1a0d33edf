//! castoff builds every service of a compose project and publishes all of them, or none.

pub mod cx;
pub mod event;
pub mod excerpt;
pub mod execute;
pub mod exit;
pub mod oci;
pub mod plan;
pub mod registry;
pub mod secret;
