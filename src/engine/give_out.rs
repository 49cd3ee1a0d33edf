//! An image as the Engine saves it, taken apart: its configuration as it is, its layers compressed.
//!
//! The archive is that of `docker save`, read from its beginning to the last thing that is wanted of it:
//! since Engine 25 an OCI layout in which each file bears its digest (`blobs/sha256/…`), before that a
//! folder for each layer (`…/layer.tar`) and the configuration beside them (`….json`). Digests are
//! verified over the bytes, so nothing is taken for what it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};
use tokio::sync::mpsc;

use crate::execute::ports::{GivenOut, LayerFile, Wanted};
use crate::oci::Digest;

/// The largest configuration that is read into memory, in bytes.
const MAX_CONFIG: u64 = 16 * 1024 * 1024;
/// How much of a layer is moved at once, in bytes.
const PIECE: usize = 128 * 1024;
/// The field for the system in the head of what is compressed: unknown (RFC 1952, section 2.3.1). With the
/// time left out, too, equal layers are equal wherever they are compressed.
const UNKNOWN_SYSTEM: u8 = 255;

/// Reads the archive of `image` until everything wanted of it was there.
pub(super) fn take_apart(
    archive: impl Read,
    image: &Digest,
    mut wanted: Wanted,
) -> io::Result<GivenOut> {
    let mut config = None;
    let mut layers = BTreeMap::new();
    for entry in Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        match kind(&entry.path()?, image, &wanted.layers) {
            Kind::Config => {
                let mut bytes = Vec::new();
                entry
                    .by_ref()
                    .take(MAX_CONFIG + 1)
                    .read_to_end(&mut bytes)?;
                if !image.verifies(&bytes) {
                    return Err(io::Error::other(
                        "its configuration is not that of the image",
                    ));
                }
                config = Some(bytes);
            }
            Kind::Layer => {
                let (digest, file) = pack(&mut entry, &wanted)?;
                if wanted.layers.remove(&digest) {
                    layers.insert(digest, Arc::new(file));
                }
            }
            Kind::Other => {}
        }
        match config {
            Some(config) if wanted.layers.is_empty() => return Ok(GivenOut { config, layers }),
            _ => {}
        }
    }
    let missing = match wanted.layers.first() {
        Some(layer) => format!("layer {layer}"),
        None => "its configuration".to_owned(),
    };
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{missing} is not in what the Engine sent"),
    ))
}

/// What a file of the archive is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Config,
    /// A layer that is wanted, or in an old archive may be.
    Layer,
    Other,
}

fn kind(path: &Path, image: &Digest, wanted: &BTreeSet<Digest>) -> Kind {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    if path.starts_with("blobs") {
        let digest = format!("sha256:{name}").parse::<Digest>();
        return match digest {
            Ok(digest) if digest == *image => Kind::Config,
            Ok(digest) if wanted.contains(&digest) => Kind::Layer,
            _ => Kind::Other,
        };
    }
    if name.strip_suffix(".json") == Some(image.hex()) {
        Kind::Config
    } else if name == "layer.tar" && !wanted.is_empty() {
        Kind::Layer
    } else {
        Kind::Other
    }
}

/// Compresses a layer into a file of its own. Gives its digest before that, too.
fn pack(layer: &mut impl Read, wanted: &Wanted) -> io::Result<(Digest, LayerFile)> {
    let mut sink = Sink {
        file: tempfile::tempfile_in(&wanted.folder)?,
        hash: Sha256::new(),
        size: 0,
    };
    let hash = match wanted.gzip {
        Some(level) => {
            let gzip = GzBuilder::new().operating_system(UNKNOWN_SYSTEM);
            let mut gzip = gzip.write(&mut sink, Compression::new(level.into()));
            let hash = pour(layer, &mut gzip)?;
            gzip.finish()?;
            hash
        }
        None => pour(layer, &mut sink)?,
    };
    let file = LayerFile {
        digest: Digest::from_sha256(&sink.hash.finalize()),
        size: sink.size,
        file: Mutex::new(sink.file),
    };
    Ok((hash, file))
}

/// Moves everything, and gives its digest. It goes on in pieces of one size however it comes, so that
/// what is compressed does not depend on that.
fn pour(from: &mut impl Read, to: &mut impl Write) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        from.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(Digest::from_sha256(&hash.finalize()));
        }
        hash.update(&piece);
        to.write_all(&piece)?;
    }
}

