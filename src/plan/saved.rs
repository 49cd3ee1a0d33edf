//! A plan that was looked at, kept to be carried out later if it still holds.

use serde::{Deserialize, Serialize};

use super::{Action, Plan};
use crate::oci::{Digest, Platform, Reference};

/// The version of the file's form.
const VERSION: u32 = 1;

/// What is asked for on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Wishes {
    /// Nothing is reused.
    pub rebuild: bool,
    /// Tags may go backwards.
    pub allow_backwards: bool,
    /// Tags that are immutable may move.
    pub allow_overwrite: bool,
    /// The files of services that are never reused are looked at as well, to know them again.
    pub contents: bool,
}

/// What a plan decided, and what it decided it by. The rest of a plan follows from the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The version of this form.
    pub v: u32,
    /// The compose project's name.
    pub project: String,
    /// The commit, where there is one.
    pub commit: Option<String>,
    /// The services that were chosen; none for all.
    pub services: Vec<String>,
    /// Whether everything is built.
    pub rebuild: bool,
    /// Whether tags may go backwards.
    pub allow_backwards: bool,
    /// Whether tags that are immutable may move.
    #[serde(default)]
    pub allow_overwrite: bool,
    /// What is published.
    pub targets: Vec<SavedTarget>,
}

/// One service of a saved plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTarget {
    /// The service.
    pub service: String,
    /// The image that is reused; `null` where one is built.
    pub reuse: Option<Digest>,
    /// The digest of its inputs; `null` where that is not known.
    pub inputs: Option<Digest>,
    /// The digest of its Dockerfile, folders and options, where `inputs` is `null`.
    #[serde(default)]
    pub standing: Option<Digest>,
    /// The platforms.
    pub platforms: Vec<Platform>,
    /// The tags.
    pub tags: Vec<SavedTag>,
}

/// One tag of a saved plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTag {
    /// Its full reference.
    pub reference: Reference,
    /// Where it pointed.
    pub from: Option<Digest>,
    /// Whether it moves.
    pub moves: bool,
}

impl SavedPlan {
    /// Keeps `plan`, which was made for `commit` and with these wishes.
    pub fn new(plan: &Plan, commit: Option<&str>, services: &[String], wishes: Wishes) -> Self {
        let targets = plan.targets.iter().map(|target| SavedTarget {
            service: target.service.clone(),
            reuse: match &target.action {
                Action::Reuse(digest) => Some(digest.clone()),
                Action::Build | Action::Merge(_) => None,
            },
            inputs: target.inputs.clone(),
            standing: target.contents.clone().filter(|_| target.inputs.is_none()),
            platforms: target.platforms.clone(),
            tags: target
                .tags
                .iter()
                .map(|tag| SavedTag {
                    reference: tag.reference.clone(),
                    from: tag.from.clone(),
                    moves: tag.moves(),
                })
                .collect(),
        });
        Self {
            v: VERSION,
            project: plan.project.clone(),
            commit: commit.map(str::to_owned),
            services: services.to_vec(),
            rebuild: wishes.rebuild,
            allow_backwards: wishes.allow_backwards,
            allow_overwrite: wishes.allow_overwrite,
            targets: targets.collect(),
        }
    }

    /// What was asked for when it was made.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            contents: true,
            rebuild: self.rebuild,
            allow_backwards: self.allow_backwards,
            allow_overwrite: self.allow_overwrite,
        }
    }

    /// How large the file of a saved plan may be, in bytes: a service with ten tags takes 2 KB.
    pub const LARGEST: u64 = 64 * 1024 * 1024;

    /// Reads a saved plan.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let no_plan = |error: serde_json::Error| format!("it is no saved plan: {error}");
        let Version { v } = serde_json::from_slice(text).map_err(no_plan)?;
        if v != VERSION {
            return Err(format!(
                "its form has version {v}, and this castoff knows {VERSION}"
            ));
        }
        serde_json::from_slice(text).map_err(no_plan)
    }

    /// What is different in `now`, in words; empty where this plan still holds.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.project != now.project {
            found.push(format!(
                "the project is {} and not {}",
                now.project, self.project
            ));
        }
        if self.commit != now.commit {
            let show =
                |commit: &Option<String>| commit.clone().unwrap_or_else(|| "none".to_owned());
            found.push(format!(
                "the commit is {} and not {}",
                show(&now.commit),
                show(&self.commit)
            ));
        }
        for target in &self.targets {
            let other = now.targets.iter().find(|it| it.service == target.service);
            match other {
                Some(other) => target.differences(other, &mut found),
                None => found.push(format!("{}: it is not published any more", target.service)),
            }
        }
        for target in &now.targets {
            if !self.targets.iter().any(|it| it.service == target.service) {
                found.push(format!("{}: it was not part of the plan", target.service));
            }
        }
        found
    }
}

impl SavedTarget {
    fn differences(&self, now: &Self, found: &mut Vec<String>) {
        let service = &self.service;
        if (&self.inputs, &self.standing) != (&now.inputs, &now.standing) {
            found.push(format!("{service}: its inputs have changed"));
        }
        if self.platforms != now.platforms {
            found.push(format!("{service}: its platforms have changed"));
        }
        if self.reuse != now.reuse && self.inputs == now.inputs {
            found.push(format!("{service}: what it reuses has changed"));
        }
        for tag in &self.tags {
            let other = now.tags.iter().find(|it| it.reference == tag.reference);
            let reference = &tag.reference;
            match other {
                None => found.push(format!("{reference}: it is not written any more")),
                Some(other) if other.from != tag.from => {
                    found.push(format!("{reference}: it has moved"));
                }
                Some(other) if other.moves != tag.moves && self.reuse == now.reuse => {
                    found.push(format!("{reference}: whether it moves has changed"));
                }
                Some(_) => {}
            }
        }
        for tag in &now.tags {
            if !self.tags.iter().any(|it| it.reference == tag.reference) {
                found.push(format!("{}: it is new", tag.reference));
            }
        }
    }
}
