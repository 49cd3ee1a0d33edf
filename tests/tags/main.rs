//! `castoff tags` through the binary: in made-up CI environments, and in real git repositories.

// With `cfg(test)` clippy knows the helpers for what they are, too.
#[cfg(test)]
mod cli;
#[cfg(test)]
mod deviations;
#[cfg(test)]
mod git;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod place;
#[cfg(test)]
mod repositories;
