//! Which targets there are, and which of them build on which.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::{NamedContext, Target, Warning};
use crate::compose::{Context, Project, Service};

/// The services that those in `wanted` build on, directly or not, without `wanted` itself. A name
/// that no built service has is left out: [`check`] reports it.
pub(super) fn beneath(project: &Project, wanted: &BTreeSet<String>) -> BTreeSet<String> {
    let services = project.services.iter();
    let services: BTreeMap<&str, &Service> = services.map(|it| (it.name.as_str(), it)).collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = wanted.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        for other in services.get(name).into_iter().flat_map(|it| builds_on(it)) {
            if !wanted.contains(other) && found.insert(other.to_owned()) {
                open.push(other);
            }
        }
    }
    found
}

/// Whether another service builds on the one that is called `name`.
pub(super) fn is_built_on(project: &Project, name: &str) -> bool {
    let services = project.services.iter();
    let mut others = services.filter(|service| service.name != name);
    others.any(|service| builds_on(service).any(|other| other == name))
}

/// The services that the contexts of `service` are.
fn builds_on(service: &Service) -> impl Iterator<Item = &str> {
    let contexts = service.build.iter().flat_map(|build| {
        let baked = build.bake.iter().flat_map(|bake| bake.contexts.values());
        build.additional_contexts.values().chain(baked)
    });
    contexts.filter_map(|context| match context {
        Context::Service(other) => Some(other.as_str()),
        _ => None,
    })
}

/// Whether every target finds what it builds on. What is built for one platform may serve several, as
/// files that are the same on all; a base that is then another machine's is warned of.
pub(super) fn check(targets: &[Target], warnings: &mut Vec<Warning>) -> Result<(), Error> {
    let known: BTreeMap<&str, &Target> = by_name(targets).collect();
    for target in targets {
        for (name, context) in &target.build.named_contexts {
            let NamedContext::Service(other) = context else {
                continue;
            };
            let Some(base) = known.get(other.0.as_str()) else {
                return Err(unsupported(
                    target,
                    format!(
                        "context `{name}` is the service `{}`, which is not built",
                        other.0
                    ),
                    "name a service with a `build` section, or the image itself: docker-image://…",
                ));
            };
            let has = |wanted| base.platforms.contains(wanted);
            if base.platforms.is_empty() && target.platforms.len() < 2 {
                continue;
            }
            let Some(lacking) = target.platforms.iter().find(|wanted| !has(wanted)) else {
                continue;
            };
            if let [] | [_] = base.platforms.as_slice() {
                let built = match base.platforms.first() {
                    Some(platform) => format!("{platform} alone"),
                    None => "the builder's own platform alone".to_owned(),
                };
                warnings.push(Warning {
                    subject: target.service.clone(),
                    message: format!(
                        "it is built for {lacking}, and takes service `{}`, which is built for {built}",
                        base.service
                    ),
                    hint: Some(
                        "give both the same platforms, unless only files that fit all are copied"
                            .to_owned(),
                    ),
                });
            } else {
                return Err(unsupported(
                    target,
                    format!(
                        "it is built for {lacking}, and service `{}`, which it builds on, is not",
                        base.service
                    ),
                    "give both the same platforms",
                ));
            }
        }
    }
    Ok(())
}

fn unsupported(target: &Target, what: String, hint: &str) -> Error {
    Error::Unsupported {
        service: target.service.clone(),
        what,
        place: None,
        hint: Some(hint.to_owned()),
    }
}

/// The targets in rows: each builds only on what stands in rows before its own.
pub(super) fn rows(targets: &[Target]) -> Result<Vec<Vec<String>>, Error> {
    let known: BTreeSet<&str> = by_name(targets).map(|(name, _)| name).collect();
    // Of each how many it waits for, and of each who waits for it.
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    let mut waiting: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, target) in by_name(targets) {
        let others = target.build.builds_on();
        let others = others.into_iter().filter(|other| known.contains(other));
        open.insert(name, 0);
        for other in others {
            *open.entry(name).or_default() += 1;
            waiting.entry(other).or_default().push(name);
        }
    }
    let free = open.iter().filter(|(_, others)| **others == 0);
    let mut row: BTreeSet<&str> = free.map(|(name, _)| *name).collect();
    let mut rows = Vec::new();
    while !row.is_empty() {
        let mut next = BTreeSet::new();
        for name in &row {
            open.remove(name);
            for other in waiting.remove(name).unwrap_or_default() {
                if let Some(others) = open.get_mut(other) {
                    *others -= 1;
                    if *others == 0 {
                        next.insert(other);
                    }
                }
            }
        }
        rows.push(row.into_iter().map(str::to_owned).collect());
        row = next;
    }
    if open.is_empty() {
        return Ok(rows);
    }
    let names: Vec<&str> = open.into_keys().collect();
    Err(Error::Circle {
        services: names.join("`, `"),
    })
}

fn by_name(targets: &[Target]) -> impl Iterator<Item = (&str, &Target)> {
    targets.iter().map(|it| (it.service.as_str(), it))
}
