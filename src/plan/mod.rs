//! (Project, Settings, Facts) → [`Plan`]: what to build, where it goes, which tags move.
//!
//! Pure: whatever castoff decides is decided here and can be read before it is done. Must not know
//! any effect. Start reading at [`Plan`].

mod attestation;
mod backwards;
mod build;
mod cache;
mod changes;
mod choice;
mod classic_store;
mod error;
mod export;
mod fingerprint;
mod gather;
mod graph;
mod hosts;
mod immutable;
mod layout;
mod names;
mod node_cache;
mod only;
mod part;
mod partial;
mod places;
mod reading;
pub mod retention;
mod reuse;
mod saved;
mod selection;
mod ssh;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use indexmap::IndexSet;
use serde::Serialize;

pub use backwards::{Ancestry, Course, Present, Published, aim, course, has_order, refuse};
pub use build::{
    AnnotationLevel, BuildContext, BuildSpec, CacheRef, Compression, CompressionKind, Dockerfile,
    HOST_GATEWAY, ImageOptions, NamedContext, Provenance, SecretMount, SecretSource,
    ServiceContext, SshMount, Ulimit,
};
pub use choice::{Abilities, Ask, Contender, Goal, Knowledge, Next, asks, next, remedy};
pub use classic_store::{BeyondClassicStore, CLASSIC_STORE_REMEDY, beyond_classic_store};
pub use error::Error;
pub use export::{Export, ExportKind, ExportSpec};
pub use fingerprint::{Fingerprint, Gathered, INPUTS_LABEL, fingerprint, image_of, never_reused};
pub use gather::{Named, Part, PartialError};
pub use hosts::hosts;
pub use immutable::{Held, Hold, Standing, held, hold_of_typed};
pub use layout::ImageLayout;
pub use names::{engine_names, repositories};
pub use node_cache::cache_of_node;
pub use partial::{Partial, PartialAttestation, PartialImage, PartialManifest};
pub use reuse::{Candidate, ImageFacts, Known, LastInputs, Reused, Unfit, decide, likely};
pub use saved::{SavedPlan, SavedTag, SavedTarget, Wishes};

use crate::compose::{Build, Project, Service};
use crate::config::Settings;
use crate::facts::{Facts, Wants};
use crate::oci::{Digest, Platform, Reference, Repository, Tag};
use crate::tags::{self, Channel, Computed, RuleSet};

/// The label that says which compose project an image belongs to.
pub const PROJECT_LABEL: &str = "dev.castoff.project";
/// The label that says which service of its project an image belongs to.
pub const SERVICE_LABEL: &str = "dev.castoff.service";
/// The label with the whole version that an image was first published as, empty where it was published
/// without one: what a base image says must not show through. It decides what goes backwards, as
/// `org.opencontainers.image.version` may be a part of the version, or somebody's own text. Like the labels
/// of the OCI specification it is no part of an image's inputs.
pub const VERSION_LABEL: &str = "dev.castoff.version";

/// What a publish will do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The compose project's name.
    pub project: String,
    /// What is published, a service each, in the order of their names.
    pub targets: Vec<Target>,
    /// In which order they are built: those of one row at the same time.
    pub order: Vec<Vec<String>>,
    /// What it is for.
    #[serde(skip)]
    pub purpose: Purpose,
    /// Where images go.
    #[serde(skip)]
    pub registries: Vec<RegistryPlan>,
    /// What a user should know before it begins.
    pub warnings: Vec<Warning>,
}

/// One service to publish.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// The service.
    pub service: String,
    /// Other services that are the same image: the same build, published under the same tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Whether it is built or reused.
    pub action: Action,
    /// Why.
    pub because: Vec<String>,
    /// The digest of everything that decides what is built; `null` where it was not looked for, or
    /// cannot be known.
    pub inputs: Option<Digest>,
    /// The same digest without the images that it is built from: what the files and arguments of this
    /// run decide.
    #[serde(skip)]
    pub contents: Option<Digest>,
    /// The platforms; empty for the builder's own.
    pub platforms: Vec<Platform>,
    /// Which builder builds it.
    #[serde(flatten)]
    pub placement: Placement,
    /// What is built.
    pub build: BuildSpec,
    /// Caches to read.
    pub cache_from: Vec<CacheRef>,
    /// Caches to write.
    pub cache_to: Vec<CacheRef>,
    /// Where the image goes.
    pub repositories: Vec<Repository>,
    /// The tags that will point to it, in every repository.
    pub tags: Vec<PlannedTag>,
    /// The labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The paths it reads that lie outside the project's folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<PathBuf>,
    /// Where the image goes, with what is particular to each place; nowhere, where others build on
    /// the target and nobody asked for its own image.
    #[serde(skip)]
    pub destinations: Vec<Destination>,
    /// The image that is taken as it is, where one is.
    #[serde(skip)]
    pub reused: Option<Reused>,
    /// What the user wrote on the image.
    #[serde(skip)]
    pub declared: Declared,
    /// Whether an unchanged image is reused, as publish.toml says.
    #[serde(skip)]
    pub may_reuse: bool,
    /// Whether the image is wanted for itself, and not only for others that build on it.
    #[serde(skip)]
    pub wanted: bool,
    /// The whole version that it is published as in this run, where there is one.
    #[serde(skip)]
    pub version: Option<String>,
}

