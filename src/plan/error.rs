use crate::config::Origin;
use crate::excerpt::Excerpt;
use crate::oci::{PlatformError, Reference, ReferenceError};
use crate::tags;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing in the project is built, so there is nothing to publish.
    #[error("no service of the project has a `build` section: there is nothing to publish")]
    NothingToPublish,
    /// Everything that is built is left out by publish.toml.
    #[error("publish.toml leaves out every service that is built (`skip`)")]
    AllSkipped,
    /// A service that was named does not exist.
    #[error("service `{name}` does not exist")]
    NoSuchService {
        /// What was named.
        name: String,
        /// Where, if in publish.toml.
        place: Option<Box<Excerpt>>,
        /// The service whose name is most like it.
        nearest: Option<String>,
    },
    /// A service that was named is only run and not built.
    #[error("service `{name}` has no `build` section: its image is somebody else's to publish")]
    NotBuilt {
        /// The service.
        name: String,
        /// Where the service stands in the compose file.
        place: Box<Excerpt>,
    },
    /// A service has no place to go.
    #[error(
        "service `{service}` goes nowhere: it has no `image`, and publish.toml names no registry for it"
    )]
    Nowhere {
        /// The service.
        service: String,
        /// Where it stands in the compose file.
        place: Box<Excerpt>,
        /// Whether others build on it: it may not be meant to go anywhere.
        is_base: bool,
    },
    /// Something of a service that no image reference or repository can be.
    #[error("the image of service `{service}` cannot be named")]
    Reference {
        /// The service.
        service: String,
        /// Where.
        place: Option<Box<Excerpt>>,
        /// What is wrong.
        #[source]
        source: ReferenceError,
    },
    /// Something that no reference of a cache can be.
    #[error("the cache of service `{service}` cannot be named")]
    CacheReference {
        /// The service.
        service: String,
        /// Where.
        place: Option<Box<Excerpt>>,
        /// What is wrong.
        #[source]
        source: ReferenceError,
    },
    /// A template with something in it that is not known there.
    #[error("`{template}`: only {{{{service}}}} and {{{{project}}}} are known here")]
    Template {
        /// The template.
        template: String,
        /// Where.
        place: Option<Box<Excerpt>>,
    },
    /// A platform of the compose file.
    #[error("service `{service}` cannot be built for what it names")]
    Platform {
        /// The service.
        service: String,
        /// Where.
        place: Option<Box<Excerpt>>,
        /// What is wrong.
        #[source]
        source: PlatformError,
    },
    /// The tag rules, flavor, labels or annotations of a service.
    #[error("the {} of service `{service}` cannot be computed", computed(source))]
    Tags {
        /// The service.
        service: String,
        /// Where the rule stands, if in publish.toml.
        place: Option<Box<Excerpt>>,
        /// What is wrong.
        #[source]
        source: tags::Error,
    },
    /// No rule gives a tag here.
    #[error("no tag rule of service `{service}` gives a tag here")]
    NoTags {
        /// The service.
        service: String,
        /// Those of the other services that would be published and have tags here.
        tagged: Vec<String>,
    },
    /// Two services would be published under one name.
    #[error("services `{one}` and `{other}` would both be published as {reference}")]
    Collision {
        /// One of them.
        one: String,
        /// The other.
        other: String,
        /// The name.
        reference: Reference,
    },
    /// A cache would be written over an image.
    #[error("service `{service}` would write its cache to {reference}, a tag of service `{other}`")]
    CacheOverImage {
        /// The service whose cache it is.
        service: String,
        /// The service whose tag it is.
        other: String,
        /// The name.
        reference: Reference,
    },
    /// No registry is required, so nothing could fail and nothing could succeed.
    #[error("service `{service}` goes only to registries with `required = false`")]
    NothingRequired {
        /// The service.
        service: String,
    },
    /// A registry that was named does not exist, or no service goes there.
    #[error("no service goes to a registry `{name}`")]
    NoSuchRegistry {
        /// What was named.
        name: String,
        /// The registries that there are.
        known: Vec<String>,
    },
    /// Services that build on each other, so that none can be the first.
    #[error("services `{services}` build on each other: none of them can be built first")]
    Circle {
        /// The services.
        services: String,
    },
    /// Two registries of publish.toml are one host, and do not agree about it.
    #[error(
        "registries `{one}` and `{other}` are both at {host}, and differ in how it is spoken to"
    )]
    TwoWays {
        /// The host, with its port.
        host: String,
        /// One of them.
        one: String,
        /// The other.
        other: String,
        /// Where both stand.
        places: Option<(Box<Excerpt>, Box<Excerpt>)>,
    },
    /// A build asks for more than a sandbox, and nobody allowed it.
    #[error("service `{service}`: its build asks for `{right}`, which is not allowed")]
    NotAllowed {
        /// The service.
        service: String,
        /// The entitlement.
        right: String,
        /// Where.
        place: Option<Box<Excerpt>>,
    },
    /// Something in the compose file that castoff cannot do.
    #[error("service `{service}`: {what}")]
    Unsupported {
        /// The service.
        service: String,
        /// What.
        what: String,
        /// Where.
        place: Option<Box<Excerpt>>,
        /// What would help.
        hint: Option<String>,
    },
}

