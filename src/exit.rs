//! What the program's exit code says: how the world looks now.

use std::process::ExitCode;

/// The exit codes of castoff, a public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// A bug of ours, or an environment that nobody expected.
    Internal,
    /// Bad input: flags, compose files, publish.toml.
    BadInput,
    /// Not ready: builder, login, git state. Nothing was started.
    NotReady,
    /// A build or a gate failed; nothing is published.
    BuildFailed,
    /// An upload failed; no tag moved.
    UploadFailed,
    /// Tags could not all be moved; the report lists where each one points.
    TagsDiverged,
    /// The release is complete; something after it is not.
    AfterwardsFailed,
    /// `plan --detailed-exitcode`: something would change.
    WouldChange,
    /// Interrupted (SIGINT); the report says in which step.
    Interrupted,
    /// Terminated (SIGTERM); the report says in which step.
    Terminated,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::BadInput => 2,
            Self::NotReady => 3,
            Self::BuildFailed => 4,
            Self::UploadFailed => 5,
            Self::TagsDiverged => 6,
            Self::AfterwardsFailed => 7,
            Self::WouldChange => 10,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
