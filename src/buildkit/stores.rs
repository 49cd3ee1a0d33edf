use super::layout::Layout;
use super::session::Stores;
use crate::execute::ports::BuilderError;
use crate::plan::ImageLayout;

/// Offers an image layout to the builder, and says it in the frontend's words: by a name that is not
/// its path, and by a digest, which is all that the builder can look up (BuildKit,
/// source/containerimage, `Resolve`).
pub(super) fn context(
    name: &str,
    image: &ImageLayout,
    stores: &mut Stores,
) -> Result<String, BuilderError> {
    let failed = |message: String| {
        BuilderError::Input {
        what: format!("context `{name}`: {}", image.path.display()),
        message,
        hint: Some(
            "an image layout is a folder with `index.json` and `blobs`, as from `docker buildx build -o type=oci,tar=false`".to_owned(),
        ),
    }
    };
    let layout = Layout::open(&image.path).map_err(|error| failed(error.to_string()))?;
    let digest = match &image.digest {
        Some(digest) => digest.clone(),
        None => {
            let tag = image.tag.as_ref().map_or("latest", |tag| tag.as_str());
            // One image is meant whatever it is called (buildx, build/opt.go, `resolveDigest`).
            let found = layout.find(tag).and_then(|found| match found {
                Some(digest) => Ok(Some(digest)),
                None => layout.single(),
            });
            found
                .map_err(|error| failed(error.to_string()))?
                .ok_or_else(|| failed(format!("its index has no image `{tag}`")))?
        }
    };
    layout
        .verify(&digest)
        .map_err(|error| failed(format!("{digest}: {error}")))?;
    let store = stores.offer("oci", &image.path, layout, false);
    let tag = image.tag.as_ref().map_or("latest", |tag| tag.as_str());
    Ok(format!("oci-layout://{store}:{tag}@{digest}"))
}
