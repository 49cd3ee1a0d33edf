//! What a build reads: the files of a context, which of them `.dockerignore` leaves out, and what a
//! Dockerfile takes from elsewhere.
//!
//! Knows moby's patterns, the order, modes and links in which BuildKit wants a tree, and as much of
//! Dockerfiles as names images. One walker serves both the transfer to a builder and the digest of a
//! target's inputs, so that what is hashed is what is sent. Must not know any wire or any builder. Start
//! reading at [`Tree`], [`Contexts`] and [`Dockerfile`].

mod clean;
mod context;
mod dockerfile;
mod follow;
mod glob;
mod go_glob;
mod go_regexp;
mod ignore;
mod pattern;
mod stat;
mod stat_cache;
mod tree;

pub use clean::clean_path;
pub use context::{Content, ContextError, Contexts, Listing};
pub use dockerfile::{
    Dockerfile, Images, LARGEST_DOCKERFILE, Obscure, UnknownInstruction, With, check_trigger,
    is_commit,
};
pub use pattern::{MatchInfo, PatternError, Patterns};
pub use stat::{Entry, EntryKind, Stamp};
pub use stat_cache::StatCache;
pub use tree::{Filter, Tree, TreeError};
