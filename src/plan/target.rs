//! One service: what its build is, in the builder's terms.

use std::collections::BTreeMap;

use super::cache::{Caches, caches, written};
use super::error::Error;
use super::places::{Places, places};
use super::{
    Action, AnnotationLevel, BuildContext, BuildSpec, Dockerfile, NamedContext, PROJECT_LABEL,
    Provenance, SERVICE_LABEL, SecretMount, SecretSource, Subject, Target, Ulimit, Warning,
};
use crate::compose::{self, Build, Context, Service};
use crate::config::{CreatedFrom, DirtyTree, ProvenanceMode, ServiceSettings};
use crate::excerpt::Excerpt;
use crate::oci::{Platform, Reference};
use crate::tags::{self, Created, Dirty, LabelInput, Names};

/// The label that castoff computes and that is left out where nobody knows the date.
const CREATED_LABEL: &str = "org.opencontainers.image.created";
/// The image that makes an SBOM where a compose file only says `sbom: true` (buildx, `attest.go`).
const DEFAULT_SBOM_GENERATOR: &str = "docker.io/docker/buildkit-syft-scanner:stable-1";

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
    let mut version = None;
    if let Some(computed) = computed {
        tell(service, &computed.warnings, warnings);
        version = computed.version;
    }
    let caches = caches(project, service, &own.cache, &destinations, &tags, facts)?;
    let mut target = target(subject, version.as_deref(), caches, warnings)?;
    target.repositories = destinations
        .iter()
        .map(|place| place.repository.clone())
        .collect();
    target.tags = tags;
    target.destinations = destinations;
    Ok(target)
}

