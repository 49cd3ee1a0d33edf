use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::Sha256;
use sha2::digest::DynDigest;
use tempfile::NamedTempFile;

use crate::oci::Digest;

/// The largest index that is read, in bytes. Real ones have a few hundred.
const MAX_INDEX: u64 = 4 * 1024 * 1024;
/// The name of an image in an index (OCI image specification, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name of an image, as containerd writes it.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// How often, and how far apart, a locked index is tried again.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A folder with an image layout (OCI image specification, image-layout.md): blobs by their digests, and
/// an index of names. Whose it is nobody knows: what is no plain file, or lies behind a symbolic
/// link within it, is not read.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout that is at `root`.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        if !fs::metadata(root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The layout at `root`, made where there is none.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Self::open(root)
    }

    /// A blob and its size. A digest is letters and digits, so its path leads nowhere else.
    pub(super) fn blob(&self, digest: &Digest) -> io::Result<(File, u64)> {
        let mut path = self.root.clone();
        for folder in ["blobs", digest.algorithm()] {
            path.push(folder);
            if !fs::symlink_metadata(&path)?.is_dir() {
                return Err(refused("is no folder"));
            }
        }
        path.push(digest.hex());
        if !fs::symlink_metadata(&path)?.is_file() {
            return Err(refused("is no plain file"));
        }
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// A blob that is what its digest says.
    pub(super) fn verify(&self, digest: &Digest) -> io::Result<()> {
        let (mut file, _) = self.blob(digest)?;
        let mut hash = hasher(digest.algorithm());
        let mut chunk = vec![0; 256 * 1024];
        loop {
            let length = file.read(&mut chunk)?;
            if length == 0 {
                break;
            }
            hash.update(chunk.get(..length).unwrap_or_default());
        }
        if hex::encode(hash.finalize()) == digest.hex() {
            Ok(())
        } else {
            Err(refused("does not have the digest that is its name"))
        }
    }

    /// What the index has under a name or a tag; `None` where it has nothing (BuildKit,
    /// client/ociindex, `Get`).
    pub(super) fn find(&self, tag: &str) -> io::Result<Option<Digest>> {
        let index = self.index()?;
        let found = [IMAGE_NAME, REF_NAME].iter().find_map(|key| {
            let mut manifests = manifests(&index);
            manifests.find(|manifest| annotation(manifest, key) == Some(tag))
        });
        found.map(digest_of).transpose()
    }

    /// The one manifest of the index; `None` where there are several.
    pub(super) fn single(&self) -> io::Result<Option<Digest>> {
        let index = self.index()?;
        let mut manifests = manifests(&index);
        match (manifests.next(), manifests.next()) {
            (Some(manifest), None) => digest_of(manifest).map(Some),
            _ => Ok(None),
        }
    }

    fn index(&self) -> io::Result<Value> {
        let path = self.root.join("index.json");
        if !fs::metadata(&path)?.is_file() {
            return Err(refused("index.json is no file"));
        }
        let mut text = Vec::new();
        File::open(path)?
            .take(MAX_INDEX + 1)
            .read_to_end(&mut text)?;
        if text.len() as u64 > MAX_INDEX {
            return Err(refused("index.json is too large"));
        }
        serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Begins to write a blob.
    pub(super) fn begin(&self) -> io::Result<Ingest> {
        let folder = self.root.join("ingest");
        fs::create_dir_all(&folder)?;
        Ok(Ingest {
            root: self.root.clone(),
            file: NamedTempFile::new_in(folder)?,
            hash: Sha256::default(),
            written: 0,
        })
    }

    /// Names a manifest in the index; what had the name before loses it. Others who write the same
    /// folder wait for each other (BuildKit, client/ociindex, `Put`).
    pub(super) fn put(&self, manifest: &Value, tag: &str) -> io::Result<()> {
        self.insert(manifest, &[(None, tag)])
    }

    /// The same for an image, by its whole names; as `latest` where it has none.
    pub(super) fn put_image(&self, manifest: &Value, names: &[String]) -> io::Result<()> {
        let tag = |name: &'_ str| match name.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => tag.to_owned(),
            _ => name.to_owned(),
        };
        let tags: Vec<(&String, String)> = names.iter().map(|name| (name, tag(name))).collect();
        let named = tags.iter();
        let mut names: Vec<_> = named
            .map(|(name, tag)| (Some(name.as_str()), tag.as_str()))
            .collect();
        if names.is_empty() {
            names.push((None, "latest"));
        }
        self.insert(manifest, &names)
    }

    /// Puts a manifest into the index, once for each of its names: whole, where it has one, and short.
    fn insert(&self, manifest: &Value, names: &[(Option<&str>, &str)]) -> io::Result<()> {
        let digest = digest_of(manifest)?;
        self.blob(&digest)?;
        let lock = File::create(self.root.join("index.json.lock"))?;
        wait_for(&lock)?;
        let mut index = match self.index() {
            Ok(index) if index.is_object() => index,
            Ok(_) => return Err(refused("index.json is no index")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => json!({
                "schemaVersion": 2,
                "mediaType": crate::oci::media_type::OCI_INDEX,
            }),
            Err(error) => return Err(error),
        };
        let mut kept: Vec<Value> = manifests(&index).cloned().collect();
        for (image, tag) in names {
            kept.retain(|known| {
                annotation(known, REF_NAME) != Some(tag) || annotation(known, IMAGE_NAME) != *image
            });
            let mut manifest = manifest.clone();
            if let Some(manifest) = manifest.as_object_mut() {
                let annotations = manifest.entry("annotations").or_insert_with(|| json!({}));
                if let Some(annotations) = annotations.as_object_mut() {
                    annotations.insert(REF_NAME.to_owned(), json!(tag));
                    if let Some(image) = image {
                        annotations.insert(IMAGE_NAME.to_owned(), json!(image));
                    }
                }
            }
            kept.push(manifest);
        }
        if let Some(index) = index.as_object_mut() {
            index.insert("manifests".to_owned(), Value::Array(kept));
        }
        self.write("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
        self.write("index.json", &index)
    }

    /// Replaces a file at once, so that nobody reads a half of it.
    fn write(&self, name: &str, value: &Value) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.root)?;
        file.write_all(value.to_string().as_bytes())?;
        readable(file.as_file())?;
        file.persist(self.root.join(name))?;
        Ok(())
    }
}

