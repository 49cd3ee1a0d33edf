use std::time::Duration;

use async_trait::async_trait;

use super::CredentialError;
use crate::cx::Cx;
use crate::oci::{Descriptor, Digest, RawManifest, Reference, Repository, Tag};

/// The registries of the world, behind the distribution API (opencontainers/distribution-spec).
///
/// One value serves every host; what is particular to one (plain HTTP, a CA, a client certificate)
/// is the adapter's own knowledge. Every method retries what is temporary, tells each retry as an
/// event, and ends within its own time limit or as soon as `cx.cancel` is cancelled.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Whether the registry answers and `repository` may be written: starts a blob upload and
    /// cancels it. Leaves nothing behind.
    async fn check_write(&self, cx: &Cx, repository: &Repository) -> Result<(), RegistryError>;

    /// What `reference` points to now, by HEAD; `None` where it does not exist.
    async fn resolve(
        &self,
        cx: &Cx,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError>;

    /// A manifest's bytes, verified against the digest asked for or announced; `None` where it
    /// does not exist.
    async fn manifest(
        &self,
        cx: &Cx,
        reference: &Reference,
    ) -> Result<Option<RawManifest>, RegistryError>;

    /// A small blob whole (a configuration, a record), verified; at most `limit` bytes.
    async fn blob(
        &self,
        cx: &Cx,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError>;

    /// Writes a manifest under its digest or a tag. The answer's digest is compared with ours.
    ///
    /// Where the manifest has a `subject` and the registry has no referrers API, the fallback tag
    /// of the subject is brought up to date too (distribution-spec, "Pushing Manifests with
    /// Subject"). Cancelling `cx` drops a write that is on its way: whoever wants one to finish
    /// hands in a `cx` that is cancelled later.
    async fn put_manifest(
        &self,
        cx: &Cx,
        repository: &Repository,
        target: WriteTarget<'_>,
        manifest: &RawManifest,
    ) -> Result<(), RegistryError>;

    /// Writes a small blob, unless it is there.
    async fn put_blob(
        &self,
        cx: &Cx,
        repository: &Repository,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError>;

    /// Brings everything that `digest` is made of from one repository into another, under its
    /// digest only: blobs first (mounted within one registry, else streamed and verified), then
    /// manifests, children before their index. What is there already is not sent.
    async fn copy(
        &self,
        cx: &Cx,
        from: &Repository,
        digest: &Digest,
        to: &Repository,
    ) -> Result<Copied, RegistryError>;

    /// Deletes a tag or a manifest. `false` where it did not exist.
    ///
    /// What goes with it differs: a manifest deleted by digest takes its tags along in
    /// distribution's registry:2 and leaves them behind in others, and registry:2 deletes by
    /// digest only ([`RegistryFault::NotAllowed`] for a tag).
    async fn delete(&self, cx: &Cx, reference: &Reference) -> Result<bool, RegistryError>;

    /// All tags of a repository, every page, sorted; empty where the repository does not exist.
    async fn tags(&self, cx: &Cx, repository: &Repository) -> Result<Vec<Tag>, RegistryError>;

    /// The manifests whose subject is `digest`: by the referrers API, else by the fallback tag
    /// (distribution-spec, "Listing Referrers").
    async fn referrers(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError>;
}

/// Under which name a manifest is written.
#[derive(Clone, Copy, Debug)]
pub enum WriteTarget<'a> {
    /// Under its own digest.
    Digest,
    /// Under a tag, which moves.
    Tag(&'a Tag),
}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes mounted from another repository of the same registry.
    pub mounted: u64,
    /// Bytes that were there already.
    pub present: u64,
}

/// A request to a registry that failed for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing}: {fault}")]
pub struct RegistryError {
    /// What was being done, with its object: `move tag ghcr.io/acme/api:1.4.0`.
    pub doing: String,
    /// The registry's host and port.
    pub host: String,
    /// What went wrong.
    pub fault: RegistryFault,
}

/// What can go wrong between castoff and a registry.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryFault {
    /// No connection: name not found, refused, reset, unreachable.
    #[error("cannot reach {host}: {message}")]
    Unreachable {
        /// The host and port.
        host: String,
        /// What the network said.
        message: String,
    },
    /// The certificate is not trusted, or the other side speaks no TLS.
    #[error("no trusted TLS connection to {host}: {message}")]
    Tls {
        /// The host and port.
        host: String,
        /// What the TLS library said.
        message: String,
    },
    /// The connection broke before the answer was complete; what was asked for may have been done.
    #[error("the connection to {host} was lost: {message}")]
    Lost {
        /// The host and port.
        host: String,
        /// What the network said.
        message: String,
    },
    /// No answer in time.
    #[error("no answer within {} s", after.as_secs())]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// A login is needed, or the one given is wrong or expired (401).
    #[error("registry answered 401{}{}", show_code(code), if *anonymous { "; no login was found" } else { "; the login was refused" })]
    Unauthorized {
        /// The registry's error code, for example `UNAUTHORIZED`.
        code: String,
        /// Whether no login was at hand.
        anonymous: bool,
    },
    /// The login is good but may not do this (403, or 401 `DENIED`).
    #[error(
        "registry answered {status}{}{}",
        show_code(code),
        show_message(message)
    )]
    Denied {
        /// The HTTP status.
        status: u16,
        /// The registry's error code.
        code: String,
        /// What the registry said about it.
        message: String,
    },
    /// What was asked for does not exist, where it had to.
    #[error("registry answered 404{}{}", show_code(code), show_message(message))]
    NotFound {
        /// The registry's error code, for example `NAME_UNKNOWN`.
        code: String,
        /// What the registry said about it.
        message: String,
    },
    /// The registry does not allow this: it is read-only, or deletes (of tags) are switched off
    /// (405, or another refusal with the code `UNSUPPORTED`).
    #[error(
        "registry answered {status}: it does not allow this{}",
        show_message(message)
    )]
    NotAllowed {
        /// The HTTP status.
        status: u16,
        /// What the registry said about it.
        message: String,
    },
    /// The tag is there, and may not point to anything else.
    #[error("the tag is immutable{}", show_message(message))]
    Immutable {
        /// What the registry said about it, or the plan.
        message: String,
    },
    /// Too many requests, for longer than we wait (429).
    #[error("registry answered 429: too many requests")]
    TooManyRequests {
        /// How long it asked to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// Any other refusal.
    #[error(
        "registry answered {status}{}{}",
        show_code(code),
        show_message(message)
    )]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The registry's error code.
        code: String,
        /// What the registry said about it.
        message: String,
        /// How long it asked to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// Content does not have the digest it was asked for by.
    #[error("content of {expected} has another digest: {found}")]
    Corrupt {
        /// The digest asked for or announced.
        expected: Digest,
        /// The digest of what came.
        found: String,
    },
    /// An answer that the distribution specification does not allow.
    #[error("the registry's answer makes no sense: {message}")]
    Protocol {
        /// What is wrong with it.
        message: String,
    },
    /// Logins could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// ` CODE`, or nothing.
