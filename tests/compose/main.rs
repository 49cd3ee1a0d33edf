//! What `castoff config` makes of compose files, through the binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod cases;
mod errors;
mod hostile;
#[cfg(unix)]
mod pipes;
