//! One verb per file. The only room that may use all others, and where adapters are built.
//!
//! Start reading at the file of the verb.

pub mod config;
