//! Which files a project has, what it is called and which variables it knows, before any YAML is
//! merged: compose-go's `cli/options.go` and docker compose's own flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::dotenv::{DotenvError, EnvFormat, Lines, Variables};
use super::error::{Error, Problem};
use super::loader::{Environment, Loader};
use super::paths;
use crate::excerpt::Excerpt;
use crate::printable::one_line;

/// The names of compose files, the first one that is there wins.
const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// The names of files that are merged over the compose file beside them.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// How much of a variable's name is shown where its line is wrong, in characters.
const LONGEST_NAME: usize = 80;

/// What a project is loaded from.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The folder that the program runs in, absolute: relative paths below are meant from here.
    pub working_directory: PathBuf,
    /// `-f`: the compose files in order; `-` is the standard input. None: `COMPOSE_FILE`, or what
    /// is found here or in a folder above.
    pub files: Vec<PathBuf>,
    /// `--project-directory`: the folder that the files' relative paths are meant from. None: that
    /// of the first file.
    pub project_directory: Option<PathBuf>,
    /// `--project-name`.
    pub project_name: Option<String>,
    /// `--profile`; `*` enables all. None: `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// `--env-file`. None: `COMPOSE_ENV_FILES`, or `.env` in the project's folder.
    pub env_files: Vec<PathBuf>,
    /// The environment of the process.
    pub environment: BTreeMap<String, String>,
    /// What a file named `-` holds. None: what is on the standard input of the process.
    pub standard_input: Option<Vec<u8>>,
    /// Services to keep, with those they depend on; profiles they need are enabled. Empty: all.
    pub services: Vec<String>,
    /// Services whose profiles are enabled, while all others are kept.
    pub enabled: Vec<String>,
}

/// What the search found.
pub(super) struct Found {
    /// The compose files, absolute.
    pub files: Vec<String>,
    /// The folder that relative paths are meant from, absolute.
    pub folder: String,
    /// The variables.
    pub environment: Environment,
    /// The profiles.
    pub profiles: Vec<String>,
}

/// Finds files and variables, in compose's order: each step may depend on the ones before.
pub(super) fn discover(options: &LoadOptions, loader: &mut Loader<'_>) -> Result<Found, Error> {
    let search = Search {
        here: text(&options.working_directory),
        options,
    };
    let mut environment = options.environment.clone();
    let env_files = search.env_files();
    loader.sources.named(&env_files);
    // Variables of compose itself count from the start, even from a `.env` file.
    search.own_settings(&env_files, &mut environment, loader)?;
    if !environment.contains_key("PWD") {
        environment.insert("PWD".to_owned(), search.here.clone());
    }

    let mut files: Vec<String> = options.files.iter().map(|file| search.file(file)).collect();
    search.dotenv(&files, &env_files, &mut environment, loader)?;
    if files.is_empty() {
        files = search.named_files(&environment)?;
    }
    loader.sources.named(&files);
    if files.is_empty() {
        files = search.default_files(loader);
    }
    search.dotenv(&files, &env_files, &mut environment, loader)?;
    if files.is_empty() {
        return Err(Error::NoFile {
            folder: PathBuf::from(search.folder(&files)),
        });
    }
    let profiles = if options.profiles.is_empty() {
        let named = environment.get("COMPOSE_PROFILES");
        named
            .map(|names| {
                names
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .collect()
            })
            .unwrap_or_default()
    } else {
        options.profiles.clone()
    };
    Ok(Found {
        folder: search.folder(&files),
        files,
        environment,
        profiles,
    })
}

struct Search<'a> {
    /// The folder that the program runs in.
    here: String,
    options: &'a LoadOptions,
}

