//! Whether the files and folders of a build are there, and are what they have to be.

use std::collections::BTreeSet;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

use crate::compose::Places;
use crate::error::Error;
use crate::excerpt::Excerpt;
use crate::inputs::{Content, LARGEST_DOCKERFILE, UnknownInstruction};
use crate::plan::{BuildContext, Dockerfile, NamedContext, SecretSource, Target, Warning};
use crate::whole_file;

/// The build argument that names the frontend in the place of `# syntax=`.
const SYNTAX: &str = "BUILDKIT_SYNTAX";

/// Looks at the inputs of targets; at what several of them have, once.
#[derive(Default)]
pub(super) struct Inputs {
    ignored: BTreeSet<(PathBuf, Option<PathBuf>)>,
    dockerfiles: BTreeSet<PathBuf>,
    /// What a user should know of them.
    pub(super) warnings: Vec<Warning>,
}

impl Inputs {
    /// Looks at those of one target. Its places in the compose file are for the errors.
    pub(super) fn check(&mut self, target: &Target, places: Option<&Places>) -> Result<(), Error> {
        let build = places.and_then(|places| places.build.as_ref());
        let is =
            |what, path: &Path, place: Option<&Excerpt>, is_right: &dyn Fn(FileType) -> bool| {
                let Err(is) = look(path, is_right) else {
                    return Ok(());
                };
                Err(Error::Input {
                    service: target.service.clone(),
                    what,
                    path: path.to_owned(),
                    is,
                    place: place.or(build).cloned().map(Box::new),
                })
            };
        if let BuildContext::Local(path) = &target.build.context {
            let place = places.and_then(|places| places.context.as_ref());
            is("context folder", path, place, &|kind| kind.is_dir())?;
        }
        if let Dockerfile::Local(path) = &target.build.dockerfile {
            let place = places.and_then(|places| places.dockerfile.as_ref());
            is("Dockerfile", path, place, &|kind| kind.is_file())?;
        }
        for context in target.build.named_contexts.values() {
            if let NamedContext::Local(path) = context {
                is("named context", path, None, &|kind| kind.is_dir())?;
            }
        }
        for secret in &target.build.secrets {
            if let SecretSource::File(path) = &secret.source {
                is("secret", path, None, &|_| true)?;
            }
        }
        self.check_ignored(target)?;
        self.check_dockerfile(target);
        Ok(())
    }

    /// Whether the main context's ignore file is one that BuildKit's frontend takes (dockerfile2llb,
    /// `patternmatcher.New`). What else may be wrong with it costs the reuse of the image, and no build.
    fn check_ignored(&mut self, target: &Target) -> Result<(), Error> {
        let BuildContext::Local(root) = &target.build.context else {
            return Ok(());
        };
        let dockerfile = match &target.build.dockerfile {
            Dockerfile::Local(path) => Some(path.as_path()),
            Dockerfile::Inline(_) | Dockerfile::InContext(_) => None,
        };
        if !self
            .ignored
            .insert((root.clone(), dockerfile.map(Path::to_owned)))
        {
            return Ok(());
        }
        match Content::main(root, dockerfile) {
            Err(source) if source.is_refused_by_builders() => Err(Error::Ignored {
                service: target.service.clone(),
                source: Box::new(source),
            }),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Remarks on an instruction that no Dockerfile has. No error: a frontend may be newer than this.
    fn check_dockerfile(&mut self, target: &Target) {
        if target.build.args.contains_key(SYNTAX) {
            return;
        }
        let (bytes, place) = match &target.build.dockerfile {
            Dockerfile::Local(path) if self.dockerfiles.insert(path.clone()) => {
                let bytes = whole_file::read(path, LARGEST_DOCKERFILE as u64);
                (bytes.unwrap_or_default(), path.display().to_string())
            }
            Dockerfile::Inline(text) => {
                let place = format!("{}, dockerfile_inline", target.service);
                (text.clone().into_bytes(), place)
            }
            Dockerfile::Local(_) | Dockerfile::InContext(_) => return,
        };
        if let Some(unknown) = UnknownInstruction::first(&bytes) {
            self.warnings.push(Warning {
                subject: format!("{place}:{}", unknown.line),
                message: format!("`{}` is no instruction of a Dockerfile", unknown.keyword),
                hint: unknown.nearest.map(|it| format!("did you mean `{it}`?")),
            });
        }
    }
}

/// Whether `path` is there and is what it has to be; else what it is, which is nothing where it is not
/// there.
fn look(path: &Path, is_right: &dyn Fn(FileType) -> bool) -> Result<(), Option<String>> {
    match path.metadata() {
        Ok(metadata) if is_right(metadata.file_type()) => Ok(()),
        Ok(metadata) => Err(Some(format!("is {}", kind(metadata.file_type())))),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound if path.is_symlink() => {
                Err(Some("is a symbolic link that leads nowhere".to_owned()))
            }
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Err(None),
            _ => Err(Some(format!("cannot be looked at: {error}"))),
        },
    }
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_file() {
        "a file"
    } else {
        "neither a file nor a folder, but a pipe, a socket or a device"
    }
}
