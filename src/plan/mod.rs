//! (Project, Settings, Facts) → [`Plan`]: what to build, where it goes, which tags move.
//!
//! Pure: whatever castoff decides is decided here and can be read before it is done. Must not know
//! any effect. Start reading at [`Plan`].

mod build;

pub use build::{
    BuildContext, BuildSpec, CacheRef, Dockerfile, NamedContext, Provenance, SecretMount,
    SecretSource, Ulimit,
};
