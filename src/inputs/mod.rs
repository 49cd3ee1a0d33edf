//! What a build reads: the files of a context, and which of them `.dockerignore` leaves out.
//!
//! Knows moby's patterns and the order, modes and links in which BuildKit wants a tree. One walker
//! serves both the transfer to a builder and the digest of a target's inputs, so that what is
//! hashed is what is sent. Must not know any wire or any builder. Start reading at [`Tree`].

mod clean;
mod context;
mod dockerfile;
mod follow;
mod ignore;
mod pattern;
mod stat;
mod stat_cache;
mod tree;

pub use clean::clean_path;
pub use context::{Content, ContextError, Contexts, Listing};
pub use dockerfile::{Dockerfile, Images, LARGEST_DOCKERFILE, Obscure, With, is_commit};
pub use pattern::{MatchInfo, PatternError, Patterns};
pub use stat::{Entry, EntryKind, Stamp};
pub use stat_cache::StatCache;
pub use tree::{Filter, Tree, TreeError};
