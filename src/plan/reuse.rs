//! Whether an image that is published already is taken as it is, and why not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fingerprint::{Fingerprint, same_platforms};
use super::{Action, Target};
use crate::oci::{Digest, Platform, Repository, Tag};

/// How many differences a reason names.
const NAMED: usize = 3;

/// What an image says of itself. It belongs to the image's digest, and so never changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The digest of what it was built from (the label `dev.castoff.inputs`).
    pub inputs: Option<Digest>,
    /// The commit that it was built from (`org.opencontainers.image.revision`).
    pub revision: Option<String>,
    /// Its version (`org.opencontainers.image.version`).
    pub version: Option<String>,
    /// The whole version that castoff published it as (`dev.castoff.version`): empty where that was none,
    /// `None` where the image does not say.
    #[serde(default)]
    pub published_as: Option<String>,
    /// When it, or its commit, was made (`org.opencontainers.image.created`).
    pub created: Option<String>,
    /// Its platforms.
    pub platforms: Vec<Platform>,
    /// Whether it comes with attestations.
    pub attested: bool,
    /// Its size in bytes: all platforms, each layer counted once.
    pub size: u64,
    /// The manifests that it is made of, where it is an index: attestations are among them.
    #[serde(default)]
    pub children: Vec<Digest>,
}

impl ImageFacts {
    /// The version by which it is ordered: what castoff has said of it, else what whoever made it has.
    pub fn ordered_as(&self) -> Option<&str> {
        let said = self.published_as.as_deref().or(self.version.as_deref());
        said.filter(|version| !version.is_empty())
    }
}

/// An image that a publish could take as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its digest.
    pub digest: Digest,
    /// A repository that holds it.
    pub repository: Repository,
    /// What it says of itself.
    pub facts: ImageFacts,
}

/// An image that is taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reused {
    /// A repository that holds it.
    pub source: Repository,
    /// The repositories of the target that are known to hold it.
    pub held: Vec<Repository>,
    /// What it was built from, in words.
    pub because: String,
    /// What it says of itself.
    pub facts: ImageFacts,
}

/// What was published last from this machine, for the names of what changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastInputs {
    /// The digest of the image.
    pub image: Digest,
    /// Its inputs.
    pub fingerprint: Fingerprint,
    /// The files of its context, with the first bytes of their digests.
    pub files: BTreeMap<String, String>,
}

/// What is known of a target when it is decided whether it is built.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// Its inputs, or why they cannot be known.
    pub inputs: Result<&'a Fingerprint, &'a str>,
    /// The files of its context.
    pub files: &'a BTreeMap<String, String>,
    /// The images that its tags point to now, those of required registries first.
    pub candidates: &'a [Candidate],
    /// Images that other tags of the same repository point to, where they were looked for.
    pub elsewhere: &'a [Candidate],
    /// Why the first image that its tags point to is no candidate, where one is none.
    pub unfit: Option<&'a Unfit>,
    /// What was published last from this machine.
    pub last: Option<&'a LastInputs>,
    /// Why nothing is reused, where that is wished.
    pub unwanted: Option<&'a str>,
}

/// Why an image is not even looked at for reuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// No registry said where the tags point.
    NotAsked,
    /// What it says of itself cannot be read, or it is no image.
    Unreadable(Digest),
    /// It is for other platforms than the builder's own.
    OtherPlatforms(Digest),
    /// A manifest that it is made of is missing in this repository.
    Damaged(Digest, Repository),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAsked => write!(formatter, "it is not known what its tags point to"),
            Self::Unreadable(image) => {
                write!(formatter, "{} cannot be read as an image", short(image))
            }
            Self::OtherPlatforms(image) => {
                write!(formatter, "{} is for other platforms", short(image))
            }
            Self::Damaged(image, repository) => write!(
                formatter,
                "a manifest that {} is made of is missing in {repository}",
                short(image)
            ),
        }
    }
}

