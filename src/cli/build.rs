//! The verb that builds and publishes nothing.

use std::path::PathBuf;

use clap::Args;

use super::{Format, shard};

/// `castoff build`.
#[derive(Debug, Args)]
pub struct BuildArguments {
    /// The services; all that are built, where none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// The form of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write results to this machine in place of loading them into the Engine: a folder, or
    /// type=oci|docker|tar|local,dest=PATH[,tar=false]. {{service}} and {{project}} can be in it
    #[arg(short = 'o', long, value_name = "OUTPUT", conflicts_with = "partial")]
    pub output: Option<String>,
    /// Take what BuildKit's checks remark about a Dockerfile for an error
    #[arg(long)]
    pub strict: bool,
    /// Build one machine's part of a release: push by digest to all repositories, move no tag, and write
    /// what was made to FILE, for `castoff publish --from`
    #[arg(long, value_name = "FILE")]
    pub partial: Option<PathBuf>,
    /// Build a part for this platform only; can be given again
    #[arg(
        long = "platform",
        value_name = "PLATFORM",
        value_delimiter = ',',
        requires = "partial"
    )]
    pub platforms: Vec<String>,
    /// Build only the share of one job of several, such as 2/5, as `castoff plan --shards` has them
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "partial")]
    pub shard: Option<(usize, usize)>,
    /// Build every service of a part, whether its inputs have changed or not
    #[arg(long, requires = "partial")]
    pub rebuild: bool,
}
