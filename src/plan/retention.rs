//! What a cleanup of this machine removes, and by which rule. Pure: the Engine's contents go in, a
//! list of removals comes out.
//!
//! **Invariants.** Only images, containers and volumes of the project are ever named, and of an image
//! only the names that the project gave it. Nothing that a container uses is, whoever's the container.
//! A builder's cache is not the project's: BuildKit does not know which project a record is of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::LocalPrune;
use crate::oci::{Reference, Repository};

/// What the Engine holds, as far as labels tell whose it is. Labels are inherited by `FROM`, so it may be
/// more than the project's: see [`Contents::own`].
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The project's images.
    pub images: Vec<LocalImage>,
    /// The project's containers.
    pub containers: Vec<LocalContainer>,
    /// The project's volumes.
    pub volumes: Vec<LocalVolume>,
    /// Ids and names of the images that any container uses, running or not.
    pub used_images: BTreeSet<String>,
    /// Names of the volumes that any container uses.
    pub used_volumes: BTreeSet<String>,
}

/// The repository of images that are on their way out of an Engine with the classic store. A run that was
/// killed leaves one behind. No registry is at such a host (RFC 6761, 6.4).
pub const OUTGOING: &str = "castoff.invalid/outgoing";

impl Contents {
    /// What of it is the project's own: images with a name in `repositories`, PROJECT-SERVICE or
    /// [`OUTGOING`], and with those names only; containers that compose made, or that run such an image. An image that
    /// somebody built on one of the project's has its labels, and none of its names.
    #[must_use]
    pub fn own(mut self, project: &str, repositories: &BTreeSet<Repository>) -> Self {
        self.images.retain_mut(|image| {
            let of_service: Option<Repository> =
                format!("{project}-{}", image.service).parse().ok();
            let is_own = |name: &String| {
                let reference = name.parse::<Reference>();
                reference.is_ok_and(|reference| {
                    let repository = reference.repository();
                    repositories.contains(repository)
                        || of_service.as_ref() == Some(repository)
                        || repository.to_string() == OUTGOING
                })
            };
            let all = image.names.len();
            image.names.retain(is_own);
            if image.names.len() < all {
                // Its content stays, under the names of others.
                image.bytes = 0;
            }
            !image.names.is_empty()
        });
        let images: BTreeSet<&str> = self.images.iter().map(|image| image.id.as_str()).collect();
        self.containers
            .retain(|one| one.composed || images.contains(one.image.as_str()));
        self
    }
}

/// An image in the Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalImage {
    /// Its id.
    pub id: String,
    /// Its names; none for one that lost them.
    pub names: Vec<String>,
    /// The service that it belongs to.
    pub service: String,
    /// When it was made, or tagged, whichever is later.
    pub made: Timestamp,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A container in the Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalContainer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of its image.
    pub image: String,
    /// Whether docker compose made it for the project: that is said by labels which no image has.
    pub composed: bool,
    /// When it stopped; `None` while it runs, or where the Engine does not say.
    pub stopped: Option<Timestamp>,
    /// The bytes that it wrote.
    pub bytes: u64,
}

/// A volume in the Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalVolume {
    /// Its name.
    pub name: String,
}

/// A record of a builder's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    /// Its id.
    pub id: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last used, or made.
    pub last_used: Option<Timestamp>,
    /// Whether a build uses it now.
    pub in_use: bool,
}

/// Something that can be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An image: the names that the project gave it, and with the last of all its content.
    Image(LocalImage),
    /// A stopped container.
    Container(LocalContainer),
    /// A volume.
    Volume(LocalVolume),
}

/// Something to remove, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// What.
    pub thing: Thing,
    /// The rule that says so.
    pub because: String,
}

/// What of the build cache to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRemoval {
    /// How many bytes stay.
    pub keep: u64,
    /// Only what was not used for this long goes.
    pub unused_for: Duration,
    /// How many bytes that frees, as far as the records tell.
    pub frees: u64,
    /// How many records those are.
    pub records: usize,
}

impl CacheRemoval {
    /// The rule that says so.
    pub fn because(&self) -> String {
        let keep = humansize::format_size(self.keep, humansize::DECIMAL);
        if self.unused_for.is_zero() {
            format!("more than {keep} in the cache of all projects")
        } else {
            let age = span(self.unused_for);
            format!("more than {keep} in the cache of all projects, not used for {age}")
        }
    }
}