impl Error {
    /// Where the mistake is.
    pub fn place(&self) -> Option<&Excerpt> {
        match self {
            Self::NotBuilt { place, .. } | Self::Nowhere { place, .. } => Some(place),
            Self::TwoWays { places, .. } => places.as_ref().map(|(_, other)| &**other),
            Self::NoSuchService { place, .. }
            | Self::Reference { place, .. }
            | Self::CacheReference { place, .. }
            | Self::Template { place, .. }
            | Self::Platform { place, .. }
            | Self::Tags { place, .. }
            | Self::NotAllowed { place, .. }
            | Self::Unsupported { place, .. } => place.as_deref(),
            Self::NothingToPublish
            | Self::AllSkipped
            | Self::NoTags { .. }
            | Self::Collision { .. }
            | Self::CacheOverImage { .. }
            | Self::NoSuchRegistry { .. }
            | Self::Circle { .. }
            | Self::NothingRequired { .. } => None,
        }
    }

    /// Another place that belongs to it, and what it is.
    pub fn related(&self) -> Option<(&Excerpt, &'static str)> {
        match self {
            Self::TwoWays { places, .. } => {
                let (one, _) = places.as_ref()?;
                Some((one, "the other one"))
            }
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::AllSkipped => {
                "name a service on the command line, or take its `skip` away".to_owned()
            }
            Self::NothingToPublish => {
                "add `build: .` to a service, or name another compose file with -f".to_owned()
            }
            Self::NoSuchService {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            Self::NoSuchService { .. } => "`castoff config --services` lists them".to_owned(),
            Self::NotBuilt { .. } => "name a service that is built".to_owned(),
            Self::Nowhere {
                service, is_base, ..
            } => {
                let skip = if *is_base {
                    format!(
                        "; if only other services build on it, leave it out: `skip = true` under [services.{service}]"
                    )
                } else {
                    String::new()
                };
                format!(
                    "add `image: REGISTRY/NAME` to `{service}`, or a [registries.NAME] table to publish.toml{skip}"
                )
            }
            Self::Tags { source, .. } => return source.hint(),
            Self::NoTags { tagged, .. } if tagged.is_empty() => {
                "`castoff tags --explain` says why for each rule".to_owned()
            }
            Self::NoTags { tagged, .. } => format!(
                "`castoff tags --explain` says why for each rule; `castoff publish {}` publishes what has tags here",
                tagged.join(" ")
            ),
            Self::Collision { .. } => {
                "put {{service}} into the repository, or give one of them tags of its own"
                    .to_owned()
            }
            Self::CacheOverImage { .. } => {
                "give the cache another place with `[cache] reference`, or the image another tag"
                    .to_owned()
            }
            Self::NothingRequired { .. } => {
                "make at least one of its registries required".to_owned()
            }
            Self::NoSuchRegistry { known, .. } => {
                format!("the registries here are: {}", known.join(", "))
            }
            Self::Unsupported { hint, .. } => return hint.clone(),
            Self::TwoWays { .. } => {
                "give both the same `plain_http`, `ca`, `client_cert` and `client_key`".to_owned()
            }
            Self::NotAllowed { right, .. } => format!(
                "if you trust it, allow it with `--allow {right}`, or `allow = [\"{right}\"]` under [build] in publish.toml"
            ),
            Self::Circle { .. } => {
                "take a `service:` out of `additional_contexts` of one of them".to_owned()
            }
            Self::CacheReference { .. } => {
                "write for example `reference = \"ghcr.io/acme/cache:{{service}}\"` under [cache]"
                    .to_owned()
            }
            Self::Reference { .. } | Self::Template { .. } | Self::Platform { .. } => return None,
        })
    }
}

/// What the tag rules' room could not compute.
fn computed(error: &tags::Error) -> &'static str {
    match error {
        tags::Error::Label { kind, .. } => match kind {
            tags::LabelKind::Label => "labels",
            tags::LabelKind::Annotation => "annotations",
        },
        _ => "tags",
    }
}

/// The excerpt of an origin in a file.
pub(super) fn place_of(origin: &Origin) -> Option<Box<Excerpt>> {
    match origin {
        Origin::File(place) => Some(Box::new(place.clone())),
        Origin::Flag(_) | Origin::Default => None,
    }
}
