//! What execution needs of the world, as small traits that the adapters implement.
//!
//! Each port owns its errors, because what to do after one (wait, give up, roll back, exit with
//! which code) is decided here and not in an adapter.

mod build_cache;
mod builder;
mod credentials;
mod engine;
mod handed;
mod inputs;
mod no_builder;
mod others;
mod registry;

pub use build_cache::BuildCache;
pub use builder::{BuildOrder, Builder, BuilderError, Built, ExportOrder, Output, Survey};
pub use credentials::{Credential, CredentialError, Credentials};
pub use engine::{Archive, Engine, EngineError, GivenOut, LayerFile, Wanted};
pub use handed::{Awaited, BuilderResult, HandOn, Handed, hand_on};
pub use inputs::Inputs;
pub use no_builder::NoBuilder;
pub use others::{Other, Others};
pub use registry::{Copied, Registry, RegistryError, RegistryFault, WriteTarget};
