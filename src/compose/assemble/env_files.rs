//! Reads the files of `env_file` and `label_file` into `environment` and `labels`.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::super::discover::dotenv_error;
use super::super::dotenv::{DotenvError, EnvFormat, Lines, Variables};
use super::super::error::{Error, Fault, Problem};
use super::super::loader::{Environment, Loader, Stop};
use super::super::node::{Map, Node, Place, Value};

/// Resolves the variables and labels of all services.
pub(super) fn resolve(
    services: &mut Map,
    environment: &Environment,
    loader: &mut Loader<'_>,
) -> Result<(), Box<Stop>> {
    for (name, entry) in services.iter_mut() {
        let key = entry.key;
        let Some(service) = entry.node.as_map_mut() else {
            continue;
        };
        variables(name, service, key, environment, loader)?;
        labels(name, service, key, loader)?;
    }
    Ok(())
}

fn variables(
    name: &str,
    service: &mut Map,
    key: Place,
    environment: &Environment,
    loader: &mut Loader<'_>,
) -> Result<(), Box<Stop>> {
    let mut own = match service.remove("environment").map(|entry| entry.node.value) {
        Some(Value::Map(map)) => map,
        _ => Map::default(),
    };
    for (name, entry) in own.iter_mut() {
        if entry.node.is_null()
            && let Some(value) = environment.get(&**name)
        {
            loader.findings.budget.text(value.len(), entry.key)?;
            entry.node.value = Value::Text(value.as_str().into());
        }
    }
    let mut all: Variables = own
        .iter()
        .filter_map(|(name, entry)| match &entry.node.value {
            Value::Text(text) => Some((Arc::clone(name), Arc::clone(text))),
            _ => None,
        })
        .collect();
    let files = match service.remove("env_file").map(|entry| entry.node.value) {
        Some(Value::List(files)) => files,
        _ => Vec::new(),
    };
    for file in files {
        let Some(map) = file.as_map() else { continue };
        let required = map.get("required").is_some_and(Node::is_true);
        let path = map.get("path").and_then(Node::as_text).unwrap_or_default();
        let path = PathBuf::from(path);
        if !path.exists() && !required {
            continue;
        }
        let place = map.get("path").map_or(file.place, |path| path.place);
        let lookup = |name: &str| {
            environment
                .get(name)
                .map(String::as_str)
                .or_else(|| own.get(name).and_then(Node::as_text))
                .map(str::to_owned)
        };
        let format = match map.get("format").and_then(Node::as_text) {
            None | Some("" | ".env") => EnvFormat::Dotenv,
            Some("raw") => EnvFormat::Raw,
            Some(format) => {
                let message =
                    format!("services.{name}.env_file: unknown format `{format}`; there is `raw`");
                return Err(Fault::rule(place, message).into());
            }
        };
        let named = Named {
            what: "the env file",
            service: name,
            path,
            place,
        };
        named.set(format, &mut all, &lookup, loader)?;
    }
    add(&mut own, all, key, loader)?;
    if !own.is_empty() {
        service.set("environment", key, Node::new(key, Value::Map(own)));
    }
    Ok(())
}

fn labels(
    name: &str,
    service: &mut Map,
    key: Place,
    loader: &mut Loader<'_>,
) -> Result<(), Box<Stop>> {
    let files = service.remove("label_file").map(|entry| entry.node.value);
    let Some(Value::List(files)) = files else {
        return Ok(());
    };
    let mut all = Variables::new();
    for file in files {
        let named = Named {
            what: "the label file",
            service: name,
            path: PathBuf::from(file.as_text().unwrap_or_default()),
            place: file.place,
        };
        let mut own = Variables::new();
        let lookup = |name: &str| all.get(name).map(ToString::to_string);
        named.set(EnvFormat::Dotenv, &mut own, &lookup, loader)?;
        all.extend(own);
    }
    let mut labels = match service.remove("labels").map(|entry| entry.node.value) {
        Some(Value::Map(map)) => map,
        _ => Map::default(),
    };
    add(&mut labels, all, key, loader)?;
    if !labels.is_empty() {
        service.set("labels", key, Node::new(key, Value::Map(labels)));
    }
    Ok(())
}

/// Adds what is not there yet.
fn add(
    own: &mut Map,
    all: Variables,
    key: Place,
    loader: &mut Loader<'_>,
) -> Result<(), Box<Fault>> {
    for (name, value) in all {
        if !own.has(&name) {
            // Shared by the services, and written out for each.
            loader.findings.budget.text(name.len() + value.len(), key)?;
            own.set(name, key, Node::new(key, Value::Text(value)));
        }
    }
    Ok(())
}

/// A file as a service names it.
struct Named<'a> {
    what: &'static str,
    service: &'a str,
    path: PathBuf,
    place: Place,
}

impl Named<'_> {
    /// Sets the variables of the file's lines.
    fn set(
        &self,
        format: EnvFormat,
        variables: &mut Variables,
        lookup: &dyn Fn(&str) -> Option<String>,
        loader: &mut Loader<'_>,
    ) -> Result<(), Box<Stop>> {
        let lines = self.lines(format, loader)?;
        loader.findings.budget.values(lines.len(), self.place)?;
        let mut unset = Vec::new();
        if let Err(error) = lines.set(variables, lookup, &mut unset) {
            return Err(self.wrong(error, loader)?.into());
        }
        loader.findings.unset(unset, Some(self.place));
        Ok(())
    }

    /// The lines of the file, which are read once for all services.
    fn lines(&self, format: EnvFormat, loader: &mut Loader<'_>) -> Result<Rc<Lines>, Box<Stop>> {
        let key = (self.path.clone(), format);
        if let Some(lines) = loader.env_files.get(&key) {
            return Ok(Rc::clone(lines));
        }
        let bytes = self.bytes(loader)?;
        loader.findings.budget.read(bytes.len())?;
        let lines = Rc::new(Lines::read(&bytes, format));
        loader.env_files.insert(key, Rc::clone(&lines));
        Ok(lines)
    }

    fn bytes(&self, loader: &mut Loader<'_>) -> Result<Arc<[u8]>, Box<Stop>> {
        loader
            .sources
            .read(&self.path)
            .map_err(|error| match error.unread() {
                Some((path, reason)) => {
                    let problem = Problem::File {
                        what: self.what,
                        path: path.to_owned(),
                        reason: format!("{reason} (service `{}`)", self.service),
                        hint: error.hint(),
                    };
                    Fault::new(self.place, problem).into()
                }
                None => error.into(),
            })
    }

    fn wrong(&self, error: DotenvError, loader: &mut Loader<'_>) -> Result<Error, Box<Stop>> {
        let bytes = self.bytes(loader)?;
        let named = Some(loader.sources.excerpt(self.place));
        Ok(dotenv_error(&self.path, &bytes, error, named))
    }
}