impl Search<'_> {
    fn absolute(&self, path: &str) -> String {
        if paths::is_absolute(path) {
            paths::clean(path)
        } else {
            paths::join(&self.here, path)
        }
    }

    fn file(&self, path: &Path) -> String {
        let path = text(path);
        if path == "-" {
            path
        } else {
            self.absolute(&path)
        }
    }

    /// The folder that relative paths are meant from.
    fn folder(&self, files: &[String]) -> String {
        if let Some(folder) = &self.options.project_directory
            && !folder.as_os_str().is_empty()
        {
            return self.absolute(&text(folder));
        }
        match files.iter().find(|file| *file != "-") {
            Some(file) => paths::folder(file),
            None => self.here.clone(),
        }
    }

    /// The files of `--env-file`, or of `COMPOSE_ENV_FILES`.
    fn env_files(&self) -> Vec<String> {
        let given = &self.options.env_files;
        if !given.is_empty() {
            return given
                .iter()
                .map(|file| self.absolute(&text(file)))
                .collect();
        }
        let named = self.options.environment.get("COMPOSE_ENV_FILES");
        named
            .map(|names| names.split(','))
            .into_iter()
            .flatten()
            .filter(|name| !name.is_empty())
            .map(|name| self.absolute(name))
            .collect()
    }

    /// Takes `COMPOSE_…` variables from the env files that are known before anything else. What is
    /// wrong with the files is found later.
    fn own_settings(
        &self,
        env_files: &[String],
        environment: &mut Environment,
        loader: &mut Loader<'_>,
    ) -> Result<(), Error> {
        let files: Vec<String> = self
            .options
            .files
            .iter()
            .map(|file| self.file(file))
            .collect();
        let Ok(env_files) = self.used_env_files(&files, env_files, environment) else {
            return Ok(());
        };
        let mut variables = Variables::new();
        for file in &env_files {
            let bytes = match loader.sources.read(Path::new(file)) {
                Ok(bytes) => bytes,
                // Nobody shall wait twice.
                Err(error @ Error::Silent { .. }) => return Err(error),
                Err(_) => return Ok(()),
            };
            let lookup = |name: &str| self.options.environment.get(name).cloned();
            let lines = Lines::read(&bytes, EnvFormat::Dotenv);
            if lines.set(&mut variables, &lookup, &mut Vec::new()).is_err() {
                return Ok(());
            }
        }
        for (name, value) in variables {
            if name.starts_with("COMPOSE_") && !environment.contains_key(&*name) {
                environment.insert(name.to_string(), value.to_string());
            }
        }
        Ok(())
    }

    /// The env files, or the `.env` of the project's folder if there is one and none are named.
    fn used_env_files(
        &self,
        files: &[String],
        env_files: &[String],
        environment: &Environment,
    ) -> Result<Vec<String>, Error> {
        if !env_files.is_empty() {
            return Ok(env_files.to_vec());
        }
        if let Some(value) = environment.get("COMPOSE_DISABLE_ENV_FILE") {
            let Some(disabled) = boolean(value) else {
                return Err(Error::Setting {
                    variable: "COMPOSE_DISABLE_ENV_FILE",
                    value: value.chars().take(80).collect(),
                });
            };
            if disabled {
                return Ok(Vec::new());
            }
        }
        let default = paths::join(&self.folder(files), ".env");
        // As compose has it: a folder of that name is none, and anything else that is there counts.
        match std::fs::metadata(&default) {
            Ok(meta) if meta.is_dir() => Ok(Vec::new()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Ok(_) => Ok(vec![default]),
            Err(source) => Err(Error::Read {
                path: PathBuf::from(default),
                source,
            }),
        }
    }

    /// Adds the variables of the env files that the environment has not.
    fn dotenv(
        &self,
        files: &[String],
        env_files: &[String],
        environment: &mut Environment,
        loader: &mut Loader<'_>,
    ) -> Result<(), Error> {
        let mut variables = Variables::new();
        for file in self.used_env_files(files, env_files, environment)? {
            let path = PathBuf::from(&file);
            let what = "env file";
            if !path.exists() {
                let place = None;
                return Err(Error::Missing { what, path, place });
            }
            let bytes = loader.sources.read(&path)?;
            let lookup = |name: &str| environment.get(name).cloned();
            let mut unset = Vec::new();
            Lines::read(&bytes, EnvFormat::Dotenv)
                .set(&mut variables, &lookup, &mut unset)
                .map_err(|error| dotenv_error(&path, &bytes, error, None))?;
            loader.findings.unset(unset, None);
        }
        for (name, value) in variables {
            if !environment.contains_key(&*name) {
                environment.insert(name.to_string(), value.to_string());
            }
        }
        Ok(())
    }

    /// The files of `COMPOSE_FILE`.
    fn named_files(&self, environment: &Environment) -> Result<Vec<String>, Error> {
        let Some(names) = environment.get("COMPOSE_FILE") else {
            return Ok(Vec::new());
        };
        let separator = match environment
            .get("COMPOSE_PATH_SEPARATOR")
            .map(String::as_str)
        {
            None | Some("") if cfg!(windows) => ";",
            None | Some("") => ":",
            Some(separator) => separator,
        };
        names
            .split(separator)
            .map(|name| {
                let file = self.file(Path::new(name));
                match std::fs::metadata(&file) {
                    Err(source) if file != "-" => Err(Error::Read {
                        path: PathBuf::from(file),
                        source,
                    }),
                    _ => Ok(file),
                }
            })
            .collect()
    }

    /// The compose file here or in the nearest folder above that has one, and what is merged over
    /// it.
    fn default_files(&self, loader: &mut Loader<'_>) -> Vec<String> {
        let mut folder = self.folder(&[]);
        loop {
            let found = there(&NAMES, &folder);
            if let Some(file) = found.first() {
                let overrides = there(&OVERRIDES, &folder);
                for several in [&found, &overrides]
                    .into_iter()
                    .filter(|list| list.len() > 1)
                {
                    let names: Vec<&str> = several.iter().map(|file| paths::base(file)).collect();
                    let first = names.first().copied().unwrap_or_default();
                    let message = format!("there are {}; {first} is used", names.join(", "));
                    loader.findings.general.push(message);
                }
                let mut files = vec![file.clone()];
                files.extend(overrides.into_iter().next());
                return files;
            }
            let above = paths::folder(&folder);
            if above == folder {
                return Vec::new();
            }
            folder = above;
        }
    }
}