fn show_code(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(" {code}")
    }
}

/// `: message`, or nothing.
fn show_message(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

impl RegistryError {
    /// Something that has to be there is not.
    pub fn missing(reference: &Reference) -> Self {
        Self {
            doing: format!("read {reference}"),
            host: reference.repository().domain().to_owned(),
            fault: RegistryFault::NotFound {
                code: "MANIFEST_UNKNOWN".to_owned(),
                message: String::new(),
            },
        }
    }

    /// Something that is there cannot be understood.
    pub fn nonsense(reference: &Reference, message: String) -> Self {
        Self {
            doing: format!("read {reference}"),
            host: reference.repository().domain().to_owned(),
            fault: RegistryFault::Protocol { message },
        }
    }

    /// The run ended while something was being read.
    pub fn cancelled(reference: &Reference) -> Self {
        Self {
            doing: format!("read {reference}"),
            host: reference.repository().domain().to_owned(),
            fault: RegistryFault::Cancelled,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let host = &self.host;
        Some(match &self.fault {
            RegistryFault::Unreachable { .. } => {
                format!("is {host} the right address, and is the registry running?")
            }
            RegistryFault::Tls { .. } => format!(
                "give the registry's CA in publish.toml (`ca = \"…\"`), or `plain_http = true` if {host} speaks plain HTTP"
            ),
            RegistryFault::Lost { .. }
            | RegistryFault::TimedOut { .. }
            | RegistryFault::TooManyRequests { .. } => {
                "wait a little and run the same command again".to_owned()
            }
            RegistryFault::Unauthorized {
                anonymous: true, ..
            } => format!("log in with `docker login {host}`"),
            RegistryFault::Unauthorized { .. } => {
                format!("the stored login is wrong or has expired: `docker login {host}`")
            }
            RegistryFault::Denied { .. } if host == "ghcr.io" => {
                "log in to ghcr.io with a token that may write packages".to_owned()
            }
            RegistryFault::Denied { .. } => {
                format!("use a login for {host} that may write to this repository")
            }
            RegistryFault::NotFound { code, .. }
                if code == "MANIFEST_UNKNOWN" || code == "BLOB_UNKNOWN" =>
            {
                format!(
                    "was it deleted on {host}, perhaps with what no tag named? then build it again with `--rebuild`"
                )
            }
            RegistryFault::NotFound { .. } => {
                format!("create the repository first if {host} does not make it on a push")
            }
            RegistryFault::NotAllowed { .. } => {
                format!("is {host} read-only, or are deletes switched off there?")
            }
            RegistryFault::Immutable { .. } => format!(
                "release a new version, or let {host} overwrite this tag; where every tag is kept for ever, there are no channels such as `latest`"
            ),
            RegistryFault::Credentials(error) => error.hint(),
            RegistryFault::Refused { status, .. } if *status >= 500 => {
                format!("{host} is in trouble: look at its log, then run the same command again")
            }
            RegistryFault::Refused { .. }
            | RegistryFault::Corrupt { .. }
            | RegistryFault::Protocol { .. }
            | RegistryFault::Cancelled => return None,
        })
    }

    /// Whether the same request may work later.
    pub fn is_temporary(&self) -> bool {
        self.fault.is_temporary()
    }
}

impl RegistryFault {
    /// Whether the same request may work later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::TimedOut { .. }
            | Self::TooManyRequests { .. } => true,
            // Not implemented, and an HTTP version that is not spoken, stay as they are.
            Self::Refused { status, .. } => {
                matches!(status, 408 | 425) || (*status >= 500 && !matches!(status, 501 | 505))
            }
            _ => false,
        }
    }

    /// Whether the registry lets nobody do what was asked for.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::NotAllowed { .. } | Self::Immutable { .. })
    }

    /// How long the registry asked to wait, where it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after } | Self::Refused { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Whether the registry may have done what was asked for although this came back.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::TimedOut { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}
