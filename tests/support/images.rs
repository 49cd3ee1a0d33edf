//! Images made of pseudo-random bytes, for registries to hold.

use std::io::Write as _;

use castoff::oci::{Digest, RawManifest, media_type};
use serde_json::{Value, json};

/// The label and the annotation that say what an image was built from.
const INPUTS: &str = "dev.castoff.inputs";

/// One image: its manifest and every blob it refers to.
#[derive(Clone, Debug)]
pub struct Image {
    pub manifest: RawManifest,
    pub blobs: Vec<Vec<u8>>,
}

/// An index and the images below it.
#[derive(Clone, Debug)]
pub struct Tree {
    pub index: RawManifest,
    pub images: Vec<Image>,
}

/// `length` bytes that look random and are the same for the same `seed`.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A seed that no earlier run used.
pub fn fresh() -> u64 {
    u64::from(uuid::Uuid::new_v4().as_fields().0) << 20
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() })
}

/// A layer and the digest of what it unpacks to.
#[derive(Clone, Debug)]
struct Layer {
    blob: Vec<u8>,
    diff_id: Digest,
}

impl Layer {
    /// `length` bytes of noise. Registries do not look into layers.
    fn noise(seed: u64, length: usize) -> Self {
        let blob = noise(seed, length);
        let diff_id = Digest::of(&blob);
        Self { blob, diff_id }
    }

    /// A compressed archive with one file of `length` bytes, for who does look.
    fn archive(seed: u64, length: usize) -> Self {
        let file = noise(seed, length);
        let mut header = tar::Header::new_ustar();
        header.set_size(length as u64);
        header.set_mode(0o644);
        let mut archive = tar::Builder::new(Vec::new());
        let name = format!("file-{seed}");
        archive
            .append_data(&mut header, name, file.as_slice())
            .unwrap();
        let archive = archive.into_inner().unwrap();
        let diff_id = Digest::of(&archive);
        let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        compressed.write_all(&archive).unwrap();
        let blob = compressed.finish().unwrap();
        Self { blob, diff_id }
    }
}

/// An image with a configuration and layers of the given sizes.
pub fn image(seed: u64, architecture: &str, layers: &[usize]) -> Image {
    let layers = (seed..).zip(layers);
    let layers: Vec<Layer> = layers
        .map(|(seed, size)| Layer::noise(seed, *size))
        .collect();
    image_of(architecture, layers)
}

/// A small image for linux/amd64 that says this of itself.
pub fn labelled(seed: u64, labels: &[(&str, &str)]) -> Image {
    labelled_for("amd64", seed, labels)
}

/// The same for another architecture.
pub fn labelled_for(architecture: &str, seed: u64, labels: &[(&str, &str)]) -> Image {
    let labels: serde_json::Map<String, Value> = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    saying(architecture, vec![Layer::noise(seed, 20)], &labels, true)
}

/// An image that has these triggers from `ONBUILD`.
pub fn triggering(seed: u64, triggers: &[&str]) -> Image {
    let config = json!({ "OnBuild": triggers });
    image_with("amd64", vec![Layer::noise(seed, 20)], config, None)
}

/// What a builder makes `FROM` an image with these labels: they are still there, annotations are not.
pub fn derived(seed: u64, labels: &[(&str, &str)]) -> Image {
    let labels = labels.iter();
    let labels = labels.map(|(name, value)| ((*name).to_owned(), json!(value)));
    saying(
        "amd64",
        vec![Layer::noise(seed, 20)],
        &labels.collect(),
        false,
    )
}

fn image_of(architecture: &str, layers: Vec<Layer>) -> Image {
    saying(architecture, layers, &serde_json::Map::new(), true)
}

fn saying(
    architecture: &str,
    layers: Vec<Layer>,
    labels: &serde_json::Map<String, Value>,
    is_own: bool,
) -> Image {
    let mut config = json!({});
    if !labels.is_empty() {
        config["Labels"] = json!(labels);
    }
    // As castoff has it built: what an image was built from is said in its manifest, too.
    let said = labels.get(INPUTS).filter(|said| is_own && *said != "");
    image_with(architecture, layers, config, said)
}

fn image_with(
    architecture: &str,
    layers: Vec<Layer>,
    config: Value,
    inputs: Option<&Value>,
) -> Image {
    let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": config, "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = serde_json::to_vec(&config).unwrap();
    let mut blobs: Vec<Vec<u8>> = layers.into_iter().map(|layer| layer.blob).collect();
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, &config),
        "layers": blobs.iter().map(|blob| descriptor(layer_type, blob)).collect::<Vec<_>>(),
    });
    if let Some(inputs) = inputs {
        manifest["annotations"] = json!({ INPUTS: inputs });
    }
    blobs.push(config);
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    Image {
        manifest: RawManifest::new(media_type::OCI_MANIFEST, bytes),
        blobs,
    }
}

