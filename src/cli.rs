//! The command line as clap reads it: types only, no decisions. Knows nothing of ours.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Builds every service of a compose project and publishes all of them, or none.
#[derive(Debug, Parser)]
#[command(name = "castoff", version)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Compose file; give several to merge them, `-` for the standard input
    #[arg(short, long, global = true, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Folder that relative paths are meant from [default: that of the first compose file]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub project_directory: Option<PathBuf>,
    /// Enable a profile; `*` enables all
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Vec<String>,
    /// Read variables from this file in place of .env
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// The project's name
    #[arg(short, long, global = true, value_name = "NAME")]
    pub project_name: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the resolved compose project
    Config(Config),
}

/// `castoff config`
#[derive(Debug, Args)]
pub struct Config {
    /// Services to print, with those they depend on [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// How the project is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ConfigFormat,
    /// Print nothing, only check
    #[arg(short, long, conflicts_with_all = ["names", "images", "profiles"])]
    pub quiet: bool,
    /// Print the names of the services, one per line
    #[arg(long = "services", conflicts_with_all = ["images", "profiles"])]
    pub names: bool,
    /// Print the images, one per line
    #[arg(long, conflicts_with = "profiles")]
    pub images: bool,
    /// Print the names of the profiles, one per line
    #[arg(long)]
    pub profiles: bool,
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