/// The files of these names that a folder has.
fn there(names: &[&str], folder: &str) -> Vec<String> {
    names
        .iter()
        .map(|name| paths::join(folder, name))
        .filter(|file| Path::new(file).exists())
        .collect()
}

/// What Go's `ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What is wrong in an env file, with its line. `named` is where the file is named.
///
/// A value may be a secret, and so may be a line that is no `NAME=value`, such as those of a key that
/// somebody pasted: of a line that has a name the name is shown, and of any other one nothing.
pub(super) fn dotenv_error(
    path: &Path,
    bytes: &[u8],
    error: DotenvError,
    named: Option<Excerpt>,
) -> Error {
    let line = error.line();
    let text = bytes.split(|byte| *byte == b'\n').nth(line - 1);
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    let text = text.trim_start_matches('\u{feff}');
    let named_here = match error {
        DotenvError::Name { .. } | DotenvError::Space { .. } => false,
        DotenvError::Variable { begins, .. } => begins == line,
        _ => true,
    };
    let end = text.find(['=', ':']).filter(|_| named_here);
    let name = text.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
    let shown = one_line(name, LONGEST_NAME);
    let letters = shown.chars().count();
    let (column, lead, length) = match error {
        DotenvError::Variable { column, .. } => (column, letters, 1),
        _ => (1, 0, letters.saturating_sub(1).max(1)),
    };
    let place = Excerpt {
        path: path.to_owned(),
        line,
        column,
        length,
        text: format!("{shown}…"),
        lead,
        following: Vec::new(),
    };
    Error::Invalid {
        problem: Box::new(Problem::Dotenv(error)),
        place: Box::new(place),
        related: named.map(Box::new),
    }
}

/// The name of a project as compose makes it fit.
pub(super) fn fitting_name(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .filter(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-')
        })
        .collect::<String>()
        .trim_start_matches(['_', '-'])
        .to_owned()
}

/// A name that was given as it is, and so must fit.
pub(super) fn given_name(name: &str, origin: &'static str) -> Result<String, Error> {
    let nearest = fitting_name(name);
    if nearest == name {
        return Ok(nearest);
    }
    Err(Error::Name {
        name: name.chars().take(80).collect(),
        nearest,
        origin,
    })
}
