//! The short forms of values: `8080:80`, `./data:/data:ro`, `nofile=1024`, `a "b c" d`.

pub(super) mod gitref;
pub(super) mod port;
pub(super) mod ulimit;
pub(super) mod volume;
pub(super) mod words;
