//! Compose files become a [`Project`].
//!
//! Knows the compose specification as docker compose 2.40.3 carries it out (compose-go 2.9.1):
//! where the files are, YAML, variables, merging, `extends`, `include`, profiles, every section's
//! keys. Must not know publish.toml, tags, builders or registries; no clock, no environment of its
//! own (it is handed in with [`LoadOptions`]), no printing, no runtime. The files that a project
//! names are read here, each once and with a bounded wait where it is a pipe (`source`). What they
//! may cost is bounded at the door (`yaml`) and counted for the project as a whole (`budget`).
//!
//! Start reading at [`load`], then `loader`, whose order of steps is compose's own; then `fields`,
//! the table of all keys. A value's way: `yaml` (events) → `expand` (aliases, `!reset`) →
//! `variables` → `loader/extends` → `loader/include` → `merge` → `unique` → `schema` →
//! `canonical` (short forms) → `defaults` → `normalize` → `decode` → `consistency` →
//! [`Project`] and [`Document`].

mod assemble;
mod budget;
mod canonical;
mod consistency;
mod decode;
mod defaults;
mod discover;
mod document;
mod dotenv;
mod error;
mod expand;
mod fields;
mod loader;
mod merge;
mod model;
mod node;
mod normalize;
mod numbers;
mod path;
mod paths;
mod profiles;
#[cfg(test)]
mod properties;
mod resets;
mod scalar;
mod schema;
mod short;
mod source;
mod unique;
mod variables;
mod yaml;

pub use assemble::load;
pub use discover::LoadOptions;
pub use document::Document;
pub use dotenv::{DotenvError, EnvFormat, env_file};
pub use error::{Error, Problem};
pub use model::{
    Bake, Build, BuildSecret, CacheEntry, Context, Dependency, Extension, Mistake, Places, Project,
    SecretSource, Service, SshKey, Ulimit, Warning,
};
pub use short::ulimit::{NamedUlimit, UlimitError};
pub use source::{LARGEST_FILE, Pipes, read_file};
