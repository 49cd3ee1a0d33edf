//! Never backwards: finds out what tags point to, so that the plan can say which of them stay.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Found, PATIENCE, is_cancelled, warning};
use crate::commands::Given;
use crate::commands::read::Read;
use crate::cx::Cx;
use crate::execute;
use crate::execute::ports::{Registry, RegistryError};
use crate::facts;
use crate::ledger::{Release, live};
use crate::oci::{Digest, Reference, Repository, Tag};
use crate::plan::{
    self, Ancestry, Course, ImageFacts, Plan, PlannedTag, Present, Published, Target, Warning,
};

/// How long a registry may take the second time to say what a tag points to that has an order.
const MORE_PATIENCE: Duration = Duration::from_mins(1);
/// How many later versions of one repository are looked at, for one tag.
const LATER_VERSIONS: usize = 50;
/// How many records of releases are read from one registry, the latest first.
const RECORDS: usize = 4;

/// What came of it, beside the plan.
#[derive(Default)]
pub(super) struct Kept {
    /// Tags in registries that are required of which nobody can tell whether they would go backwards, as
    /// what they point to cannot be read, and why.
    pub(super) blind: Vec<(Reference, String)>,
    /// Whether a tag that stays where it is would be known to be of a later commit or version than
    /// anything says so far: a release that moves nothing is worth a record then.
    pub(super) is_news: bool,
}

/// What is asked once for all tags.
struct Asked<'a> {
    cx: &'a Cx,
    given: &'a Given<'a>,
    read: &'a Read,
    registry: &'a dyn Registry,
    project: String,
    /// The images that tags point to, which records may be tied to.
    images: BTreeSet<(Repository, Digest)>,
    /// The releases that this machine knows.
    here: Vec<Release>,
    /// Those that registries know as well, by their hosts.
    everywhere: BTreeMap<String, Vec<Release>>,
    ancestry: BTreeMap<String, Ancestry>,
    tags: BTreeMap<Repository, Vec<Tag>>,
    warnings: Vec<Warning>,
}

/// Leaves the tags where they are that would go backwards.
pub(super) async fn keep(
    cx: &Cx,
    given: &Given<'_>,
    read: &Read,
    plan: &mut Plan,
    registry: &dyn Registry,
    found: &mut Found,
) -> Kept {
    ask_again(cx, plan, registry, found).await;
    let tags = plan.targets.iter().flat_map(|target| &target.tags);
    let images = tags.filter_map(|tag| {
        let repository = tag.reference.repository().clone();
        Some((repository, tag.from.clone()?))
    });
    let mut asked = Asked {
        cx,
        given,
        read,
        registry,
        project: plan.project.clone(),
        images: images.collect(),
        here: found.releases.clone(),
        everywhere: BTreeMap::new(),
        ancestry: BTreeMap::new(),
        tags: BTreeMap::new(),
        warnings: Vec::new(),
    };
    let mut kept = Kept::default();
    for target in &mut plan.targets {
        for index in 0..target.tags.len() {
            let Some(tag) = target.tags.get(index) else {
                break;
            };
            if !plan::has_order(&tag.kind) {
                continue;
            }
            if let Some(error) = unread(tag, found).filter(|_| tag.moves()) {
                let error = error.clone();
                blind(target, index, &error, found, &mut kept, &mut asked.warnings);
                continue;
            }
            let Some(from) = tag.from.clone() else {
                continue;
            };
            let unknown = ImageFacts::default();
            let facts = found.facts.get(&from).unwrap_or(&unknown);
            match asked.course(tag, &from, facts).await {
                Way::New => kept.is_news |= !tag.moves(),
                Way::Back(because) => plan::refuse(target, index, because),
                Way::Unknown(message, hint) if tag.moves() => {
                    let subject = tag.reference.to_string();
                    asked.warnings.push(Warning {
                        subject,
                        message,
                        hint: Some(hint),
                    });
                }
                Way::Known | Way::Unknown(..) => {}
            }
        }
    }
    plan.warnings.extend(asked.warnings);
    kept
}

