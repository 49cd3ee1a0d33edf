//! What a build reads: the files of a context, and which of them `.dockerignore` leaves out.
//!
//! Knows moby's patterns and the order, modes and links in which BuildKit wants a tree. One walker
//! serves both the transfer to a builder and the digest of a target's inputs, so that what is
//! hashed is what is sent. Must not know any wire or any builder. Start reading at [`Tree`].

mod clean;
mod follow;
mod pattern;
mod stat;
mod tree;

pub use clean::clean_path;
pub use pattern::{MatchInfo, PatternError, Patterns};
pub use stat::{Entry, EntryKind};
pub use tree::{Filter, Tree, TreeError};
