//! Never backwards: finds out what tags point to, so that the plan can say which of them stay.

use std::collections::{BTreeMap, BTreeSet};

use super::PATIENCE;
use crate::commands::Given;
use crate::commands::read::Read;
use crate::cx::Cx;
use crate::execute;
use crate::execute::ports::Registry;
use crate::facts;
use crate::oci::{Digest, Repository, Tag};
use crate::plan::{self, Ancestry, ImageFacts, Plan, PlannedTag, Present, Warning};

/// How many later versions of one repository are looked at, for one tag.
const LATER_VERSIONS: usize = 50;

/// What is asked once for all tags.
struct Asked<'a> {
    cx: &'a Cx,
    given: &'a Given<'a>,
    read: &'a Read,
    registry: &'a dyn Registry,
    ancestry: BTreeMap<String, Ancestry>,
    tags: BTreeMap<Repository, Vec<Tag>>,
}

/// Leaves the tags where they are that would go backwards.
pub(super) async fn keep(
    cx: &Cx,
    given: &Given<'_>,
    read: &Read,
    plan: &mut Plan,
    registry: &dyn Registry,
    known: &BTreeMap<Digest, ImageFacts>,
) {
    let mut asked = Asked {
        cx,
        given,
        read,
        registry,
        ancestry: BTreeMap::new(),
        tags: BTreeMap::new(),
    };
    let mut warnings = Vec::new();
    for target in &mut plan.targets {
        for index in 0..target.tags.len() {
            let Some(tag) = target.tags.get(index) else {
                break;
            };
            let facts = tag.from.as_ref().and_then(|from| known.get(from));
            let Some(facts) = facts.filter(|_| tag.moves() && plan::has_order(&tag.kind)) else {
                continue;
            };
            let ancestry = if tag.kind.follows_commits() {
                asked
                    .ancestry(facts.revision.as_deref().unwrap_or_default())
                    .await
            } else {
                Ancestry::Unknown
            };
            let present = Present {
                facts,
                ancestry,
                later: asked.later(tag).await,
            };
            match plan::backwards(tag, &present) {
                Some(because) => plan::refuse(target, index, because),
                None => warnings.extend(doubt(tag, &present, read)),
            }
        }
    }
    plan.warnings.extend(warnings);
}

impl Asked<'_> {
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
        let order = tag.kind.order()?;
        let repository = tag.reference.repository();
        if !self.tags.contains_key(repository) {
            // Without the list the image's own word has to do.
            let listed = self.registry.tags(self.cx, repository).await;
            self.tags
                .insert(repository.clone(), listed.unwrap_or_default());
        }
        let later = self.tags.get(repository)?.iter().filter(|other| {
            Some(*other) != tag.reference.tag()
                && order.compare(other.as_str()) == Some(std::cmp::Ordering::Less)
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

/// A warning where a tag may go backwards and git does not know.
fn doubt(tag: &PlannedTag, present: &Present<'_>, read: &Read) -> Option<Warning> {
    let is_asked = tag.kind.follows_commits() && present.ancestry == Ancestry::Unknown;
    let made: jiff::Timestamp = present.facts.created.as_deref()?.parse().ok()?;
    let own = read.facts.context.commit_time?;
    (is_asked && made > own).then(|| Warning {
        subject: tag.reference.to_string(),
        message: format!(
            "it points to an image of {made}, later than this commit, and git does not know here which of them is newer"
        ),
        hint: Some("fetch the whole history (actions/checkout: fetch-depth: 0)".to_owned()),
    })
}
