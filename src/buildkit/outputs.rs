//! Where results go, in BuildKit's words: its exporters.

use std::collections::BTreeMap;

use bollard_buildkit_proto::moby::buildkit::v1::Exporter;

use crate::execute::ports::Output;
use crate::oci::Repository;
use crate::plan::{
    AnnotationLevel, BuildSpec, CompressionKind, ExportKind, INPUTS_LABEL, ImageOptions,
};

/// How an image comes into an Engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    /// It is made in the Engine's containerd store.
    Store,
    /// It is made in the Engine's classic store, which has an exporter of its own (moby,
    /// builder-next/exporter).
    ClassicStore,
    /// It is sent through the session, as another builder makes it.
    Session,
}

/// The same outputs in as few as possible: those to repositories whose registries are spoken to alike are
/// one, which serves them one after the other. BuildKit before 0.13 has room for one.
pub(super) fn in_one(outputs: &[Output]) -> Vec<Output> {
    let mut pushes: BTreeMap<bool, Vec<Repository>> = BTreeMap::new();
    let mut others = Vec::new();
    for output in outputs {
        match output {
            Output::Push {
                repositories,
                insecure,
            } => pushes
                .entry(*insecure)
                .or_default()
                .extend(repositories.iter().cloned()),
            Output::Load { .. } | Output::Export(_) => others.push(output.clone()),
        }
    }
    let pushes = pushes.into_iter();
    let pushes = pushes.map(|(insecure, repositories)| Output::Push {
        repositories,
        insecure,
    });
    pushes.chain(others).collect()
}

/// How an image is written, in the exporter's words.
fn written(image: &ImageOptions) -> Vec<(&'static str, String)> {
    let mut attributes = vec![("oci-mediatypes", (!image.docker_media_types).to_string())];
    if let Some(compression) = image.compression {
        let kind = match compression.kind {
            CompressionKind::Gzip => "gzip",
            CompressionKind::Zstd => "zstd",
            CompressionKind::Estargz => "estargz",
            CompressionKind::Uncompressed => "uncompressed",
        };
        attributes.push(("compression", kind.to_owned()));
        if let Some(level) = compression.level {
            attributes.push(("compression-level", level.to_string()));
        }
        if compression.force {
            attributes.push(("force-compression", "true".to_owned()));
        }
    }
    if image.rewrite_timestamp {
        attributes.push(("rewrite-timestamp", "true".to_owned()));
    }
    attributes
}

/// An exporter's attributes. Annotations are its business, and not the frontend's
/// (exporter/containerimage/exptypes, `AnnotationKey`).
pub(super) fn exporter(output: &Output, spec: &BuildSpec, loading: Loading) -> Exporter {
    let mut kind = "image";
    let is_pushed = matches!(output, Output::Push { .. });
    let attributes = match output {
        // Nothing is named, kept or unpacked in the Engine: the cheapest way to a registry.
        Output::Push {
            repositories,
            insecure,
        } => {
            let mut attributes = vec![
                ("name", joined(repositories)),
                ("push", "true".to_owned()),
                ("push-by-digest", "true".to_owned()),
                ("store", "false".to_owned()),
            ];
            attributes.extend(written(&spec.image));
            if *insecure {
                attributes.push(("registry.insecure", "true".to_owned()));
            }
            attributes
        }
        Output::Export(export) => {
            kind = match export.kind {
                ExportKind::OciArchive | ExportKind::OciFolder => "oci",
                ExportKind::Docker => "docker",
                ExportKind::Tar => "tar",
                ExportKind::Local => "local",
            };
            let mut attributes = Vec::new();
            if export.kind.is_image() {
                attributes.push(("name", joined(&export.names)));
                // The one kind has media types of its own, and the other those of the OCI.
                let is_own = |(key, _): &(&str, String)| *key != "oci-mediatypes";
                attributes.extend(written(&spec.image).into_iter().filter(is_own));
            }
            if export.kind == ExportKind::OciFolder {
                attributes.push(("tar", "false".to_owned()));
            }
            attributes
        }
        Output::Load { references } => match loading {
            Loading::Store => vec![
                ("name", joined(references)),
                ("unpack", "true".to_owned()),
                ("oci-mediatypes", "true".to_owned()),
            ],
            Loading::ClassicStore => {
                kind = "moby";
                // It takes no empty name for none.
                let names = (!references.is_empty()).then(|| ("name", joined(references)));
                names.into_iter().collect()
            }
            // An archive. That of docker has one image in it and no more; what Engines load of the
            // other kind are those with the containerd store.
            Loading::Session => {
                let is_plain = spec.platforms.len() < 2 && !spec.is_attested();
                kind = if is_plain { "docker" } else { "oci" };
                vec![("name", joined(references))]
            }
        },
    };
    // Files alone have nothing to write them on.
    let is_image = !matches!(output, Output::Export(export) if !export.kind.is_image());
    let annotations = spec.annotations.iter().filter(|_| is_image);
    let annotations = annotations.flat_map(|(level, values)| {
        let level = match level {
            AnnotationLevel::Manifest => "annotation-manifest",
            AnnotationLevel::Index => "annotation-index",
            AnnotationLevel::ManifestDescriptor => "annotation-manifest-descriptor",
            AnnotationLevel::IndexDescriptor => "annotation-index-descriptor",
        };
        let values = values.iter();
        values.map(move |(key, value)| (format!("{level}.{key}"), value.clone()))
    });
    // What is said in a label is given on to images that are built `FROM` this one; an annotation is not.
    let said = spec.labels.get(INPUTS_LABEL);
    let said = said.filter(|inputs| is_pushed && !inputs.is_empty());
    let said = said.map(|inputs| {
        (
            format!("annotation-manifest.{INPUTS_LABEL}"),
            inputs.clone(),
        )
    });
    let attributes = attributes.into_iter();
    Exporter {
        r#type: kind.to_owned(),
        attrs: attributes
            .map(|(key, value)| (key.to_owned(), value))
            .chain(annotations)
            .chain(said)
            .collect(),
    }
}

/// Values as one, between commas.
pub(super) fn joined<T: ToString>(values: &[T]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Reference;

    #[test]
    fn what_is_spoken_to_alike_is_one_output_and_the_rest_stays_apart() {
        let push = |names: &[&str], insecure| {
            let repository = |name: &&str| {
                let reference: Reference = format!("{name}/api").parse().unwrap();
                reference.repository().clone()
            };
            Output::Push {
                repositories: names.iter().map(repository).collect(),
                insecure,
            }
        };
        let load = Output::Load {
            references: Vec::new(),
        };
        let outputs = [
            push(&["a.example"], false),
            push(&["b.example"], true),
            load.clone(),
            push(&["c.example"], false),
        ];
        assert_eq!(
            in_one(&outputs),
            [
                push(&["a.example", "c.example"], false),
                push(&["b.example"], true),
                load,
            ]
        );
    }
}