/// Asks once more for the tags that decide whether anything is published, where they were not read.
async fn ask_again(cx: &Cx, plan: &mut Plan, registry: &dyn Registry, found: &mut Found) {
    let mut asked = BTreeSet::new();
    for target in &plan.targets {
        let required: Vec<&Repository> = target.required().map(|it| &it.repository).collect();
        for tag in &target.tags {
            let is_required = required.contains(&tag.reference.repository());
            if is_required && plan::has_order(&tag.kind) && unread(tag, found).is_some() {
                asked.insert(tag.reference.clone());
            }
        }
    }
    if asked.is_empty() {
        return;
    }
    let points = execute::resolve(cx, registry, asked, MORE_PATIENCE).await;
    let mut images = BTreeMap::new();
    for tag in plan.targets.iter_mut().flat_map(|target| &mut target.tags) {
        if let Some(Ok(point)) = points.get(&tag.reference) {
            tag.from.clone_from(point);
            let repository = tag.reference.repository().clone();
            images.extend(point.clone().map(|image| (image, repository)));
        }
    }
    found.points.extend(points);
    images.retain(|image, _| !found.facts.contains_key(image));
    for (image, facts) in execute::facts(cx, registry, images).await {
        found.unread.remove(&image);
        match facts {
            Ok(facts) => found.facts.extend(facts.map(|facts| (image, facts))),
            Err(error) => {
                found.unread.insert(image, error);
            }
        }
    }
}

/// Why it is not known what a tag points to, where that could not be read.
fn unread<'a>(tag: &PlannedTag, found: &'a Found) -> Option<&'a RegistryError> {
    let error = match &tag.from {
        Some(from) => found.unread.get(from),
        None => found.points.get(&tag.reference)?.as_ref().err(),
    };
    error.filter(|error| !is_cancelled(error))
}

/// A tag of which nobody knows what it points to: it is not moved, and nothing is published without it,
/// unless its registry may be left out.
fn blind(
    target: &mut Target,
    index: usize,
    error: &RegistryError,
    found: &mut Found,
    kept: &mut Kept,
    warnings: &mut Vec<Warning>,
) {
    let Some(tag) = target.tags.get(index) else {
        return;
    };
    let (reference, is_there) = (tag.reference.clone(), tag.from.is_some());
    let mut places = target.destinations.iter();
    let place = places.find(|place| place.repository == *reference.repository());
    if let Some(place) = place.filter(|place| !place.required) {
        found
            .given_up
            .entry(place.registry.clone())
            .or_insert_with(|| error.clone());
        if is_there {
            warnings.push(warning(reference.to_string(), error));
        }
        return;
    }
    let why = error.fault.to_string();
    plan::refuse(
        target,
        index,
        format!("what it points to cannot be read, and it may be newer: {why}"),
    );
    kept.blind.push((reference, why));
}

/// Where a tag would go, and whether that is anything new.
enum Way {
    /// To the same commit or version.
    Known,
    /// To another one.
    New,
    Back(String),
    Unknown(String, String),
}