impl Thing {
    /// `image`, `container` or `volume`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Container(_) => "container",
            Self::Volume(_) => "volume",
        }
    }

    /// What people call it.
    pub fn label(&self) -> String {
        match self {
            Self::Image(image) => match image.names.first() {
                Some(name) => name.clone(),
                None => short(&image.id).to_owned(),
            },
            Self::Container(container) => container.name.clone(),
            Self::Volume(volume) => volume.name.clone(),
        }
    }

    /// How many bytes its removal frees, at most: images share layers.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Image(image) => image.bytes,
            Self::Container(container) => container.bytes,
            Self::Volume(_) => 0,
        }
    }
}

/// What the policy removes of `contents`: containers first, so that their images are free.
pub fn removals(policy: &LocalPrune, contents: &Contents, now: Timestamp) -> Vec<Removal> {
    let mut removals = Vec::new();
    if let Some(age) = policy.containers {
        for container in &contents.containers {
            if container.stopped.is_some_and(|at| is_older(at, age, now)) {
                removals.push(Removal {
                    thing: Thing::Container(container.clone()),
                    because: format!("stopped for more than {}", span(age)),
                });
            }
        }
    }
    if let Some((age, keep)) = policy.images {
        removals.extend(images(contents, age, keep, now));
    }
    if policy.volumes {
        for volume in &contents.volumes {
            if !contents.used_volumes.contains(&volume.name) {
                removals.push(Removal {
                    thing: Thing::Volume(volume.clone()),
                    because: "no container uses it".to_owned(),
                });
            }
        }
    }
    removals
}

/// The images beyond the last `keep` of each service that are older than `age`.
fn images(contents: &Contents, age: Duration, keep: usize, now: Timestamp) -> Vec<Removal> {
    let mut services: BTreeMap<&str, Vec<&LocalImage>> = BTreeMap::new();
    for image in &contents.images {
        services.entry(&image.service).or_default().push(image);
    }
    let mut removals = Vec::new();
    for (service, mut images) in services {
        images.sort_by(|one, other| (other.made, &other.id).cmp(&(one.made, &one.id)));
        for image in images.into_iter().skip(keep) {
            let is_used = contents.used_images.contains(&image.id)
                || image
                    .names
                    .iter()
                    .any(|name| contents.used_images.contains(name));
            if !is_used && is_older(image.made, age, now) {
                removals.push(Removal {
                    thing: Thing::Image(image.clone()),
                    because: format!(
                        "older than {}, and not among the last {keep} of {service}",
                        span(age)
                    ),
                });
            }
        }
    }
    removals
}

/// What the policy removes of a build cache, as far as its records tell: the builder decides in the
/// same order, but knows which records hold others.
pub fn cache_removal(
    policy: &LocalPrune,
    records: &[CacheRecord],
    now: Timestamp,
) -> Option<CacheRemoval> {
    let (keep, unused_for) = policy.build_cache?;
    let (keep, unused_for) = (keep.unwrap_or(0), unused_for.unwrap_or(Duration::ZERO));
    let mut left: u64 = records.iter().map(|record| record.bytes).sum();
    let mut old: Vec<&CacheRecord> = records
        .iter()
        .filter(|record| {
            !record.in_use
                && record
                    .last_used
                    .is_none_or(|at| is_older(at, unused_for, now))
        })
        .collect();
    old.sort_by_key(|record| record.last_used);
    let mut removal = CacheRemoval {
        keep,
        unused_for,
        frees: 0,
        records: 0,
    };
    for record in old {
        if left <= keep {
            break;
        }
        left -= record.bytes;
        removal.frees += record.bytes;
        removal.records += 1;
    }
    (removal.records > 0).then_some(removal)
}

fn is_older(at: Timestamp, age: Duration, now: Timestamp) -> bool {
    now.duration_since(at).unsigned_abs() >= age && at <= now
}

fn span(age: Duration) -> String {
    crate::oci::HumanDuration(age).to_string()
}