/// Decides whether `target` is built, and says why.
pub fn decide(target: &mut Target, known: &Known<'_>) {
    target.action = Action::Build;
    target.reused = None;
    target.inputs = known
        .inputs
        .ok()
        .map(|fingerprint| fingerprint.digest.clone());
    let because = match (known.unwanted, &known.inputs) {
        (Some(why), _) => format!("build, because {why}"),
        (None, Err(why)) => format!("build, because {why}"),
        (None, Ok(fingerprint)) => {
            let mut all = known.candidates.iter().chain(known.elsewhere);
            let found = all.find(|candidate| {
                candidate.facts.inputs.as_ref() == Some(&fingerprint.digest)
                    && same_platforms(&target.platforms, &candidate.facts.platforms)
            });
            match found {
                Some(candidate) => reuse(target, candidate),
                None => format!("build, because {}", why_built(target, known, fingerprint)),
            }
        }
    };
    target.because = vec![because];
}

fn reuse(target: &mut Target, candidate: &Candidate) -> String {
    let digest = &candidate.digest;
    let because = match brief(&candidate.facts) {
        Some(commit) => format!("built from commit {commit}"),
        None => "nothing that it was built from has changed".to_owned(),
    };
    target.action = Action::Reuse(digest.clone());
    target.reused = Some(Reused {
        source: candidate.repository.clone(),
        held: vec![candidate.repository.clone()],
        because: because.clone(),
        facts: candidate.facts.clone(),
    });
    format!("reuse {}, {because}", short(digest))
}

/// The first digits of the commit that an image was built from.
fn brief(facts: &ImageFacts) -> Option<String> {
    let revision = facts.revision.as_deref()?;
    let brief: String = revision.chars().take(12).collect();
    (!brief.is_empty()).then_some(brief)
}

fn short(digest: &Digest) -> String {
    format!("{}:{}…", digest.algorithm(), digest.short())
}

/// What changed, as far as that is known here.
fn why_built(target: &Target, known: &Known<'_>, now: &Fingerprint) -> String {
    let Some(present) = known.candidates.first() else {
        let none = || "none of its tags exists yet".to_owned();
        return known.unfit.map_or_else(none, ToString::to_string);
    };
    let Some(inputs) = &present.facts.inputs else {
        return format!(
            "{} does not say what it was built from",
            short(&present.digest)
        );
    };
    // What was published last from here tells what changed if it is what the tags point to.
    let last = known
        .last
        .filter(|last| last.fingerprint.digest == *inputs && last.fingerprint.digest != now.digest);
    if let Some(last) = last {
        return changes(last, now, known.files);
    }
    if !same_platforms(&target.platforms, &present.facts.platforms) {
        return format!("{} is for other platforms", short(&present.digest));
    }
    let changed = format!("it has changed since {}", short(&present.digest));
    match brief(&present.facts) {
        Some(commit) => format!("{changed}, built from commit {commit}"),
        None => changed,
    }
}

/// The differences between two fingerprints in words.
fn changes(last: &LastInputs, now: &Fingerprint, files: &BTreeMap<String, String>) -> String {
    let before = &last.fingerprint.parts;
    let names = before
        .keys()
        .chain(now.parts.keys().filter(|name| !before.contains_key(*name)));
    let mut said = Vec::new();
    for name in names {
        let (old, new) = (before.get(name), now.parts.get(name));
        if old == new {
            continue;
        }
        let how = match (old, new) {
            (None, Some(_)) => "is new",
            (Some(_), None) => "is gone",
            _ => "changed",
        };
        said.push(match name.split_once(' ') {
            _ if name == "context" => {
                let changed = changed_files(&last.files, files);
                match named(&changed) {
                    _ if is_history(&changed) => {
                        "the context changed below .git only: add .git to .dockerignore".to_owned()
                    }
                    Some(files) => format!("the context changed: {files}"),
                    None => "the context changed".to_owned(),
                }
            }
            _ if name == "dockerfile" => "the Dockerfile changed".to_owned(),
            Some(("base", image)) if how == "changed" => format!("the base image {image} moved"),
            Some(("base", image)) => format!("the base image {image} {how}"),
            Some((kind @ ("argument" | "label" | "annotation" | "secret" | "platform"), own)) => {
                format!("the {kind} {own} {how}")
            }
            Some(("context", own)) => format!("the context `{own}` {how}"),
            _ => format!("`{name}` {how}"),
        });
    }
    let more = said.len().saturating_sub(NAMED);
    said.truncate(NAMED);
    let text = said.join(", ");
    match more {
        0 => text,
        more => format!("{text}, and {more} more"),
    }
}