/// Which builder builds a target, and why it is that one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Its name for people; `null` where none is needed, or none can do it.
    pub builder: Option<String>,
    /// Who named it, or why castoff took it; why there is none.
    pub builder_because: Option<String>,
    /// Whether there is nothing to say about it: it is what docker itself would build with.
    #[serde(skip)]
    pub is_usual: bool,
}

/// What the user wrote on an image, as it is written: expressions are not evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Labels of the compose file and of publish.toml, and the two that name project and service.
    pub labels: BTreeMap<String, String>,
    /// Where annotations go.
    pub annotation_levels: Vec<AnnotationLevel>,
    /// Annotations of publish.toml.
    pub annotations: BTreeMap<String, String>,
    /// Whether the date of the image is that of the run.
    pub created_now: bool,
    /// The build argument that castoff adds for the date of everything in the image, where it does so of its
    /// own accord: with the commit's date, which is no input.
    pub date_argument: Option<&'static str>,
}

/// Whether a target is built. In JSON the word alone; the digest stands beside the tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is built.
    Build,
    /// The image of this digest is taken as it is.
    Reuse(Digest),
    /// It was built elsewhere, in these parts, which are put together.
    Merge(Vec<Part>),
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Build => "build",
            Self::Reuse(_) => "reuse",
            Self::Merge(_) => "merge",
        })
    }
}

/// A registry that images go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryPlan {
    /// Its name: that of publish.toml, else its address.
    pub name: String,
    /// Whether a publish fails when it does.
    pub required: bool,
}

/// One repository for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The registry's name.
    pub registry: String,
    /// The repository.
    pub repository: Repository,
    /// Whether a publish fails when this destination does.
    pub required: bool,
    /// Whether the builder speaks to it without TLS, or without checking its certificate.
    pub insecure: bool,
    /// The tags that will be written here.
    pub tags: Vec<Tag>,
}

/// A tag that will point to a target's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedTag {
    /// Its full reference.
    pub reference: Reference,
    /// Where it points now; `null` where it does not exist, or was not asked for.
    pub from: Option<Digest>,
    /// Where it will point; `null` where that is not known before the build.
    pub to: Option<Digest>,
    /// Whether it is meant to move from release to release.
    pub channel: bool,
    /// How it moves.
    #[serde(skip)]
    pub kind: Channel,
    /// The rule that made it.
    pub rule: String,
    /// Why it stays where it is, where it would go backwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What is asked of another image before it moves to that.
    #[serde(rename = "immutable", serialize_with = "is_held")]
    pub hold: Hold,
    /// Why it may not move to the image of this plan. A publish is refused then.
    #[serde(rename = "in_the_way", skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// In JSON: whether the tag is immutable at all.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands every field over by reference"
)]
fn is_held<S: serde::Serializer>(hold: &Hold, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*hold != Hold::Free)
}

/// Something a user should know before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Warning {
    /// What it concerns: a service, a file; empty for the plan as a whole.
    pub subject: String,
    /// What is amiss.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Target {
    /// The destinations without which a publish fails.
    pub fn required(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().filter(|place| place.required)
    }

    /// The destinations that may fail alone.
    pub fn best_effort(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().filter(|place| !place.required)
    }

    /// The local folders and files without which nothing can be built.
    pub fn local_paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        if let BuildContext::Local(path) = &self.build.context {
            paths.push(path.clone());
        }
        if let Dockerfile::Local(path) = &self.build.dockerfile {
            paths.push(path.clone());
        }
        paths
    }
}

