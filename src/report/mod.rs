//! What people and programs are shown of a run.
//!
//! [`Run`] is a fold over the events; every view is a function of it or of one event, so a saved
//! stream shows what the live run showed. The only room that writes to a terminal, through one
//! [`Printer`]. Must not know what anything means for the exit code. Start reading at [`Console`].

mod bug;
mod checks;
mod columns;
mod console_thread;
mod dialect;
mod github;
mod live;
mod logs;
mod plain;
mod plan;
mod printer;
mod problem;
mod run;
mod summary;
mod table;
mod words;

pub use bug::tell_of_panics;
pub use checks::check_problems;
pub use console_thread::{Console, Progress, Records};
pub use dialect::Dialect;
pub use github::{GithubFiles, write_github};
pub use live::frame;
pub use logs::Logs;
pub use plain::Plain;
pub use plan::{plan_markdown, plan_table};
pub use printer::Printer;
pub use problem::{Problem, Severity};
pub use run::{Check, CheckRun, Phase, Run, ServiceRun, StepRun, TagState};
pub use summary::{ServiceSummary, Summary, html};
pub use table::{
    ListedBuilder, StatusRow, builders_table, history_table, pruned_table, registries_table,
    registry_table, release_table, rollback_table, status_table,
};
