//! Defaults, checks and paths of a merged set of files: what compose-go does to each model it
//! loads, the included ones too (`transform/defaults.go`, `validation/`, `paths/`,
//! `loader/environment.go`).

use std::collections::BTreeMap;

use super::budget::Budget;
use super::canonical::below;
use super::error::Fault;
use super::node::{Map, Node, Place, Value};
use super::paths;
use super::short::gitref::{is_git, is_remote_context};
use super::short::port::is_address;

/// Fills in what is not said.
pub(super) fn fill(document: &mut Map) -> Result<(), Box<Fault>> {
    for (name, service) in below(document, "services") {
        if let Some(build) = service.get_mut("build") {
            let place = build.place;
            if let Some(build) = build.as_map_mut()
                && !build.has("context")
            {
                build.set_text("context", place, ".");
            }
        }
        for secret in items(service.get_mut("secrets")) {
            let place = secret.place;
            let Some(secret) = secret.as_map_mut() else {
                continue;
            };
            if !secret.has("target") {
                let source = secret.get("source").map(super::numbers::sprint);
                let target = format!("/run/secrets/{}", source.as_deref().unwrap_or("<nil>"));
                secret.set_text("target", place, &target);
            }
        }
        for port in items(service.get_mut("ports")) {
            let place = port.place;
            let Some(port) = port.as_map_mut() else {
                continue;
            };
            for (key, default) in [("protocol", "tcp"), ("mode", "ingress")] {
                if !port.has(key) {
                    port.set_text(key, place, default);
                }
            }
        }
        devices(service, &name)?;
    }
    Ok(())
}

fn devices(service: &mut Map, name: &str) -> Result<(), Box<Fault>> {
    for device in items(service.get_mut("gpus")) {
        one_device(device, &format!("services.{name}.gpus"))?;
    }
    let reserved = ["deploy", "resources", "reservations"]
        .into_iter()
        .try_fold(service, |map, key| map.get_mut(key)?.as_map_mut());
    let reserved = reserved.and_then(|reserved| reserved.get_mut("devices"));
    for device in items(reserved) {
        let at = format!("services.{name}.deploy.resources.reservations.devices");
        one_device(device, &at)?;
    }
    Ok(())
}

fn one_device(device: &mut Node, at: &str) -> Result<(), Box<Fault>> {
    let place = device.place;
    let Some(device) = device.as_map_mut() else {
        return Err(Fault::rule(
            place,
            format!("{at} must be a list of mappings"),
        ));
    };
    match (device.entry("count"), device.has("device_ids")) {
        (None, false) => device.set_text("count", place, "all"),
        (Some(count), true) => {
            return Err(Fault::rule(
                count.key,
                format!("{at}: `count` and `device_ids` exclude each other"),
            ));
        }
        _ => {}
    }
    Ok(())
}

/// The items of a list; none if it is no list.
pub(super) fn items(node: Option<&mut Node>) -> impl Iterator<Item = &mut Node> {
    let list = match node.map(|node| &mut node.value) {
        Some(Value::List(items)) => Some(items),
        _ => None,
    };
    list.into_iter().flatten()
}

/// Checks what the schema cannot say.
pub(super) fn check(document: &mut Map) -> Result<(), Box<Fault>> {
    if let Some(volumes) = document.get("volumes").and_then(Node::as_map) {
        for (name, entry) in volumes.iter() {
            if let Some(volume) = entry.node.as_map() {
                check_external(volume, name)?;
            }
        }
    }
    let sections: [(&str, &[&str]); 2] = [
        ("configs", &["file", "environment", "content"]),
        ("secrets", &["file", "environment"]),
    ];
    for (section, sources) in sections {
        let resources = document.get(section).and_then(Node::as_map);
        for (name, entry) in resources.into_iter().flat_map(Map::iter) {
            if let Some(resource) = entry.node.as_map() {
                check_source(resource, sources, &format!("{section}.{name}"), entry.key)?;
            }
        }
    }
    for (name, service) in below(document, "services") {
        for port in items(service.get_mut("ports")) {
            let address = port.as_map().and_then(|port| port.get("host_ip"));
            if let Some(address) = address
                && !address.as_text().is_some_and(is_address)
            {
                return Err(Fault::rule(
                    address.place,
                    format!("services.{name}.ports: `host_ip` is no address"),
                ));
            }
        }
        let develop = service.get_mut("develop").and_then(Node::as_map_mut);
        for watch in items(develop.and_then(|develop| develop.get_mut("watch"))) {
            let path = watch.as_map().and_then(|watch| watch.get("path"));
            if let Some(path) = path
                && path.as_text() == Some("")
            {
                let message = format!("services.{name}.develop.watch: `path` must not be empty");
                return Err(Fault::rule(path.place, message));
            }
        }
    }
    Ok(())
}

