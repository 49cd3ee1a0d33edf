use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::Columns;
use super::words::{digest, seconds, size};
use crate::ledger::{Move, RegistryState, Release};
use crate::oci::{Digest, Platform, Reference};

pub(super) fn platforms(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "the builder's own".to_owned();
    }
    let texts: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// A builder, as a listing has it.
#[derive(Clone, Debug, Serialize)]
pub struct ListedBuilder {
    /// Its name.
    pub name: String,
    /// `engine`, `buildkitd`, or the driver of a buildx builder.
    pub driver: String,
    /// Where it is.
    pub endpoint: String,
    /// The services that it builds; none where it is there and not asked for.
    pub services: Vec<String>,
    /// Why it builds them, by their names, where castoff took it in the place of another.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub because: BTreeMap<String, String>,
    /// The platforms that it builds for as they are.
    pub native: Vec<Platform>,
    /// The platforms that it builds for by emulation, which takes many times longer.
    pub emulated: Vec<Platform>,
    /// What it cannot do, or that it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The builders that there are: those that are used first.
pub fn builders_table(builders: &[ListedBuilder]) -> String {
    let mut rows = Columns::new(&["BUILDER", "DRIVER", "ENDPOINT", "NATIVE", "EMULATED", "FOR"]);
    let listed = |platforms: &[Platform]| {
        let texts: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    for builder in builders {
        let problem = builder.problem.as_ref();
        let problem = problem.map_or_else(String::new, |problem| format!("  ({problem})"));
        let services = builder.services.iter().map(|service| {
            let because = builder.because.get(service);
            because.map_or_else(|| service.clone(), |why| format!("{service} ({why})"))
        });
        let services: Vec<String> = services.collect();
        let used = format!("{}{problem}", services.join(", "));
        rows.add_row([
            builder.name.clone(),
            builder.driver.clone(),
            builder.endpoint.clone(),
            listed(&builder.native),
            listed(&builder.emulated),
            used.trim().to_owned(),
        ]);
    }
    rows.to_string()
}

/// What was published: each service with its digest, size, time and tags.
pub fn release_table(release: &Release) -> String {
    images_table(release.images.iter().map(|image| {
        let mut names: Vec<&str> = Vec::new();
        for tag in image.tags.iter().filter_map(|tag| tag.tag()) {
            if !names.contains(&tag.as_str()) {
                names.push(tag.as_str());
            }
        }
        let time = if image.reused {
            "reused".to_owned()
        } else {
            seconds(image.seconds)
        };
        [
            image.service.clone(),
            image.digest.to_string(),
            size(image.size),
            time,
            names.join(", "),
        ]
    }))
}

/// Images: the service, digest, size, time and tags of each.
pub(super) fn images_table(rows: impl Iterator<Item = [String; 5]>) -> String {
    let mut images = Columns::new(&["SERVICE", "DIGEST", "SIZE", "TIME", "TAGS"]);
    for row in rows {
        images.add_row(row);
    }
    images.to_string()
}

/// How each registry fared, where one did not as it should, and the tags that are not where they should
/// be; else nothing.
pub fn registries_table(release: &Release) -> String {
    let is_failed = |state: RegistryState| state == RegistryState::Failed;
    let outcomes = release.registries.iter().map(|registry| registry.outcome);
    if !outcomes.clone().any(is_failed) && release.left.is_empty() {
        return String::new();
    }
    let mut registries = Columns::new(&["REGISTRY", "OUTCOME"]);
    for registry in &release.registries {
        registries.add_row([
            registry.name.as_str(),
            match registry.outcome {
                RegistryState::Complete => "complete",
                RegistryState::Failed => "failed",
                RegistryState::Skipped => "no tag moved",
            },
        ]);
    }
    let mut text = registries.to_string();
    if !release.left.is_empty() {
        let mut left = Columns::new(&["TAG", "NOW", "SHOULD BE"]);
        for tag in &release.left {
            let now = tag.at.as_ref().map_or_else(|| "unknown".to_owned(), digest);
            left.add_row([tag.reference.to_string(), now, place(tag.wanted.as_ref())]);
        }
        text = format!("{text}\n{left}");
    }
    text
}

/// Where a tag points.
fn place(at: Option<&Digest>) -> String {
    at.map_or_else(|| "–".to_owned(), digest)
}

/// A tag of an interrupted release: where it was, where it is and where it was going, and in a word what
/// that means.
pub struct StatusRow<'a> {
    /// The move that was intended.
    pub intended: &'a Move,
    /// Where the tag points now.
    pub now: Option<&'a Digest>,
    /// `moved`, `not moved`, `elsewhere`, `unknown`.
    pub state: &'a str,
}

/// The tags of an interrupted release.
pub fn status_table(rows: &[StatusRow<'_>]) -> String {
    let mut tags = Columns::new(&["TAG", "BEFORE", "NOW", "GOING TO", "STATE"]);
    for row in rows {
        let now = match row.state {
            "unknown" => "unknown".to_owned(),
            _ => place(row.now),
        };
        tags.add_row([
            row.intended.reference.to_string(),
            place(row.intended.from.as_ref()),
            now,
            place(row.intended.to.as_ref()),
            row.state.to_owned(),
        ]);
    }
    tags.to_string()
}

/// Where tags point after they were taken back.
pub fn rollback_table(moved: &[(&Reference, Option<&Digest>)]) -> String {
    let mut tags = Columns::new(&["TAG", "NOW"]);
    for (reference, now) in moved {
        tags.add_row([reference.to_string(), place(*now)]);
    }
    tags.to_string()
}

/// Releases, the latest first.
pub fn history_table(releases: &[(&Release, &str)]) -> String {
    let mut rows = Columns::new(&[
        "RELEASE", "COMMAND", "STATE", "REVISION", "SERVICES", "TAGS",
    ]);
    for (release, state) in releases {
        let services: Vec<&str> = release
            .images
            .iter()
            .map(|image| image.service.as_str())
            .collect();
        let mut tags: Vec<String> = Vec::new();
        for moved in &release.moved {
            let tag = moved.reference.selector();
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let revision = release.revision.as_deref().unwrap_or("–");
        rows.add_row([
            release.release.as_str(),
            &release.command,
            state,
            revision.get(..12).unwrap_or(revision),
            &services.join(", "),
            &tags.join(", "),
        ]);
    }
    rows.to_string()
}

/// The tags of a repository, each with its digest, platforms and size.
pub fn registry_table(rows: &[(String, Digest, Vec<Platform>, u64)]) -> String {
    let mut tags = Columns::new(&["REFERENCE", "DIGEST", "PLATFORMS", "SIZE"]);
    for (reference, found, on, bytes) in rows {
        tags.add_row([
            reference.clone(),
            digest(found),
            platforms(on),
            size(*bytes),
        ]);
    }
    tags.to_string()
}

/// What was removed, or would be, with the sum.
pub fn pruned_table(rows: &[(&str, &str, u64, &str)], applied: bool) -> String {
    if rows.is_empty() {
        return "nothing to clean up\n".to_owned();
    }
    let mut pruned = Columns::new(&["KIND", "WHAT", "SIZE", "WHY"]);
    let mut sum = 0;
    for (kind, id, bytes, because) in rows {
        pruned.add_row([*kind, *id, &size(*bytes), *because]);
        sum += bytes;
    }
    let verb = if applied {
        "freed at most"
    } else {
        "would free at most"
    };
    let hint = if applied { "" } else { "; --apply does it" };
    format!("{pruned}{verb} {}{hint}\n", size(sum))
}