/// A file that is hashed as it is written.
struct Sink {
    file: File,
    hash: Sha256,
    size: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What comes in pieces, for who reads and waits. It ends as a file that is cut where whoever sends the
/// pieces goes away.
pub(super) struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Incoming {
    pub(super) fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..length) {
            self.piece.copy_to_slice(buffer);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use flate2::read::GzDecoder;

    use super::*;

    /// An archive of files.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, path, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn wanted(layers: &[&[u8]], gzip: Option<u8>) -> (tempfile::TempDir, Wanted) {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Wanted {
            layers: layers.iter().map(|layer| Digest::of(layer)).collect(),
            gzip,
            folder: folder.path().to_owned(),
        };
        (folder, wanted)
    }

    fn bytes_of(layer: &LayerFile) -> Vec<u8> {
        let mut file = layer.file.lock().unwrap();
        file.rewind().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, layer.size);
        assert_eq!(Digest::of(&bytes), layer.digest);
        bytes
    }

    const CONFIG: &[u8] = br#"{"rootfs":{}}"#;

    fn blob(bytes: &[u8]) -> String {
        format!("blobs/sha256/{}", Digest::of(bytes).hex())
    }

    #[test]
    fn an_archive_of_today_gives_what_is_wanted_and_no_more_is_read() {
        let (one, other) = (vec![1; 300_000], vec![2; 2_000]);
        let archive = archive(&[
            (&blob(&one), &one),
            (&blob(CONFIG), CONFIG),
            (&blob(&other), &other),
        ]);
        let (folder, wanted) = wanted(&[&one], Some(6));
        // What follows the configuration is cut off.
        let enough = &archive[..archive.len() - 4_000];
        let image = Digest::of(CONFIG);
        let given = take_apart(enough, &image, wanted).unwrap();
        assert_eq!(given.config, CONFIG);
        assert_eq!(given.layers.len(), 1);
        let packed = bytes_of(&given.layers[&Digest::of(&one)]);
        let mut layer = Vec::new();
        GzDecoder::new(&*packed).read_to_end(&mut layer).unwrap();
        assert_eq!(layer, one);
        // Nobody who is killed leaves anything.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_archive_of_old_engines_gives_the_same() {
        let (one, other) = (vec![1; 3_000], vec![2; 2_000]);
        let config = format!("{}.json", Digest::of(CONFIG).hex());
        let archive = archive(&[
            ("aa/VERSION", b"1.0"),
            ("aa/json", b"{}"),
            ("aa/layer.tar", &one),
            ("bb/layer.tar", &other),
            (&config, CONFIG),
        ]);
        let (_folder, wanted) = wanted(&[&other], None);
        let given = take_apart(&*archive, &Digest::of(CONFIG), wanted).unwrap();
        assert_eq!(given.layers.len(), 1);
        assert_eq!(bytes_of(&given.layers[&Digest::of(&other)]), other);
    }

    #[test]
    fn what_is_cut_missing_or_false_is_an_error() {
        let layer = vec![1; 3_000];
        let image = Digest::of(CONFIG);
        let whole = archive(&[(&blob(&layer), &layer), (&blob(CONFIG), CONFIG)]);
        let says = |archive: &[u8], layers: &[&[u8]]| {
            let (_folder, wanted) = wanted(layers, Some(1));
            let error = take_apart(archive, &image, wanted).unwrap_err();
            error.to_string()
        };
        says(&whole[..1_000], &[&layer]);
        assert!(says(&whole, &[&layer, b"other"]).starts_with("layer sha256:"));
        let nothing = archive(&[("oci-layout", b"{}")]);
        assert!(says(&nothing, &[]).starts_with("its configuration is not in"));
        let path = blob(CONFIG);
        let false_config = archive(&[(&path, b"{}")]);
        assert!(says(&false_config, &[]).contains("not that of the image"));
        let path = blob(&layer);
        let false_layer = archive(&[(&path, b"other"), (&blob(CONFIG), CONFIG)]);
        assert!(says(&false_layer, &[&layer]).starts_with("layer sha256:"));
    }

    /// A layer that is compressed anew has to be the layer that the registry has. Whoever changes this
    /// digest has every user send every layer of a classic store once more.
    #[test]
    fn equal_layers_are_compressed_to_equal_bytes() {
        let layer: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let config = blob(CONFIG);
        let archive = archive(&[(&blob(&layer), &layer), (&config, CONFIG)]);
        let digest = || {
            let (_folder, wanted) = wanted(&[&layer], Some(6));
            let given = take_apart(&*archive, &Digest::of(CONFIG), wanted).unwrap();
            given.layers[&Digest::of(&layer)].digest.to_string()
        };
        assert_eq!(digest(), digest());
        assert_eq!(
            digest(),
            "sha256:6e742d05e6534a4ddde0b05bf09d3c25503992edb12210f1ac0c2dfdbb9a2e6c"
        );
    }

    #[test]
    fn whoever_goes_away_is_the_end() {
        let (sender, receiver) = mpsc::channel(2);
        sender.try_send(Bytes::from_static(b"abc")).unwrap();
        sender.try_send(Bytes::new()).unwrap();
        drop(sender);
        let mut incoming = Incoming::new(receiver);
        let mut read = [0; 2];
        assert_eq!(incoming.read(&mut read).unwrap(), 2);
        assert_eq!(incoming.read(&mut read).unwrap(), 1);
        assert_eq!(incoming.read(&mut read).unwrap(), 0);
    }
}
