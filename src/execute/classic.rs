//! An Engine as a builder, whichever image store it has. One with the containerd store pushes by itself.
//! From the classic store an Engine pushes by tag only, which would move tags before the commit: so the
//! image is built into the store, taken out, and pushed from here by its digest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Mutex;

use super::base_layers::{BaseLayer, base_layers};
use super::own_step::Step;
use super::ports::{
    BuildOrder, Builder, BuilderError, Built, Engine, EngineError, GivenOut, Handed, LayerFile,
    Output, Registry, RegistryError, RegistryFault, Survey, Wanted, WriteTarget,
};
use crate::cx::Cx;
use crate::ledger::{Compressed, Layers, Ledger};
use crate::oci::{Descriptor, Digest, Manifest, RawManifest, Reference, Repository, media_type};
use crate::plan::retention::OUTGOING;
use crate::plan::{
    AnnotationLevel, BuildSpec, CLASSIC_STORE_REMEDY, CompressionKind, INPUTS_LABEL,
};

/// What a manifest consists of when it is made here (OCI image-spec, manifest).
const SCHEMA_VERSION: u32 = 2;
/// How layers are compressed where nothing is said, as dockerd does it (moby, `distribution/push_v2.go`: the
/// usual level of gzip).
const USUAL_LEVEL: u8 = 6;
/// How long the Engine may take to drop an image that nobody needs any more.
const FORGET_LIMIT: Duration = Duration::from_secs(10);
/// How many layers of an image are looked for, or sent, at once; each registry has its own limits besides.
const AT_ONCE: usize = 8;

/// A Docker Engine that builds, and keeps what it has built.
pub struct EngineBuilder {
    builder: Arc<dyn Builder>,
    engine: Arc<dyn Engine>,
    registry: Arc<dyn Registry>,
    ledger: Ledger,
    /// Images are taken out one after the other, so that a layer of two of them is compressed once.
    store: Mutex<Store>,
    /// The base images of each service whose build has begun, with those of the services that it builds
    /// on, which began before.
    bases: StdMutex<HashMap<String, Pins>>,
}

/// Images, and the digests that they are pinned to.
type Pins = BTreeMap<Reference, Digest>;

/// What is known of layers.
#[derive(Default)]
struct Store {
    /// What they are called, once it was read.
    known: Option<Layers>,
    /// Those that some service is still sending.
    files: HashMap<(String, Digest), Weak<LayerFile>>,
}

/// How the layers of an image become those of a registry.
struct Way {
    /// The level of gzip, unless they stay as they are.
    gzip: Option<u8>,
    /// Whether those of base images stay what they are, as long as they are compressed with gzip.
    keeps_bases: bool,
    /// Its name in the ledger.
    name: String,
}

impl Way {
    fn of(spec: &BuildSpec) -> Self {
        let compression = spec.image.compression;
        let gzip = match compression.map(|compression| compression.kind) {
            Some(CompressionKind::Uncompressed) => None,
            // Others are not asked for: preflight refuses them.
            _ => Some(
                compression
                    .and_then(|compression| compression.level)
                    .unwrap_or(USUAL_LEVEL),
            ),
        };
        let name = gzip.map_or_else(|| "tar".to_owned(), |level| format!("gzip-{level}"));
        Self {
            gzip,
            keeps_bases: gzip.is_some()
                && !compression.is_some_and(|compression| compression.force),
            name,
        }
    }
}

/// An image on its way out of the classic store.
struct Outgoing {
    /// Its layers as registries will have them, lowest first.
    layers: Vec<Compressed>,
    /// Its configuration.
    config: Vec<u8>,
    /// Those of its layers that are a base's, and come from where that is.
    borrowed: Vec<BaseLayer>,
    /// The files of those of the others that some repository lacks.
    files: Vec<Arc<LayerFile>>,
}

/// The name of what is built for `order`, as long as it is in the Engine: the same in every run with the
/// state in `folder`, and in none with another.
fn outgoing_name(folder: &Path, order: &BuildOrder) -> Result<Reference, BuilderError> {
    let platforms = order.spec.platforms.iter().map(ToString::to_string);
    let mut parts = vec![folder.display().to_string(), order.service.clone()];
    parts.extend(platforms);
    let name = format!(
        "{OUTGOING}:{}",
        Digest::of(parts.join("\0").as_bytes()).hex()
    );
    name.parse().map_err(|error| BuilderError::Lost {
        message: format!("`{name}` is no name for an image: {error}"),
    })
}

