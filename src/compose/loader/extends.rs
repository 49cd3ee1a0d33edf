//! `extends`: compose-go's `loader/extends.go`.

use std::rc::Rc;

use super::super::error::{Fault, Problem, nearest};
use super::super::merge;
use super::super::node::{Map, Node, Place, Value};
use super::super::path::Path;
use super::super::paths;
use super::super::resets::Resets;
use super::super::schema::name_of;
use super::super::short::gitref;
use super::{Base, Failure, Loader, Stop, Use, View, from_folder};

/// How many services may extend one another in a row.
const LONGEST_CHAIN: usize = 1_000;

/// The way from one service to the one it extends, and so on: services and their files.
type Chain = Vec<(String, String)>;

/// What `extends` says.
struct Extends {
    service: String,
    service_place: Place,
    file: Option<(String, Place)>,
    place: Place,
}

impl Loader<'_> {
    /// Replaces each service that extends another one by what both are together.
    pub(super) fn extend_all(
        &mut self,
        document: &mut Map,
        file: &str,
        view: View<'_>,
        resets: &Resets,
    ) -> Result<(), Failure> {
        let Some(entry) = document.entry("services") else {
            return Ok(());
        };
        let place = entry.key;
        let Some(services) = document.get_mut("services").and_then(Node::as_map_mut) else {
            return Err(Fault::rule(place, "services must be a mapping").into());
        };
        let names: Vec<String> = services.keys().map(ToString::to_string).collect();
        for name in names {
            if extends(services, &name)?.is_some() {
                self.extend(&name, services, file, view, &mut Chain::new(), Some(resets))?;
            }
        }
        Ok(())
    }

    /// The service with what it extends, which is also put in its place; none if it is empty.
    fn extend(
        &mut self,
        name: &str,
        services: &mut Map,
        file: &str,
        view: View<'_>,
        chain: &mut Chain,
        resets: Option<&Resets>,
    ) -> Result<Option<Node>, Failure> {
        let Some(extends) = extends(services, name)? else {
            return self.copy(name, services);
        };
        let base_file = match &extends.file {
            Some((path, place)) => Some(self.base(name, path, *place, &extends, view)?),
            None => None,
        };
        if base_file.is_none() && !services.has(&extends.service) {
            return Err(no_base(name, &extends, services, file).into());
        }
        let step_file = extends.file.as_ref().map_or(file, |(path, _)| path);
        step(chain, name, step_file, extends.place)?;
        let base = match &base_file {
            Some(base) => self.extend_base(&extends, base, file, view, chain)?,
            // Compose forgets the resets here if the base is not done yet, and so depends on the
            // order in which Go happens to visit a map; later versions always apply them.
            None => self.extend(&extends.service, services, file, view, chain, resets)?,
        };
        chain.pop();
        let Some(own) = services.entry(name).cloned() else {
            return Ok(None);
        };
        let Some(base) = base else {
            return Ok(Some(own.node));
        };
        let (Value::Map(mut base), Value::Map(service)) = (base.value, own.node.value) else {
            return Ok(None);
        };
        if let Some(resets) = resets {
            let root = Path::root();
            let all = root.child("services");
            let budget = &mut self.findings.budget;
            resets.apply(&mut base, &all.child(name), budget)?;
        }
        let mut merged = merge::extend_service(base, service)?;
        merged.remove("extends");
        let merged = Node::new(own.node.place, Value::Map(merged));
        self.findings.budget.copy(&merged, own.key)?;
        services.set(name, own.key, merged.clone());
        Ok(Some(merged))
    }

    /// The service of another file, with what it extends itself.
    fn extend_base(
        &mut self,
        extends: &Extends,
        base: &Base,
        file: &str,
        view: View<'_>,
        chain: &mut Chain,
    ) -> Result<Option<Node>, Failure> {
        if self::extends(&base.services, &extends.service)?.is_none() {
            return self.copy(&extends.service, &base.services);
        }
        let mut all = Node::new(extends.place, Value::Map(base.services.clone()));
        self.findings.budget.copy(&all, extends.place)?;
        let Some(others) = all.as_map_mut() else {
            return Ok(None);
        };
        let resets = Some(&base.resets);
        self.extend(&extends.service, others, file, view, chain, resets)
    }

    fn copy(&mut self, name: &str, services: &Map) -> Result<Option<Node>, Failure> {
        let Some(service) = services.get(name).filter(|node| !node.is_null()) else {
            return Ok(None);
        };
        self.findings.budget.copy(service, service.place)?;
        Ok(Some(service.clone()))
    }

    /// The services of the file that `extends` names.
    fn base(
        &mut self,
        name: &str,
        path: &str,
        place: Place,
        extends: &Extends,
        view: View<'_>,
    ) -> Result<Rc<Base>, Failure> {
        if gitref::is_git(path) || path.starts_with("oci://") {
            let what = "extending a service";
            let url = gitref::without_password(path);
            return Err(Fault::new(place, Problem::Remote { what, url }).into());
        }
        let local = from_folder(view.files_from, path);
        let folder = self.relative_folder(view.files_from, path);
        let key = (local.clone(), folder.clone(), view.environment_number);
        let base = if let Some(base) = self.bases.get(&key) {
            Rc::clone(base)
        } else {
            let base = Rc::new(self.read_base(&local, &folder, place, view)?);
            self.bases.insert(key, Rc::clone(&base));
            base
        };
        if !base.services.has(&extends.service) {
            return Err(no_base(name, extends, &base.services, path).into());
        }
        Ok(base)
    }

    fn read_base(
        &mut self,
        local: &str,
        folder: &str,
        place: Place,
        view: View<'_>,
    ) -> Result<Base, Failure> {
        let files_from = paths::folder(local);
        let below = View {
            files_from: &files_from,
            folder,
            ..view
        };
        let what = "the extended file";
        self.readable(what, local, place)?;
        let (mut document, resets) = self
            .file(local, below, Use::Base, Map::default(), &[])
            .map_err(|failure| self.unread(*failure, what, local, place))?;
        let Some(entry) = document.entry("services") else {
            let message = format!("{local} has no services to extend");
            return Err(Fault::rule(place, message).into());
        };
        if entry.node.as_map().is_none() {
            let message = format!("{local}: services must be a mapping");
            return Err(Fault::rule(entry.key, message).into());
        }
        self.resolver(folder).resolve(&mut document)?;
        match document.remove("services").map(|entry| entry.node.value) {
            Some(Value::Map(services)) => Ok(Base { services, resets }),
            _ => Ok(Base {
                services: Map::default(),
                resets,
            }),
        }
    }

    /// Refuses a file that cannot be read, with the place that names it.
    pub(super) fn readable(
        &self,
        what: &'static str,
        path: &str,
        place: Place,
    ) -> Result<(), Failure> {
        let path = self.real(path);
        let reason = match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => "it is a folder".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        let problem = Problem::File {
            what,
            path,
            reason,
            hint: None,
        };
        Err(Fault::new(place, problem).into())
    }

    /// Why loading stops, with the place that names the file, if it is that this file cannot be read.
    pub(super) fn unread(&self, stop: Stop, what: &'static str, path: &str, place: Place) -> Stop {
        let Stop::Error(error) = &stop else {
            return stop;
        };
        match error.unread() {
            Some((file, reason)) if file == self.real(path) => {
                let problem = Problem::File {
                    what,
                    path: file.to_owned(),
                    reason,
                    hint: error.hint(),
                };
                Stop::Fault(Fault::new(place, problem))
            }
            _ => stop,
        }
    }

    /// The folder of a path, or the path if it is a folder, seen from `from`.
    pub(super) fn relative_folder(&self, from: &str, path: &str) -> String {
        let mut folder = from_folder(from, path);
        if !self.real(&folder).is_dir() {
            folder = from_folder(from, &paths::folder(path));
        }
        paths::relative(from, &folder).unwrap_or(folder)
    }
}