/// Which facts these settings need that cost time to find out. Rules that cannot be read need none:
/// [`plan`] reports them.
pub fn wants(settings: &Settings) -> Wants {
    let none = Vec::new();
    let all = std::iter::once(&settings.general).chain(settings.services.values());
    let sets = all.filter_map(|service| {
        let rules = service.rules.as_ref().unwrap_or(&none);
        let rules = RuleSet::parse(rules, &service.flavor).ok()?;
        Some(rules.with_dirty(target::dirty(service.dirty)))
    });
    let wants = sets.fold(Wants::default(), |wants, rules| wants | rules.wants());
    let all = std::iter::once(&settings.general).chain(settings.services.values());
    all.fold(wants, |wants, service| {
        let texts = service.labels.iter().chain(&service.annotations);
        let texts: Vec<_> = texts
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        wants | tags::label_wants(&texts)
    })
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Images go to registries, under tags.
    Publish,
    /// Nothing is done: what a publish would call its images is looked at, and none may have a name here.
    Tags,
    /// Images go to the Engine that builds them, for its own platform.
    Load,
    /// Results are written to this machine.
    Export,
}

/// The services that are published, and the repositories of each without tags: what can be known where
/// no tag rule gives a tag.
pub fn destinations(
    project: &Project,
    settings: &Settings,
) -> Result<BTreeMap<String, Vec<Destination>>, Error> {
    let mut all = BTreeMap::new();
    for service in &project.services {
        if service.build.is_some() && !settings.service(&service.name).skip {
            let places = places::destinations(project, service, settings)?;
            all.insert(service.name.clone(), places);
        }
    }
    Ok(all)
}

/// The repository of a service by a template with `{{service}}` or `{{project}}` in it.
pub fn typed_destination(
    project: &Project,
    service: &str,
    template: &str,
) -> Result<Destination, Error> {
    match project.service(service) {
        Some(service) => places::typed(template, project, service),
        None => Err(Error::NoSuchService {
            name: service.to_owned(),
            place: None,
            nearest: None,
        }),
    }
}

/// What the tag rules of a service come to, with every rule's reason; `None` where the compose file
/// alone names what is published.
pub fn computed(
    project: &Project,
    settings: &Settings,
    facts: &Facts,
    service: &Service,
) -> Result<Option<Computed>, Error> {
    Ok(places::places(project, service, settings, facts)?.computed)
}

/// Decides what will be done with `selection`; with everything that is built, where it is empty.
pub fn plan(
    project: &Project,
    settings: &Settings,
    facts: &Facts,
    selection: &[String],
    purpose: Purpose,
) -> Result<Plan, Error> {
    selection::check_names(project, settings, selection)?;
    hosts(project, settings)?;
    let mut warnings: Vec<Warning> = Vec::new();
    let mut targets = Vec::new();
    let wanted = selection::wanted(project, settings, selection);
    let beneath = graph::beneath(project, &wanted);
    for service in &project.services {
        let is_wanted = wanted.contains(&service.name);
        let is_needed = is_wanted || beneath.contains(&service.name);
        let Some(build) = service.build.as_ref().filter(|_| is_needed) else {
            continue;
        };
        let subject = Subject {
            project,
            service,
            build,
            settings,
            facts,
        };
        targets.push(match purpose {
            Purpose::Publish | Purpose::Tags if is_wanted => {
                target::to_registries(&subject, &mut warnings)?
            }
            Purpose::Load => target::to_engine(&subject, is_wanted, &mut warnings)?,
            Purpose::Export if is_wanted => target::to_files(&subject, &mut warnings)?,
            Purpose::Publish | Purpose::Tags | Purpose::Export => {
                target::for_others(&subject, &mut warnings)?
            }
        });
    }
    if targets.is_empty() {
        let is_built = project.services.iter().any(|it| it.build.is_some());
        return Err(if is_built {
            Error::AllSkipped
        } else {
            Error::NothingToPublish
        });
    }
    if purpose == Purpose::Publish {
        selection::check_tags(&targets)?;
    }
    selection::merge_twins(&mut targets);
    selection::check_collisions(&targets)?;
    graph::check(&targets, &mut warnings)?;
    let shared = selection::shared_caches(&targets);
    let unique: IndexSet<Warning> = warnings.into_iter().chain(shared).collect();
    Ok(Plan {
        project: project.name.clone(),
        order: graph::rows(&targets)?,
        purpose,
        registries: registries(&targets),
        targets,
        warnings: unique.into_iter().collect(),
    })
}

/// A service, and all that decides about it.
struct Subject<'a> {
    project: &'a Project,
    service: &'a Service,
    build: &'a Build,
    settings: &'a Settings,
    facts: &'a Facts,
}

/// The registries that the targets go to, each once.
fn registries(targets: &[Target]) -> Vec<RegistryPlan> {
    let mut registries: Vec<RegistryPlan> = Vec::new();
    let mut known = BTreeSet::new();
    for place in targets.iter().flat_map(|target| &target.destinations) {
        if known.insert(&place.registry) {
            registries.push(RegistryPlan {
                name: place.registry.clone(),
                required: place.required,
            });
        }
    }
    registries
}
