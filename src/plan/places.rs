//! Where a service's image goes, and under which tags.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Error, place_of};
use super::graph;
use super::immutable::hold;
use super::{Destination, Hold, PlannedTag};
use crate::compose::{Project, Service};
use crate::config::{Immutable, RegistrySettings, ServiceSettings, Settings};
use crate::excerpt::Excerpt;
use crate::facts::Facts;
use crate::oci::{Reference, Repository, Tag};
use crate::tags::{self, Channel, Computed, Names, RuleSet};

/// A tag for every repository, and what is known of it.
struct Wanted {
    tag: Tag,
    kind: Channel,
    hold: Hold,
    rule: String,
}

/// Where a service goes.
pub(super) struct Places {
    pub(super) destinations: Vec<Destination>,
    pub(super) tags: Vec<PlannedTag>,
    /// What the rules came to; `None` where the compose file alone decides.
    pub(super) computed: Option<Computed>,
}

/// Decides where `service` goes: to the registries of publish.toml under the tags of its rules; without
/// registries to the repository of its `image`, and without rules as well under just the names that
/// the compose file gives it.
pub(super) fn places(
    project: &Project,
    service: &Service,
    settings: &Settings,
    facts: &Facts,
) -> Result<Places, Error> {
    let own = settings.service(&service.name);
    let chosen = chosen(settings, own);
    // `chosen` is empty only where there is no registry at all: an empty list of a service is refused.
    if chosen.is_empty() && own.rules.is_none() {
        return written(project, service, &own.immutable);
    }
    let destinations = destinations(project, service, settings)?;
    let (wanted, computed) = by_rules(project, service, settings, facts)?;
    Ok(spread(destinations, &wanted, Some(computed)))
}

/// The registries that a service goes to.
fn chosen<'a>(settings: &'a Settings, own: &ServiceSettings) -> Vec<&'a RegistrySettings> {
    let registries = settings.registries.iter().filter(|registry| {
        let names = own.registries.as_ref();
        names.is_none_or(|names| names.contains(&registry.name))
    });
    registries.collect()
}

/// The repositories of `service`, without tags: in the registries of publish.toml, and without any there
/// the repository of its `image`.
pub(super) fn destinations(
    project: &Project,
    service: &Service,
    settings: &Settings,
) -> Result<Vec<Destination>, Error> {
    let chosen = chosen(settings, settings.service(&service.name));
    if chosen.is_empty() {
        let reference = image(project, service)?;
        return Ok(vec![destination(
            reference.repository().domain().to_owned(),
            reference.repository().clone(),
            true,
            None,
        )]);
    }
    let destinations = chosen.into_iter().map(|registry| {
        let repository = repository(registry, project, service)?;
        Ok(destination(
            registry.name.clone(),
            repository,
            registry.required,
            registry.plain_http,
        ))
    });
    destinations.collect()
}

/// The repository of `service` by a template that was typed.
pub(super) fn typed(
    template: &str,
    project: &Project,
    service: &Service,
) -> Result<Destination, Error> {
    let text = fill_in(template, project, service).ok_or_else(|| Error::Template {
        template: template.to_owned(),
        place: None,
    })?;
    let repository: Repository = text.parse().map_err(|source| Error::Reference {
        service: service.name.clone(),
        place: None,
        source,
    })?;
    Ok(destination(
        repository.domain().to_owned(),
        repository,
        true,
        None,
    ))
}

/// Every tag in every destination.
fn spread(
    mut destinations: Vec<Destination>,
    wanted: &[Wanted],
    computed: Option<Computed>,
) -> Places {
    let mut tags = Vec::new();
    for destination in &mut destinations {
        for want in wanted {
            destination.tags.push(want.tag.clone());
            tags.push(PlannedTag {
                reference: destination.repository.with_tag(want.tag.clone()),
                from: None,
                to: None,
                channel: want.kind.moves(),
                kind: want.kind.clone(),
                rule: want.rule.clone(),
                refused: None,
                hold: want.hold,
                held: None,
            });
        }
    }
    Places {
        destinations,
        tags,
        computed,
    }
}

fn destination(
    registry: String,
    repository: Repository,
    required: bool,
    plain_http: Option<bool>,
) -> Destination {
    Destination {
        insecure: plain_http.unwrap_or_else(|| is_on_this_machine(repository.domain())),
        registry,
        repository,
        required,
        tags: Vec::new(),
    }
}

/// Whether a registry is on this machine, where docker speaks plain HTTP unasked
/// (moby, daemon/pkg/registry, `isInsecure`).
fn is_on_this_machine(domain: &str) -> bool {
    let host = domain.rsplit_once(':').map_or(domain, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            host
        } else {
            domain
        }
    });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The names that the compose file gives: `image`, `build.tags` and `x-bake.tags`.