/// A file by the names of what is in it.
fn named(file: &LayerFile) -> Compressed {
    Compressed {
        digest: file.digest.clone(),
        size: file.size,
    }
}

impl EngineBuilder {
    /// The Engine that `builder` builds in and `engine` speaks for. What is on its way out is kept in
    /// the folder of `ledger`.
    pub fn new(
        builder: Arc<dyn Builder>,
        engine: Arc<dyn Engine>,
        registry: Arc<dyn Registry>,
        ledger: Ledger,
    ) -> Self {
        Self {
            builder,
            engine,
            registry,
            ledger,
            store: Mutex::default(),
            bases: StdMutex::default(),
        }
    }

    /// The images whose layers that of an order can have.
    fn bases_of(&self, order: &BuildOrder) -> Pins {
        let mut all = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bases = order.spec.pins.clone();
        for (service, handed) in &order.handed {
            match handed {
                Handed::Image(reference) => {
                    let digest = reference.digest().cloned();
                    bases.extend(digest.map(|digest| (reference.clone(), digest)));
                }
                Handed::Result(_) => bases.extend(all.get(service).cloned().unwrap_or_default()),
            }
        }
        all.insert(order.service.clone(), bases.clone());
        bases
    }

    /// Pushes an image of the store to every repository by its digest.
    async fn push(
        &self,
        cx: &Cx,
        (order, bases): (&BuildOrder, &Pins),
        image: &Digest,
        repositories: &[Repository],
    ) -> Result<Descriptor, BuilderError> {
        let way = Way::of(&order.spec);
        let step = Step::begin(cx, &order.service, "take the image out of the Engine");
        let outgoing = self.take_out(cx, (&order.spec, bases), image, repositories);
        let outgoing = outgoing.await;
        let outgoing = step.end(outgoing)?;
        let manifest = manifest(&order.spec, &way, &outgoing);
        let sending = repositories.iter().map(|repository| {
            let (outgoing, manifest) = (&outgoing, &manifest);
            async move {
                let name = format!("push to {repository}");
                let step = Step::begin(cx, &order.service, &name);
                let sent = self.send(cx, outgoing, manifest, repository).await;
                step.end(sent.map_err(|error| pushing(repository, &error)))
            }
        });
        let sending: Vec<_> = sending.collect();
        // The first that fails drops the others.
        let mut sending = stream::iter(sending).buffer_unordered(repositories.len().max(1));
        while let Some(()) = sending.try_next().await? {}
        Ok(manifest.descriptor())
    }