fn check_external(volume: &Map, name: &str) -> Result<(), Box<Fault>> {
    if !volume.get("external").is_some_and(Node::is_true) {
        return Ok(());
    }
    let other = volume
        .iter()
        .find(|(key, _)| !matches!(&***key, "name" | "external") && !key.starts_with("x-"));
    match other {
        None => Ok(()),
        Some((key, entry)) => Err(Fault::rule(
            entry.key,
            format!("volumes.{name}: an external volume has only a `name`, and no `{key}`"),
        )),
    }
}

fn check_source(
    resource: &Map,
    sources: &[&str],
    at: &str,
    place: Place,
) -> Result<(), Box<Fault>> {
    let given: Vec<&&str> = sources.iter().filter(|key| resource.has(key)).collect();
    match given.as_slice() {
        [] if !resource.has("driver") && !resource.has("external") => Err(Fault::rule(
            place,
            format!("{at} needs one of {}", sources.join(", ")),
        )),
        [_, second, ..] => {
            let place = resource.entry(second).map_or(place, |entry| entry.key);
            Err(Fault::rule(
                place,
                format!("{at}: only one of {} may be set", sources.join(", ")),
            ))
        }
        _ => Ok(()),
    }
}

/// Resolves relative paths.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    /// The folder they are relative to; itself relative in included and extended files.
    pub folder: &'a str,
    /// What `~` stands for.
    pub home: Option<&'a str>,
}