impl Asked<'_> {
    /// Where `tag` would go. First the image is asked, and what this machine knows; registries only where
    /// neither keeps it from moving.
    async fn course(&mut self, tag: &PlannedTag, from: &Digest, facts: &ImageFacts) -> Way {
        let later = self.later(tag).await;
        let mut published = recorded(&self.here, &tag.reference, from);
        let mut way = self
            .way(tag, facts, published.as_ref(), later.clone())
            .await;
        let is_settled = match way {
            Way::Back(_) => true,
            Way::Known | Way::Unknown(..) => !tag.moves(),
            Way::New => false,
        };
        if !is_settled {
            let everywhere = self.everywhere(tag.reference.repository().domain()).await;
            let known = recorded(everywhere, &tag.reference, from);
            if known != published {
                published = known;
                way = self.way(tag, facts, published.as_ref(), later).await;
            }
        }
        way
    }

    async fn way(
        &mut self,
        tag: &PlannedTag,
        facts: &ImageFacts,
        published: Option<&Published>,
        later: Option<String>,
    ) -> Way {
        let mut present = Present {
            facts,
            published,
            ancestry: Ancestry::Unknown,
            later,
            own_time: self.read.facts.context.commit_time,
        };
        if tag.kind.order().is_none() {
            let revision = present.revision().unwrap_or_default().to_owned();
            present.ancestry = self.ancestry(&revision).await;
        }
        let is_new = match tag.kind.order() {
            Some(order) => {
                let compared = present.version().and_then(|it| order.compare(it));
                compared == Some(Ordering::Greater)
            }
            None => {
                let known = present
                    .revision()
                    .zip(self.read.facts.context.sha.as_deref());
                // Where git cannot tell which of them is newer, a record would only claim it.
                let is_told = present.ancestry == Ancestry::NotOlder;
                is_told && known.is_some_and(|(published, own)| published != own)
            }
        };
        match plan::course(tag, &present) {
            Course::Ahead if is_new => Way::New,
            Course::Ahead => Way::Known,
            Course::Backwards(because) => Way::Back(because),
            Course::Unknown(message, hint) => Way::Unknown(message, hint),
        }
    }

    /// The releases that this machine and the registry at `host` know. A registry knows them by the images
    /// that they are tied to.
    async fn everywhere(&mut self, host: &str) -> &[Release] {
        if !self.everywhere.contains_key(host) {
            let images = self.images.iter().cloned();
            let images = images.filter(|(repository, _)| repository.domain() == host);
            let images: Vec<_> = images.collect();
            let asked = execute::latest(self.cx, self.registry, &images, RECORDS);
            let mut releases = self.here.clone();
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(found)) => {
                    let found = found.into_iter();
                    let new = found.filter(|release| release.project == self.project);
                    for release in new {
                        if !releases.iter().any(|it| it.release == release.release) {
                            releases.push(release);
                        }
                    }
                }
                Ok(Err(error)) if is_cancelled(&error) => {}
                Ok(Err(error)) => self.warn(host, &error.fault.to_string(), error.hint()),
                Err(_) => self.warn(host, "it does not answer", None),
            }
            self.everywhere.insert(host.to_owned(), releases);
        }
        self.everywhere.get(host).map_or(&[], Vec::as_slice)
    }

    fn warn(&mut self, host: &str, why: &str, hint: Option<String>) {
        self.warnings.push(Warning {
            subject: host.to_owned(),
            message: format!(
                "its records of releases cannot be read, so whether a tag goes backwards is known from its image alone: {why}"
            ),
            hint,
        });
    }

    /// How the commit of this run relates to `revision`.
    async fn ancestry(&mut self, revision: &str) -> Ancestry {
        if let Some(known) = self.ancestry.get(revision) {
            return *known;
        }
        let Some(own) = self.read.facts.context.sha.clone() else {
            return Ancestry::Unknown;
        };
        let directory = self.read.project.directory.clone();
        let environment = self.given.environment.clone();
        let theirs = revision.to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            if own == theirs {
                return Some(false);
            }
            facts::is_ancestor(&directory, &environment, &own, &theirs)
        });
        let ancestry = match asked.await {
            Ok(Some(true)) => Ancestry::Older,
            Ok(Some(false)) => Ancestry::NotOlder,
            Ok(None) | Err(_) => Ancestry::Unknown,
        };
        self.ancestry.insert(revision.to_owned(), ancestry);
        ancestry
    }

    /// A later version whose tag points to the image that `tag` points to. An image that was reused from
    /// version to version says only the first of them itself.
    async fn later(&mut self, tag: &PlannedTag) -> Option<String> {
        let order = tag.kind.order().filter(|_| tag.moves())?;
        let repository = tag.reference.repository();
        if !self.tags.contains_key(repository) {
            // Without the list the image's own word has to do.
            let listed = self.registry.tags(self.cx, repository).await;
            self.tags
                .insert(repository.clone(), listed.unwrap_or_default());
        }
        let later = self.tags.get(repository)?.iter().filter(|other| {
            Some(*other) != tag.reference.tag()
                && order.compare(other.as_str()) == Some(Ordering::Less)
        });
        let asked: BTreeSet<_> = later
            .rev()
            .take(LATER_VERSIONS)
            .map(|other| repository.with_tag(other.clone()))
            .collect();
        let points = execute::resolve(self.cx, self.registry, asked, PATIENCE).await;
        points
            .into_iter()
            .find(|(_, found)| found.as_ref().is_ok_and(|found| *found == tag.from))
            .map(|(reference, _)| reference.selector())
    }
}

/// What the latest of these releases says that let `tag` point to `image`, and was not taken back.
fn recorded(releases: &[Release], tag: &Reference, image: &Digest) -> Option<Published> {
    let live = live(releases);
    live.into_iter().rev().find_map(|release| {
        let mut images = release.images.iter();
        let found = images.find(|it| it.digest == *image && it.tags.contains(tag))?;
        Some(Published {
            revision: release.revision.clone(),
            version: found.version.clone(),
        })
    })
}
