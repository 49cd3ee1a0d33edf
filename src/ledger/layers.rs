//! How layers are called once they are compressed, from one run to the next. Nothing of it is needed:
//! without it layers are compressed once more to find out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Error, Ledger, write_whole};
use crate::oci::Digest;

/// How many layers are remembered.
const MOST: usize = 10_000;
/// The largest file that is read back, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// What layers are called, by how they came to that name and their digests before they were compressed.
///
/// What stands here was true when it was written and stays so: a digest says what its bytes are, and the
/// other digest what those are before they are compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    ways: BTreeMap<String, BTreeMap<Digest, Compressed>>,
}

/// A layer as a registry has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compressed {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Layers {
    /// What a layer is called when it was compressed in some `way`, for example `gzip-6`.
    pub fn find(&self, way: &str, layer: &Digest) -> Option<&Compressed> {
        self.ways.get(way)?.get(layer)
    }

    /// What the layers of an image are called, where that was kept.
    pub fn of(&self, image: &str) -> Option<&BTreeMap<Digest, Compressed>> {
        self.ways.get(image)
    }

    /// Remembers what the layers of an image are called.
    pub fn keep(&mut self, image: &str, layers: BTreeMap<Digest, Compressed>) {
        self.make_room(layers.len());
        self.ways.insert(image.to_owned(), layers);
    }

    /// Remembers what a layer is called that was compressed in some `way`.
    pub fn add(&mut self, way: &str, layer: Digest, compressed: Compressed) {
        self.make_room(1);
        let way = self.ways.entry(way.to_owned()).or_default();
        way.insert(layer, compressed);
    }

    fn make_room(&mut self, layers: usize) {
        let known: usize = self.ways.values().map(|layers| layers.len() + 1).sum();
        if known + layers > MOST {
            // Which of them still matter is not known; those that do are looked at once more.
            self.ways.clear();
        }
    }
}

impl Ledger {
    /// The layers that are remembered; none where the file is not there or cannot be read.
    pub fn layers(&self) -> Layers {
        let path = self.folder.join("layers.json");
        let is_fine = path.metadata().is_ok_and(|found| found.len() <= LARGEST);
        let bytes = is_fine.then(|| std::fs::read(&path).ok()).flatten();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Remembers layers for the next run.
    pub fn keep_layers(&self, layers: &Layers) -> Result<(), Error> {
        let path = self.folder.join("layers.json");
        let bytes = serde_json::to_vec(layers)
            .map_err(|error| Error::files("write", &path)(error.into()))?;
        write_whole(&path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_remembered_by_how_they_were_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path(), "shop", folder.path()).unwrap();
        assert_eq!(ledger.layers(), Layers::default());
        let (layer, digest) = (Digest::of(b"layer"), Digest::of(b"compressed"));
        let compressed = Compressed { digest, size: 10 };
        let mut layers = Layers::default();
        layers.add("gzip-6", layer.clone(), compressed.clone());
        ledger.keep_layers(&layers).unwrap();
        let read = ledger.layers();
        assert_eq!(read.find("gzip-6", &layer), Some(&compressed));
        assert_eq!(read.find("gzip-9", &layer), None);
        std::fs::write(ledger.folder().join("layers.json"), b"{\"ways\":{\"gz").unwrap();
        assert_eq!(ledger.layers(), Layers::default());
    }

    #[test]
    fn what_is_remembered_does_not_grow_for_ever() {
        let mut layers = Layers::default();
        for number in 0..=MOST {
            let digest = Digest::of(&number.to_le_bytes());
            let compressed = Compressed {
                digest: digest.clone(),
                size: 1,
            };
            layers.add("gzip-6", digest, compressed);
        }
        assert!(layers.ways["gzip-6"].len() < 3);
    }
}