/// An attestation as BuildKit makes it: an image whose layer is an in-toto statement.
fn attestation(seed: u64) -> Image {
    let statement = serde_json::to_vec(&json!({ "seed": seed, "predicateType": "x" })).unwrap();
    let config = serde_json::to_vec(
        &json!({ "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&statement)] } }),
    )
    .unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, &config),
        "layers": [descriptor("application/vnd.in-toto+json", &statement)],
    });
    Image {
        manifest: RawManifest::new(
            media_type::OCI_MANIFEST,
            serde_json::to_vec(&manifest).unwrap(),
        ),
        blobs: vec![statement, config],
    }
}

/// An index over amd64 and arm64, each with an attestation, as BuildKit makes it. The first layer
/// is the same in both.
pub fn tree(seed: u64, layer: usize) -> Tree {
    tree_of(seed, &Layer::noise(seed, layer), &["amd64", "arm64"])
}

/// The same for amd64 alone.
pub fn small_tree(seed: u64, layer: usize) -> Tree {
    tree_of(seed, &Layer::noise(seed, layer), &["amd64"])
}

/// The same with layers that can be unpacked.
pub fn real_tree(seed: u64, layer: usize) -> Tree {
    tree_of(seed, &Layer::archive(seed, layer), &["amd64", "arm64"])
}

/// The same for these architectures, each saying this of itself.
pub fn tree_saying(seed: u64, architectures: &[&str], labels: &[(String, String)]) -> Tree {
    let labels = labels.iter();
    let labels = labels.map(|(name, value)| (name.clone(), json!(value)));
    let shared = Layer::noise(seed, 64);
    labelled_tree_of(seed, &shared, architectures, &labels.collect())
}

/// An index over one image for linux/amd64.
pub fn index_of(image: Image) -> Tree {
    let mut entry = descriptor(media_type::OCI_MANIFEST, image.manifest.bytes());
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    Tree {
        index: index(&[entry]),
        images: vec![image],
    }
}

fn tree_of(seed: u64, shared: &Layer, architectures: &[&str]) -> Tree {
    labelled_tree_of(seed, shared, architectures, &serde_json::Map::new())
}

fn labelled_tree_of(
    seed: u64,
    shared: &Layer,
    architectures: &[&str],
    labels: &serde_json::Map<String, Value>,
) -> Tree {
    let mut images = Vec::new();
    let mut entries = Vec::new();
    for architecture in architectures {
        let number = if *architecture == "amd64" { 1 } else { 2 };
        let own = Layer::archive(seed + number * 1000, 100);
        let platform = saying(architecture, vec![shared.clone(), own], labels, true);
        let mut entry = descriptor(media_type::OCI_MANIFEST, platform.manifest.bytes());
        entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
        let digest = platform.manifest.digest().clone();
        images.push(platform);
        entries.push(entry);
        let attestation = attestation(seed + number);
        let mut entry = descriptor(media_type::OCI_MANIFEST, attestation.manifest.bytes());
        entry["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        entry["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": digest,
        });
        images.push(attestation);
        entries.push(entry);
    }
    Tree {
        index: index(&entries),
        images,
    }
}

/// An index over these entries.
pub fn index(entries: &[Value]) -> RawManifest {
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries,
    });
    RawManifest::new(media_type::OCI_INDEX, serde_json::to_vec(&index).unwrap())
}

/// An entry of an index for a manifest.
pub fn entry(manifest: &RawManifest) -> Value {
    descriptor(manifest.media_type(), manifest.bytes())
}

/// An artifact with a subject, such as a signature or a release record.
pub fn artifact(subject: &RawManifest, kind: &str) -> Image {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": kind,
        "config": descriptor(media_type::OCI_EMPTY, b"{}"),
        "layers": [descriptor(media_type::OCI_EMPTY, b"{}")],
        "subject": descriptor(subject.media_type(), subject.bytes()),
        "annotations": { "dev.castoff.kind": kind },
    });
    Image {
        manifest: RawManifest::new(
            media_type::OCI_MANIFEST,
            serde_json::to_vec(&manifest).unwrap(),
        ),
        blobs: vec![b"{}".to_vec()],
    }
}