/// The paths that differ between two listings.
fn changed_files<'a>(
    before: &'a BTreeMap<String, String>,
    now: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    let changed = now
        .iter()
        .filter(|(path, hash)| before.get(*path) != Some(*hash))
        .map(|(path, _)| path);
    changed.chain(gone).map(String::as_str).collect()
}

/// Whether nothing but git's own files differs, as it does with every commit.
fn is_history(changed: &[&str]) -> bool {
    let mut all = changed.iter();
    !changed.is_empty() && all.all(|path| *path == ".git" || path.starts_with(".git/"))
}

/// The first of these paths in words; `None` where there is none.
fn named(paths: &[&str]) -> Option<String> {
    let first = paths.get(..NAMED.min(paths.len()))?.join(", ");
    match paths.len() {
        0 => None,
        all if all <= NAMED => Some(first),
        all => Some(format!("{first} and {} more", all - NAMED)),
    }
}

/// How many other tags of a repository are asked for.
const LIKELY: usize = 16;

/// The tags among `tags`, but for those that are `known`, that most likely point to an image of the same
/// inputs: those with one of these names, in their order, then versions, the greatest first, then others.
pub fn likely(tags: &[Tag], known: &BTreeSet<Tag>, names: &[&str]) -> Vec<Tag> {
    // Where a registry has no better way, what is tied to an image is listed under such a tag.
    let is_open = |tag: &&Tag| !known.contains(*tag) && !tag.as_str().starts_with("sha256-");
    let mut open: Vec<&Tag> = tags.iter().filter(is_open).collect();
    open.sort_by_cached_key(|tag| {
        let name = names.iter().position(|name| *name == tag.as_str());
        let name = name.unwrap_or(names.len());
        (name, Reverse(version(tag.as_str())), tag.to_string())
    });
    open.into_iter().take(LIKELY).cloned().collect()
}

/// The numbers of what looks like a version, to be compared.
fn version(tag: &str) -> Option<Vec<u64>> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let looks_so = text.contains('.') && text.starts_with(|letter: char| letter.is_ascii_digit());
    let parts = text.split(|letter: char| !letter.is_ascii_digit());
    looks_so.then(|| parts.filter_map(|part| part.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_that_most_likely_hold_the_same_come_first() {
        let tag = |name: &str| name.parse::<Tag>().unwrap();
        let mut tags: Vec<Tag> = (0..40)
            .map(|number| tag(&format!("sha-{number:02}")))
            .collect();
        let names = [
            "1.9.0",
            "v1.10.0",
            "dev",
            "latest",
            "main",
            "sha256-00",
            "1.2",
        ];
        tags.extend(names.map(tag));
        let found = likely(&tags, &[tag("main")].into(), &["latest", "main", "dev"]);
        let found: Vec<&str> = found.iter().map(Tag::as_str).collect();
        assert_eq!(found.len(), LIKELY);
        assert_eq!(
            found[..7],
            [
                "latest", "dev", "v1.10.0", "1.9.0", "1.2", "sha-00", "sha-01"
            ]
        );
    }

    #[test]
    fn what_changes_with_every_commit_is_told_apart() {
        let files = |names: &[&str], hash: &str| -> BTreeMap<String, String> {
            let names = names.iter();
            names
                .map(|name| ((*name).to_owned(), hash.to_owned()))
                .collect()
        };
        let none = BTreeMap::new();
        let git = files(&[".git", ".git/HEAD"], "1");
        assert!(is_history(&changed_files(&none, &git)));
        assert!(!is_history(&changed_files(&git, &git)));
        let more = files(&[".git/HEAD", ".gitignore"], "1");
        assert!(!is_history(&changed_files(&none, &more)));
        assert_eq!(named(&["a", "b", "c", "d"]).unwrap(), "a, b, c and 1 more");
    }
}
