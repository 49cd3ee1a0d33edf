//! The verbs, one file each.
//!
//! Knows which rooms a verb needs and in which order. Must not decide what they decide. Start
//! reading at the file that is named as the verb.

pub mod tags;
