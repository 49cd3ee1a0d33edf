//! Whether what several machines have built makes a whole: the same project and commit, the same files,
//! and every platform of every service once.

use std::collections::{BTreeMap, BTreeSet};

use super::partial::{Partial, PartialImage};
use super::{Action, Plan, Target};
use crate::oci::{Digest, Platform, Repository};

/// The label with the date that an image is given: with `created = "now"` every machine has its own.
const CREATED: &str = "org.opencontainers.image.created";

/// A part of an image that was built elsewhere: it is up by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The files that tell of it.
    pub files: Vec<String>,
    /// The platforms that it is taken for; empty where the service names none.
    pub platforms: Vec<Platform>,
    /// Its digest.
    pub digest: Digest,
    /// What it consists of, attestations included, as the files say.
    pub manifests: BTreeSet<Digest>,
    /// Whether it was there before this release.
    pub reused: bool,
    /// Whether it was built from a working tree that differed from its commit, or may have.
    pub dirty: bool,
}

/// Why files do not make a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartialError {
    /// It is of another project.
    #[error("{file} is of project `{found}`, and this is `{here}`")]
    Project {
        /// The file.
        file: String,
        /// Its project.
        found: String,
        /// The project that is published.
        here: String,
    },
    /// Two files are of two commits.
    #[error("{one} was built from {}, and {other} from {}", commit(one_commit.as_ref()), commit(other_commit.as_ref()))]
    Commits {
        /// A file.
        one: String,
        /// Its commit.
        one_commit: Option<String>,
        /// Another file.
        other: String,
        /// Its commit.
        other_commit: Option<String>,
    },
    /// It is of another commit than the one that is published.
    #[error("{file} was built from {}, and this is {}", commit(found.as_ref()), commit(here.as_ref()))]
    Commit {
        /// The file.
        file: String,
        /// Its commit.
        found: Option<String>,
        /// The commit that is published.
        here: Option<String>,
    },
    /// It has a service that is not published.
    #[error("{file} has service `{service}`, which is not published here")]
    Stranger {
        /// The file.
        file: String,
        /// The service.
        service: String,
    },
    /// No file has a service.
    #[error("no file has service `{service}`")]
    NoService {
        /// The service.
        service: String,
    },
    /// A platform of a service is missing.
    #[error("no file has {platform} of service `{service}`; {}", held.join(", "))]
    NoPlatform {
        /// The service.
        service: String,
        /// The platform.
        platform: Platform,
        /// Which file has what.
        held: Vec<String>,
    },
    /// Two files have two images of one platform.
    #[error(
        "{one} and {other} both have {platform} of service `{service}`, and not the same image"
    )]
    Twice {
        /// The service.
        service: String,
        /// The platform, in words where the service names none.
        platform: String,
        /// A file.
        one: String,
        /// Another file.
        other: String,
    },
    /// It was built for other platforms than are to be published.
    #[error(
        "{file} knows service `{service}` for {}, and it is published for {}",
        list(found),
        list(wanted)
    )]
    Platforms {
        /// The file.
        file: String,
        /// The service.
        service: String,
        /// All platforms of the service as the file has them.
        found: Vec<Platform>,
        /// Those of the project.
        wanted: Vec<Platform>,
    },
    /// Two parts of one image were not made of the same.
    #[error("{one} and {other} were not built from the same {what} of service `{service}`")]
    Differ {
        /// The service.
        service: String,
        /// What differs, in words.
        what: String,
        /// A file.
        one: String,
        /// Another file.
        other: String,
    },
    /// The files of a service changed while a part of it was built.
    #[error("the files of service `{service}` changed while {file} was made")]
    Unsteady {
        /// The service.
        service: String,
        /// The file.
        file: String,
    },
    /// It was built from a tree with changes, and this tree has others.
    #[error(
        "{file} was built from a working tree with changes, and service `{service}` is not the same here"
    )]
    Changed {
        /// The file.
        file: String,
        /// The service.
        service: String,
    },
    /// It went to other repositories.
    #[error(
        "{file} has service `{service}` in {}, and it is published to {}",
        list(found),
        list(wanted)
    )]
    Repositories {
        /// The file.
        file: String,
        /// The service.
        service: String,
        /// Where it is.
        found: Vec<Repository>,
        /// Where it is to go.
        wanted: Vec<Repository>,
    },
}

fn commit(commit: Option<&String>) -> String {
    commit.map_or_else(|| "no commit".to_owned(), |sha| format!("commit {sha}"))
}

