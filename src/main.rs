//! The `castoff` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    castoff::run(&castoff::cli::Cli::typed()).into()
}
