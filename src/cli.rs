//! The command line as it is typed: types for clap, and no decisions.

mod build;
mod release;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use build::BuildArguments;
pub use release::{
    HistoryArguments, PromoteArguments, PublishArguments, RollbackArguments, StatusArguments,
};

/// Builds every service of a compose project and publishes all of them, or none.
#[derive(Debug, Parser)]
#[command(name = "castoff", version, propagate_version = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What was typed. Ends the program where that is `--help`, `--version` or makes no sense, with
    /// exit code 0 or 2.
    pub fn typed() -> Self {
        Self::parse()
    }

    /// The completion script of a shell.
    pub fn completions(shell: clap_complete::Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "castoff", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }

    /// The manual page, in roff.
    pub fn manual() -> std::io::Result<String> {
        let mut page = Vec::new();
        clap_mangen::Man::new(Self::command()).render(&mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }
}

/// What holds for every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// A compose file; several are merged in their order
    #[arg(short = 'f', long = "file", value_name = "FILE", global = true)]
    pub files: Vec<PathBuf>,
    /// Where relative paths of the compose files are meant from
    #[arg(long, value_name = "DIR", global = true)]
    pub project_directory: Option<PathBuf>,
    /// The project's name
    #[arg(short = 'p', long, value_name = "NAME", global = true)]
    pub project_name: Option<String>,
    /// publish.toml, where it is called something else or lies somewhere else
    #[arg(long, value_name = "FILE", global = true, env = "CASTOFF_CONFIG")]
    pub config: Option<PathBuf>,
    /// A profile of the compose files to switch on
    #[arg(long = "profile", value_name = "NAME", global = true)]
    pub profiles: Vec<String>,
    /// A file of variables in place of `.env`
    #[arg(long = "env-file", value_name = "FILE", global = true)]
    pub env_files: Vec<PathBuf>,
    /// Put a value over one of publish.toml: build.platforms=linux/amd64
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
    /// Publish as if on this branch or tag: `refs/tags/v1.2.3`, or a name that exists here
    #[arg(
        long = "ref",
        value_name = "REF",
        global = true,
        allow_hyphen_values = true
    )]
    pub reference: Option<String>,
    /// Publish as if started by this event, such as push, schedule or `pull_request`
    #[arg(long, value_name = "EVENT", global = true)]
    pub event: Option<String>,
    /// What builds: auto, engine, a buildx builder by its name, or a buildkitd by its address
    #[arg(long, value_name = "BUILDER", global = true, env = "CASTOFF_BUILDER")]
    pub builder: Option<String>,
    /// Let builds go beyond a sandbox where their compose file asks for it: network.host,
    /// security.insecure. Takes the place of build.allow
    #[arg(long, value_name = "ENTITLEMENT", global = true)]
    pub allow: Vec<String>,
    /// How many services to build at the same time
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        global = true,
        env = "CASTOFF_JOBS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub jobs: u16,
    /// For how many seconds a registry that is in trouble is asked again; up to two minutes where
    /// nothing is said, and less for one that cannot be reached
    #[arg(
        long,
        value_name = "SECONDS",
        global = true,
        env = "CASTOFF_PATIENCE",
        value_parser = seconds
    )]
    pub patience: Option<std::time::Duration>,
    /// How to show what goes on
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        global = true,
        env = "CASTOFF_PROGRESS",
        default_value_t
    )]
    pub progress: ProgressKind,
    /// Write every event to this file, a JSON object a line
    #[arg(long, value_name = "FILE", global = true, env = "CASTOFF_EVENTS")]
    pub events: Option<PathBuf>,
    /// Write the log of each service's build to DIR/SERVICE.log
    #[arg(long, value_name = "DIR", global = true, env = "CASTOFF_LOGS")]
    pub logs: Option<PathBuf>,
    /// Whether to use colours
    #[arg(long, value_enum, value_name = "WHEN", global = true, default_value_t)]
    pub color: ColorChoice,
    /// Print results and problems only
    #[arg(short = 'q', long, global = true)]
    pub quiet: bool,
}

/// Reads a number of seconds, with a fraction or without.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "write a number of seconds, such as 30 or 0.5".to_owned())?;
    if !(0.0..=86_400.0).contains(&number) {
        return Err("write a number of seconds from 0 to 86400".to_owned());
    }
    Ok(std::time::Duration::from_secs_f64(number))
}