/// What a service says about `extends`, if it says anything.
fn extends(services: &Map, name: &str) -> Result<Option<Extends>, Failure> {
    let Some(entry) = services.entry(name) else {
        return Ok(None);
    };
    let service = match &entry.node.value {
        Value::Null => return Ok(None),
        Value::Map(service) => service,
        _ => {
            let message = format!(
                "services.{name} must be a mapping, not {}",
                name_of(&entry.node)
            );
            return Err(Fault::rule(entry.key, message).into());
        }
    };
    let Some(extends) = service.entry("extends") else {
        return Ok(None);
    };
    let place = extends.key;
    let wrong = |message: &str| -> Failure {
        Fault::rule(place, format!("services.{name}.extends {message}")).into()
    };
    match &extends.node.value {
        Value::Text(service) => Ok(Some(Extends {
            service: service.to_string(),
            service_place: extends.node.place,
            file: None,
            place,
        })),
        Value::Map(map) => {
            let Some(service) = map.get("service").filter(|node| node.as_text().is_some()) else {
                return Err(wrong("needs `service`, the name of a service"));
            };
            let file = match map.get("file").filter(|node| !node.is_null()) {
                None => None,
                Some(file) => match file.as_text() {
                    Some(path) => Some((path.to_owned(), file.place)),
                    None => return Err(wrong("needs a path as `file`")),
                },
            };
            Ok(Some(Extends {
                service: service.as_text().unwrap_or_default().to_owned(),
                service_place: service.place,
                file,
                place,
            }))
        }
        _ => Err(wrong("must be the name of a service, or a mapping")),
    }
}

fn no_base(name: &str, extends: &Extends, services: &Map, file: &str) -> Box<Fault> {
    let known = services.keys().map(|key| &**key);
    Fault::new(
        extends.service_place,
        Problem::NoBase {
            service: name.to_owned(),
            base: extends.service.clone(),
            file: paths::base(file).to_owned(),
            nearest: nearest(&extends.service, known),
        },
    )
}

/// Takes one more step, unless it leads back to where the chain was already.
fn step(chain: &mut Chain, service: &str, file: &str, place: Place) -> Result<(), Failure> {
    let new = (service.to_owned(), file.to_owned());
    let again = chain.contains(&new);
    let limit = LONGEST_CHAIN;
    if !again && chain.len() >= limit {
        let first = chain.first().map_or(service, |(first, _)| first);
        let service = first.to_owned();
        return Err(Fault::new(place, Problem::LongChain { service, limit }).into());
    }
    chain.push(new);
    if again {
        let chain = chain
            .drain(..)
            .map(|(service, file)| format!("{service} ({})", paths::base(&file)))
            .collect();
        let what = "`extends`";
        return Err(Fault::new(place, Problem::Circle { what, chain }).into());
    }
    Ok(())
}