/// An id as Docker abbreviates it.
fn short(id: &str) -> &str {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(hours_ago: i64) -> Timestamp {
        let seconds = 1_700_000_000 - hours_ago * 3600;
        Timestamp::from_second(seconds).unwrap()
    }

    fn image(service: &str, hours_ago: i64) -> LocalImage {
        LocalImage {
            id: format!("sha256:{service}{hours_ago}"),
            names: vec![format!("{service}:{hours_ago}")],
            service: service.to_owned(),
            made: at(hours_ago),
            bytes: 10,
        }
    }

    fn labels(removals: &[Removal]) -> Vec<String> {
        removals
            .iter()
            .map(|removal| removal.thing.label())
            .collect()
    }

    #[test]
    fn the_last_images_of_each_service_stay_however_old_they_are() {
        let policy = LocalPrune {
            images: Some((HOUR * 5, 1)),
            ..LocalPrune::default()
        };
        let contents = Contents {
            images: vec![
                image("api", 100),
                image("api", 50),
                image("api", 2),
                image("web", 90),
            ],
            ..Contents::default()
        };
        assert_eq!(
            labels(&removals(&policy, &contents, at(0))),
            ["api:50", "api:100"]
        );
    }

    #[test]
    fn what_somebody_else_built_on_an_image_of_the_project_is_not_the_projects() {
        let named = |id: &str, names: &[&str]| LocalImage {
            id: id.to_owned(),
            names: names.iter().map(ToString::to_string).collect(),
            ..image("api", 1)
        };
        let container = |name: &str, image: &str, composed| LocalContainer {
            id: name.to_owned(),
            name: name.to_owned(),
            image: image.to_owned(),
            composed,
            stopped: Some(at(1)),
            bytes: 0,
        };
        let contents = Contents {
            images: vec![
                named("ours", &["ghcr.io/acme/api:1"]),
                named("composed", &["shop-api:latest"]),
                named("both", &["shop-api:old", "mine:keep"]),
                named("theirs", &["somebody-elses:1"]),
                named("nameless", &[]),
                named("killed", &["castoff.invalid/outgoing:4e56"]),
            ],
            containers: vec![
                container("of compose", "redis", true),
                container("by hand", "ours", false),
                container("of theirs", "theirs", false),
            ],
            ..Contents::default()
        };
        let own = contents.own("shop", &["ghcr.io/acme/api".parse().unwrap()].into());
        let images: Vec<(&str, &[String], u64)> = own
            .images
            .iter()
            .map(|image| (image.id.as_str(), image.names.as_slice(), image.bytes))
            .collect();
        assert_eq!(
            images,
            [
                ("ours", &["ghcr.io/acme/api:1".to_owned()][..], 10),
                ("composed", &["shop-api:latest".to_owned()][..], 10),
                ("both", &["shop-api:old".to_owned()][..], 0),
                (
                    "killed",
                    &["castoff.invalid/outgoing:4e56".to_owned()][..],
                    10
                ),
            ]
        );
        let containers: Vec<&str> = own.containers.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(containers, ["of compose", "by hand"]);
    }

    #[test]
    fn what_a_container_uses_stays_by_id_and_by_name() {
        let policy = LocalPrune {
            images: Some((Duration::ZERO, 0)),
            ..LocalPrune::default()
        };
        let contents = Contents {
            images: vec![image("api", 3), image("api", 2), image("api", 1)],
            used_images: ["sha256:api3".to_owned(), "api:2".to_owned()].into(),
            ..Contents::default()
        };
        assert_eq!(labels(&removals(&policy, &contents, at(0))), ["api:1"]);
    }

    #[test]
    fn a_running_container_is_never_old() {
        let container = |name: &str, stopped| LocalContainer {
            id: name.to_owned(),
            name: name.to_owned(),
            image: String::new(),
            composed: true,
            stopped,
            bytes: 0,
        };
        let policy = LocalPrune {
            containers: Some(HOUR),
            ..LocalPrune::default()
        };
        let contents = Contents {
            containers: vec![
                container("running", None),
                container("fresh", Some(at(0))),
                container("old", Some(at(2))),
            ],
            ..Contents::default()
        };
        assert_eq!(labels(&removals(&policy, &contents, at(0))), ["old"]);
    }

    #[test]
    fn the_cache_is_emptied_from_its_oldest_end_until_it_is_small_enough() {
        let record = |id: &str, hours_ago, in_use| CacheRecord {
            id: id.to_owned(),
            bytes: 100,
            last_used: Some(at(hours_ago)),
            in_use,
        };
        let records = [
            record("a", 30, false),
            record("b", 20, false),
            record("c", 10, true),
            record("d", 1, false),
        ];
        let policy = |keep, age| LocalPrune {
            build_cache: Some((keep, age)),
            ..LocalPrune::default()
        };
        let freed = |keep, age| {
            let removal = cache_removal(&policy(keep, age), &records, at(0));
            removal.map_or(0, |removal| removal.frees)
        };
        assert_eq!(freed(Some(350), None), 100);
        assert_eq!(freed(Some(0), Some(HOUR * 15)), 200);
        assert_eq!(freed(None, None), 300);
        assert_eq!(freed(Some(400), None), 0);
    }
}