/// Plans one service whose image goes to the Engine that builds it: for its own platform, without
/// attestations, and without writing caches.
pub(super) fn to_engine(
    subject: &Subject<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Target, Error> {
    let caches = Caches {
        from: written(subject.build).0,
        ..Caches::default()
    };
    let mut target = target(subject, None, caches, warnings)?;
    target.platforms = Vec::new();
    target.build.platforms = Vec::new();
    target.build.provenance = Provenance::Off;
    target.build.sbom = None;
    target.build.annotations.clear();
    Ok(target)
}

/// What is the same for every purpose.
fn target(
    subject: &Subject<'_>,
    version: Option<&str>,
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
    let labels = labels(subject, version, warnings)?;
    warnings.extend(caches.warnings);
    let mut spec = Reading { service, build }.spec(own, warnings)?;
    spec.annotations = annotations(subject, &spec, version, warnings)?;
    spec.labels.clone_from(&labels);
    spec.cache_from.clone_from(&caches.from);
    spec.cache_to.clone_from(&caches.to);
    Ok(Target {
        service: service.name.clone(),
        action: Action::Build,
        because: vec!["every publish builds".to_owned()],
        platforms: spec.platforms.clone(),
        build: spec,
        cache_from: caches.from,
        cache_to: caches.to,
        repositories: Vec::new(),
        tags: Vec::new(),
        labels,
        destinations: Vec::new(),
    })
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
    version: Option<&str>,
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
        version,
        created: created(settings.created),
    };
    let found = tags::labels(&input, facts, &names);
    let (mut labels, odd) = found.map_err(|source| Error::Tags {
        service: service.name.clone(),
        place: None,
        source,
    })?;
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
    Ok(labels)
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
    let computed = tags::labels(&input, subject.facts, &names);
    let (mut values, odd) = computed.map_err(|source| Error::Tags {
        service: service.name.clone(),
        place: None,
        source,
    })?;
    // What is not known says nothing here: no base image's annotation could show through.
    values.retain(|_, value| !value.is_empty());
    let mut annotations = BTreeMap::new();
    for level in &settings.annotation_levels {
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

/// A `build` section while it is put into the builder's terms.
struct Reading<'a> {
    service: &'a Service,
    build: &'a Build,
}

impl Reading<'_> {
    fn unsupported(&self, what: impl Into<String>, place: Option<&Excerpt>) -> Error {
        Error::Unsupported {
            service: self.service.name.clone(),
            what: what.into(),
            place: place
                .or(self.service.places.build.as_ref())
                .cloned()
                .map(Box::new),
            hint: None,
        }
    }

    fn spec(
        &self,
        settings: &ServiceSettings,
        warnings: &mut Vec<Warning>,
    ) -> Result<BuildSpec, Error> {
        let build = self.build;
        let bake = build.bake.clone().unwrap_or_default();
        if build.isolation.is_some() {
            warnings.push(Warning {
                subject: self.service.name.clone(),
                message: "`isolation` is for Windows and has no effect here".to_owned(),
                hint: None,
            });
        }
        if !build.ssh.is_empty() || !bake.ssh.is_empty() {
            return Err(self.unsupported("`build.ssh` cannot be forwarded yet", None));
        }
        let context = self.context()?;
        let mut entitlements = build.entitlements.clone();
        if build.privileged
            && !entitlements
                .iter()
                .any(|right| right == "security.insecure")
        {
            entitlements.push("security.insecure".to_owned());
        }
        Ok(BuildSpec {
            dockerfile: self.dockerfile(&context),
            context,
            target: build.target.clone(),
            args: build.args.clone().into_iter().collect(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: self.platforms(settings)?,
            named_contexts: self.named_contexts()?,
            secrets: self.secrets()?,
            extra_hosts: extra_hosts(build),
            network: self.network()?,
            shm_size: Some(build.shm_size).filter(|size| *size > 0),
            ulimits: build
                .ulimits
                .iter()
                .map(|(name, limit)| Ulimit {
                    name: name.clone(),
                    soft: limit.soft,
                    hard: limit.hard,
                })
                .collect(),
            cgroup_parent: None,
            entitlements,
            no_cache: settings.no_cache || bake.no_cache.unwrap_or(build.no_cache),
            no_cache_filter: if bake.no_cache_filter.is_empty() {
                build.no_cache_filter.clone()
            } else {
                bake.no_cache_filter
            },
            pull: settings.pull || bake.pull.unwrap_or(build.pull),
            provenance: self.provenance(settings)?,
            sbom: self.sbom(settings)?,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
        })
    }

    fn context(&self) -> Result<BuildContext, Error> {
        match &self.build.context {
            Context::Local(path) => Ok(BuildContext::Local(path.clone())),
            Context::Remote(address) | Context::Scheme(address) => {
                Ok(BuildContext::Remote(address.clone()))
            }
            Context::Service(_) => Err(self.unsupported(
                "a service cannot be the context of another; name it in `additional_contexts`",
                self.service.places.context.as_ref(),
            )),
        }
    }

    fn dockerfile(&self, context: &BuildContext) -> Dockerfile {
        match (&self.build.dockerfile_inline, context) {
            (Some(text), _) => Dockerfile::Inline(text.clone()),
            (None, BuildContext::Local(path)) => {
                Dockerfile::Local(path.join(&self.build.dockerfile))
            }
            (None, BuildContext::Remote(_)) => Dockerfile::InContext(self.build.dockerfile.clone()),
        }
    }

    /// The platforms of publish.toml, else those of the build, else the one that the service runs on.
    fn platforms(&self, settings: &ServiceSettings) -> Result<Vec<Platform>, Error> {
        if !settings.platforms.is_empty() {
            return Ok(settings.platforms.clone());
        }
        let baked = self.build.bake.as_ref().map(|bake| &bake.platforms);
        let written = match baked.filter(|platforms| !platforms.is_empty()) {
            Some(baked) => baked,
            None => &self.build.platforms,
        };
        let single = self.service.platform.iter();
        let texts: Vec<&String> = if written.is_empty() {
            single.collect()
        } else {
            written.iter().collect()
        };
        texts
            .into_iter()
            .map(|text| {
                text.parse().map_err(|source| Error::Platform {
                    service: self.service.name.clone(),
                    place: self.service.places.platforms.clone().map(Box::new),
                    source,
                })
            })
            .collect()
    }

    fn named_contexts(&self) -> Result<BTreeMap<String, NamedContext>, Error> {
        let mut contexts = BTreeMap::new();
        for (name, context) in &self.build.additional_contexts {
            let context = match context {
                Context::Local(path) => NamedContext::Local(path.clone()),
                Context::Remote(address) | Context::Scheme(address) => {
                    if address.starts_with("oci-layout://") {
                        return Err(self.unsupported(
                            format!("context `{name}`: OCI layouts cannot be sent yet"),
                            None,
                        ));
                    }
                    NamedContext::Remote(address.clone())
                }
                Context::Service(other) => {
                    return Err(self.unsupported(
                        format!("context `{name}`: the image of service `{other}` cannot be handed on yet"),
                        None,
                    ));
                }
            };
            contexts.insert(name.clone(), context);
        }
        let baked = self.build.bake.iter().flat_map(|bake| &bake.contexts);
        for (name, address) in baked {
            let context = NamedContext::Remote(address.clone());
            contexts.insert(name.clone(), context);
        }
        Ok(contexts)
    }

    fn secrets(&self) -> Result<Vec<SecretMount>, Error> {
        self.build
            .secrets
            .iter()
            .map(|secret| {
                let source = match &secret.source {
                    compose::SecretSource::File(path) => SecretSource::File(path.clone()),
                    compose::SecretSource::Environment { variable, .. } => {
                        SecretSource::Environment(variable.clone())
                    }
                    compose::SecretSource::External => {
                        return Err(self.unsupported(
                            format!(
                                "secret `{}` is external, so no build can read it",
                                secret.name
                            ),
                            None,
                        ));
                    }
                };
                Ok(SecretMount {
                    id: secret.id.clone(),
                    source,
                })
            })
            .collect()
    }

    /// BuildKit knows three networks; one of the project's own does not exist while it builds.
    fn network(&self) -> Result<Option<String>, Error> {
        match self.build.network.as_deref() {
            None | Some("default" | "") => Ok(None),
            Some(mode @ ("none" | "host")) => Ok(Some(mode.to_owned())),
            Some(other) => Err(Error::Unsupported {
                service: self.service.name.clone(),
                what: format!("network `{other}` cannot be used by a build"),
                place: self.service.places.build.clone().map(Box::new),
                hint: Some("use `default`, `none` or `host`".to_owned()),
            }),
        }
    }

    fn provenance(&self, settings: &ServiceSettings) -> Result<Provenance, Error> {
        if let Some(mode) = settings.provenance {
            return Ok(match mode {
                ProvenanceMode::Off => Provenance::Off,
                ProvenanceMode::Min => Provenance::Min,
                ProvenanceMode::Max => Provenance::Max,
            });
        }
        match self.build.provenance.as_deref() {
            None | Some("false") => Ok(Provenance::Off),
            Some("true" | "" | "mode=min") => Ok(Provenance::Min),
            Some("mode=max") => Ok(Provenance::Max),
            Some(other) => Err(self.unsupported(
                format!("provenance `{other}` is none of true, false, mode=min and mode=max"),
                None,
            )),
        }
    }

    fn sbom(&self, settings: &ServiceSettings) -> Result<Option<Reference>, Error> {
        if settings.sbom.is_some() {
            return Ok(settings.sbom.clone());
        }
        let generator = match self.build.sbom.as_deref() {
            None | Some("false") => return Ok(None),
            Some("true" | "") => DEFAULT_SBOM_GENERATOR,
            Some(text) => text.strip_prefix("generator=").ok_or_else(|| {
                self.unsupported(
                    format!("sbom `{text}` is none of true, false and generator=IMAGE"),
                    None,
                )
            })?,
        };
        generator
            .parse()
            .map(Some)
            .map_err(|source| Error::Reference {
                service: self.service.name.clone(),
                place: self.service.places.build.clone().map(Box::new),
                source,
            })
    }
}

/// `name=address`, as the frontend reads them.
fn extra_hosts(build: &Build) -> Vec<String> {
    build
        .extra_hosts
        .iter()
        .flat_map(|(name, addresses)| {
            addresses
                .iter()
                .map(move |address| format!("{name}={address}"))
        })
        .collect()
}
