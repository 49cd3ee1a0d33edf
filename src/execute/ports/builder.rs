use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;

use super::engine::EngineError;
use super::handed::{HandOn, Handed};
use crate::cx::Cx;
use crate::excerpt::Excerpt;
use crate::oci::{Descriptor, Digest, Platform, Reference, Repository};
use crate::plan::{BuildSpec, ExportKind};

/// Something that can build images: a BuildKit, wherever it runs.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Its name for people, for example `engine`.
    fn name(&self) -> &str;

    /// Why it is this one, where it was chosen and is not simply the first: known once it was surveyed.
    fn because(&self) -> Option<&str> {
        None
    }

    /// What it is and what it can do, asked of the builder itself.
    async fn survey(&self) -> Result<Survey, BuilderError>;

    /// The environment variables that secrets of a build are taken from, and that are not set.
    fn unset_secrets(&self, spec: &BuildSpec) -> Vec<String> {
        let _ = spec;
        Vec::new()
    }

    /// Builds a target and brings the result to its outputs. Tells the build's steps as events.
    ///
    /// Ends soon after `cx.cancel` is cancelled, with the build stopped on the builder.
    async fn build(&self, cx: &Cx, order: &BuildOrder) -> Result<Built, BuilderError>;
}

/// What a builder says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The builder's name for people, for example `engine`.
    pub name: String,
    /// The platforms it can build for, natively or emulated, its own first.
    pub platforms: Vec<Platform>,
    /// Those of them that it builds for without emulation, which takes many times longer.
    pub native: Vec<Platform>,
    /// Which BuildKit answered, where it says so: two ways that lead to one have the same.
    pub identity: Option<String>,
    /// Whether it pushes by digest, and makes images of several platforms, attestations and cache
    /// exports: false for an Engine with the classic image store, whose images castoff takes out and
    /// pushes itself. What such a one cannot do is in [`beyond_classic_store`](crate::plan::beyond_classic_store).
    pub full_exporter: bool,
    /// The address of the machine it runs on, as builds reach it: what `host-gateway` stands for in
    /// `extra_hosts`. Only an Engine says it.
    pub host_gateway: Option<IpAddr>,
}

/// One target to build.
#[derive(Clone, Debug)]
pub struct BuildOrder {
    /// The service, for events and errors.
    pub service: String,
    /// What to build.
    pub spec: BuildSpec,
    /// Where the result goes, all of them or none; nowhere, where only others build on it.
    pub outputs: Vec<Output>,
    /// Whether others of this run have the same context, so that it is sent once for all of them.
    pub shares_context: bool,
    /// The results that it builds on, by their services.
    pub handed: BTreeMap<String, Handed>,
    /// Where its own result is left for others, where some build on it.
    pub hand_on: Option<HandOn>,
}

/// Where the result of a build goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To repositories, under its digest only: the same image to all of them, one after the other.
    /// Several such outputs are served at the same time, but each of them makes attestations of its
    /// own, with dates in them, and so another digest.
    Push {
        /// The repositories.
        repositories: Vec<Repository>,
        /// Whether their registries are spoken to without TLS, or without checking certificates.
        insecure: bool,
    },
    /// Into the image store of the Engine that builds, under these names.
    Load {
        /// The names. An Engine with the classic store also keeps an image that has none.
        references: Vec<Reference>,
    },
    /// To this machine.
    Export(ExportOrder),
}

impl Output {
    /// Whether it is an image, and no mere files.
    pub fn is_image(&self) -> bool {
        match self {
            Self::Export(export) => export.kind.is_image(),
            Self::Push { .. } | Self::Load { .. } => true,
        }
    }
}

/// A result that is written to this machine, whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportOrder {
    /// What is written.
    pub kind: ExportKind,
    /// Where to, absolute. A folder that is there is merged into.
    pub path: PathBuf,
    /// The names of the image, where it is one.
    pub names: Vec<Reference>,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The image's digest: of the index where there are several platforms or attestations. None
    /// where the result went nowhere.
    pub digest: Option<Digest>,
    /// The descriptor that the builder gives, where it does.
    pub descriptor: Option<Descriptor>,
    /// How many steps the build had.
    pub steps: usize,
    /// How many of them came out of the cache.
    pub cached: usize,
    /// How many files of the contexts the builder asked for, as it did not have them.
    pub files_sent: u64,
    /// How many bytes those were.
    pub bytes_sent: u64,
    /// Everything else that the builder answered.
    pub answer: BTreeMap<String, String>,
}

