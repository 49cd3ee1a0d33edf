//! Which caches a build reads and writes.
//!
//! Read: of each kind in the order of publish.toml first the line of this branch, then that of the base
//! of a pull request, then that of the default branch; then what the compose file names. Written: one
//! of the kinds, to the branch's own line, so that no branch spoils the default branch's; tags of git
//! and pull requests of forks write nothing. The cache within the image goes along with it everywhere.

mod lines;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use indexmap::IndexSet;

use self::lines::{Line, Lines};
use super::error::Error;
use super::places::fill_in;
use super::{CacheRef, Destination, PlannedTag, Warning};
use crate::compose::{Build, CacheEntry, Project, Service};
use crate::config::{CacheMode, CacheSettings, CacheSource, CacheWrite, Settings};
use crate::facts::{Facts, System};
use crate::oci::{Reference, Tag};

/// The tag of a registry cache beside the image.
const CACHE_TAG: &str = "buildcache";
/// How long the builder at most tries again while GitHub's service says that there were too many
/// requests. Its own limit is ten minutes, which no cache is worth.
const GHA_LIMIT: Duration = Duration::from_mins(2);

/// The caches of one service, each once, in their order.
#[derive(Default)]
pub(super) struct Caches {
    pub(super) from: IndexSet<CacheRef>,
    pub(super) to: IndexSet<CacheRef>,
    pub(super) warnings: Vec<Warning>,
}

impl Caches {
    fn warn(&mut self, message: String, hint: Option<&str>) {
        self.warnings.push(Warning {
            subject: "cache".to_owned(),
            message,
            hint: hint.map(str::to_owned),
        });
    }
}

/// Who builds, and from what.
pub(super) struct Of<'a> {
    pub(super) project: &'a Project,
    pub(super) service: &'a Service,
    pub(super) facts: &'a Facts,
    pub(super) settings: &'a Settings,
}

/// Decides the caches of a service: those of publish.toml in their order, then those of the compose
/// file. Every service has a scope of its own, so that one does not push out another's cache.
pub(super) fn caches(
    of: &Of<'_>,
    settings: &CacheSettings,
    destinations: &[Destination],
    tags: &[PlannedTag],
) -> Result<Caches, Error> {
    let mut caches = Caches::default();
    let lines = Lines::of(of.facts, settings.write);
    for source in &settings.sources {
        let (from, to) = match source {
            CacheSource::Gha => gha(of, settings, &lines, &mut caches),
            CacheSource::Registry => registry(of, settings, &lines, destinations)?,
            CacheSource::Inline => inline(tags, destinations, settings.write),
        };
        caches.from.extend(from);
        // One cache is written beside the image: the first that can be. The one within it always is, as it
        // is a part of the image: a tag of git would have to build anew otherwise what its branch has built.
        let is_within = *source == CacheSource::Inline;
        let has_one = caches.to.iter().any(|cache| cache.kind != "inline");
        if is_within || !has_one {
            caches.to.extend(to);
        }
    }
    if of.facts.ci.as_ref().is_some_and(|ci| ci.from_fork)
        && settings.write != CacheWrite::Branches(false)
        && !settings.sources.is_empty()
        && caches.to.is_empty()
    {
        caches.warn(
            "no cache is written: this is a pull request of a fork".to_owned(),
            None,
        );
    }
    if let Some(build) = &of.service.build {
        read_named(of, build, destinations, &mut caches);
        write_named(of, build, destinations, &mut caches);
    }
    Ok(caches)
}

/// Adds the caches that the compose file wants to be read.
pub(super) fn read_named(
    of: &Of<'_>,
    build: &Build,
    destinations: &[Destination],
    caches: &mut Caches,
) {
    let from = build.bake.iter().flat_map(|bake| &bake.cache_from);
    for entry in build.cache_from.iter().chain(from) {
        let mut cache = named(entry, &of.project.directory);
        if let Some(reference) = cache.attributes.get("ref").cloned() {
            make_insecure(&mut cache, &reference, destinations);
        }
        if cache.kind != "gha" || is_complete(&cache) || is_served(of.facts, caches) {
            caches.from.insert(cache);
        }
    }
}

