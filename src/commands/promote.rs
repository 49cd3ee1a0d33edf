//! `castoff promote`: images that exist get other tags, in other places too.

use std::collections::{BTreeMap, BTreeSet};

use super::read::{Read, read};
use super::{Given, adapters, again, complain, pretty, session, undertaking};
use crate::cli::{Format, PromoteArguments};
use crate::cx::Cx;
use crate::error::Error;
use crate::execute::{self, Attempt, Promotion, World};
use crate::exit::Exit;
use crate::ledger::Release;
use crate::oci::{Digest, Repository, Tag};
use crate::plan::{self, Destination, Hold, Purpose};
use crate::report::{registries_table, release_table};

/// A service's image, and a repository that holds it.
struct Source {
    service: String,
    repository: Repository,
    digest: Digest,
}

pub(super) fn run(given: &Given<'_>, arguments: &PromoteArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish, &[])?;
    let world = adapters::world_without_builder(given, &read, None)?;
    let _lock = undertaking::lock(&world.ledger, "promote")?;
    let attempt = match &arguments.what {
        Some(what) => begin(given, &read, &world, what, arguments)?,
        None => resume(&world)?,
    };
    let mut promotions: Vec<Promotion> = attempt.promoted.iter().map(Promotion::of).collect();
    // What the journal intends goes on as it was decided.
    if arguments.what.is_some() && !arguments.allow_overwrite {
        for promotion in &mut promotions {
            let policy = &read.settings.service(&promotion.service).immutable;
            let tags = promotion.places.iter().flat_map(|place| &place.tags);
            let held = tags.filter(|tag| plan::hold_of_typed(policy, tag) != Hold::Free);
            promotion.immutable = held.cloned().collect();
        }
    }
    let project = &read.project.name;
    let (outcome, exit) = session::run(given, "promote", project, |cx| {
        let (world, promotions, attempt) = (&world, &promotions, &attempt);
        async move {
            let outcome = execute::promote(&cx, world, project, promotions, attempt).await;
            let exit = outcome.exit;
            (outcome, exit)
        }
    })?;
    complain(given, &outcome.failures);
    let mut release = outcome.release;
    release.exit = exit.code();
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&release)),
        Format::Text => {
            if release.is_live() {
                given.printer.text(&release_table(&release));
            }
            given.printer.text(&registries_table(&release));
        }
    }
    Ok(exit)
}

/// A new promotion of `what`.
fn begin(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    what: &str,
    arguments: &PromoteArguments,
) -> Result<Attempt, Error> {
    let tags = tags(&arguments.to)?;
    let planned = plan::destinations(&read.project, &read.settings)?;
    let mut attempt = undertaking::begin(&world.ledger, read, "promote")?;
    attempt.next = Some(again::promote(given.global));
    let sources = match release(given, read, world, what)? {
        Some(release) => {
            attempt.revision.clone_from(&release.revision);
            of_release(&release)
        }
        None => {
            // Which commit a tag was made of is not known here.
            attempt.revision = None;
            of_tag(given, read, world, &planned, what)?
        }
    };
    for source in sources {
        let places = places(read, &planned, &source, arguments)?;
        let places = places.into_iter().map(|place| Destination {
            tags: tags.clone(),
            ..place
        });
        let promotion = Promotion {
            service: source.service,
            source: source.repository,
            digest: source.digest,
            places: places.collect(),
            immutable: BTreeSet::new(),
        };
        attempt.promoted.push(promotion.kept());
    }
    Ok(attempt)
}

/// The promotion that was interrupted: what it is about stands in its journal.
fn resume(world: &World) -> Result<Attempt, Error> {
    match world.ledger.unfinished().map_err(Error::Ledger)? {
        Some(unfinished) if unfinished.begun.command == "promote" => Ok(Attempt::of(unfinished)),
        Some(unfinished) if unfinished.has_moved() => Err(undertaking::stuck(&unfinished)),
        _ => Err(Error::NoRelease {
            message: "no promotion was interrupted".to_owned(),
            hint: Some("`castoff status` shows what was".to_owned()),
        }),
    }
}