impl Resolver<'_> {
    /// Resolves the paths of a document.
    pub(super) fn resolve(&self, document: &mut Map) -> Result<(), Box<Fault>> {
        for (_, service) in below(document, "services") {
            self.service(service)?;
        }
        for section in ["configs", "secrets"] {
            for (_, resource) in below(document, section) {
                self.text(resource.get_mut("file"), Self::unix);
            }
        }
        for (_, volume) in below(document, "volumes") {
            let local = volume.get("driver").and_then(Node::as_text) == Some("local");
            let options = volume.get_mut("driver_opts").and_then(Node::as_map_mut);
            if let Some(options) = options
                && local
                && options.get("o").and_then(Node::as_text) == Some("bind")
            {
                self.text(options.get_mut("device"), Self::unix);
            }
        }
        Ok(())
    }

    fn service(&self, service: &mut Map) -> Result<(), Box<Fault>> {
        if let Some(build) = service.get_mut("build").and_then(Node::as_map_mut) {
            self.text(build.get_mut("context"), Self::context);
            for (key, resolve) in [
                (
                    "additional_contexts",
                    Self::context as fn(&Self, &str) -> String,
                ),
                ("ssh", Self::unix),
            ] {
                let values = build.get_mut(key).and_then(Node::as_map_mut);
                for (_, entry) in values.into_iter().flat_map(Map::iter_mut) {
                    self.text(Some(&mut entry.node), resolve);
                }
            }
        }
        for file in items(service.get_mut("env_file")) {
            let path = file.as_map_mut().and_then(|file| file.get_mut("path"));
            self.text(path, Self::absolute);
        }
        for file in items(service.get_mut("label_file")) {
            self.text(Some(file), Self::absolute);
        }
        let extends = service.get_mut("extends").and_then(Node::as_map_mut);
        self.text(
            extends.and_then(|extends| extends.get_mut("file")),
            |this, path| {
                if is_git(path) || path.starts_with("oci://") {
                    path.to_owned()
                } else {
                    this.absolute(path)
                }
            },
        );
        let develop = service.get_mut("develop").and_then(Node::as_map_mut);
        for watch in items(develop.and_then(|develop| develop.get_mut("watch"))) {
            let path = watch.as_map_mut().and_then(|watch| watch.get_mut("path"));
            self.text(path, |this, path| without_link(this.absolute(path)));
        }
        for mount in items(service.get_mut("volumes")) {
            let place = mount.place;
            let Some(mount) = mount.as_map_mut() else {
                continue;
            };
            if mount.get("type").and_then(Node::as_text) == Some("bind") {
                if !mount.has("source") {
                    return Err(Fault::rule(place, "a bind mount needs `source`"));
                }
                self.text(mount.get_mut("source"), Self::unix);
            }
        }
        Ok(())
    }

    fn text(&self, node: Option<&mut Node>, resolve: fn(&Self, &str) -> String) {
        if let Some(node) = node
            && let Some(text) = node.as_text()
        {
            let resolved = resolve(self, text);
            node.value = Value::Text(resolved.into());
        }
    }

    /// A path below the folder; an empty one stays empty.
    pub(super) fn absolute(&self, path: &str) -> String {
        let path = self.expand_home(path);
        if path.is_empty() || paths::is_absolute(&path) {
            return path;
        }
        paths::join(self.folder, &path)
    }

    fn context(&self, context: &str) -> String {
        let elsewhere = context.contains("://")
            || context.starts_with("service:")
            || is_remote_context(context);
        if elsewhere {
            return context.to_owned();
        }
        self.absolute(context)
    }

    fn unix(&self, path: &str) -> String {
        let path = self.expand_home(path);
        if path.starts_with('/') || paths::is_windows_absolute(&path) || paths::is_absolute(&path) {
            return path;
        }
        paths::join(self.folder, &path)
    }

    /// `~` and what follows: no user names, as compose has none.
    fn expand_home(&self, path: &str) -> String {
        match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => paths::join(home, rest),
            _ => path.to_owned(),
        }
    }
}

/// The path with its first symbolic link followed, as compose's watch sees it.
fn without_link(path: String) -> String {
    let mut here = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        here.push('/');
        here.push_str(part);
        let is_link = std::fs::symlink_metadata(&here).is_ok_and(|meta| meta.is_symlink());
        if is_link && let Ok(target) = std::fs::canonicalize(&here) {
            return path.replacen(&here, &target.to_string_lossy(), 1);
        }
    }
    path
}

/// Gives names without a value in lists the value of the environment, and configs their content.
pub(super) fn environment(
    document: &mut Map,
    environment: &BTreeMap<String, String>,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    for (_, service) in below(document, "services") {
        if let Some(Value::List(lines)) = service.get_mut("environment").map(|node| &mut node.value)
        {
            lines.retain(|line| matches!(line.value, Value::Text(_)));
            for line in lines {
                let value = line.as_text().and_then(|name| environment.get(name));
                if let (Some(name), Some(value)) = (line.as_text(), value) {
                    budget.text(name.len() + value.len(), line.place)?;
                    line.value = Value::Text(format!("{name}={value}").into());
                }
            }
        }
    }
    for (_, secret) in below(document, "secrets") {
        set_from(secret, environment, SECRET_VALUE, budget)?;
    }
    for (_, config) in below(document, "configs") {
        set_from(config, environment, "content", budget)?;
    }
    Ok(())
}

/// The key under which a secret's value waits for the model. It is never printed.
pub(super) const SECRET_VALUE: &str = "x-#value";

fn set_from(
    resource: &mut Map,
    environment: &BTreeMap<String, String>,
    key: &str,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    let Some(variable) = resource.get("environment") else {
        return Ok(());
    };
    let place = variable.place;
    if let Some(value) = variable.as_text().and_then(|name| environment.get(name)) {
        budget.text(value.len(), place)?;
        resource.set_text(key, place, value);
    }
    Ok(())
}
