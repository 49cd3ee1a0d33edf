use super::csv;
use super::error::{Error, FlavorProblem};
use super::template::Template;

/// What holds for all rules: whether there is `latest`, and what every tag begins and ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flavor {
    /// Whether `latest` is made.
    pub latest: Latest,
    pub(super) prefix: Affix,
    pub(super) suffix: Affix,
}

/// Whether `latest` is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latest {
    /// The first rule that gives a tag decides.
    #[default]
    Auto,
    /// Always, when there is any tag.
    Always,
    /// Never.
    Never,
}

/// What stands before or behind every tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Affix {
    pub(super) template: Template,
    /// Whether `latest` has it, too.
    pub(super) on_latest: bool,
}

impl Affix {
    fn none() -> Self {
        Self {
            template: Template::literal(""),
            on_latest: false,
        }
    }

    /// What `latest` has of it: the text as it was written.
    pub(super) fn of_latest(&self) -> &str {
        if self.on_latest {
            self.template.source()
        } else {
            ""
        }
    }
}

impl Default for Flavor {
    fn default() -> Self {
        Self {
            latest: Latest::Auto,
            prefix: Affix::none(),
            suffix: Affix::none(),
        }
    }
}

impl Flavor {
    /// Reads `latest=…`, `prefix=…,onlatest=…`, `suffix=…,onlatest=…`; the last one said wins
    /// (docker/metadata-action, `flavor.ts`).
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, Error> {
        let mut flavor = Self::default();
        for (entry, text) in texts.iter().enumerate() {
            let text = text.as_ref();
            let refused = |problem| Error::Flavor {
                entry,
                text: super::printable(text, 200),
                problem,
            };
            let records = csv::records(text).map_err(|error| refused(FlavorProblem::Csv(error)))?;
            for record in records {
                flavor.read(&record).map_err(refused)?;
            }
        }
        Ok(flavor)
    }

    fn read(&mut self, record: &[csv::Field]) -> Result<(), FlavorProblem> {
        let mut before: Option<fn(&mut Self) -> &mut Affix> = None;
        for field in record {
            // The action loses what stands behind a second `=`, and with it every expression
            // that has a `tz=`. Nobody can want that, so it is kept here.
            let Some((key, value)) = field.text.split_once('=') else {
                return Err(FlavorProblem::NoValue {
                    field: super::printable(field.text.trim(), 80),
                });
            };
            let (key, value) = (key.trim().to_lowercase(), value.trim());
            match key.as_str() {
                "latest" => self.latest = Latest::parse(value)?,
                "prefix" | "suffix" => {
                    let affix: fn(&mut Self) -> &mut Affix = if key == "prefix" {
                        |flavor| &mut flavor.prefix
                    } else {
                        |flavor| &mut flavor.suffix
                    };
                    affix(self).template = Template::parse(value)
                        .map_err(|error| FlavorProblem::Expression { key, error })?;
                    before = Some(affix);
                }
                "onlatest" => {
                    let on_latest = match value {
                        "true" => true,
                        "false" => false,
                        _ => {
                            return Err(FlavorProblem::OnLatest {
                                value: super::printable(value, 40),
                            });
                        }
                    };
                    if let Some(affix) = before {
                        affix(self).on_latest = on_latest;
                    }
                }
                unknown => {
                    return Err(FlavorProblem::UnknownKey {
                        nearest: super::nearest(
                            unknown,
                            &["latest", "prefix", "suffix", "onlatest"],
                        ),
                        name: super::printable(unknown, 40),
                    });
                }
            }
        }
        Ok(())
    }
}

impl Latest {
    fn parse(text: &str) -> Result<Self, FlavorProblem> {
        Ok(match text {
            "auto" => Self::Auto,
            "true" => Self::Always,
            "false" => Self::Never,
            _ => {
                return Err(FlavorProblem::Latest {
                    value: super::printable(text, 40),
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onlatest_belongs_to_the_key_before_it() {
        let flavor = Flavor::parse(&["prefix=a-,onlatest=true,suffix=-b", "latest=false"]).unwrap();
        assert_eq!(flavor.latest, Latest::Never);
        assert_eq!(flavor.prefix.of_latest(), "a-");
        assert_eq!(flavor.suffix.of_latest(), "");
        assert_eq!(flavor.suffix.template.source(), "-b");
    }

    #[test]
    fn the_last_one_said_wins() {
        let flavor =
            Flavor::parse(&["latest=true", "prefix=a,onlatest=true", "PREFIX = "]).unwrap();
        assert_eq!(flavor.latest, Latest::Always);
        assert!(flavor.prefix.template.is_empty());
    }

    #[test]
    fn what_is_no_flavor_is_an_error() {
        for text in [
            "latest",
            "latest=maybe",
            "unknown=x",
            "prefix=a,onlatest=yes",
            "prefix={{",
            "\"x",
        ] {
            assert!(Flavor::parse(&[text]).is_err(), "{text}");
        }
    }
}