    /// Takes an image out of the store, with those of its layers that are not everywhere yet.
    async fn take_out(
        &self,
        cx: &Cx,
        (spec, bases): (&BuildSpec, &Pins),
        image: &Digest,
        repositories: &[Repository],
    ) -> Result<Outgoing, BuilderError> {
        let of_image = self.engine.layers(image);
        let of_image = cx.cancel.run_until_cancelled(of_image).await;
        let of_image = of_image.ok_or(BuilderError::Cancelled)??;
        if of_image.is_empty() {
            // moby, image/tarexport/save.go, `saveImage`: "empty export".
            return Err(BuilderError::Kept(EngineError {
                doing: "take the image out of the Engine".to_owned(),
                message: "it has no layers, and the classic store gives out no such image"
                    .to_owned(),
                hint: Some(CLASSIC_STORE_REMEDY.to_owned()),
            }));
        }
        let way = Way::of(spec);
        let mut store = self.store.lock().await;
        let store = &mut *store;
        if store.known.is_none() {
            store.known = Some(self.read_known().await);
        }
        let known = store.known.get_or_insert_default();
        let before = known.clone();
        let mut bases = if way.keeps_bases {
            self.base_layers(cx, (spec, bases), known).await?
        } else {
            BTreeMap::new()
        };
        let (mut names, mut lacking, mut files) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut borrowed = Vec::new();
        for layer in of_image.iter().collect::<BTreeSet<_>>() {
            if let Some(base) = bases.remove(layer) {
                names.insert(layer.clone(), base.compressed.clone());
                borrowed.push(base);
                continue;
            }
            if let Some(compressed) = known.find(&way.name, layer)
                && self.is_everywhere(cx, compressed, repositories).await?
            {
                names.insert(layer.clone(), compressed.clone());
                continue;
            }
            let held = store.files.get(&(way.name.clone(), layer.clone()));
            match held.and_then(Weak::upgrade) {
                Some(file) => {
                    names.insert(layer.clone(), named(&file));
                    files.push(file);
                }
                None => drop(lacking.insert(layer.clone())),
            }
        }
        let wanted = Wanted {
            layers: lacking,
            gzip: way.gzip,
            folder: self.ledger.folder().to_owned(),
        };
        let given = self.engine.give_out(image, wanted);
        let given = cx.cancel.run_until_cancelled(given).await;
        let GivenOut { config, layers } = given.ok_or(BuilderError::Cancelled)??;
        for (layer, file) in layers {
            known.add(&way.name, layer.clone(), named(&file));
            let key = (way.name.clone(), layer.clone());
            store.files.insert(key, Arc::downgrade(&file));
            names.insert(layer, named(&file));
            files.push(file);
        }
        store.files.retain(|_, file| file.strong_count() > 0);
        if *known != before {
            self.keep_known(known.clone()).await;
        }
        let layers = of_image.iter().map(|layer| names.get(layer).cloned());
        let layers: Option<Vec<Compressed>> = layers.collect();
        Ok(Outgoing {
            layers: layers.ok_or_else(|| BuilderError::Lost {
                message: "a layer was forgotten on its way out".to_owned(),
            })?,
            config,
            borrowed,
            files,
        })
    }

    /// The layers of base images for the platform of a build.
    async fn base_layers(
        &self,
        cx: &Cx,
        (spec, bases): (&BuildSpec, &Pins),
        known: &mut Layers,
    ) -> Result<BTreeMap<Digest, BaseLayer>, BuilderError> {
        let own = self.survey().await?.platforms;
        let Some(platform) = spec.platforms.first().or(own.first()) else {
            return Ok(BTreeMap::new());
        };
        Ok(base_layers(cx, &*self.registry, bases, platform, known).await)
    }

    /// Whether every repository has a layer, or has it now.
    async fn is_everywhere(
        &self,
        cx: &Cx,
        layer: &Compressed,
        repositories: &[Repository],
    ) -> Result<bool, BuilderError> {
        let asking = repositories.iter().map(|repository| async move {
            let has = self.registry.has_layer(cx, repository, &layer.digest).await;
            has.map_err(|error| pushing(repository, &error))
        });
        let asking: Vec<_> = asking.collect();
        let answers = stream::iter(asking).buffered(AT_ONCE);
        let answers: Vec<bool> = answers.try_collect().await?;
        Ok(answers.into_iter().all(|has| has))
    }

    /// Sends what a repository lacks, and the manifest last.
    async fn send(
        &self,
        cx: &Cx,
        outgoing: &Outgoing,
        manifest: &RawManifest,
        repository: &Repository,
    ) -> Result<(), RegistryError> {
        let registry = &self.registry;
        let borrowed = outgoing.borrowed.iter().map(|base| {
            let layer = (&base.compressed.digest, base.compressed.size);
            registry.copy_layer(cx, &base.from, layer, repository)
        });
        let files = outgoing.files.iter();
        let files = files.map(|file| registry.put_layer(cx, repository, file));
        let sending: Vec<_> = borrowed.chain(files).collect();
        stream::iter(sending)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let config = &outgoing.config;
        self.registry.put_blob(cx, repository, config).await?;
        let target = WriteTarget::Digest;
        self.registry
            .put_manifest(cx, repository, target, manifest)
            .await
    }

    async fn read_known(&self) -> Layers {
        let ledger = self.ledger.clone();
        let read = tokio::task::spawn_blocking(move || ledger.layers());
        read.await.unwrap_or_default()
    }

    /// Remembers what layers are called, for the next run, as well as it can.
    async fn keep_known(&self, known: Layers) {
        let ledger = self.ledger.clone();
        let kept = tokio::task::spawn_blocking(move || ledger.keep_layers(&known));
        let _ = kept.await;
    }
}

