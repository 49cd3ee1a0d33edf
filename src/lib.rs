//! castoff builds every service of a compose project and publishes all of them, or none.
//!
//! This page is the architecture. The program is [`run`]: it reads what was typed, and hands over to
//! the [`commands`].
//!
//! # The way of the data
//!
//! **Read → plan (pure) → execute (effects) → tell (events) → show (views).**
//!
//! ```text
//! argv ── cli ──┐
//! compose.yaml ─ compose::load ─→ Project ──┐
//! publish.toml ─ config::load ──→ Settings ─┼─ plan::plan ─→ Plan ── execute::publish ─→ Outcome ─→ Exit
//! git, env, now ─ facts::gather ─→ Facts ───┘                           │ cx.events.tell(Event)
//!                                                  Run::apply(Event) ←──┴→ live | plain | json | github
//! ```
//!
//! Each arrow makes a new value that nobody changes afterwards. What castoff decides is in the
//! [`plan::Plan`], and can be read there before it is done: a dry run is not a flag that effects ask
//! about, it ends where the plan stands. An effect is handed a [`cx::Cx`], which holds events and
//! cancellation, and no setting.
//!
//! Before a plan is carried out or shown, `commands::prepare` looks at what it is about: files are hashed,
//! registries are asked where base images and tags point now. What follows from that (build or reuse, which
//! tags stay) is decided in [`plan`] again.
//!
//! A release can be built on several machines. Each carries its part of the plan out up to the uploads
//! ([`execute::build_parts`]) and keeps what it made in a file ([`plan::Partial`]); whether such files make
//! a whole is decided in the plan of the machine that publishes ([`plan::Plan::take`]), whose images are
//! then put together and not built.
//!
//! # The promise
//!
//! No tag is written before every required image is in every required registry under its digest, and
//! none before the [`ledger`] says so on the disk. Whoever looks for the place where that is kept
//! reads [`execute::publish`] from top to bottom. `tests/faults` lets every request of a publish fail in
//! every way, and kills the program at each.
//!
//! # Rooms
//!
//! A room is a module with one subject. Its first lines say what it knows, what it must not know, and
//! where to start reading. `tests/architecture.rs` holds who may import whom.
//!
//! | values | what they know |
//! |---|---|
//! | [`oci`] | references, digests, platforms, manifests, sizes: values without I/O |
//! | [`exit`], [`secret`], [`excerpt`], [`printable`], [`interpolate`], [`whole_file`] | exit codes; texts that must not be shown; places in files; text of others; `${VARIABLES}`; files read with bounds |
//!
//! | reading | what it knows |
//! |---|---|
//! | [`cli`] | what can be typed; the only room that knows clap |
//! | [`compose`] | compose files as docker compose reads them; the only one that knows YAML |
//! | [`config`] | publish.toml, flags and defaults; the only one that knows TOML |
//! | [`docker`] | which Engine and which builders docker and buildx know on this machine |
//! | [`facts`] | git, CI systems, environment, clock; the only one that asks for them |
//!
//! | deciding (pure) | what it knows |
//! |---|---|
//! | [`tags`] | rules and facts → tags, labels, and why |
//! | [`inputs`] | which files a build reads, and which images: Dockerfiles, contexts, their digests |
//! | [`plan`] | project, settings and facts → what to build, where it goes, which tags move |
//!
//! | doing | what it knows |
//! |---|---|
//! | [`execute`] | the order of effects, limits, and what to undo; all that happens at the same time; the ports |
//! | [`dial`] | streams to builders and Engines: sockets, TLS, programs such as ssh |
//! | [`buildkit`] | BuildKit's protocol; the only one that knows gRPC |
//! | [`registry`] | the distribution API and logins; the only one that knows HTTP as a client |
//! | [`engine`] | the Docker Engine's own API; the only one that knows bollard |
//! | [`ledger`] | the journal and the records of releases |
//!
//! | telling and showing | what it knows |
//! |---|---|
//! | [`event`], [`cx`] | the public event format; what every effect is handed |
//! | [`report`] | events → what people and programs see; the only one that writes to a terminal |
//! | [`error`] | every room's errors: exit code and hint |
//! | [`commands`] | one verb a file; the only one that builds real adapters |
//!
//! The adapters ([`buildkit`], [`registry`], [`engine`]) implement the traits in
//! [`execute::ports`] and never import each other.
//!
//! # Where a line goes
//!
//! | if you add … | it goes in … |
//! |---|---|
//! | a flag | [`cli`], then where it is meant |
//! | a key of publish.toml | `config/file.rs`, `config/settings.rs`, `templates/publish.toml`; schema and known keys follow |
//! | a compose field | a row in `compose/fields`, and its merge rule |
//! | a CI system, a fact of git | [`facts`] |
//! | a tag rule | [`tags`] |
//! | a decision | [`plan`], pure, with a test beside it |
//! | an order, a limit, a wait | [`execute`] |
//! | a way to reach a builder | [`dial`], a variant and not a trait; what names it in [`docker`] |
//! | a registry's quirk | [`registry`], with a link and a test |
//! | something a user should see | a kind in [`event`], then the views |
//! | an error | the room's `Error`, with a hint; its exit code in [`error`] |
//! | a rule everyone must keep | `tests/architecture.rs` |
//! | a helper two rooms want | [`oci`] if it is a value; else it is written twice |
//!
//! # Whom we do not trust
//!
//! The compose file and what it includes (bombs, cycles), a build's log (control sequences), a
//! registry's answers (sizes, digests, redirects), names from git. Each is bounded and checked at the
//! door of its room, and digests are verified over the bytes that were read.

pub mod buildkit;
pub mod cli;
pub mod commands;
pub mod compose;
pub mod config;
pub mod cx;
pub mod dial;
pub mod docker;
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
pub mod whole_file;

use cli::{Cli, ColorChoice};
use exit::Exit;
use facts::Environment;
use report::{Dialect, Printer};

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
    let here = std::path::absolute(".").unwrap_or_default();
    let mut printer = Printer::new(color, cli.global.quiet, here.clone());
    if environment.get("GITHUB_ACTIONS") == Some("true") {
        let workspace = environment.non_empty("GITHUB_WORKSPACE");
        let workspace = workspace.map_or(here, Into::into);
        printer = printer.speaking(Dialect::GitHub, workspace);
    } else if environment.get("GITLAB_CI") == Some("true") {
        printer = printer.speaking(Dialect::GitLab, here);
    }
    report::tell_of_panics();
    guarded(|| commands::run(cli, environment, &printer))
}

/// What came of `work`. A panic is a bug, and has been told as one: it ends with the exit code that bugs
/// have, and not with that of Rust.
fn guarded(work: impl FnOnce() -> Exit) -> Exit {
    // Nothing of what was under way is looked at again.
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.unwrap_or(Exit::Internal)
}

#[cfg(test)]
mod tests {
    use super::{Exit, guarded};

    #[test]
    fn a_panic_ends_with_the_exit_code_of_bugs() {
        assert_eq!(guarded(|| Exit::NotReady), Exit::NotReady);
        let words = String::from("no text");
        let panicking = || {
            if words.is_empty() {
                Exit::Done
            } else {
                panic!("{words}")
            }
        };
        assert_eq!(guarded(panicking), Exit::Internal);
        assert_eq!(Exit::Internal.code(), 1);
    }
}
