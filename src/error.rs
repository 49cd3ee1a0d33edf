//! Every room's errors, gathered: which exit code each has, and how people are told of it.

use std::path::PathBuf;

use crate::execute::Failure;
use crate::execute::ports::{BuilderError, EngineError, RegistryError};
use crate::exit::Exit;
use crate::inputs::ContextError;
use crate::report::{Problem, Severity};
use crate::{config, docker, facts, ledger, plan, tags};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The compose files.
    #[error(transparent)]
    Compose(#[from] crate::compose::Error),
    /// publish.toml.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Git, the environment, the clock.
    #[error(transparent)]
    Facts(#[from] facts::Error),
    /// Docker's configuration, and buildx's.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// Tag rules given on the command line.
    #[error(transparent)]
    Tags(#[from] tags::Error),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// A file or folder that a build needs is not there, or is something else.
    #[error(
        "service `{service}`: the {what} {} {}",
        path.display(),
        is.as_deref().unwrap_or("does not exist")
    )]
    Input {
        /// The service.
        service: String,
        /// `context folder`, `Dockerfile`, `named context` or `secret`.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What it is, where it is something.
        is: Option<String>,
        /// Where the compose file says so.
        place: Option<Box<crate::excerpt::Excerpt>>,
    },
    /// What says which files a build leaves out is nothing that any builder reads.
    #[error("service `{service}`: nothing can be built with this ignore file")]
    Ignored {
        /// The service.
        service: String,
        /// What is wrong with it.
        source: Box<ContextError>,
    },
    /// What was typed.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The builder.
    #[error(transparent)]
    Builder(#[from] BuilderError),
    /// The Docker Engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A release was interrupted with tags on their way.
    #[error("{command} {release} was interrupted after it had begun to move {tags} tags")]
    Unfinished {
        /// The command that made it.
        command: String,
        /// Its id.
        release: String,
        /// How many tags it is about.
        tags: usize,
        /// What to type.
        next: ledger::Next,
    },
    /// What was interrupted cannot be gone on with from here.
    #[error("cannot go on with {release}: {why}")]
    DoesNotFit {
        /// The release's id.
        release: String,
        /// What is different.
        why: String,
        /// What to do.
        hint: String,
    },
    /// There is no release of which the command could make something.
    #[error("{message}")]
    NoRelease {
        /// What was looked for.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The ledger.
    #[error("keep the state of this project")]
    Ledger(#[source] ledger::Error),
    /// The lock of the project.
    #[error(transparent)]
    Lock(ledger::Error),
    /// A file that castoff was asked to write.
    #[error("write {}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: std::io::Error,
    },
    /// A saved plan cannot be read.
    #[error("{}: {message}", path.display())]
    SavedPlan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A saved plan does not hold any more.
    #[error("the plan in {} does not hold any more: {}", path.display(), differences.join("; "))]
    OutOfDate {
        /// The file.
        path: PathBuf,
        /// What is different now.
        differences: Vec<String>,
    },
    /// What another machine has built cannot be read.
    #[error("{}: {message}", path.display())]
    Partial {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// What other machines have built makes no whole.
    #[error("what was built in parts cannot be put together: {}", told(.0))]
    Parts(Vec<plan::PartialError>),
    /// What only a broken machine or a mistake of ours makes happen.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// What the exit code says.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Facts(facts::Error::Git { .. })
            | Self::Plan(plan::Error::Tags {
                source: tags::Error::Dirty { .. } | tags::Error::DirtUnknown,
                ..
            })
            | Self::Tags(tags::Error::Dirty { .. } | tags::Error::DirtUnknown)
            | Self::Registry(_)
            | Self::Builder(_)
            | Self::Engine(_)
            | Self::OutOfDate { .. }
            | Self::Unfinished { .. }
            | Self::DoesNotFit { .. }
            | Self::NoRelease { .. }
            | Self::Lock(_)
            | Self::Ledger(_) => Exit::NotReady,
            Self::Compose(_)
            | Self::Config(_)
            | Self::Docker(_)
            | Self::Facts(_)
            | Self::Tags(_)
            | Self::Plan(_)
            | Self::Input { .. }
            | Self::Ignored { .. }
            | Self::Usage { .. }
            | Self::SavedPlan { .. }
            | Self::Partial { .. }
            | Self::Parts(_)
            | Self::Output { .. } => Exit::BadInput,
            Self::Internal(_) => Exit::Internal,
        }
    }

    /// How people are told of it; several mistakes in one file are several problems.
    pub fn problems(&self) -> Vec<Problem> {
        if let Self::Config(config::Error::Several(all)) = self {
            return all.iter().map(config_problem).collect();
        }
        if let Self::Parts(all) = self {
            let problem = |error: &plan::PartialError| Problem {
                hint: Some(error.hint()),
                ..Problem::error(error)
            };
            return all.iter().map(problem).collect();
        }
        let mut problem = Problem::error(self);
        match self {
            Self::Compose(error) => {
                problem.excerpt = error.place().cloned();
                problem.related = error
                    .related()
                    .map(|(place, what)| (place.clone(), what.to_owned()));
                problem.hint = error.hint();
            }
            Self::Config(error) => return vec![config_problem(error)],
            Self::Facts(error) => problem.hint = error.hint(),
            Self::Docker(error) => problem.hint = error.hint(),
            Self::Tags(error) => problem.hint = error.hint(),
            Self::Plan(error) => {
                problem.excerpt = error.place().cloned();
                problem.related = error
                    .related()
                    .map(|(place, what)| (place.clone(), what.to_owned()));
                problem.hint = error.hint();
            }
            Self::Input { place, is, .. } => {
                problem.excerpt = place.as_deref().cloned();
                problem.hint = Some(match is {
                    None => "create it, or correct the path".to_owned(),
                    Some(_) => "correct the path, or what is there".to_owned(),
                });
            }
            Self::Ignored { source, .. } => problem.excerpt = source.place().cloned(),
            Self::Usage { hint, .. } | Self::NoRelease { hint, .. } => {
                problem.hint.clone_from(hint);
            }
            Self::DoesNotFit { hint, .. } => problem.hint = Some(hint.clone()),
            Self::Unfinished { next, .. } => problem.hint = Some(unfinished_hint(next)),
            Self::Registry(error) => problem.hint = error.hint(),
            Self::Builder(error) => problem.hint = error.hint(),
            Self::Engine(error) => problem.hint = error.hint(),
            Self::Ledger(error) | Self::Lock(error) => problem.hint = error.hint(),
            Self::SavedPlan { .. } | Self::OutOfDate { .. } => {
                problem.hint = Some("make a new one with `castoff plan --out FILE`".to_owned());
            }
            Self::Partial { .. } => {
                problem.hint = Some(
                    "give the files that `castoff build --partial` has written, whole".to_owned(),
                );
            }
            Self::Parts(_) | Self::Output { .. } | Self::Internal(_) => {}
        }
        vec![problem]
    }
}

/// All mistakes in one line.
fn told(errors: &[plan::PartialError]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// What to do about a release that was interrupted.
pub fn unfinished_hint(next: &ledger::Next) -> String {
    let ledger::Next { finish, undo } = next;
    let takes = if finish == undo {
        String::new()
    } else {
        format!("`{undo}` takes it back, ")
    };
    format!("`{finish}` finishes it, {takes}`castoff status` shows where its tags are")
}

fn config_problem(error: &config::Error) -> Problem {
    Problem {
        excerpt: error.place().cloned(),
        hint: error.hint(),
        ..Problem::error(error)
    }
}

/// How people are told of what went wrong in a publish. `again` gives the command that builds a
/// service alone.
pub fn failure_problems(failure: &Failure, again: &dyn Fn(&str) -> String) -> Vec<Problem> {
    let mut problem = Problem {
        hint: failure.hint(),
        ..Problem::error(failure)
    };
    match failure {
        Failure::NotReady(findings) => findings
            .iter()
            .map(|finding| Problem {
                severity: if finding.fatal {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                message: if finding.subject.is_empty() {
                    finding.message.clone()
                } else {
                    format!("{}: {}", finding.subject, finding.message)
                },
                hint: finding.hint.clone(),
                ..Problem::default()
            })
            .collect(),
        Failure::Build {
            service,
            error: BuilderError::Failed {
                excerpt, log, step, ..
            },
        } => {
            // The last lines are where the reason stands; `--logs` keeps all of them.
            let skipped = log.len().saturating_sub(12);
            problem
                .hint
                .get_or_insert_with(|| format!("build it alone with `{}`", again(service)));
            if let Some(step) = step {
                problem.message = format!("{} at {step}", problem.message);
            }
            vec![Problem {
                excerpt: excerpt.as_deref().cloned(),
                log: log.iter().skip(skipped).cloned().collect(),
                ..problem
            }]
        }
        Failure::BestEffort { .. } => vec![Problem {
            severity: Severity::Warning,
            ..problem
        }],
        _ => vec![problem],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Finding;

    #[test]
    fn a_finding_about_everything_has_no_subject() {
        let finding = |subject: &str| Finding {
            fatal: false,
            subject: subject.to_owned(),
            message: "it is so".to_owned(),
            hint: None,
        };
        let findings = Failure::NotReady(vec![finding(""), finding("web")]);
        let problems = failure_problems(&findings, &|_| String::new());
        assert_eq!(problems[0].message, "it is so");
        assert_eq!(problems[1].message, "web: it is so");
    }
}
