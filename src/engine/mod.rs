//! The Docker Engine's own API: what it keeps, what of it may go, and images on their way in and out.
//!
//! The only room that knows bollard, and how an Engine saves images. Knows images, containers and volumes
//! of a project by their labels. Must not know what is to be removed (`plan::retention` decides), how
//! images are built, or where they go. Start reading at [`DockerEngine::contents`].

mod give_out;
mod transport;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error as BollardError;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, ImageSummary};
use bollard::query_parameters::{
    ImportImageOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptions,
    RemoveImageOptions, RemoveVolumeOptions,
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc;

use self::give_out::Incoming;
use crate::dial::Address;
use crate::execute::ports::{Archive, Engine, EngineError, GivenOut, Wanted};
use crate::oci::{Digest, Reference};
use crate::plan::retention::{Contents, LocalContainer, LocalImage, LocalVolume, Thing};
use crate::plan::{PROJECT_LABEL, SERVICE_LABEL};

/// The labels by which docker compose marks what is a project's
/// (docker/compose, pkg/api/labels.go).
const COMPOSE_PROJECT_LABEL: &str = "com.docker.compose.project";
const COMPOSE_SERVICE_LABEL: &str = "com.docker.compose.service";
/// What compose says of its containers only, and no image hands down to one.
const COMPOSE_CONTAINER_LABEL: &str = "com.docker.compose.container-number";

/// The Docker Engine, wherever it is.
pub struct DockerEngine {
    docker: Docker,
}

impl DockerEngine {
    /// The Engine at `address`. Nothing is opened yet.
    pub fn at(address: Address) -> Result<Self, EngineError> {
        let docker = transport::client(address).map_err(failed("reach the Docker Engine"))?;
        Ok(Self { docker })
    }

    /// The images with the project's labels: those that castoff or docker compose built, and those that
    /// anybody built on them, as labels are inherited.
    async fn images(&self, project: &str) -> Result<Vec<LocalImage>, EngineError> {
        let mut found: HashMap<String, ImageSummary> = HashMap::new();
        for label in [PROJECT_LABEL, COMPOSE_PROJECT_LABEL] {
            let filters = HashMap::from([("label", vec![format!("{label}={project}")])]);
            let options = ListImagesOptionsBuilder::new().filters(&filters).build();
            let images = self.docker.list_images(Some(options)).await;
            for image in images.map_err(failed("list images"))? {
                found.insert(image.id.clone(), image);
            }
        }
        let mut images = Vec::new();
        for summary in found.into_values() {
            images.push(self.image(summary).await?);
        }
        images.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(images)
    }

    async fn image(&self, summary: ImageSummary) -> Result<LocalImage, EngineError> {
        let service = [SERVICE_LABEL, COMPOSE_SERVICE_LABEL]
            .iter()
            .find_map(|label| summary.labels.get(*label));
        let made = Timestamp::from_second(summary.created).unwrap_or(Timestamp::UNIX_EPOCH);
        // An image may be made with any date, so what counts is when it was last given a name.
        let inspected = self.docker.inspect_image(&summary.id).await;
        let tagged = match inspected {
            Ok(inspected) => inspected
                .metadata
                .and_then(|metadata| metadata.last_tag_time)
                .and_then(|time| time.parse::<Timestamp>().ok()),
            Err(BollardError::DockerResponseServerError {
                status_code: 404, ..
            }) => None,
            Err(error) => return Err(failed("inspect an image")(error)),
        };
        Ok(LocalImage {
            service: service.cloned().unwrap_or_default(),
            names: summary
                .repo_tags
                .into_iter()
                .filter(|name| !name.contains("<none>"))
                .collect(),
            made: tagged.map_or(made, |tagged| tagged.max(made)),
            bytes: u64::try_from(summary.size).unwrap_or_default(),
            id: summary.id,
        })
    }

    /// When a stopped container stopped.
    async fn stopped(&self, container: &ContainerSummary) -> Option<Timestamp> {
        let is_stopped = matches!(
            container.state,
            Some(ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD)
        );
        if !is_stopped {
            return None;
        }
        let id = container.id.as_deref()?;
        let inspected = self
            .docker
            .inspect_container(id, None::<InspectContainerOptions>);
        let finished = inspected.await.ok()?.state?.finished_at?;
        finished.parse().ok()
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn contents(&self, project: &str) -> Result<Contents, EngineError> {
        let mut contents = Contents {
            images: self.images(project).await?,
            ..Contents::default()
        };
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .size(true)
            .build();
        let containers = self.docker.list_containers(Some(options)).await;
        for container in containers.map_err(failed("list containers"))? {
            contents.used_images.extend(container.image.clone());
            contents.used_images.extend(container.image_id.clone());
            contents.used_volumes.extend(
                container
                    .mounts
                    .iter()
                    .flatten()
                    .filter_map(|mount| mount.name.clone()),
            );
            let labels = container.labels.clone().unwrap_or_default();
            let is_ours = [PROJECT_LABEL, COMPOSE_PROJECT_LABEL]
                .iter()
                .any(|label| labels.get(*label).is_some_and(|name| name == project));
            if is_ours {
                contents.containers.push(LocalContainer {
                    image: container.image_id.clone().unwrap_or_default(),
                    composed: labels.contains_key(COMPOSE_CONTAINER_LABEL),
                    stopped: self.stopped(&container).await,
                    name: container
                        .names
                        .as_ref()
                        .and_then(|names| names.first())
                        .map(|name| name.trim_start_matches('/').to_owned())
                        .unwrap_or_default(),
                    bytes: container
                        .size_rw
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or_default(),
                    id: container.id.unwrap_or_default(),
                });
            }
        }
        let label = vec![format!("{COMPOSE_PROJECT_LABEL}={project}")];
        let filters = HashMap::from([("label", label)]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let volumes = self.docker.list_volumes(Some(options)).await;
        let volumes = volumes.map_err(failed("list volumes"))?.volumes;
        contents.volumes = volumes
            .into_iter()
            .flatten()
            .map(|volume| LocalVolume { name: volume.name })
            .collect();
        Ok(contents)
    }

    async fn remove(&self, thing: &Thing) -> Result<bool, EngineError> {
        match thing {
            Thing::Image(image) => {
                // By every name, as a removal by id would need force where there are several.
                let names: BTreeSet<&String> = if image.names.is_empty() {
                    BTreeSet::from([&image.id])
                } else {
                    image.names.iter().collect()
                };
                let mut removed = true;
                for name in names {
                    let options = RemoveImageOptions::default();
                    let answer = self.docker.remove_image(name, Some(options), None).await;
                    removed &= unless_in_use(answer.map(drop), "remove an image")?;
                }
                Ok(removed)
            }
            Thing::Container(container) => {
                let options = RemoveContainerOptions::default();
                let answer = self
                    .docker
                    .remove_container(&container.id, Some(options))
                    .await;
                unless_in_use(answer, "remove a container")
            }
            Thing::Volume(volume) => {
                let options = RemoveVolumeOptions::default();
                let answer = self.docker.remove_volume(&volume.name, Some(options)).await;
                unless_in_use(answer, "remove a volume")
            }
        }
    }

    async fn load(&self, archive: Archive) -> Result<(), EngineError> {
        let patient = self.docker.clone().with_timeout(LOAD_LIMIT);
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let mut answers = patient.import_image_stream(options, archive, None);
        while let Some(answer) = answers.next().await {
            answer.map_err(failed("load an image"))?;
        }
        Ok(())
    }

    async fn layers(&self, image: &Digest) -> Result<Vec<Digest>, EngineError> {
        let doing = "look at an image";
        let inspected = self.docker.inspect_image(image.as_str()).await;
        let inspected = inspected.map_err(failed(doing))?;
        let layers = inspected.root_fs.and_then(|root| root.layers);
        let layers = layers.unwrap_or_default().into_iter();
        let layers = layers.map(|layer| layer.parse::<Digest>());
        layers
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(doing, &error))
    }

    async fn give_out(&self, image: &Digest, wanted: Wanted) -> Result<GivenOut, EngineError> {
        let doing = "take an image out of the Engine";
        let patient = self.docker.clone().with_timeout(LOAD_LIMIT);
        let mut pieces = std::pin::pin!(patient.export_image(image.as_str()));
        let (sender, receiver) = mpsc::channel(WAITING);
        let taking_apart = {
            let image = image.clone();
            let incoming = Incoming::new(receiver);
            tokio::task::spawn_blocking(move || give_out::take_apart(incoming, &image, wanted))
        };
        // Whoever waits for this and goes away ends the reader, too, as the pieces do.
        let mut limit = LOAD_LIMIT;
        let sent = loop {
            match tokio::time::timeout(limit, pieces.next()).await {
                Ok(Some(Ok(piece))) => {
                    if sender.send(piece).await.is_err() {
                        // Everything that is wanted was there, or there is no place for it.
                        break Ok(());
                    }
                    limit = STALL_LIMIT;
                }
                Ok(Some(Err(error))) => break Err(failed(doing)(error)),
                Ok(None) => break Ok(()),
                Err(_) => {
                    let message = format!("nothing came for {} s", limit.as_secs());
                    break Err(wrong(doing, &message));
                }
            }
        };
        drop(sender);
        let given = taking_apart.await.map_err(|error| wrong(doing, &error))?;
        sent?;
        given.map_err(|error| EngineError {
            hint: (error.kind() == std::io::ErrorKind::StorageFull).then(|| {
                "layers wait beside castoff's state: free some space there, or set CASTOFF_STATE to a folder on another disk"
                    .to_owned()
            }),
            ..wrong(doing, &error)
        })
    }

    async fn forget(&self, name: &Reference) -> Result<bool, EngineError> {
        let name = name.to_string();
        let options = RemoveImageOptions::default();
        let removed = self.docker.remove_image(&name, Some(options), None);
        unless_in_use(removed.await.map(drop), "remove an image")
    }
}

/// How long an image may take to be loaded, and how long the Engine may take to write one to its own disk
/// before it gives it out.
const LOAD_LIMIT: Duration = Duration::from_hours(1);
/// How long an image that is on its way out may stand still.
const STALL_LIMIT: Duration = Duration::from_mins(1);
/// How many pieces of an image wait on its way out.
const WAITING: usize = 16;

/// Whether something was removed: what is in use by now (409) or gone already (404) was not.
fn unless_in_use(
    answer: Result<(), BollardError>,
    doing: &'static str,
) -> Result<bool, EngineError> {
    match answer {
        Ok(()) => Ok(true),
        Err(BollardError::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(false),
        Err(error) => Err(failed(doing)(error)),
    }
}

fn wrong(doing: &str, error: &dyn std::fmt::Display) -> EngineError {
    EngineError {
        doing: doing.to_owned(),
        message: error.to_string(),
        hint: None,
    }
}

fn failed(doing: &'static str) -> impl Fn(BollardError) -> EngineError {
    move |error| EngineError {
        doing: doing.to_owned(),
        message: error.to_string(),
        hint: None,
    }
}