/// Waits for a lock, and not for ever. It is let go when the file is closed.
fn wait_for(lock: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "another program holds index.json.lock",
    ))
}

fn manifests(index: &Value) -> impl Iterator<Item = &Value> {
    let manifests = index.get("manifests").and_then(Value::as_array);
    manifests.into_iter().flatten()
}

fn annotation<'a>(manifest: &'a Value, key: &str) -> Option<&'a str> {
    manifest.get("annotations")?.get(key)?.as_str()
}

fn digest_of(manifest: &Value) -> io::Result<Digest> {
    let text = manifest.get("digest").and_then(Value::as_str);
    let text = text.unwrap_or_default();
    text.parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn hasher(algorithm: &str) -> Box<dyn DynDigest + Send> {
    match algorithm {
        "sha384" => Box::new(sha2::Sha384::default()),
        "sha512" => Box::new(sha2::Sha512::default()),
        _ => Box::new(sha2::Sha256::default()),
    }
}

fn refused(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Temporary files are for their owner alone; a cache that another user reads is not.
fn readable(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    let _ = file;
    Ok(())
}

/// A blob while it is written. It is gone when it is dropped before its end.
pub(super) struct Ingest {
    root: PathBuf,
    file: NamedTempFile,
    hash: Sha256,
    written: u64,
}

impl Ingest {
    /// How many bytes there are.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The digest of what there is.
    pub(super) fn digest(&self) -> Digest {
        Digest::from_sha256(&sha2::Digest::finalize(self.hash.clone()))
    }

    /// Begins again.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.as_file_mut().set_len(0)?;
        self.file.as_file_mut().rewind()?;
        self.hash = Sha256::default();
        self.written = 0;
        Ok(())
    }

    /// Adds bytes at the end.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        sha2::Digest::update(&mut self.hash, bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Puts the blob in its place.
    pub(super) fn commit(self) -> io::Result<Digest> {
        let digest = self.digest();
        let folder = self.root.join("blobs").join(digest.algorithm());
        fs::create_dir_all(&folder)?;
        readable(self.file.as_file())?;
        self.file.persist(folder.join(digest.hex()))?;
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_blob(bytes: &[u8]) -> (tempfile::TempDir, Layout, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(&folder.path().join("new/one")).unwrap();
        let mut ingest = layout.begin().unwrap();
        ingest.write(bytes).unwrap();
        let digest = ingest.commit().unwrap();
        (folder, layout, digest)
    }

    fn descriptor(digest: &Digest) -> Value {
        json!({"mediaType": "m", "digest": digest.as_str(), "size": 3})
    }

    #[test]
    fn a_name_goes_from_one_manifest_to_the_next() {
        let (_folder, layout, one) = with_blob(b"one");
        let mut ingest = layout.begin().unwrap();
        ingest.write(b"two").unwrap();
        let two = ingest.commit().unwrap();
        layout.put(&descriptor(&one), "latest").unwrap();
        layout.put(&descriptor(&one), "old").unwrap();
        layout.put(&descriptor(&two), "latest").unwrap();
        assert_eq!(layout.find("latest").unwrap(), Some(two));
        assert_eq!(layout.find("old").unwrap(), Some(one));
        assert_eq!(layout.find("other").unwrap(), None);
        assert_eq!(layout.single().unwrap(), None);
    }

    #[test]
    fn a_manifest_that_is_not_there_gets_no_name() {
        let (_folder, layout, _) = with_blob(b"one");
        let absent = descriptor(&Digest::of(b"absent"));
        assert!(layout.put(&absent, "latest").is_err());
        assert!(layout.find("latest").is_err());
    }

    #[test]
    fn a_blob_that_was_changed_is_refused() {
        let (_folder, layout, digest) = with_blob(b"one");
        layout.verify(&digest).unwrap();
        let path = layout.root.join("blobs/sha256").join(digest.hex());
        fs::write(path, b"two").unwrap();
        assert!(layout.verify(&digest).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_folders_are_no_blobs() {
        let (folder, layout, digest) = with_blob(b"one");
        let blobs = layout.root.join("blobs/sha256");
        let secret = folder.path().join("secret");
        fs::write(&secret, b"secret").unwrap();
        let link = Digest::of(b"secret");
        std::os::unix::fs::symlink(&secret, blobs.join(link.hex())).unwrap();
        assert!(layout.blob(&link).is_err());
        let directory = Digest::of(b"directory");
        fs::create_dir(blobs.join(directory.hex())).unwrap();
        assert!(layout.blob(&directory).is_err());
        fs::rename(&blobs, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &blobs).unwrap();
        assert!(layout.blob(&digest).is_err());
    }

    #[test]
    fn an_index_without_bounds_is_not_read() {
        let (_folder, layout, _) = with_blob(b"one");
        let file = File::create(layout.root.join("index.json")).unwrap();
        file.set_len(MAX_INDEX + 1).unwrap();
        assert!(
            layout
                .find("latest")
                .unwrap_err()
                .to_string()
                .contains("too large")
        );
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let (_folder, layout, _) = with_blob(b"one");
        let mut ingest = layout.begin().unwrap();
        ingest.write(b"half").unwrap();
        drop(ingest);
        assert_eq!(fs::read_dir(layout.root.join("ingest")).unwrap().count(), 0);
    }
}
