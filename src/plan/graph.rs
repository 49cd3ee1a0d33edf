//! Which targets there are, and which of them build on which.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::{NamedContext, Target, Warning};
use crate::compose::{Context, Project};

/// The services that those in `wanted` build on, directly or not, without `wanted` itself. A name
/// that no built service has is left out: [`check`] reports it.
pub(super) fn beneath(project: &Project, wanted: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = wanted.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        for other in builds_on(project, name) {
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
    others.any(|service| builds_on(project, &service.name).any(|other| other == name))
}

/// The services that the contexts of `name` are.
fn builds_on<'a>(project: &'a Project, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let build = project
        .service(name)
        .and_then(|service| service.build.as_ref());
    let contexts = build.into_iter().flat_map(|build| {
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
    for target in targets {
        for (name, context) in &target.build.named_contexts {
            let NamedContext::Service(other) = context else {
                continue;
            };
            let base = targets.iter().find(|base| base.service == other.0);
            let Some(base) = base else {
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
    let mut open: BTreeMap<&str, BTreeSet<&str>> = targets
        .iter()
        .map(|target| (target.service.as_str(), target.build.builds_on()))
        .collect();
    let mut rows = Vec::new();
    while !open.is_empty() {
        let row: Vec<String> = open
            .iter()
            .filter(|(_, others)| others.iter().all(|other| !open.contains_key(other)))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        if row.is_empty() {
            let names: Vec<&str> = open.into_keys().collect();
            return Err(Error::Circle {
                services: names.join("`, `"),
            });
        }
        open.retain(|name, _| !row.iter().any(|done| done == name));
        rows.push(row);
    }
    Ok(rows)
}
