//! The `castoff` program.

fn main() {}