fn list(items: &[impl ToString]) -> String {
    if items.is_empty() {
        return "nothing that is named".to_owned();
    }
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

impl PartialError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Project { .. } | Self::Stranger { .. } => {
                "leave the file out, or publish from the project that it is of"
            }
            Self::Commits { .. } | Self::Commit { .. } => {
                "let all jobs check out one commit, and run those again that did not"
            }
            Self::NoService { .. } | Self::NoPlatform { .. } => {
                "give the files of all jobs: a job that failed has written none"
            }
            Self::Twice { .. } => "leave one of the files out",
            Self::Platforms { .. } | Self::Repositories { .. } => {
                "publish.toml or an environment variable differs between the jobs: build again with the one that is meant"
            }
            Self::Differ { .. } | Self::Unsteady { .. } => {
                "run the jobs again from the same files, arguments and base images"
            }
            Self::Changed { .. } => "commit the changes, or publish from the tree that was built",
        }
        .to_owned()
    }
}

/// A file by its name, and what it says.
pub type Named = (String, Partial);

impl Plan {
    /// Lets every service be what `partials` have built, where they make a whole for `here`, the commit
    /// that is published. All that is wrong is told together.
    pub fn take(
        &mut self,
        partials: &[Named],
        here: Option<&str>,
        published: &BTreeSet<String>,
    ) -> Result<(), Vec<PartialError>> {
        let mut errors = Vec::new();
        origins(partials, &self.project, here, &mut errors);
        for (file, partial) in partials {
            for image in &partial.services {
                if !published.contains(&image.service) {
                    errors.push(PartialError::Stranger {
                        file: file.clone(),
                        service: image.service.clone(),
                    });
                }
            }
        }
        for target in self.targets.iter_mut().filter(|target| target.wanted) {
            let images = partials.iter().filter_map(|(file, partial)| {
                let mut services = partial.services.iter();
                let image = services.find(|image| image.service == target.service)?;
                Some(Piece {
                    file,
                    image,
                    dirty: partial.dirty != Some(false),
                })
            });
            let pieces: Vec<Piece<'_>> = images.collect();
            let known = errors.len();
            check(target, &pieces, &mut errors);
            if errors.len() == known {
                take(target, &pieces);
            }
        }
        if errors.is_empty() {
            self.drop_unneeded();
            Ok(())
        } else {
            Err(errors)
        }
    }
}

/// What one file says of one service.
struct Piece<'a> {
    file: &'a String,
    image: &'a PartialImage,
    dirty: bool,
}

/// Whether all files are of this project and commit.
fn origins(partials: &[Named], project: &str, here: Option<&str>, errors: &mut Vec<PartialError>) {
    for (file, partial) in partials {
        if partial.project != project {
            errors.push(PartialError::Project {
                file: file.clone(),
                found: partial.project.clone(),
                here: project.to_owned(),
            });
        }
    }
    let Some((one, first)) = partials.first() else {
        return;
    };
    let other = partials
        .iter()
        .find(|(_, other)| other.commit != first.commit);
    if let Some((other, second)) = other {
        errors.push(PartialError::Commits {
            one: one.clone(),
            one_commit: first.commit.clone(),
            other: other.clone(),
            other_commit: second.commit.clone(),
        });
    } else if first.commit.as_deref() != here {
        errors.push(PartialError::Commit {
            file: one.clone(),
            found: first.commit.clone(),
            here: here.map(str::to_owned),
        });
    }
}

