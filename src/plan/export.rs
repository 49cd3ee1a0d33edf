//! Where results go that are no images in a registry or an Engine: `--output`, as `docker buildx build`
//! has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Target;

/// What a result is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportKind {
    /// An image layout in one archive (OCI image specification, image-layout.md).
    OciArchive,
    /// An image layout in a folder.
    OciFolder,
    /// An archive that `docker load` reads.
    Docker,
    /// The files of the result in an archive.
    Tar,
    /// The files of the result in a folder.
    Local,
}

/// What was typed behind `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSpec {
    /// What is written.
    pub kind: ExportKind,
    /// Where to, with `{{service}}` and `{{project}}` in it.
    destination: String,
}

/// Where the result of one service goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// What is written.
    pub kind: ExportKind,
    /// Where to, absolute.
    pub path: PathBuf,
}

/// The keys that are known, and those of them that only some kinds know.
const KNOWN: &str = "type, dest and, for oci, tar";

impl ExportKind {
    /// Whether it holds one image with its name, and not only its files.
    pub fn is_image(self) -> bool {
        matches!(self, Self::OciArchive | Self::OciFolder | Self::Docker)
    }

    /// Whether it is a folder.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::OciFolder | Self::Local)
    }

    /// What can be in it only once: `docker load` knows one platform, and no attestations.
    pub fn is_plain(self) -> bool {
        self == Self::Docker
    }
}

impl ExportSpec {
    /// Reads `type=oci,dest=out.tar`, or a folder alone (buildx, util/buildflags/export.go). Gives what is
    /// wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("it is empty".to_owned());
        }
        let is_short = !text.contains('=') && !text.contains(',');
        if is_short && text.trim_end_matches('/').is_empty() {
            return Err("it has no dest: a file, or a folder".to_owned());
        }
        if is_short && text != "-" {
            return Ok(Self {
                kind: ExportKind::Local,
                destination: text.to_owned(),
            });
        }
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        for field in text.split(',').filter(|_| !is_short) {
            let Some((key, value)) = field.split_once('=') else {
                return Err(format!("`{field}` is no KEY=VALUE"));
            };
            let key = key.trim().to_lowercase();
            if !["type", "dest", "tar"].contains(&key.as_str()) {
                return Err(format!("`{key}` is not known here: {KNOWN} are"));
            }
            if fields
                .insert(key.clone(), value.trim().to_owned())
                .is_some()
            {
                return Err(format!("`{key}` is there twice"));
            }
        }
        let destination = fields.remove("dest");
        if is_short || destination.as_deref() == Some("-") {
            return Err(
                "castoff writes results to files and folders, and not to the standard output: name one, with {{service}} in it where there are several services"
                    .to_owned(),
            );
        }
        let kind = match fields.remove("type").as_deref() {
            Some("oci") => match fields.remove("tar").as_deref() {
                None | Some("true" | "1") => ExportKind::OciArchive,
                Some("false" | "0") => ExportKind::OciFolder,
                Some(other) => return Err(format!("tar is `{other}`, and neither true nor false")),
            },
            Some("docker") => ExportKind::Docker,
            Some("tar") => ExportKind::Tar,
            Some("local") => ExportKind::Local,
            Some("image" | "registry") => {
                return Err("`castoff publish` brings images to registries, and `castoff build` alone into the Engine".to_owned());
            }
            Some(other) => {
                return Err(format!(
                    "the type is `{other}`, and none of oci, docker, tar and local"
                ));
            }
            None => return Err("it has no type: oci, docker, tar or local".to_owned()),
        };
        if fields.contains_key("tar") {
            return Err("`tar` is for the type oci".to_owned());
        }
        let is_place = |destination: &String| !destination.trim_end_matches('/').is_empty();
        match destination.filter(is_place) {
            Some(destination) => Ok(Self { kind, destination }),
            None => Err("it has no dest: a file, or a folder".to_owned()),
        }
    }

    /// Where the result of each of `targets` goes, by their services; paths are meant from `folder`. Two
    /// that would be written to one place, or one into another, are an error.
    pub fn exports<'a>(
        &self,
        project: &str,
        targets: impl Iterator<Item = &'a Target>,
        folder: &Path,
    ) -> Result<BTreeMap<String, Export>, String> {
        let mut exports: BTreeMap<String, Export> = BTreeMap::new();
        for target in targets {
            if self.kind.is_plain() && target.platforms.len() > 1 {
                return Err(format!(
                    "service `{}` is built for {} platforms, and an archive of docker holds one: use type=oci",
                    target.service,
                    target.platforms.len()
                ));
            }
            let path = self.path(project, &target.service)?;
            let path = folder.join(path);
            let clash = exports.iter().find(|(_, other)| {
                other.path == path
                    || (self.kind.is_folder()
                        && (other.path.starts_with(&path) || path.starts_with(&other.path)))
            });
            if let Some((other, _)) = clash {
                return Err(format!(
                    "services `{other}` and `{}` would both be written to {}: put {{{{service}}}} into dest",
                    target.service,
                    path.display()
                ));
            }
            let kind = self.kind;
            exports.insert(target.service.clone(), Export { kind, path });
        }
        Ok(exports)
    }

    fn path(&self, project: &str, service: &str) -> Result<PathBuf, String> {
        let path = self.destination.replace("{{service}}", service);
        let path = path.replace("{{project}}", project);
        if path.contains("{{") {
            return Err(format!(
                "`{}`: only {{{{service}}}} and {{{{project}}}} are known here",
                self.destination
            ));
        }
        Ok(path.trim_end_matches('/').into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(ExportKind, String), String> {
        ExportSpec::parse(text).map(|spec| (spec.kind, spec.destination))
    }

    #[test]
    fn outputs_are_read_as_buildx_reads_them() {
        use ExportKind::{Docker, Local, OciArchive, OciFolder, Tar};
        for (text, kind, destination) in [
            ("out", Local, "out"),
            ("./out/{{service}}", Local, "./out/{{service}}"),
            ("type=local,dest=out", Local, "out"),
            ("type=oci,dest=a.tar", OciArchive, "a.tar"),
            ("type=oci,tar=true,dest=a.tar", OciArchive, "a.tar"),
            ("dest=a,tar=false,type=oci", OciFolder, "a"),
            ("type=docker,dest=a.tar", Docker, "a.tar"),
            ("type=tar, dest=a.tar", Tar, "a.tar"),
        ] {
            assert_eq!(parsed(text), Ok((kind, destination.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_no_output_is_said() {
        for (text, wrong) in [
            ("", "empty"),
            ("-", "standard output"),
            ("type=tar,dest=-", "standard output"),
            ("type=oci", "no dest"),
            ("type=oci,dest=", "no dest"),
            ("dest=a", "no type"),
            ("type=zip,dest=a", "zip"),
            ("type=registry", "castoff publish"),
            ("type=oci,dest=a,tar=maybe", "maybe"),
            ("type=docker,dest=a,tar=false", "for the type oci"),
            ("type=oci,dest=a,compression=zstd", "compression"),
            ("type=oci,dest=a,dest=b", "twice"),
            ("type=oci,a", "KEY=VALUE"),
        ] {
            let message = parsed(text).expect_err(text);
            assert!(message.contains(wrong), "{text}: {message}");
        }
        // It is refused for one service, too, and so for another reason.
        let message = parsed("-").expect_err("-");
        assert!(!message.contains("several services cannot"), "{message}");
    }
}
