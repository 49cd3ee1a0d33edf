//! The files that builds read: Dockerfiles, and the folders that they copy from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Mutex;

use super::state::State;
use crate::execute::ports::Inputs;
use crate::facts;
use crate::inputs::{self, Content, Contexts, LARGEST_DOCKERFILE, Listing, StatCache, With};
use crate::oci::{Digest, Platform, Reference};
use crate::plan::{
    BuildContext, BuildSpec, Dockerfile, NamedContext, Target, image_of, never_reused,
};
use crate::printable::one_line;

/// The longest path that is shown, in letters.
const LONGEST_PATH: usize = 200;

/// What the files of one target say, before anybody is asked.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    /// The Dockerfile's bytes.
    pub(super) dockerfile: Vec<u8>,
    /// The images that the build needs; else why an image of these files cannot be known again.
    pub(super) images: Result<Images, String>,
    /// The folders that it reads: the main context without a name, and the named ones.
    folders: Vec<(Option<String>, Content)>,
}

/// The images that a build needs.
#[derive(Clone, Debug)]
pub(super) struct Images {
    pub(super) all: BTreeSet<Reference>,
    /// Those among them that it may begin with.
    pub(super) begun: BTreeSet<Reference>,
    /// The frontend's image, which is among them.
    pub(super) frontend: Option<Reference>,
}

/// What the folders of a target hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) context: Option<Digest>,
    pub(super) named: BTreeMap<String, Digest>,
    /// The files of the main context, each with the first bytes of its digest.
    pub(super) files: BTreeMap<String, String>,
}

/// Reads the Dockerfile of a target, and finds out what it needs; else why it cannot be read.
pub(super) fn scan(target: &Target, own: Option<&Platform>) -> Result<Scanned, String> {
    let dockerfile = dockerfile(&target.build)?;
    Ok(Scanned {
        images: images(target, own, &dockerfile),
        folders: folders(&target.build)?,
        dockerfile,
    })
}

/// The images that a Dockerfile needs.
fn images(target: &Target, own: Option<&Platform>, dockerfile: &[u8]) -> Result<Images, String> {
    let spec = &target.build;
    if !target.may_reuse {
        return Err("reuse is switched off".to_owned());
    }
    if let Some(because) = never_reused(spec) {
        return Err(because);
    }
    if spec.platforms.is_empty() && own.is_none() {
        return Err("it names no platform, and that of its builder is not known".to_owned());
    }
    if matches!(spec.dockerfile, Dockerfile::InContext(_)) {
        return Err("its Dockerfile is in a remote context".to_owned());
    }
    let obscure = |obscure: inputs::Obscure| {
        format!("it cannot be told what its Dockerfile needs: {obscure}")
    };
    let read = inputs::Dockerfile::read(dockerfile).map_err(obscure)?;
    let own: Vec<Platform> = own.cloned().into_iter().collect();
    let platforms = if spec.platforms.is_empty() {
        &own
    } else {
        &spec.platforms
    };
    let arguments = spec.args.iter();
    let found = read.images(&With {
        arguments: arguments
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        target: spec.target.as_deref(),
        platforms,
        contexts: spec.named_contexts.keys().map(String::as_str).collect(),
    });
    let found = found.map_err(obscure)?;
    let contexts = spec.named_contexts.values();
    let named = contexts.filter_map(|context| match context {
        NamedContext::Remote(address) => image_of(address),
        NamedContext::Local(_) | NamedContext::Layout(_) | NamedContext::Service(_) => None,
    });
    let generator = spec.sbom.as_ref().map(Reference::canonical);
    let (mut all, mut begun) = (found.bases, found.begun);
    for image in named {
        all.insert(image.clone());
        begun.insert(image);
    }
    all.extend(generator);
    all.extend(found.frontend.clone());
    Ok(Images {
        all,
        begun,
        frontend: found.frontend,
    })
}

/// The Dockerfile's bytes; of one in a remote context its path, which is all that is known here.
fn dockerfile(spec: &BuildSpec) -> Result<Vec<u8>, String> {
    match &spec.dockerfile {
        Dockerfile::Inline(text) => Ok(text.clone().into_bytes()),
        Dockerfile::InContext(path) => Ok(path.clone().into_bytes()),
        Dockerfile::Local(path) => {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path);
            let limit = LARGEST_DOCKERFILE as u64 + 1;
            file.and_then(|file| file.take(limit).read_to_end(&mut bytes))
                .map_err(|error| format!("its Dockerfile cannot be read: {error}"))?;
            Ok(bytes)
        }
    }
}