/// The manifest of an image of one platform.
fn manifest(spec: &BuildSpec, way: &Way, outgoing: &Outgoing) -> RawManifest {
    let (kind, config, layer, gzip) = if spec.image.docker_media_types {
        let layer = media_type::DOCKER_LAYER;
        (
            media_type::DOCKER_MANIFEST,
            media_type::DOCKER_CONFIG,
            layer,
            ".gzip",
        )
    } else {
        let layer = media_type::OCI_LAYER;
        (
            media_type::OCI_MANIFEST,
            media_type::OCI_CONFIG,
            layer,
            "+gzip",
        )
    };
    let descriptor = |media_type: String, digest: Digest, size| Descriptor {
        media_type,
        digest,
        size,
        platform: None,
        annotations: BTreeMap::new(),
        artifact_type: None,
    };
    let layers = outgoing.layers.iter().map(|compressed| {
        let end = way.gzip.map_or("", |_| gzip);
        let media_type = format!("{layer}{end}");
        descriptor(media_type, compressed.digest.clone(), compressed.size)
    });
    let bytes = &outgoing.config;
    let annotations = spec.annotations.get(&AnnotationLevel::Manifest);
    let mut annotations = annotations.cloned().unwrap_or_default();
    // As a builder that pushes by itself is asked to say it.
    let inputs = spec.labels.get(INPUTS_LABEL);
    if let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty()) {
        annotations.insert(INPUTS_LABEL.to_owned(), inputs.clone());
    }
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        media_type: Some(kind.to_owned()),
        artifact_type: None,
        config: descriptor(config.to_owned(), Digest::of(bytes), bytes.len() as u64),
        layers: layers.collect(),
        annotations,
        subject: None,
    };
    // Its fields are texts and numbers: there is nothing in it that JSON cannot say.
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    RawManifest::new(kind, bytes)
}

/// The same as the builder of another Engine would say it.
fn pushing(repository: &Repository, error: &RegistryError) -> BuilderError {
    if matches!(error.fault, RegistryFault::Cancelled) {
        return BuilderError::Cancelled;
    }
    BuilderError::Push {
        repository: Some(repository.clone()),
        message: error.fault.to_string(),
    }
}

#[async_trait]
impl Builder for EngineBuilder {
    fn name(&self) -> &str {
        self.builder.name()
    }

    async fn survey(&self) -> Result<Survey, BuilderError> {
        self.builder.survey().await
    }

    async fn build(&self, cx: &Cx, order: &BuildOrder) -> Result<Built, BuilderError> {
        let bases = self.bases_of(order);
        let repositories = order.outputs.iter().flat_map(|output| match output {
            Output::Push { repositories, .. } => repositories.as_slice(),
            Output::Load { .. } | Output::Export(_) => &[],
        });
        let repositories: Vec<Repository> = repositories.cloned().collect();
        if repositories.is_empty() || self.survey().await?.full_exporter {
            return self.builder.build(cx, order).await;
        }
        // By its name it is found again, also where the build was cancelled just when it was done, and by
        // the next run where this one or the Engine is killed.
        let name = outgoing_name(self.ledger.folder(), order)?;
        let forget = || tokio::time::timeout(FORGET_LIMIT, self.engine.forget(&name));
        let _ = forget().await;
        let kept = BuildOrder {
            outputs: vec![Output::Load {
                references: vec![name.clone()],
            }],
            ..order.clone()
        };
        let pushed = async {
            let built = self.builder.build(cx, &kept).await?;
            let image = built.digest.clone().ok_or_else(|| BuilderError::Lost {
                message: "the Engine answered without the image's id".to_owned(),
            })?;
            let descriptor = self
                .push(cx, (order, &bases), &image, &repositories)
                .await?;
            Ok::<_, BuilderError>((built, descriptor))
        };
        let pushed = pushed.await;
        // The next build finds its steps in the cache; an image that stays here is only in the way.
        let _ = forget().await;
        let (built, descriptor) = pushed?;
        Ok(Built {
            digest: Some(descriptor.digest.clone()),
            descriptor: Some(descriptor),
            ..built
        })
    }

    fn unset_secrets(&self, spec: &BuildSpec) -> Vec<String> {
        self.builder.unset_secrets(spec)
    }
}
