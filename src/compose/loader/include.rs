//! `include`: compose-go's `loader/include.go`.

use std::fmt::Write as _;

use super::super::discover::dotenv_error;
use super::super::dotenv::{EnvFormat, Lines, Variables};
use super::super::error::{Fault, Problem, nearest};
use super::super::node::{Entry, Map, Node, Place, Value};
use super::super::paths;
use super::super::short::gitref;
use super::{Environment, Failure, Loader, Stop, View, from_folder};

/// How deep files may include one another.
const DEEPEST: usize = 500;

/// One entry of `include`.
struct Include {
    files: Vec<(String, Place)>,
    folder: Option<(String, Place)>,
    env_files: Vec<(String, Place)>,
    place: Place,
}

impl Loader<'_> {
    /// Adds the resources of the files that a document includes.
    pub(super) fn include_all(
        &mut self,
        document: &mut Map,
        view: View<'_>,
        included: &[String],
    ) -> Result<(), Failure> {
        let Some(entry) = document.remove("include") else {
            return Ok(());
        };
        for include in self.entries(&entry)? {
            let model = self.include(&include, view, included)?;
            import(model, document, include.place)?;
        }
        Ok(())
    }

    /// Loads the files of one entry.
    fn include(
        &mut self,
        include: &Include,
        view: View<'_>,
        included: &[String],
    ) -> Result<Map, Failure> {
        if included.len() > DEEPEST {
            let what = "files include one another too deep";
            let limit = DEEPEST;
            return Err(Fault::new(include.place, Problem::Limit { what, limit }).into());
        }
        let mut files = Vec::new();
        let mut folder = String::new();
        let mut project = String::new();
        for (index, (file, place)) in include.files.iter().enumerate() {
            if gitref::is_git(file) || file.starts_with("oci://") {
                let what = "an included file";
                let url = gitref::without_password(file);
                return Err(Fault::new(*place, Problem::Remote { what, url }).into());
            }
            let path = from_folder(view.files_from, file);
            if index == 0 {
                (folder, project) = self.folders(include, &path, view);
                if included.contains(&path) {
                    let mut chain = included.to_vec();
                    chain.push(path);
                    let what = "`include`";
                    return Err(Fault::new(*place, Problem::Circle { what, chain }).into());
                }
            }
            self.readable("the included file", &path, *place)?;
            files.push(path);
        }
        let environment = self.environment(include, &project, view)?;
        let below = View {
            environment: environment
                .as_ref()
                .map_or(view.environment, |(own, _)| own),
            environment_number: environment
                .as_ref()
                .map_or(view.environment_number, |(_, number)| *number),
            files_from: &project,
            folder: &folder,
        };
        self.model(&files, below, included).map_err(|failure| {
            let named = files.iter().zip(&include.files);
            let stop = named.fold(*failure, |stop, (path, (_, place))| {
                self.unread(stop, "the included file", path, *place)
            });
            Box::new(stop)
        })
    }

    /// The folder that paths of the included files are relative to, seen from the including one,
    /// and the folder their own includes are relative to.
    fn folders(&self, include: &Include, path: &str, view: View<'_>) -> (String, String) {
        match &include.folder {
            None => (
                self.relative_folder(view.files_from, path),
                paths::folder(path),
            ),
            Some((folder, _)) if paths::is_absolute(folder) => (folder.clone(), folder.clone()),
            Some((folder, _)) => (
                self.relative_folder(view.files_from, folder),
                paths::join(view.folder, folder),
            ),
        }
    }

    /// The variables of the including file with those of the entry's own env files, and their
    /// number; none if the entry adds none.
    fn environment(
        &mut self,
        include: &Include,
        project: &str,
        view: View<'_>,
    ) -> Result<Option<(Environment, usize)>, Failure> {
        let mut files = Vec::new();
        if include.env_files.is_empty() {
            let default = paths::join(project, ".env");
            let there = std::fs::metadata(self.real(&default));
            if there.is_ok_and(|meta| !meta.is_dir()) {
                files.push((default, include.place));
            }
        }
        for (file, place) in &include.env_files {
            files.push((from_folder(view.folder, file), *place));
        }
        let mut own = Variables::new();
        for (file, place) in files {
            let what = "the env file";
            self.readable(what, &file, place)?;
            let path = self.real(&file);
            let bytes = self.sources.read(&path);
            let bytes =
                bytes.map_err(|error| self.unread(Stop::Error(error), what, &file, place))?;
            self.findings.budget.read(bytes.len())?;
            let lookup = |name: &str| view.environment.get(name).cloned();
            let mut unset = Vec::new();
            let lines = Lines::read(&bytes, EnvFormat::Dotenv);
            let set = lines.set(&mut own, &lookup, &mut unset);
            set.map_err(|error| {
                dotenv_error(&path, &bytes, error, Some(self.sources.excerpt(place)))
            })?;
            self.findings.unset(unset, Some(place));
        }
        if own.is_empty() {
            return Ok(None);
        }
        // Each environment of a chain of includes is kept until its files are loaded.
        let mut environment = view.environment.clone();
        for (name, value) in &own {
            if !environment.contains_key(&**name) {
                environment.insert(name.to_string(), value.to_string());
            }
        }
        for (name, value) in &environment {
            let budget = &mut self.findings.budget;
            budget.values(1, include.place)?;
            budget.text(name.len() + value.len(), include.place)?;
        }
        let number = self.environments;
        self.environments += 1;
        Ok(Some((environment, number)))
    }

    fn entries(&mut self, entry: &Entry) -> Result<Vec<Include>, Failure> {
        let items = match &entry.node.value {
            Value::Null => return Ok(Vec::new()),
            Value::List(items) => items,
            _ => return Err(Fault::rule(entry.key, "`include` must be a list").into()),
        };
        let mut includes = Vec::with_capacity(items.len());
        for item in items {
            let mut include = Include {
                files: Vec::new(),
                folder: None,
                env_files: Vec::new(),
                place: item.place,
            };
            match &item.value {
                Value::Null => {}
                Value::Text(path) => include.files.push((path.to_string(), item.place)),
                Value::Map(map) => self.entry(map, &mut include)?,
                _ => {
                    let message = "an entry of `include` is a path, or a mapping with `path`";
                    return Err(Fault::rule(item.place, message).into());
                }
            }
            includes.push(include);
        }
        Ok(includes)
    }

    fn entry(&mut self, map: &Map, include: &mut Include) -> Result<(), Failure> {
        const KEYS: [&str; 3] = ["path", "env_file", "project_directory"];
        for (key, entry) in map.iter() {
            match &**key {
                "path" => include.files = texts(&entry.node, key)?,
                "env_file" => include.env_files = texts(&entry.node, key)?,
                "project_directory" => {
                    include.folder = texts(&entry.node, key)?
                        .into_iter()
                        .next()
                        .filter(|(folder, _)| !folder.is_empty());
                }
                _ => {
                    // Compose ignores it, and so hides a mistake.
                    let mut remark = format!("`include` has no key `{key}`; it is ignored");
                    if let Some(nearest) = nearest(key, KEYS.into_iter()) {
                        let _ = write!(remark, " (did you mean `{nearest}`?)");
                    }
                    self.findings.remarks.push((remark, entry.key));
                }
            }
        }
        Ok(())
    }
}

