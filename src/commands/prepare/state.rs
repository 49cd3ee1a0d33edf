//! What is remembered between runs so that the next one is faster and can name what changed. Nothing of it
//! is needed: without it everything is read.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::inputs::StatCache;
use crate::oci::Digest;
use crate::plan::{ImageFacts, LastInputs};

/// What images say of themselves. Another way to find it out is another name.
const IMAGES: &str = "images-2.json";
/// How many images are remembered.
const MOST_IMAGES: usize = 5_000;
/// The largest file that is read back, in bytes.
const LARGEST: u64 = 256 * 1024 * 1024;

/// The folder of the project's state, where there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    folder: Option<PathBuf>,
}

impl State {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    pub(super) fn stat_cache(&self) -> StatCache {
        self.path("stat")
            .map(|path| StatCache::open(&path))
            .unwrap_or_default()
    }

    pub(super) fn keep_stat_cache(&self, cache: &StatCache) {
        if let Some(path) = self.path("stat") {
            // What cannot be kept is read again.
            let _ = cache.save(&path);
        }
    }

    /// What images say of themselves. An image never changes, so this is never out of date.
    pub(super) fn images(&self) -> BTreeMap<Digest, ImageFacts> {
        self.read(IMAGES).unwrap_or_default()
    }

    pub(super) fn keep_images(&self, images: &BTreeMap<Digest, ImageFacts>) {
        if images.len() <= MOST_IMAGES {
            self.write(IMAGES, images);
        } else {
            // Which of them still matter is not known; those that do are read once more.
            self.write(IMAGES, &BTreeMap::<Digest, ImageFacts>::new());
        }
    }

    /// What images have builds do that begin with them, by their digests and the platforms of the builds.
    pub(super) fn triggers(&self) -> BTreeMap<String, Vec<String>> {
        self.read("triggers.json").unwrap_or_default()
    }

    pub(super) fn keep_triggers(&self, triggers: &BTreeMap<String, Vec<String>>) {
        if triggers.len() <= MOST_IMAGES {
            self.write("triggers.json", triggers);
        } else {
            // As above.
            self.write("triggers.json", &BTreeMap::<String, Vec<String>>::new());
        }
    }

    /// What was published last of a service.
    pub(super) fn last(&self, service: &str) -> Option<LastInputs> {
        self.read(&file_of(service))
    }

    pub(super) fn keep_last(&self, service: &str, last: &LastInputs) {
        self.write(&file_of(service), last);
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.path(name)?;
        if path.metadata().ok()?.len() > LARGEST {
            return None;
        }
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    fn write(&self, name: &str, value: &impl serde::Serialize) {
        if let Some(path) = self.path(name) {
            // As above.
            let _ = write_whole(&path, value);
        }
    }
}

/// The names of compose's services are names of files, but for their letters' case on some systems, where
/// two services then share what is only a help.
fn file_of(service: &str) -> String {
    format!("inputs/{service}.json")
}

/// Writes a file whole or not at all, for nobody else to read: it has hashes of build arguments.
fn write_whole(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
