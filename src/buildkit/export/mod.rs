//! Results that are written to this machine: archives and folders, whole at the end or not at all.
//!
//! Everything is written beside its destination first, and put in its place when the build is over. A
//! builder is not trusted with paths: what it sends lands in a folder of its own (`folder`).

mod folder;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard_buildkit_proto::moby::buildkit::v1::SolveResponse;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

pub(super) use folder::Taking;

use super::layout::Layout;
use super::off_the_runtime;
use super::session::Stores;
use crate::execute::ports::{BuildOrder, BuilderError, ExportOrder, Output};
use crate::plan::ExportKind;

/// How often, and how far apart, what has come is taken away while somebody may still be writing it.
const ABANDON_TRIES: u32 = 20;
const ABANDON_PAUSE: Duration = Duration::from_millis(10);
/// How what is not finished is called.
const UNFINISHED: &str = ".castoff-";

/// A place on this machine while a result comes. What has come is gone when this is dropped before
/// [`finish`](Self::finish).
#[derive(Debug)]
pub(super) struct Landing {
    order: ExportOrder,
    /// Where the destination really is, where it is there already.
    destination: PathBuf,
    /// Where it comes to; nowhere any more, once it is finished.
    site: Mutex<Option<Site>>,
    /// Where the site is.
    path: PathBuf,
    /// What went wrong while something came: the builder only hears that it did.
    trouble: Mutex<Option<String>>,
}

#[derive(Debug)]
enum Site {
    File(NamedTempFile),
    Folder(TempDir),
}

/// The place for what `order` writes to this machine, if it does.
pub(super) fn landing(
    order: &BuildOrder,
    stores: &mut Stores,
) -> Result<Option<Arc<Landing>>, BuilderError> {
    let Some(export) = export_of(order) else {
        return Ok(None);
    };
    let mut begin = || {
        let landing = Landing::begin(export)?;
        if export.kind == ExportKind::OciFolder {
            stores.take_export(Layout::open(landing.folder()?)?);
        }
        Ok(Some(Arc::new(landing)))
    };
    begin().map_err(|error: io::Error| BuilderError::Written {
        path: export.path.clone(),
        message: error.to_string(),
    })
}

/// Where `order` writes to.
pub(super) fn export_path(order: &BuildOrder) -> Option<PathBuf> {
    export_of(order).map(|export| export.path.clone())
}

fn export_of(order: &BuildOrder) -> Option<&ExportOrder> {
    order.outputs.iter().find_map(|output| match output {
        Output::Export(export) => Some(export),
        Output::Push { .. } | Output::Load { .. } => None,
    })
}

/// Takes away what has come of a build that failed.
pub(super) async fn abandon(landing: Arc<Landing>) -> Result<(), BuilderError> {
    off_the_runtime(move || landing.abandon()).await
}

/// Puts what has come in its place.
pub(super) async fn finish(
    landing: Arc<Landing>,
    answer: &SolveResponse,
) -> Result<(), BuilderError> {
    let descriptor = answer.exporter_response.get("containerimage.descriptor");
    let descriptor = descriptor.and_then(|text| BASE64_STANDARD.decode(text).ok());
    let descriptor = descriptor.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    off_the_runtime(move || {
        let path = landing.order.path.clone();
        landing
            .finish(descriptor.as_ref())
            .map_err(|error| BuilderError::Written {
                path,
                message: error.to_string(),
            })
    })
    .await?
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.to_owned())
}