/// Why there is no image.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuilderError {
    /// The builder does not answer.
    #[error("cannot reach the builder at {address}: {message}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What was found instead.
        message: String,
        /// What would help, where it is something particular.
        hint: Option<String>,
    },
    /// The builder cannot do what the target asks for.
    #[error("{builder} cannot {what}")]
    Unsupported {
        /// The builder's name.
        builder: String,
        /// What it cannot do.
        what: String,
        /// What would help.
        hint: String,
    },
    /// No builder that could be taken can do what services ask.
    #[error("no builder can do what {} asks: {}", services.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "), reasons.join("; "))]
    NoFit {
        /// The services.
        services: Vec<String>,
        /// What each builder cannot do.
        reasons: Vec<String>,
        /// The command that makes one that can.
        hint: String,
    },
    /// A file that the build needs cannot be read.
    #[error("{what}: {message}")]
    Input {
        /// What was being read.
        what: String,
        /// Why it cannot be.
        message: String,
        /// What would help.
        hint: Option<String>,
    },
    /// A step failed, or the Dockerfile is wrong.
    #[error("{message}")]
    Failed {
        /// What the builder said, without its own chain of wrappers.
        message: String,
        /// The step that failed, where one did.
        step: Option<String>,
        /// The exit code of the command, where one ran.
        exit_code: Option<i32>,
        /// The place in the Dockerfile.
        excerpt: Option<Box<Excerpt>>,
        /// The last lines of the step's log.
        log: Vec<String>,
    },
    /// Checks of the Dockerfile had something to say, and the target is strict about that.
    #[error("its Dockerfile is remarked on {}, and --strict is in force", if *number == 1 { "once".to_owned() } else { format!("{number} times") })]
    Remarks {
        /// How many remarks there are.
        number: usize,
    },
    /// The result could not be written to this machine.
    #[error("write {}: {message}", path.display())]
    Written {
        /// Where to.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// The image was built but could not be pushed.
    #[error("push to {}: {message}", repository.as_ref().map_or_else(|| "a registry".to_owned(), ToString::to_string))]
    Push {
        /// The repository, where the builder says which.
        repository: Option<Repository>,
        /// What the builder said.
        message: String,
    },
    /// The image was built, and the Engine that keeps it does not give it out.
    #[error(transparent)]
    Kept(#[from] EngineError),
    /// The connection to the builder was lost on the way.
    #[error("the connection to the builder was lost: {message}")]
    Lost {
        /// What happened.
        message: String,
    },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl BuilderError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { address, hint, .. } => Some(hint.clone().unwrap_or_else(|| {
                let way = address.split_once(':').map_or("", |(way, _)| way);
                match way {
                    "ssh" => "try `ssh` to that machine by hand: it has to work without a question, and docker has to be there",
                    "buildx" => "`docker buildx inspect --bootstrap` with the builder's name starts it, or shows what is wrong",
                    _ => "start the Docker Engine, or name another one with DOCKER_HOST or --builder",
                }
                .to_owned()
            })),
            Self::Unsupported { hint, .. } | Self::NoFit { hint, .. } => Some(hint.clone()),
            Self::Input { hint, .. } => hint.clone(),
            Self::Kept(error) => error.hint(),
            Self::Failed { message, log, .. } => {
                let full = "no space left on device";
                let says = |text: &str| text.to_lowercase().contains(full);
                (says(message) || log.iter().any(|line| says(line))).then(|| {
                    "a disk is full: `castoff prune local` shows what can be freed".to_owned()
                })
            }
            Self::Push { message, .. } if message.contains("x509:") => Some(
                "the builder does not trust the registry's certificate. `ca` in publish.toml is castoff's own trust: give the builder the CA, too (a Docker Engine looks in /etc/docker/certs.d/HOST/ca.crt)"
                    .to_owned(),
            ),
            Self::Remarks { .. } => Some(
                "heed the warnings above, or switch a check off with `# check=skip=NAME` on top of the Dockerfile"
                    .to_owned(),
            ),
            Self::Push { .. } => Some(
                "nothing was tagged; repair the registry and run the same command again".to_owned(),
            ),
            Self::Lost { .. } => Some(
                "did the builder or the network stop? See its log, then run the same command again"
                    .to_owned(),
            ),
            Self::Written { message, .. } if message.contains("No space left") => {
                Some("a disk is full: `castoff prune local` shows what can be freed".to_owned())
            }
            Self::Cancelled | Self::Written { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_that_fails_for_a_certificate_says_whose_trust_is_missing() {
        let push = |message: &str| BuilderError::Push {
            repository: None,
            message: message.to_owned(),
        };
        let hint = |message| push(message).hint().unwrap();
        let unknown =
            "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert!(hint(unknown).contains("/etc/docker/certs.d/"));
        assert!(!hint("unexpected status: 500").contains("certs.d"));
    }
}