/// Adds the caches that the compose file wants to be written.
fn write_named(of: &Of<'_>, build: &Build, destinations: &[Destination], caches: &mut Caches) {
    let to = build.bake.iter().flat_map(|bake| &bake.cache_to);
    for entry in build.cache_to.iter().chain(to) {
        let mut cache = named(entry, &of.project.directory);
        if let Some(reference) = cache.attributes.get("ref").cloned() {
            make_insecure(&mut cache, &reference, destinations);
        }
        // No release is worth less than its cache; whoever disagrees says so.
        if cache.kind != "inline" {
            let ignore = cache.attributes.entry("ignore-error".to_owned());
            ignore.or_insert_with(|| "true".to_owned());
        }
        if cache.kind == "gha" && !is_complete(&cache) {
            if !is_served(of.facts, caches) {
                continue;
            }
            if !of.facts.ci.as_ref().is_some_and(|ci| ci.cache.can_write) {
                caches.warn(
                    "the `gha` cache is not written: this run may only read it".to_owned(),
                    None,
                );
                continue;
            }
        }
        caches.to.insert(cache);
    }
}

/// An entry of the compose file. A relative path is meant from the project's folder.
fn named(entry: &CacheEntry, directory: &Path) -> CacheRef {
    let mut attributes: BTreeMap<_, _> = entry.attributes.clone().into_iter().collect();
    if entry.kind == "local" {
        for key in ["src", "dest"] {
            if let Some(path) = attributes.get_mut(key).filter(|path| !path.is_empty()) {
                *path = directory.join(&*path).to_string_lossy().into_owned();
            }
        }
    }
    CacheRef {
        kind: entry.kind.clone(),
        attributes,
    }
}

/// Whether an entry of GitHub's cache brings its own address and token.
fn is_complete(cache: &CacheRef) -> bool {
    let has = |key: &str| cache.attributes.contains_key(key);
    has("token") && (has("url") || has("url_v2"))
}

fn make_insecure(cache: &mut CacheRef, reference: &str, destinations: &[Destination]) {
    let Ok(reference) = reference.parse::<Reference>() else {
        return;
    };
    let domain = reference.repository().domain();
    if destinations
        .iter()
        .any(|place| place.insecure && place.repository.domain() == domain)
    {
        let insecure = cache.attributes.entry("registry.insecure".to_owned());
        insecure.or_insert_with(|| "true".to_owned());
    }
}

