//! Reads the files of `env_file` and `label_file` into `environment` and `labels`.

use std::path::PathBuf;

use super::super::discover::dotenv_error;
use super::super::dotenv;
use super::super::error::{Error, Fault, Problem};
use super::super::loader::{Environment, Loader, Stop};
use super::super::node::{Map, Node, Place, Value};
use super::super::source;

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
            entry.node.value = Value::Text(value.as_str().into());
        }
    }
    let mut all: Environment = own
        .iter()
        .filter_map(|(name, entry)| Some((name.to_string(), entry.node.as_text()?.to_owned())))
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
        let bytes = read(&path, "the env file", name, place)?;
        let lookup = |name: &str| {
            environment
                .get(name)
                .map(String::as_str)
                .or_else(|| own.get(name).and_then(Node::as_text))
                .map(str::to_owned)
        };
        let mut unset = Vec::new();
        let parsed = match map.get("format").and_then(Node::as_text) {
            None | Some("" | ".env") => dotenv::parse(&bytes, &mut all, &lookup, &mut unset),
            Some("raw") => dotenv::parse_raw(&bytes, &mut all, &lookup),
            Some(format) => {
                let message =
                    format!("services.{name}.env_file: unknown format `{format}`; there is `raw`");
                return Err(Fault::rule(place, message).into());
            }
        };
        parsed.map_err(|error| located(&path, &bytes, error, loader, place))?;
        loader.findings.unset(unset, Some(place));
    }
    for (name, value) in all {
        if !own.has(&name) {
            own.set_text(&name, key, &value);
        }
    }
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
    let mut all = Environment::new();
    for file in files {
        let path = PathBuf::from(file.as_text().unwrap_or_default());
        let bytes = read(&path, "the label file", name, file.place)?;
        let mut own = Environment::new();
        let lookup = |name: &str| all.get(name).cloned();
        let mut unset = Vec::new();
        dotenv::parse(&bytes, &mut own, &lookup, &mut unset)
            .map_err(|error| located(&path, &bytes, error, loader, file.place))?;
        loader.findings.unset(unset, Some(file.place));
        all.extend(own);
    }
    let mut labels = match service.remove("labels").map(|entry| entry.node.value) {
        Some(Value::Map(map)) => map,
        _ => Map::default(),
    };
    for (name, value) in all {
        if !labels.has(&name) {
            labels.set_text(&name, key, &value);
        }
    }
    if !labels.is_empty() {
        service.set("labels", key, Node::new(key, Value::Map(labels)));
    }
    Ok(())
}

fn read(
    path: &std::path::Path,
    what: &'static str,
    service: &str,
    place: Place,
) -> Result<Vec<u8>, Box<Stop>> {
    source::read(path).map_err(|error| match error {
        Error::Read { path, source } => {
            let reason = format!("{source} (service `{service}`)");
            Fault::new(place, Problem::File { what, path, reason }).into()
        }
        other => other.into(),
    })
}

fn located(
    path: &std::path::Path,
    bytes: &[u8],
    error: dotenv::DotenvError,
    loader: &Loader<'_>,
    place: Place,
) -> Error {
    dotenv_error(path, bytes, error, Some(loader.sources.excerpt(place)))
}
