use super::csv;
use super::error::{Error, ImageProblem};

/// An image name as `--image` gives it: `name`, `name=NAME`, `NAME,enable=false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The repository, in lower case (docker/metadata-action, `sanitizeImageName`).
    pub name: String,
    /// Whether tags are made for it.
    pub enabled: bool,
}

impl Image {
    /// Reads a list of images (docker/metadata-action, `image.ts`). A single text without any `=`
    /// is a list of its own: `a/b,c/d` names two.
    pub fn parse_all<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Self>, Error> {
        let mut images = Vec::new();
        for text in texts {
            let text = text.as_ref();
            let refused = |problem| Error::Image {
                text: super::printable(text, 200),
                problem,
            };
            let records = csv::records(text).map_err(|error| refused(ImageProblem::Csv(error)))?;
            for record in records {
                if texts.len() == 1 && record.iter().all(|field| !field.text.contains('=')) {
                    let names = record.iter().map(|field| Self::enabled(&field.text));
                    // An empty name is no image, nor is it one to the action (`Meta.generateTags`).
                    images.extend(names.filter(|image| !image.name.is_empty()));
                } else {
                    images.push(Self::parse(&record).map_err(refused)?);
                }
            }
        }
        Ok(images)
    }

    fn enabled(name: &str) -> Self {
        Self {
            name: name.trim().to_lowercase(),
            enabled: true,
        }
    }

    fn parse(record: &[csv::Field]) -> Result<Self, ImageProblem> {
        let mut image = Self::enabled("");
        for field in record {
            let mut parts = field.text.split('=').map(str::trim);
            let key = parts.next().unwrap_or_default();
            let Some(value) = parts.next() else {
                image.name = key.to_lowercase();
                continue;
            };
            match (key.to_lowercase().as_str(), value) {
                ("name", name) => image.name = name.to_lowercase(),
                ("enable", "true") => image.enabled = true,
                ("enable", "false") => image.enabled = false,
                ("enable", _) => {
                    return Err(ImageProblem::Enable {
                        value: super::printable(value, 40),
                    });
                }
                (unknown, _) => {
                    return Err(ImageProblem::UnknownAttribute {
                        nearest: super::nearest(unknown, &["name", "enable"]),
                        name: super::printable(unknown, 40),
                    });
                }
            }
        }
        if image.name.is_empty() {
            return Err(ImageProblem::NoName);
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<(String, bool)> {
        Image::parse_all(texts)
            .unwrap()
            .into_iter()
            .map(|image| (image.name, image.enabled))
            .collect()
    }

    #[test]
    fn names_attributes_and_the_old_list() {
        let on = |name: &str| (name.to_owned(), true);
        assert_eq!(names(&["a/b,C/d"]), [on("a/b"), on("c/d")]);
        assert_eq!(names(&["a/b", " c/d "]), [on("a/b"), on("c/d")]);
        assert_eq!(names(&["a,"]), [on("a")]);
        assert_eq!(names(&[",a, ,b"]), [on("a"), on("b")]);
        assert_eq!(
            names(&["name=ghcr.io/A/b", "c,enable=false"]),
            [on("ghcr.io/a/b"), ("c".to_owned(), false)]
        );
    }

    #[test]
    fn what_is_no_image_is_an_error() {
        for texts in [
            vec!["a,enable=maybe"],
            vec!["a,nmae=b"],
            vec!["name=,enable=true"],
            vec!["a", "\"b"],
        ] {
            assert!(Image::parse_all(&texts).is_err(), "{texts:?}");
        }
    }
}