fn folders(spec: &BuildSpec) -> Result<Vec<(Option<String>, Content)>, String> {
    let refused = |error: inputs::ContextError| error.to_string();
    let mut folders = Vec::new();
    if let BuildContext::Local(root) = &spec.context {
        let dockerfile = match &spec.dockerfile {
            Dockerfile::Local(path) => Some(path.as_path()),
            Dockerfile::Inline(_) | Dockerfile::InContext(_) => None,
        };
        let content = Content::main(root, dockerfile).map_err(refused)?;
        folders.push((None, content));
    }
    for (name, context) in &spec.named_contexts {
        if let NamedContext::Local(root) = context {
            let content = Content::named(root).map_err(refused)?;
            folders.push((Some(name.clone()), content));
        }
    }
    Ok(folders)
}

/// Reads the folders of all targets, each once. Blocking.
pub(super) fn read_folders(
    scanned: &BTreeMap<String, Result<Scanned, String>>,
    state: &State,
) -> BTreeMap<String, Result<Held, String>> {
    let wanted = scanned
        .values()
        .flatten()
        .flat_map(|scanned| scanned.folders.iter().map(|(_, content)| content.clone()));
    let mut cache = state.stat_cache();
    let read = Contexts::new(wanted.collect()).read(&mut cache, now());
    state.keep_stat_cache(&cache);
    let listings: BTreeMap<Content, Result<Listing, String>> = read
        .into_iter()
        .map(|(content, read)| (content, read.map_err(|error| error.to_string())))
        .collect();
    let held = |scanned: &Scanned| -> Result<Held, String> {
        let mut held = Held::default();
        for (name, content) in &scanned.folders {
            let listing = match listings.get(content) {
                Some(Ok(listing)) => listing,
                Some(Err(error)) => return Err(error.clone()),
                None => return Err("a folder was not read".to_owned()),
            };
            match name {
                Some(name) => {
                    held.named.insert(name.clone(), listing.digest.clone());
                }
                None => {
                    held.context = Some(listing.digest.clone());
                    let files = listing.entries.iter();
                    held.files = files
                        .map(|(path, hash)| (one_line(path, LONGEST_PATH), format!("{hash:016x}")))
                        .collect();
                }
            }
        }
        Ok(held)
    };
    scanned
        .iter()
        .filter_map(|(service, scanned)| Some((service.clone(), held(scanned.as_ref().ok()?))))
        .collect()
}

fn now() -> i64 {
    i64::try_from(facts::timestamp().as_nanosecond()).unwrap_or(i64::MIN)
}

/// Looks again at what was hashed before the builds.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// By service: how it is built, its Dockerfile, and what its folders held.
    hashed: BTreeMap<String, (BuildSpec, Scanned, Held)>,
    cache: Mutex<StatCache>,
}

impl Again {
    pub(super) fn new(hashed: BTreeMap<String, (BuildSpec, Scanned, Held)>, state: &State) -> Self {
        // Where nothing is built nothing is looked at again.
        let cache = if hashed.is_empty() {
            StatCache::default()
        } else {
            state.stat_cache()
        };
        Self {
            hashed,
            cache: Mutex::new(cache),
        }
    }
}

impl Inputs for Again {
    fn changed(&self, service: &str) -> Option<String> {
        let (spec, scanned, before) = self.hashed.get(service)?;
        let is_same = dockerfile(spec).is_ok_and(|bytes| bytes == scanned.dockerfile);
        if !is_same {
            return Some("its Dockerfile changed".to_owned());
        }
        let contents = match folders(spec) {
            Ok(folders) if folders == scanned.folders => {
                folders.into_iter().map(|(_, content)| content).collect()
            }
            _ => return Some("its .dockerignore changed".to_owned()),
        };
        let mut cache = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let expected: BTreeSet<&Digest> =
            before.context.iter().chain(before.named.values()).collect();
        for (_, listing) in Contexts::new(contents).read(&mut cache, now()) {
            match listing {
                Ok(listing) if expected.contains(&listing.digest) => {}
                Ok(listing) => return Some(what_changed(before, &listing)),
                Err(error) => return Some(format!("its context changed ({error})")),
            }
        }
        None
    }
}

fn what_changed(before: &Held, now: &Listing) -> String {
    let changed = now.entries.iter().find(|(path, hash)| {
        let known = before.files.get(&one_line(path, LONGEST_PATH));
        known != Some(&format!("{hash:016x}"))
    });
    match changed {
        Some((path, _)) => format!("its context changed ({})", one_line(path, LONGEST_PATH)),
        None => "its context changed".to_owned(),
    }
}

/// Nothing was hashed, so nothing can be known to have changed.
#[derive(Debug)]
pub(in crate::commands) struct NotHashed;

impl Inputs for NotHashed {
    fn changed(&self, _: &str) -> Option<String> {
        None
    }
}