fn tags(texts: &[String]) -> Result<Vec<Tag>, Error> {
    let mut tags: Vec<Tag> = Vec::new();
    for text in texts {
        let tag = text.parse().map_err(|error| Error::Usage {
            message: format!("{error}"),
            hint: Some("write a tag alone: --to stable".to_owned()),
        })?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// The release with this id, where it is one: ids cannot be taken for tags of people.
fn release(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    what: &str,
) -> Result<Option<Release>, Error> {
    let here = world.ledger.releases().map_err(Error::Ledger)?;
    if let Some(release) = here.into_iter().find(|release| release.release == what) {
        return Ok(Some(release));
    }
    if !undertaking::is_release_id(what) {
        return Ok(None);
    }
    let known = undertaking::known(given, read, world)?;
    let found = known.into_iter().find(|release| release.release == what);
    found.map(Some).ok_or_else(|| Error::NoRelease {
        message: format!("no release {what} is known here or in a registry"),
        hint: Some("`castoff history` shows the releases that are known".to_owned()),
    })
}

fn of_release(release: &Release) -> Vec<Source> {
    let images = release.images.iter();
    let sources = images.filter_map(|image| {
        Some(Source {
            service: image.service.clone(),
            repository: image.repositories.first()?.clone(),
            digest: image.digest.clone(),
        })
    });
    sources.collect()
}

/// The images that a tag points to: in every service, or it is no release.
fn of_tag(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    planned: &BTreeMap<String, Vec<Destination>>,
    what: &str,
) -> Result<Vec<Source>, Error> {
    let tag: Tag = what.parse().map_err(|error| Error::Usage {
        message: format!("`{what}` is neither a release nor a tag: {error}"),
        hint: Some("`castoff history` shows the releases that are known".to_owned()),
    })?;
    let looked = super::quietly(given, |quiet| {
        session::run(quiet, "promote", &read.project.name, |cx| {
            let tag = &tag;
            async move {
                let sources = look(&cx, world, planned, tag).await;
                (sources, Exit::Done)
            }
        })
    });
    looked?.0
}

async fn look(
    cx: &Cx,
    world: &World,
    planned: &BTreeMap<String, Vec<Destination>>,
    tag: &Tag,
) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for (service, places) in planned {
        let place = places.iter().find(|place| place.required);
        let Some(place) = place.or(places.first()) else {
            continue;
        };
        let reference = place.repository.with_tag(tag.clone());
        let found = world.registry.resolve(cx, &reference).await?;
        let found = found.ok_or_else(|| Error::NoRelease {
            message: format!("there is no {reference}"),
            hint: Some("`castoff ls` shows the tags that there are".to_owned()),
        })?;
        sources.push(Source {
            service: service.clone(),
            repository: place.repository.clone(),
            digest: found.digest,
        });
    }
    Ok(sources)
}

/// Where an image goes: where it was typed, else everywhere that the service goes.
fn places(
    read: &Read,
    planned: &BTreeMap<String, Vec<Destination>>,
    source: &Source,
    arguments: &PromoteArguments,
) -> Result<Vec<Destination>, Error> {
    let own = planned.get(&source.service).cloned().unwrap_or_default();
    let (names, templates) = (&arguments.to_registries, &arguments.to_repositories);
    let mut places = Vec::new();
    for name in names {
        let place = own.iter().find(|place| place.registry == *name);
        let place = place.ok_or_else(|| plan::Error::NoSuchRegistry {
            name: name.clone(),
            known: own.iter().map(|place| place.registry.clone()).collect(),
        })?;
        places.push(Destination {
            required: true,
            ..place.clone()
        });
    }
    for template in templates {
        places.push(plan::typed_destination(
            &read.project,
            &source.service,
            template,
        )?);
    }
    if names.is_empty() && templates.is_empty() {
        places = own;
    }
    if places.is_empty() {
        return Err(Error::NoRelease {
            message: format!("service `{}` goes nowhere any more", source.service),
            hint: Some("name a place with --to-repository".to_owned()),
        });
    }
    Ok(places)
}
