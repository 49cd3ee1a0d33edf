//! The `castoff` program.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    castoff::run(&castoff::cli::Cli::parse()).into()
}