fn written(project: &Project, service: &Service, policy: &Immutable) -> Result<Places, Error> {
    let build = service.build.as_ref();
    let mut references = Vec::new();
    if service.image.is_some() {
        references.push((image(project, service)?, "image"));
    }
    let tags = build.map(|build| build.tags.iter()).into_iter().flatten();
    let baked = build.and_then(|build| build.bake.as_ref());
    let baked = baked.map(|bake| bake.tags.iter()).into_iter().flatten();
    for tag in tags.chain(baked) {
        let place = service.places.tags.as_ref();
        references.push((reference(service, tag, place)?, "build.tags"));
    }
    if references.is_empty() {
        return Err(nowhere(project, service));
    }
    let mut places = Places {
        destinations: Vec::new(),
        tags: Vec::new(),
        computed: None,
    };
    let mut known: BTreeMap<Repository, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (reference, rule) in references {
        let place = service.places.image.as_ref();
        let reference = tagged(service, &reference, place)?;
        let Some(tag) = reference.tag().cloned() else {
            continue;
        };
        let repository = reference.repository();
        let index = known.get(repository).copied().unwrap_or_else(|| {
            let registry = repository.domain().to_owned();
            let place = destination(registry, repository.clone(), true, None);
            places.destinations.push(place);
            let index = places.destinations.len() - 1;
            known.insert(repository.clone(), index);
            index
        });
        if let Some(place) = places.destinations.get_mut(index)
            && seen.insert((index, tag.clone()))
        {
            let hold = hold(policy, &tag, &Channel::Moving);
            place.tags.push(tag);
            places.tags.push(PlannedTag {
                channel: true,
                kind: Channel::Moving,
                reference,
                from: None,
                to: None,
                rule: rule.to_owned(),
                refused: None,
                hold,
                held: None,
            });
        }
    }
    Ok(places)
}

fn image(project: &Project, service: &Service) -> Result<Reference, Error> {
    match &service.image {
        Some(image) => reference(service, image, service.places.image.as_ref()),
        None => Err(nowhere(project, service)),
    }
}

fn nowhere(project: &Project, service: &Service) -> Error {
    Error::Nowhere {
        service: service.name.clone(),
        place: Box::new(service.places.service.clone()),
        is_base: graph::is_built_on(project, &service.name),
    }
}

/// The reference with the tag that an image is given under it. A digest is no name for an image that
/// is yet to be made.
pub(super) fn tagged(
    service: &Service,
    reference: &Reference,
    place: Option<&Excerpt>,
) -> Result<Reference, Error> {
    let reference = reference.canonical();
    if reference.tag().is_some() {
        return Ok(reference);
    }
    Err(Error::Unsupported {
        service: service.name.clone(),
        what: format!("{reference} names a digest, which no new image can have"),
        place: place.cloned().map(Box::new),
        hint: Some("leave the digest out".to_owned()),
    })
}

pub(super) fn reference(
    service: &Service,
    text: &str,
    place: Option<&Excerpt>,
) -> Result<Reference, Error> {
    text.parse().map_err(|source| Error::Reference {
        service: service.name.clone(),
        place: place.cloned().map(Box::new),
        source,
    })
}

/// The repository of a service in a registry of publish.toml.
pub(super) fn repository(
    registry: &RegistrySettings,
    project: &Project,
    service: &Service,
) -> Result<Repository, Error> {
    let place = || place_of(&registry.origin);
    let text = fill_in(&registry.repository, project, service).ok_or_else(|| Error::Template {
        template: registry.repository.clone(),
        place: place(),
    })?;
    text.parse().map_err(|source| Error::Reference {
        service: service.name.clone(),
        place: place(),
        source,
    })
}

/// Puts the names of the service and its project into a template. They are lower-cased, as a
/// repository has to be. `None` where the template has something else in braces.
pub(super) fn fill_in(template: &str, project: &Project, service: &Service) -> Option<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, behind) = behind.split_once("}}")?;
        text.push_str(before);
        text.push_str(&match name.trim() {
            "service" => service.name.to_lowercase(),
            "project" => project.name.to_lowercase(),
            _ => return None,
        });
        rest = behind;
    }
    text.push_str(rest);
    Some(text)
}

fn by_rules(
    project: &Project,
    service: &Service,
    settings: &Settings,
    facts: &Facts,
) -> Result<(Vec<Wanted>, Computed), Error> {
    let none = Vec::new();
    let failed = |source: tags::Error| Error::Tags {
        service: service.name.clone(),
        place: match &source {
            tags::Error::Rule { entry, .. } => {
                settings.place(&service.name, &["tags", "rules", &entry.to_string()])
            }
            tags::Error::Flavor { entry, .. } => {
                settings.place(&service.name, &["tags", "flavor", &entry.to_string()])
            }
            _ => None,
        },
        source,
    };
    let settings = settings.service(&service.name);
    let rules = RuleSet::parse(settings.rules.as_ref().unwrap_or(&none), &settings.flavor);
    let rules = rules
        .map_err(failed)?
        .with_dirty(super::target::dirty(settings.dirty));
    let names = Names {
        service: &service.name,
        project: &project.name,
    };
    let computed = tags::compute(&rules, facts, &names).map_err(failed)?;
    let wanted = computed
        .tags
        .iter()
        .map(|tag| Wanted {
            tag: tag.tag.clone(),
            kind: tag.channel.clone(),
            hold: hold(&settings.immutable, &tag.tag, &tag.channel),
            rule: tag
                .rule
                .and_then(|index| rules.rule(index))
                .map_or_else(|| "flavor".to_owned(), |rule| rule.source().to_owned()),
        })
        .collect();
    Ok((wanted, computed))
}

#[cfg(test)]
mod tests {
    use super::is_on_this_machine;

    #[test]
    fn this_machine_has_several_names() {
        for domain in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]:5000",
        ] {
            assert!(is_on_this_machine(domain), "{domain}");
        }
        for domain in ["ghcr.io", "localhost.example", "10.0.0.1:5000", "128.0.0.1"] {
            assert!(!is_on_this_machine(domain), "{domain}");
        }
    }
}
