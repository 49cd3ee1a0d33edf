//! The names of a project's images: those that the Engine knows, and the repositories they go to.

use std::collections::BTreeSet;

use super::error::Error;
use super::places::{reference, repository, tagged};
use crate::compose::{Project, Service};
use crate::config::Settings;
use crate::oci::{Reference, Repository};

/// The names under which docker compose would look for a service's image: `image`, else
/// PROJECT-SERVICE; and those of `build.tags`.
pub fn engine_names(project: &Project, service: &Service) -> Result<Vec<Reference>, Error> {
    let mut names = vec![match &service.image {
        Some(image) => {
            let place = service.places.image.as_ref();
            tagged(service, &reference(service, image, place)?, place)?
        }
        None => {
            let name = format!("{}-{}", project.name, service.name);
            tagged(service, &reference(service, &name, None)?, None)?
        }
    }];
    for tag in service.build.iter().flat_map(|build| &build.tags) {
        let place = service.places.tags.as_ref();
        names.push(tagged(service, &reference(service, tag, place)?, place)?);
    }
    Ok(names)
}

/// The repositories whose names this project gives: in the Engine and in registries. What cannot be
/// named is left out: a plan refuses it.
pub fn repositories(project: &Project, settings: &Settings) -> BTreeSet<Repository> {
    let built = project.services.iter().filter(|one| one.build.is_some());
    built
        .flat_map(|service| {
            let engine = engine_names(project, service).unwrap_or_default();
            let registries = settings
                .registries
                .iter()
                .filter_map(|registry| repository(registry, project, service).ok());
            let engine = engine.into_iter().map(|name| name.repository().clone());
            engine.chain(registries).collect::<Vec<_>>()
        })
        .collect()
}
