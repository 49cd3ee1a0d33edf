//! castoff builds every service of a compose project and publishes all of them, or none.

pub mod buildkit;
pub mod cli;
pub mod commands;
pub mod compose;
pub mod config;
pub mod cx;
pub mod engine;
pub mod error;
pub mod event;
pub mod excerpt;
pub mod execute;
pub mod exit;
pub mod facts;
pub mod inputs;
pub mod interpolate;
pub mod ledger;
pub mod oci;
pub mod plan;
pub mod printable;
pub mod registry;
pub mod report;
pub mod secret;
pub mod tags;

use cli::{Cli, ColorChoice};
use exit::Exit;
use facts::Environment;
use report::Printer;

/// Runs what was typed, and says how the world looks afterwards.
pub fn run(cli: &Cli) -> Exit {
    // Before the first TLS connection, and without a choice that a dependency could make for us. It
    // fails only where it was done already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let environment = Environment::capture();
    let color = match cli.global.color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            environment.non_empty("NO_COLOR").is_none()
                && environment.get("TERM") != Some("dumb")
                && Printer::is_terminal()
        }
    };
    let here = std::path::absolute("").or_else(|_| std::path::absolute("."));
    let printer = Printer::new(color, cli.global.quiet, here.unwrap_or_default());
    commands::run(cli, environment, &printer)
}
