//! One service: its build, labels and annotations, and where its image goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use super::cache::{self, Caches, caches};
use super::error::Error;
use super::places::{Places, places};
use super::reading::Reading;
use super::{
    Action, AnnotationLevel, BuildSpec, Declared, ImageOptions, PROJECT_LABEL, Placement,
    Provenance, SERVICE_LABEL, Subject, Target, VERSION_LABEL, Warning,
};
use crate::compose::Service;
use crate::config::{CreatedFrom, DirtyTree, Reuse};
use crate::inputs::clean_path;
use crate::tags::{self, Created, Dirty, LabelInput, Names};

/// The variable and build argument for the date of everything in an image
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// The label that castoff computes and that is left out where nobody knows the date.
const CREATED_LABEL: &str = "org.opencontainers.image.created";

/// Plans one service whose image goes to registries.
pub(super) fn to_registries(
    subject: &Subject<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Target, Error> {
    let Subject {
        project,
        service,
        settings,
        facts,
        ..
    } = *subject;
    let own = settings.service(&service.name);
    let Places {
        destinations,
        tags,
        computed,
    } = places(project, service, settings, facts)?;
    if !destinations.iter().any(|place| place.required) {
        return Err(Error::NothingRequired {
            service: service.name.clone(),
        });
    }
    let mut versions = Versions::default();
    if let Some(computed) = computed {
        tell(service, &computed.warnings, warnings);
        versions = Versions {
            main: computed.version,
            whole: computed.ordered,
        };
    }
    let of = cache::Of {
        project,
        service,
        facts,
        settings,
    };
    let caches = caches(&of, &own.cache, &destinations, &tags)?;
    let mut target = target(subject, &versions, caches, warnings)?;
    if target.build.image.rewrite_timestamp && target.build.is_attested() {
        warnings.push(Warning {
            subject: service.name.clone(),
            message:
                "the image cannot be reproducible: its attestations hold the time of the build"
                    .to_owned(),
            hint: Some("set `provenance = \"off\"` and `sbom = false`".to_owned()),
        });
    }
    target.repositories = destinations
        .iter()
        .map(|place| place.repository.clone())
        .collect();
    target.tags = tags;
    target.destinations = destinations;
    Ok(target)
}

/// The caches that the compose file wants to be read, and none to write.
fn only_read(subject: &Subject<'_>) -> Caches {
    let of = cache::Of {
        project: subject.project,
        service: subject.service,
        facts: subject.facts,
        settings: subject.settings,
    };
    let mut caches = Caches::default();
    cache::read_named(&of, subject.build, &[], &mut caches);
    caches
}

/// Plans one service that is built for others that build on it, and goes nowhere itself.
pub(super) fn for_others(
    subject: &Subject<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Target, Error> {
    let mut target = target(subject, &Versions::default(), only_read(subject), warnings)?;
    target.because = vec!["others build on it".to_owned()];
    target.wanted = false;
    target.build.provenance = Provenance::Off;
    target.build.sbom = None;
    target.build.annotations.clear();
    Ok(target)
}

/// Plans one service whose image goes to the Engine that builds it: for its own platform, without
/// attestations, and without writing caches.
pub(super) fn to_engine(
    subject: &Subject<'_>,
    wanted: bool,
    warnings: &mut Vec<Warning>,
) -> Result<Target, Error> {
    let mut target = target(subject, &Versions::default(), only_read(subject), warnings)?;
    target.wanted = wanted;
    target.platforms = Vec::new();
    target.build.platforms = Vec::new();
    // What is unpacked where it is built is neither compressed nor rewritten.
    target.build.image = ImageOptions::default();
    target.build.provenance = Provenance::Off;
    target.build.sbom = None;
    target.build.annotations.clear();
    Ok(target)
}

/// Plans one service whose result is written to this machine: as it would be published, without writing
/// caches.
pub(super) fn to_files(
    subject: &Subject<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Target, Error> {
    target(subject, &Versions::default(), only_read(subject), warnings)
}

/// The versions that an image is published as.
#[derive(Default)]
struct Versions {
    /// As the first tag has it: what the image says to everybody.
    main: Option<String>,
    /// The whole version: what it says to castoff.
    whole: Option<String>,
}

/// What is the same for every purpose.
fn target(
    subject: &Subject<'_>,
    versions: &Versions,
    caches: Caches,
    warnings: &mut Vec<Warning>,
) -> Result<Target, Error> {
    let Subject {
        service,
        build,
        settings,
        ..
    } = *subject;
    // What compose prints without a word, and no builder can build.
    if let Some(mistake) = service.mistakes.first() {
        return Err(Error::Unsupported {
            service: service.name.clone(),
            what: mistake.message.clone(),
            place: Some(Box::new(mistake.place.clone())),
            hint: mistake.hint.clone(),
        });
    }
    let own = settings.service(&service.name);
    let labels = labels(subject, versions, warnings)?;
    warnings.extend(caches.warnings);
    let reading = Reading {
        service,
        build,
        directory: &subject.project.directory,
        default_platform: subject
            .project
            .environment
            .get("DOCKER_DEFAULT_PLATFORM")
            .map(String::as_str),
    };
    let mut spec = reading.spec(own, warnings)?;
    spec.annotations = annotations(subject, &spec, versions.main.as_deref(), warnings)?;
    spec.labels.clone_from(&labels);
    let is_dated = spec.args.contains_key(EPOCH);
    date(subject, &mut spec, warnings);
    let mut declared = declared(subject);
    let is_given = is_dated || subject.facts.clock.fixed;
    declared.date_argument = Some(EPOCH).filter(|_| !is_given);
    spec.cache_from = caches.from.into_iter().collect();
    spec.cache_to = caches.to.into_iter().collect();
    let outside = outside(&spec.paths(), &subject.project.directory);
    Ok(Target {
        service: service.name.clone(),
        also: Vec::new(),
        action: Action::Build,
        because: vec!["build".to_owned()],
        inputs: None,
        contents: None,
        platforms: spec.platforms.clone(),
        placement: Placement::default(),
        cache_from: spec.cache_from.clone(),
        cache_to: spec.cache_to.clone(),
        build: spec,
        repositories: Vec::new(),
        tags: Vec::new(),
        declared,
        labels,
        outside,
        destinations: Vec::new(),
        reused: None,
        may_reuse: own.reuse == Reuse::Unchanged,
        wanted: true,
        version: versions.whole.clone(),
    })
}

/// What the user wrote on the image.
fn declared(subject: &Subject<'_>) -> Declared {
    let own = subject.settings.service(&subject.service.name);
    let mut labels: BTreeMap<String, String> = subject.build.labels.clone().into_iter().collect();
    labels.extend(own.labels.clone());
    labels.insert(PROJECT_LABEL.to_owned(), subject.project.name.clone());
    labels.insert(SERVICE_LABEL.to_owned(), subject.service.name.clone());
    // Whatever the user wrote there is not what the image says.
    labels.remove(VERSION_LABEL);
    Declared {
        labels,
        annotation_levels: own.annotated().to_vec(),
        annotations: own.annotations.clone(),
        created_now: own.created == CreatedFrom::Now,
        date_argument: None,
    }
}

/// Those of `paths` that lie outside `folder`, in their order, without what lies below another one.
fn outside(paths: &[&Path], folder: &Path) -> Vec<PathBuf> {
    let mut outside: IndexSet<PathBuf> = IndexSet::new();
    for path in paths {
        let path = PathBuf::from(clean_path(&path.to_string_lossy()));
        if !path.starts_with(folder) && !path.ancestors().any(|above| outside.contains(above)) {
            outside.insert(path);
        }
    }
    outside.into_iter().collect()
}

/// Hands the date that everything in the image is to have to the build: that of the environment
/// always, as buildx does, and that of the commit where the image is to be reproducible.
fn date(subject: &Subject<'_>, spec: &mut BuildSpec, warnings: &mut Vec<Warning>) {
    if spec.args.contains_key(EPOCH) {
        return;
    }
    let facts = subject.facts;
    let is_asked = spec.image.rewrite_timestamp;
    let moment = if facts.clock.fixed {
        Some(facts.clock.now)
    } else {
        facts.context.commit_time.filter(|_| is_asked)
    };
    match moment {
        Some(moment) => {
            let seconds = moment.as_second().to_string();
            spec.args.insert(EPOCH.to_owned(), seconds);
        }
        None if is_asked => {
            spec.image.rewrite_timestamp = false;
            warnings.push(Warning {
                subject: subject.service.name.clone(),
                message:
                    "the image cannot be reproducible: there is no commit to take the date from"
                        .to_owned(),
                hint: Some(format!("set {EPOCH} to seconds since 1970")),
            });
        }
        None => {}
    }
}

/// The answer to a dirty tree, as the tag rules have it.
pub(super) fn dirty(choice: DirtyTree) -> Dirty {
    match choice {
        DirtyTree::Allow => Dirty::Allow,
        DirtyTree::Suffix => Dirty::Suffix,
        DirtyTree::Refuse => Dirty::Refuse,
    }
}

/// Passes the warnings of the tag rules on.
fn tell(service: &Service, odd: &[tags::Warning], warnings: &mut Vec<Warning>) {
    warnings.extend(odd.iter().map(|warning| Warning {
        subject: service.name.clone(),
        message: warning.to_string(),
        hint: warning.hint(),
    }));
}

/// The labels of the image: castoff's, then those of the compose file, then those of publish.toml.
fn labels(
    subject: &Subject<'_>,
    versions: &Versions,
    warnings: &mut Vec<Warning>,
) -> Result<BTreeMap<String, String>, Error> {
    let Subject {
        project,
        service,
        build,
        settings,
        facts,
    } = *subject;
    let settings = settings.service(&service.name);
    let names = Names {
        service: &service.name,
        project: &project.name,
    };
    let own: Vec<(String, String)> = settings
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let input = LabelInput {
        own: &own,
        version: versions.main.as_deref(),
        created: created(settings.created),
    };
    let found = tags::labels(&input, facts, &names);
    let (mut labels, odd) =
        found.map_err(|source| subject.mislabelled(source, &["labels"], &own))?;
    tell(service, &odd, warnings);
    // Without a commit the date would be that of the run, and every run would make another image.
    let is_dated = facts.context.commit_time.is_some()
        || facts.clock.fixed
        || settings.created == CreatedFrom::Now;
    if !is_dated && !settings.labels.contains_key(CREATED_LABEL) {
        labels.remove(CREATED_LABEL);
    }
    // The compose file's labels are literal: `{{` means nothing there.
    for (key, value) in &build.labels {
        if !settings.labels.contains_key(key) {
            labels.insert(key.clone(), value.clone());
        }
    }
    labels.insert(PROJECT_LABEL.to_owned(), project.name.clone());
    labels.insert(SERVICE_LABEL.to_owned(), service.name.clone());
    let whole = versions.whole.clone().unwrap_or_default();
    labels.insert(VERSION_LABEL.to_owned(), whole);
    Ok(labels)
}

impl Subject<'_> {
    /// What is wrong with one of `own` labels or annotations, which stand in the table `at`.
    fn mislabelled(&self, source: tags::Error, at: &[&str], own: &[(String, String)]) -> Error {
        let service = &self.service.name;
        let key = match &source {
            tags::Error::Label { entry, .. } => own.get(*entry),
            _ => None,
        };
        Error::Tags {
            service: service.clone(),
            place: key.and_then(|(key, _)| {
                self.settings
                    .place(service, &[at, &[key.as_str()]].concat())
            }),
            source,
        }
    }
}

fn created(choice: CreatedFrom) -> Created {
    match choice {
        CreatedFrom::Commit => Created::Commit,
        CreatedFrom::Now => Created::Now,
    }
}

/// The annotations of each level that is asked for, computed as the labels are. A part that the image
/// will not have cannot be written on, and is said.
fn annotations(
    subject: &Subject<'_>,
    spec: &BuildSpec,
    version: Option<&str>,
    warnings: &mut Vec<Warning>,
) -> Result<BTreeMap<AnnotationLevel, BTreeMap<String, String>>, Error> {
    let service = subject.service;
    let settings = subject.settings.service(&service.name);
    let names = Names {
        service: &service.name,
        project: &subject.project.name,
    };
    let own: Vec<(String, String)> = settings.annotations.clone().into_iter().collect();
    let input = LabelInput {
        own: &own,
        version,
        created: created(settings.created),
    };
    let computed = tags::annotations(&input, subject.facts, &names);
    let (mut values, odd) =
        computed.map_err(|source| subject.mislabelled(source, &["annotations", "values"], &own))?;
    // What is not known says nothing here: no base image's annotation could show through.
    values.retain(|_, value| !value.is_empty());
    let mut annotations = BTreeMap::new();
    for level in settings.annotated() {
        let has_index = spec.platforms.len() > 1 || spec.is_attested();
        if *level != AnnotationLevel::Manifest && !has_index {
            warnings.push(Warning {
                subject: service.name.clone(),
                message: "an image of one platform without attestations has no index to annotate"
                    .to_owned(),
                hint: None,
            });
            continue;
        }
        annotations.insert(*level, values.clone());
    }
    if !annotations.is_empty() {
        tell(service, &odd, warnings);
    }
    Ok(annotations)
}
