//! How each registry's host is spoken to: one way for each host, whichever table names it.

use std::collections::BTreeMap;

use super::error::{Error, place_of};
use super::places::repository;
use crate::compose::Project;
use crate::config::{RegistrySettings, Settings};

/// The hosts of publish.toml's registries, each with a table that says how it is spoken to. Two
/// tables of one host must agree: a connection has no way to tell for which of them it is.
pub fn hosts<'a>(
    project: &Project,
    settings: &'a Settings,
) -> Result<BTreeMap<String, &'a RegistrySettings>, Error> {
    let mut hosts: BTreeMap<String, &RegistrySettings> = BTreeMap::new();
    for registry in &settings.registries {
        for service in project.services.iter().filter(|one| one.build.is_some()) {
            // What is no repository is an error where it is used.
            let Ok(repository) = repository(registry, project, service) else {
                continue;
            };
            let known = *hosts
                .entry(repository.domain().to_owned())
                .or_insert(registry);
            if way(known) != way(registry) {
                return Err(Error::TwoWays {
                    host: repository.domain().to_owned(),
                    one: known.name.clone(),
                    other: registry.name.clone(),
                    places: place_of(&known.origin).zip(place_of(&registry.origin)),
                });
            }
        }
    }
    Ok(hosts)
}

/// What of a table decides how its host is spoken to.
fn way(registry: &RegistrySettings) -> impl PartialEq + use<'_> {
    (registry.plain_http, &registry.ca, &registry.client)
}