fn texts(node: &Node, key: &str) -> Result<Vec<(String, Place)>, Failure> {
    let one = |node: &Node| match node.as_text() {
        Some(text) => Ok((text.to_owned(), node.place)),
        None => Err(Fault::rule(
            node.place,
            format!("include.{key} must be a path"),
        )),
    };
    match &node.value {
        Value::Null => Ok(Vec::new()),
        Value::List(items) if key != "project_directory" => {
            Ok(items.iter().map(one).collect::<Result<_, _>>()?)
        }
        _ => Ok(vec![one(node)?]),
    }
}

/// Adds resources to a document, which may have the same ones already, but no others of the same
/// name.
fn import(model: Map, document: &mut Map, place: Place) -> Result<(), Failure> {
    const SECTIONS: [&str; 6] = [
        "services", "volumes", "networks", "secrets", "configs", "models",
    ];
    let mut model = model;
    for section in SECTIONS {
        let Some(from) = model.remove(section) else {
            continue;
        };
        let Value::Map(resources) = from.node.value else {
            continue;
        };
        if !document.has(section) {
            document.set(
                section,
                from.key,
                Node::new(place, Value::Map(Map::default())),
            );
        }
        let own_place = document.entry(section).map_or(place, |entry| entry.key);
        let Some(own) = document.get_mut(section).and_then(Node::as_map_mut) else {
            let message = format!("`{section}` must be a mapping where files are included");
            return Err(Fault::rule(own_place, message).into());
        };
        for (name, entry) in resources.into_entries() {
            match own.entry(&name) {
                None => own.set(name, entry.key, entry.node),
                Some(before) if before.node.same(&entry.node) => {}
                Some(before) => {
                    let at = format!("{section}.{name}");
                    let problem = Problem::Conflict { at };
                    return Err(Fault::between(before.key, entry.key, problem).into());
                }
            }
        }
    }
    Ok(())
}
