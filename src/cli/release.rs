//! The verbs that make releases, finish them, show them and take them back.

use std::path::PathBuf;

use clap::Args;

use super::Format;

/// `castoff publish`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct PublishArguments {
    /// The services; all that are built, where none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// The form of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Do not clean up afterwards, whatever publish.toml says
    #[arg(long)]
    pub no_prune: bool,
    /// Build every service, whether its inputs have changed or not
    #[arg(long)]
    pub rebuild: bool,
    /// Move tags also to an older version or commit than they point to
    #[arg(long)]
    pub allow_backwards: bool,
    /// Move tags also that are immutable and point to another image
    #[arg(long)]
    pub allow_overwrite: bool,
    /// Carry out a plan that `castoff plan --out` saved, if it still holds
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "services", "rebuild", "allow_backwards", "allow_overwrite", "resume", "only_registries", "from"
        ]
    )]
    pub plan: Option<PathBuf>,
    /// Build nothing: publish what `castoff build --partial` has built on this or other machines. A
    /// folder stands for the .json files in it
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "rebuild")]
    pub from: Vec<PathBuf>,
    /// Take what BuildKit's checks remark about a Dockerfile for an error
    #[arg(long)]
    pub strict: bool,
    /// Go on with the publish that was interrupted or failed: send only what is missing, and move only
    /// the tags that have not moved
    #[arg(long)]
    pub resume: bool,
    /// Build and upload the other services after one has failed, and report all that fails; no tag
    /// moves then either
    #[arg(long)]
    pub keep_going: bool,
    /// Publish to this registry of publish.toml alone, which is required then; can be given again
    #[arg(long = "only-registry", value_name = "NAME")]
    pub only_registries: Vec<String>,
}

/// `castoff status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Ask no registry where the tags point now
    #[arg(long)]
    pub offline: bool,
}

/// `castoff history`.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Ask no registry, and show what this machine has published
    #[arg(long)]
    pub offline: bool,
}

/// `castoff promote`.
#[derive(Debug, Args)]
#[command(
    override_usage = "castoff promote [OPTIONS] --to <TAG>... <RELEASE|TAG>\n       castoff promote [OPTIONS] --resume"
)]
pub struct PromoteArguments {
    /// A release of `castoff history`, or a tag that every service has
    #[arg(value_name = "RELEASE|TAG", required_unless_present = "resume")]
    pub what: Option<String>,
    /// A tag that will point to it; can be given again
    #[arg(long, value_name = "TAG", required_unless_present = "resume", num_args = 1..)]
    pub to: Vec<String>,
    /// Go on with the promotion that was interrupted
    #[arg(long, conflicts_with_all = ["what", "to", "to_registries", "to_repositories"])]
    pub resume: bool,
    /// Only to this registry of publish.toml, which is required then; can be given again
    #[arg(long = "to-registry", value_name = "NAME")]
    pub to_registries: Vec<String>,
    /// To this repository, with {{service}} in it: registry.example.com/live/{{service}}; can be given
    /// again
    #[arg(long = "to-repository", value_name = "REPOSITORY")]
    pub to_repositories: Vec<String>,
    /// Move tags also that are immutable and point to another image
    #[arg(long)]
    pub allow_overwrite: bool,
    /// The form of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `castoff rollback`.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The release to go back to; without it an interrupted publish is taken back, else the last release
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
    /// Forget an interrupted publish, and leave its tags where they are
    #[arg(long, conflicts_with = "release")]
    pub forget: bool,
    /// Take back even the first release of a service, so that no tag is left of it
    #[arg(long, conflicts_with = "forget")]
    pub unpublish: bool,
    /// The form of the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}