/// How to show what goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressKind {
    /// Live on a terminal, plain elsewhere
    #[default]
    Auto,
    /// A picture that changes in place
    Live,
    /// Lines
    Plain,
    /// The event stream on standard error
    Json,
    /// Nothing
    Quiet,
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a publish would do
    Plan(PlanArguments),
    /// Build every service, push all of them everywhere, and then move the tags
    #[command(visible_alias = "release")]
    Publish(PublishArguments),
    /// Build services and load them into the Docker Engine, or build one machine's part of a release
    Build(BuildArguments),
    /// Show a publish that was interrupted: which tags moved, which did not, and what to do
    Status(StatusArguments),
    /// Show the releases, as this machine and the registries know them
    History(HistoryArguments),
    /// Give images that exist other tags, in other registries too: nothing is built
    Promote(PromoteArguments),
    /// Take an interrupted publish back, or the last release
    Rollback(RollbackArguments),
    /// Print the resolved compose project
    Config(ConfigArguments),
    /// Print the versions, tags and labels for here and now
    Tags(TagsArguments),
    /// Look at everything that a publish needs
    Check(CheckArguments),
    /// List the tags of the project's repositories, or of one
    Ls(LsArguments),
    /// Clean up; a dry run unless --apply
    Prune(PruneArguments),
    /// Print what a run came to that was saved with --events
    Report(ReportArguments),
    /// Print the JSON Schema of publish.toml
    Schema,
    /// Print a completion script
    Completions(CompletionsArguments),
    /// Print the manual page
    Man,
}

/// `castoff plan`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, as clap wants it"
)]
pub struct PlanArguments {
    /// The services; all that are built, where none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
    /// Ask no registry what is there now; then every service counts as to be built
    #[arg(long)]
    pub offline: bool,
    /// End with exit code 10 when a publish would change something
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Plan to build every service, whether its inputs have changed or not
    #[arg(long, conflicts_with = "offline")]
    pub rebuild: bool,
    /// Plan to move tags also to an older version or commit than they point to
    #[arg(long, conflicts_with = "offline")]
    pub allow_backwards: bool,
    /// Plan to move tags also that are immutable and point to another image
    #[arg(long, conflicts_with = "offline")]
    pub allow_overwrite: bool,
    /// Save the plan, for `castoff publish --plan FILE` to carry out if it still holds then
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    pub out: Option<PathBuf>,
    /// Only the share of one job of several, such as 2/5
    #[arg(long, value_name = "I/N", value_parser = shard, conflicts_with = "out")]
    pub shard: Option<(usize, usize)>,
    /// Print the shares of N jobs as a JSON list, for the matrix of a CI system, and nothing else
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=MOST_SHARDS),
        conflicts_with_all = ["shard", "out", "format", "detailed_exitcode"]
    )]
    pub shards: Option<u16>,
}

/// Among how many jobs services are shared at most.
const MOST_SHARDS: i64 = 1024;

/// Reads `2/5`.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let numbers = text
        .split_once('/')
        .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
    match numbers {
        Some((index, count)) if index >= 1 && index <= count && count <= 1024 => Ok((index, count)),
        _ => Err("expected I/N with I from 1 to N, and N at most 1024".to_owned()),
    }
}

/// The form of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Tables for people
    #[default]
    Text,
    /// For programs
    Json,
    /// For a comment on a pull request
    Markdown,
}

/// `castoff config`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, as clap wants it"
)]
pub struct ConfigArguments {
    /// Services to print, with those they depend on; all where none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// How the project is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ConfigFormat,
    /// Print the names of the services, one a line
    #[arg(long = "services", conflicts_with_all = ["images", "known_profiles", "publish"])]
    pub names: bool,
    /// Print the images, one a line
    #[arg(long, conflicts_with_all = ["known_profiles", "publish"])]
    pub images: bool,
    /// Print the names of the profiles, one a line
    #[arg(long = "profiles", conflicts_with = "publish")]
    pub known_profiles: bool,
    /// Print the resolved publish.toml instead, each value with where it comes from
    #[arg(long)]
    pub publish: bool,
}

/// How `castoff config` prints the project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// As `docker compose config`
    #[default]
    Yaml,
    /// As `docker compose config --format json`
    Json,
}

/// `castoff check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The services; all that are built, where none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `castoff ls`.
#[derive(Debug, Args)]
pub struct LsArguments {
    /// A repository, such as ghcr.io/acme/api; all of the project's where none is named
    #[arg(value_name = "REPOSITORY")]
    pub repositories: Vec<String>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `castoff prune`.
#[derive(Debug, Args)]
pub struct PruneArguments {
    /// Where to clean up
    #[arg(value_enum)]
    pub place: PrunePlace,
    /// Do it; otherwise only say what would be done
    #[arg(long)]
    pub apply: bool,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Where to clean up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrunePlace {
    /// This project's images, containers and volumes in the Docker Engine, and its build cache
    Local,
}

/// `castoff report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The events that --events wrote
    #[arg(value_name = "EVENTS")]
    pub events: PathBuf,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// As the run itself ended
    #[default]
    Text,
    /// For a comment or a job's summary
    Markdown,
    /// For programs
    Json,
    /// A page that needs nothing but itself
    Html,
}

/// `castoff completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
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
    /// What to do about a working tree with changes
    #[arg(long, value_enum)]
    pub dirty: Option<OnDirty>,
    /// Only this service of the project; beside rules that are typed, what `{{service}}` is
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
