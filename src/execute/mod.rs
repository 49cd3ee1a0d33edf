//! Plan → Outcome. The only room where things happen at the same time.
//!
//! Knows the order in which effects must come, the limits, the waits, and what to undo. Must not
//! know any wire: it reaches the world through the traits in [`ports`].

pub mod ports;