/// Whether the pieces of a service fit each other and the target.
fn check(target: &Target, pieces: &[Piece<'_>], errors: &mut Vec<PartialError>) {
    let Some(first) = pieces.first() else {
        errors.push(PartialError::NoService {
            service: target.service.clone(),
        });
        return;
    };
    let names = |repositories: &mut dyn Iterator<Item = &Repository>| -> BTreeSet<Repository> {
        repositories.cloned().collect()
    };
    let wanted = names(&mut target.repositories.iter());
    for piece in pieces {
        let image = piece.image;
        let found = names(&mut image.repositories.iter().chain(&image.missing));
        if found != wanted {
            errors.push(PartialError::Repositories {
                file: piece.file.clone(),
                service: target.service.clone(),
                found: found.into_iter().collect(),
                wanted: wanted.iter().cloned().collect(),
            });
        }
        if set(&image.of) != set(&target.platforms) {
            errors.push(PartialError::Platforms {
                file: piece.file.clone(),
                service: target.service.clone(),
                found: image.of.clone(),
                wanted: target.platforms.clone(),
            });
            return;
        }
    }
    platforms(target, pieces, errors);
    for piece in pieces
        .iter()
        .filter(|it| it.image.digest != first.image.digest)
    {
        same(target, first, piece, errors);
    }
}

/// Whether every platform is there, and in one image only.
fn platforms(target: &Target, pieces: &[Piece<'_>], errors: &mut Vec<PartialError>) {
    let mut held: BTreeMap<Platform, &Piece<'_>> = BTreeMap::new();
    let mut one_only: Option<&Piece<'_>> = None;
    for piece in pieces {
        let mut twice = None;
        if target.platforms.is_empty() {
            let other = one_only.replace(piece);
            twice = other.map(|other| (other, "the builder's own platform".to_owned()));
        }
        for platform in set(&piece.image.platforms) {
            let shown = platform.to_string();
            let other = held.insert(platform, piece);
            twice = twice.or(other.map(|other| (other, shown)));
        }
        if let Some((other, platform)) = twice
            && other.image.digest != piece.image.digest
        {
            errors.push(PartialError::Twice {
                service: target.service.clone(),
                platform,
                one: other.file.clone(),
                other: piece.file.clone(),
            });
        }
    }
    for platform in set(&target.platforms) {
        if !held.contains_key(&platform) {
            errors.push(PartialError::NoPlatform {
                service: target.service.clone(),
                platform,
                held: pieces
                    .iter()
                    .map(|it| format!("{} has {}", it.file, list(&it.image.platforms)))
                    .collect(),
            });
        }
    }
}

/// Whether two parts of one image were made of the same.
fn same(target: &Target, one: &Piece<'_>, other: &Piece<'_>, errors: &mut Vec<PartialError>) {
    let service = &target.service;
    for piece in [one, other] {
        if piece.image.contents.is_none() {
            errors.push(PartialError::Unsteady {
                service: service.clone(),
                file: piece.file.clone(),
            });
            return;
        }
    }
    let mut differ = |what: &str| {
        errors.push(PartialError::Differ {
            service: service.clone(),
            what: what.to_owned(),
            one: one.file.clone(),
            other: other.file.clone(),
        });
    };
    if one.image.contents != other.image.contents {
        return differ("files and arguments");
    }
    if one.image.inputs != other.image.inputs {
        return differ("base images");
    }
    // A reused image keeps the labels of the commit that it was built from.
    let labels = |piece: &Piece<'_>| {
        let mut labels = piece.image.labels.clone();
        labels.remove(CREATED);
        labels
    };
    let (mine, theirs) = (labels(one), labels(other));
    let names: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
    let label = names
        .into_iter()
        .find(|name| mine.get(*name) != theirs.get(*name));
    if let Some(label) = label {
        differ(&format!("label {label}"));
    }
}

/// Lets the target be what its pieces are.
fn take(target: &mut Target, pieces: &[Piece<'_>]) {
    let mut parts: Vec<Part> = Vec::new();
    for Piece { file, image, dirty } in pieces {
        let children = image.manifests.iter().map(|it| &it.digest);
        let attestations = image.attestations.iter().map(|it| &it.digest);
        let part = Part {
            files: vec![(*file).clone()],
            platforms: image.platforms.clone(),
            digest: image.digest.clone(),
            manifests: children.chain(attestations).cloned().collect(),
            reused: image.reused,
            dirty: *dirty,
        };
        match parts.iter_mut().find(|known| known.digest == part.digest) {
            Some(known) => {
                let more = part.platforms.into_iter();
                let known_platforms = set(&known.platforms);
                let more = more.filter(|it| !known_platforms.contains(&it.normalized()));
                known.platforms.extend(more);
                known.files.extend(part.files);
                known.manifests.extend(part.manifests);
                known.dirty |= part.dirty;
            }
            None => parts.push(part),
        }
    }
    let first = pieces.first().map(|piece| piece.image);
    target.inputs = first.and_then(|image| image.inputs.clone());
    target.contents = first.and_then(|image| image.contents.clone());
    target.labels = first.map(|image| image.labels.clone()).unwrap_or_default();
    target.because = parts
        .iter()
        .map(|part| {
            let files = part.files.join(" and ");
            if part.platforms.is_empty() {
                files
            } else {
                format!("{} of {files}", list(&part.platforms))
            }
        })
        .collect();
    target.action = Action::Merge(parts);
}

fn set(platforms: &[Platform]) -> BTreeSet<Platform> {
    platforms.iter().map(Platform::normalized).collect()
}