fn cache(kind: &str, attributes: &[(&str, &str)]) -> CacheRef {
    CacheRef {
        kind: kind.to_owned(),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn mode(settings: &CacheSettings) -> &'static str {
    match settings.mode {
        CacheMode::Min => "min",
        CacheMode::Max => "max",
    }
}

/// Whether GitHub's cache service is there for this run; if not, that is said.
fn is_served(facts: &Facts, caches: &mut Caches) -> bool {
    let ci = facts.ci.as_ref().filter(|ci| ci.system == System::GitHub);
    let why = match ci {
        None => "it exists only within a GitHub workflow",
        Some(ci) if ci.cache.can_read => return true,
        Some(ci) => ci.cache.trouble.as_deref().unwrap_or("it is not there"),
    };
    caches.warn(
        format!("the `gha` cache is left out: {why}"),
        Some(
            "in a workflow, use the castoff action, or expose the runtime with crazy-max/ghaction-github-runtime",
        ),
    );
    false
}

/// What is read, and what could be written.
type Pair = (Vec<CacheRef>, Option<CacheRef>);

/// GitHub's cache service, which itself keeps branches apart and lets each read the default branch's.
/// Its address and token are the builder adapter's to add: they are secrets of the job, and no part
/// of a plan.
fn gha(of: &Of<'_>, settings: &CacheSettings, lines: &Lines, caches: &mut Caches) -> Pair {
    if !is_served(of.facts, caches) {
        return (Vec::new(), None);
    }
    let scope = of.service.name.as_str();
    let timeout = format!("{}s", settings.timeout.min(GHA_LIMIT).as_secs_f64());
    let from = cache("gha", &[("scope", scope), ("timeout", &timeout)]);
    let may_write = of.facts.ci.as_ref().is_some_and(|ci| ci.cache.can_write);
    let to = cache(
        "gha",
        &[
            ("scope", scope),
            ("timeout", &timeout),
            ("mode", mode(settings)),
            ("ignore-error", "true"),
        ],
    );
    let is_written = lines.write.is_some();
    if is_written && !may_write {
        caches.warn(
            "the `gha` cache is not written: this run may only read it".to_owned(),
            None,
        );
    }
    (vec![from], Some(to).filter(|_| is_written && may_write))
}

fn registry(
    of: &Of<'_>,
    settings: &CacheSettings,
    lines: &Lines,
    destinations: &[Destination],
) -> Result<Pair, Error> {
    let base = registry_reference(of, settings, destinations)?;
    let reference = |line: &Line| {
        let tag = line.tag(base.tag().map_or(CACHE_TAG, Tag::as_str));
        // What was cleaned is a tag; were it none, the default branch's cache is better than none.
        tag.parse().map_or_else(
            |_| base.to_string(),
            |tag| base.repository().with_tag(tag).to_string(),
        )
    };
    let read = |line: &Line| {
        let reference = reference(line);
        let mut from = cache("registry", &[("ref", &reference)]);
        make_insecure(&mut from, &reference, destinations);
        from
    };
    let from = lines.read.iter().map(read).collect();
    let to = lines.write.as_ref().map(|line| {
        let reference = reference(line);
        let mut to = cache(
            "registry",
            &[
                ("ref", &reference),
                ("mode", mode(settings)),
                // Amazon's registry takes nothing else, and every other one takes it, too.
                ("image-manifest", "true"),
                ("oci-mediatypes", "true"),
                ("ignore-error", "true"),
            ],
        );
        make_insecure(&mut to, &reference, destinations);
        to
    });
    Ok((from, to))
}

/// The reference of the default branch's cache.
fn registry_reference(
    of: &Of<'_>,
    settings: &CacheSettings,
    destinations: &[Destination],
) -> Result<Reference, Error> {
    let service = of.service;
    let place = || of.settings.place(&service.name, &["cache", "reference"]);
    let text = match &settings.reference {
        Some(template) => {
            fill_in(template, of.project, service).ok_or_else(|| Error::Template {
                template: template.clone(),
                place: place(),
            })?
        }
        None => match destinations.iter().find(|place| place.required) {
            Some(place) => format!("{}:{CACHE_TAG}", place.repository),
            None => {
                return Err(Error::NothingRequired {
                    service: service.name.clone(),
                });
            }
        },
    };
    text.parse().map_err(|source| Error::CacheReference {
        service: service.name.clone(),
        place: place(),
        source,
    })
}

/// The cache that the image carries in itself: read from the tag that moves along. It goes where the
/// image goes and pushes out no other, so every branch and tag writes it where anybody does.
fn inline(tags: &[PlannedTag], destinations: &[Destination], write: CacheWrite) -> Pair {
    let Some(tag) = tags.iter().find(|tag| tag.channel).or(tags.first()) else {
        return (Vec::new(), None);
    };
    let reference = tag.reference.to_string();
    let mut from = cache("registry", &[("ref", &reference)]);
    make_insecure(&mut from, &reference, destinations);
    let is_written = write != CacheWrite::Branches(false);
    (vec![from], is_written.then(|| cache("inline", &[])))
}