impl Landing {
    /// Prepares the place, beside the destination. Refuses what is in the way.
    pub(super) fn begin(order: &ExportOrder) -> io::Result<Self> {
        // Through a link it is what the link leads to that is written.
        let there = match fs::canonicalize(&order.path) {
            Ok(path) => Some((fs::metadata(&path)?, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match &there {
            Some((known, _)) if order.kind.is_folder() && !known.is_dir() => {
                return Err(refused("it is there, and no folder"));
            }
            // A rename would put the archive in the place of a device.
            Some((known, _)) if !order.kind.is_folder() && !known.is_file() => {
                return Err(refused("it is there, and no plain file"));
            }
            Some((_, path)) if order.kind == ExportKind::OciFolder => {
                let is_empty = fs::read_dir(path)?.next().is_none();
                if !is_empty && !path.join("index.json").is_file() {
                    return Err(refused(
                        "the folder holds something else than an image layout",
                    ));
                }
            }
            Some(_) | None => {}
        }
        let is_folder = order.kind.is_folder();
        // What is moved within one folder stays on one file system.
        let beside = match &there {
            Some((_, path)) if is_folder => path.clone(),
            Some((_, path)) => path.parent().unwrap_or(Path::new("/")).to_owned(),
            None => {
                let parent = order.path.parent().unwrap_or(Path::new("/"));
                fs::create_dir_all(parent)?;
                parent.to_owned()
            }
        };
        let site = if is_folder {
            Site::Folder(new_folder(&beside)?)
        } else {
            Site::File(new_file(&beside)?)
        };
        let path = match &site {
            Site::File(file) => file.path().to_owned(),
            Site::Folder(folder) => folder.path().to_owned(),
        };
        Ok(Self {
            destination: there.map_or_else(|| order.path.clone(), |(_, path)| path),
            order: order.clone(),
            site: Mutex::new(Some(site)),
            path,
            trouble: Mutex::default(),
        })
    }

    /// What is written.
    pub(super) fn kind(&self) -> ExportKind {
        self.order.kind
    }

    /// Where an archive is written, from its beginning.
    pub(super) fn file(&self) -> io::Result<fs::File> {
        if self.order.kind.is_folder() {
            return Err(refused("a folder is written, and no archive"));
        }
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&self.path)
    }

    /// Where a folder is written.
    pub(super) fn folder(&self) -> io::Result<&Path> {
        if self.order.kind.is_folder() {
            Ok(&self.path)
        } else {
            Err(refused("an archive is written, and no folder"))
        }
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.site.lock().is_ok_and(|site| site.is_none())
    }

    /// Takes away what has come. Whoever still writes notices, and may take a moment to.
    fn abandon(&self) {
        let site = self.site.lock().ok().and_then(|mut site| site.take());
        drop(site);
        for _ in 0..ABANDON_TRIES {
            let gone = if self.order.kind.is_folder() {
                fs::remove_dir_all(&self.path)
            } else {
                fs::remove_file(&self.path)
            };
            match gone {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Ok(()) | Err(_) => std::thread::sleep(ABANDON_PAUSE),
            }
        }
    }

    /// Remembers what went wrong first.
    pub(super) fn trouble(&self, message: &str) {
        if let Ok(mut trouble) = self.trouble.lock() {
            trouble.get_or_insert_with(|| message.to_owned());
        }
    }

    /// What went wrong, if anything did.
    pub(super) fn troubled(&self) -> Option<String> {
        self.trouble.lock().ok()?.clone()
    }

    /// Puts everything in its place. `manifest` is the descriptor of the image, where it is one.
    pub(super) fn finish(&self, manifest: Option<&Value>) -> io::Result<()> {
        let (kind, names) = (self.order.kind, &self.order.names);
        let is_new = !self.destination.exists();
        let site = self.site.lock().ok().and_then(|mut site| site.take());
        match site.ok_or_else(|| refused("it was written already"))? {
            Site::File(file) => {
                file.as_file().sync_data()?;
                file.persist(&self.destination)?;
            }
            Site::Folder(folder) if kind == ExportKind::OciFolder => {
                let manifest =
                    manifest.ok_or_else(|| refused("the builder does not name the image"))?;
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                if is_new {
                    Layout::open(folder.path())?.put_image(manifest, &names)?;
                    clear_layout(folder.path());
                    move_whole(folder, &self.destination)?;
                } else {
                    let blobs = folder.path().join("blobs");
                    let there = self.destination.join("blobs");
                    fs::create_dir_all(&there)?;
                    merge(&blobs, &there)?;
                    Layout::open(&self.destination)?.put_image(manifest, &names)?;
                    clear_layout(&self.destination);
                }
            }
            Site::Folder(folder) if is_new => move_whole(folder, &self.destination)?,
            Site::Folder(folder) => merge(folder.path(), &self.destination)?,
        }
        Ok(())
    }
}

/// Gives a folder its name. Where that fails, the folder is taken away.
fn move_whole(folder: TempDir, destination: &Path) -> io::Result<()> {
    fs::rename(folder.path(), destination)?;
    // It is no temporary folder any more.
    let _ = folder.keep();
    Ok(())
}

/// Takes away what is only needed while a layout is written.
fn clear_layout(root: &Path) {
    // Where it is not there, or another program needs it, nothing is wrong.
    let _ = fs::remove_dir(root.join("ingest"));
    let _ = fs::remove_file(root.join("index.json.lock"));
}

/// A folder that others may look into as far as the user's mask says.
fn new_folder(beside: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(beside)
}

/// A file that others may read as far as the user's mask says.
fn new_file(beside: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(beside)
}

/// Moves everything of one folder into another, as `docker buildx build` merges a result into a folder
/// that is there: files take the place of files, and folders become one. No link is followed.
fn merge(from: &Path, into: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        let known = match fs::symlink_metadata(&target) {
            Ok(known) => Some(known),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let is_folder = entry.file_type()?.is_dir();
        let is_known_folder = known.as_ref().is_some_and(fs::Metadata::is_dir);
        if is_known_folder && !is_folder {
            return Err(refused(&format!(
                "{} is a folder, and would become a file",
                target.display()
            )));
        }
        if !is_folder {
            fs::rename(entry.path(), target)?;
            continue;
        }
        // What nobody may write into cannot be emptied or moved either.
        let attributes = folder::Attributes::of(&entry.path())?;
        folder::make_writable(&entry.path())?;
        if is_known_folder {
            merge(&entry.path(), &target)?;
        } else {
            if known.is_some() {
                fs::remove_file(&target)?;
            }
            fs::rename(entry.path(), &target)?;
        }
        attributes.give(&target)?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests;
