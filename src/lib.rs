//! castoff builds every service of a compose project and publishes all of them, or none.

pub mod excerpt;
pub mod exit;
pub mod facts;
pub mod oci;
