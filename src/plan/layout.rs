use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::oci::{Digest, Tag};

/// What the address of an image layout begins with.
pub(super) const LAYOUT_SCHEME: &str = "oci-layout://";

/// An image in an image layout (OCI image specification, image-layout.md), as `oci-layout://PATH`, with
/// `:TAG` and `@DIGEST` where they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayout {
    /// The folder, absolute.
    pub path: PathBuf,
    /// The tag, by which the folder's index knows the image.
    pub tag: Option<Tag>,
    /// The digest; it wins over the tag.
    pub digest: Option<Digest>,
}

impl ImageLayout {
    /// Reads an address; a relative path is meant from `directory`. `None` for an address of another
    /// kind. What looks like neither tag nor digest belongs to the path (buildx, util/ocilayout,
    /// `Parse`).
    pub(super) fn parse(address: &str, directory: &Path) -> Option<Self> {
        let mut path = address.strip_prefix(LAYOUT_SCHEME)?;
        let mut digest = None;
        if let Some((before, behind)) = path.rsplit_once('@')
            && let Ok(parsed) = behind.parse()
        {
            (path, digest) = (before, Some(parsed));
        }
        let mut tag = None;
        if let Some((before, behind)) = path.rsplit_once(':')
            && let Ok(parsed) = behind.parse()
        {
            (path, tag) = (before, Some(parsed));
        }
        Some(Self {
            path: directory.join(path),
            tag,
            digest,
        })
    }
}

impl fmt::Display for ImageLayout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{LAYOUT_SCHEME}{}", self.path.display())?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{}", tag.as_str())?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for ImageLayout {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_and_digest_come_off_the_end_of_the_path() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (address, path, tag, with_digest) in [
            ("oci-layout:///abs", "/abs", None, false),
            ("oci-layout://rel/x:1.3", "/p/rel/x", Some("1.3"), false),
            ("oci-layout:///a@DIGEST", "/a", None, true),
            ("oci-layout:///a/@/b:v1@DIGEST", "/a/@/b", Some("v1"), true),
            ("oci-layout:///a/@/b", "/a/@/b", None, false),
            ("oci-layout:///a:b/c", "/a:b/c", None, false),
        ] {
            let address = address.replace("DIGEST", &digest);
            let layout = ImageLayout::parse(&address, Path::new("/p")).unwrap();
            assert_eq!(layout.path, Path::new(path), "{address}");
            assert_eq!(layout.tag.as_ref().map(Tag::as_str), tag, "{address}");
            assert_eq!(layout.digest.is_some(), with_digest, "{address}");
        }
        assert_eq!(
            ImageLayout::parse("docker-image://a", Path::new("/p")),
            None
        );
    }
}
