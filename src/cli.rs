//! The command line as it is typed: types for clap, and no decisions.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Builds every service of a compose project and publishes all of them, or none.
#[derive(Debug, Parser)]
#[command(name = "castoff", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the versions, tags and labels for here and now
    Tags(TagsArguments),
}

/// `castoff tags`.
#[derive(Debug, Args)]
pub struct TagsArguments {
    /// Print tags for this image; also `name=NAME`, `NAME,enable=false`
    #[arg(long = "image", value_name = "IMAGE")]
    pub images: Vec<String>,
    /// A tag rule, such as `type=semver,pattern={{version}}`
    #[arg(long = "rule", value_name = "RULE")]
    pub rules: Vec<String>,
    /// What holds for all rules, such as `latest=false` or `suffix=-alpine,onlatest=true`
    #[arg(long = "flavor", value_name = "FLAVOR")]
    pub flavor: Vec<String>,
    /// A label of your own; expressions such as `{{sha}}` can be in it
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// An annotation of your own; expressions can be in it
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    pub annotations: Vec<String>,
    /// Where annotations go: manifest, index, manifest-descriptor, index-descriptor
    #[arg(long, value_name = "LEVEL,…")]
    pub annotation_levels: Option<String>,
    /// Say for every rule what it came to, and why
    #[arg(long)]
    pub explain: bool,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Pretend to be on this branch or tag: `refs/tags/v1.2.3`, or a name that exists here
    #[arg(long = "ref", value_name = "REF", allow_hyphen_values = true)]
    pub reference: Option<String>,
    /// Pretend to be started by this event, such as push, schedule or `pull_request`
    #[arg(long, value_name = "EVENT")]
    pub event: Option<String>,
    /// What to do about a working tree with changes
    #[arg(long, value_enum, default_value_t = OnDirty::Allow)]
    pub dirty: OnDirty,
    /// What `{{service}}` is
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// The form of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: one tag a line.
    Text,
    /// For programs.
    Json,
}

/// What to do about a working tree with changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnDirty {
    /// Nothing.
    Allow,
    /// End every tag with `-dirty`.
    Suffix,
    /// Give an error.
    Refuse,
}
