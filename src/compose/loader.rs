//! Loads a set of files into one document: reading, replacing variables, `extends`, `include`,
//! merging, checking. The order of the steps is that of compose-go's `loader/loader.go`, on which
//! much of what users see depends.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path as FilePath, PathBuf};
use std::rc::Rc;

use super::dotenv::{EnvFormat, Lines};
use super::error::{Error, Fault};
use super::expand::{self, Document};
use super::node::{Map, Value};
use super::path::Path;
use super::resets::Resets;
use super::source::Sources;
use super::variables::Findings;
use super::{canonical, defaults, merge, paths, schema, unique, variables, yaml};

mod extends;
mod include;

/// Variables and their values.
pub(super) type Environment = BTreeMap<String, String>;

/// Loads files, and remembers them.
pub(super) struct Loader<'a> {
    /// The files read so far.
    pub sources: Sources,
    /// What was found odd so far.
    pub findings: Findings,
    /// The folder that the program runs in.
    working_directory: &'a FilePath,
    /// What `~` stands for.
    pub home: Option<String>,
    /// What `-` holds; none where it is on the standard input.
    standard_input: Option<&'a [u8]>,
    /// Files that were extended from before, by path, folder and environment.
    bases: HashMap<(String, String, usize), Rc<Base>>,
    /// How many environments there were: each included set of files has its own.
    environments: usize,
    /// Documents of files that were read for the project's name, and are to be loaded.
    ready: HashMap<String, Vec<Document>>,
    /// The lines of the env files that services read, by path and format.
    pub env_files: HashMap<(PathBuf, EnvFormat), Rc<Lines>>,
}

/// The services of a file that others extend.
struct Base {
    services: Map,
    resets: Resets,
}

/// How a set of files is read.
#[derive(Clone, Copy)]
struct View<'a> {
    /// Where variables come from.
    environment: &'a Environment,
    /// The number of that environment.
    environment_number: usize,
    /// The folder that the names of files are relative to.
    files_from: &'a str,
    /// The folder that the paths in the files are relative to.
    folder: &'a str,
}

/// How much is done with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Everything: it is a part of the project.
    Whole,
    /// Only what a file that is extended from needs: it is checked after merging.
    Base,
}

type Failure = Box<Stop>;

/// Why loading stops, before places have their lines.
pub(super) enum Stop {
    /// Something at a place.
    Fault(Box<Fault>),
    /// Something without one.
    Error(Error),
}

impl From<Box<Fault>> for Failure {
    fn from(fault: Box<Fault>) -> Self {
        Box::new(Stop::Fault(fault))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Box::new(Stop::Error(error))
    }
}

impl<'a> Loader<'a> {
    /// A loader that has read nothing.
    pub(super) fn new(
        working_directory: &'a FilePath,
        home: Option<String>,
        standard_input: Option<&'a [u8]>,
    ) -> Self {
        Self {
            sources: Sources::default(),
            findings: Findings::default(),
            working_directory,
            home,
            standard_input,
            bases: HashMap::new(),
            environments: 1,
            ready: HashMap::new(),
            env_files: HashMap::new(),
        }
    }

    /// The error that a stop is.
    pub(super) fn error(&self, stop: Stop) -> Error {
        match stop {
            Stop::Fault(fault) => self.sources.error(*fault),
            Stop::Error(error) => error,
        }
    }

    /// Loads the files of a project, whose paths are relative to `folder`.
    pub(super) fn project(
        &mut self,
        files: &[String],
        folder: &str,
        environment: &Environment,
    ) -> Result<Map, Failure> {
        let view = View {
            environment,
            environment_number: 0,
            files_from: folder,
            folder,
        };
        self.model(files, view, &[])
    }

    /// The documents of a file, and whose number they have.
    fn documents(&mut self, file: &str) -> Result<Vec<Document>, Failure> {
        let path = self.real(file);
        let bytes = match self.standard_input.filter(|_| file == "-") {
            Some(given) => given.into(),
            None => self.sources.read(&path)?,
        };
        self.findings.budget.read(bytes.len())?;
        let (number, text) = self.sources.add(&path, &bytes)?;
        let stream = yaml::parse(number, &text)?;
        Ok(expand::expand(&stream, &mut self.findings.budget)?)
    }

    /// The documents of a file that is looked at before it is loaded.
    pub(super) fn first_look(&mut self, file: &str) -> Result<&[Document], Failure> {
        let documents = match self.ready.remove(file) {
            Some(documents) => documents,
            None => self.documents(file)?,
        };
        let documents = self.ready.entry(file.to_owned()).insert_entry(documents);
        Ok(documents.into_mut())
    }

    /// The file that a path names for the system.
    fn real(&self, path: &str) -> PathBuf {
        if path == "-" {
            return PathBuf::from("-");
        }
        self.working_directory.join(path)
    }

    /// Loads a set of files that are merged over one another.
    fn model(
        &mut self,
        files: &[String],
        view: View<'_>,
        included: &[String],
    ) -> Result<Map, Failure> {
        let mut document = Map::default();
        for file in files {
            (document, _) = self.file(file, view, Use::Whole, document, included)?;
        }
        defaults::fill(&mut document)?;
        defaults::check(&mut document)?;
        self.resolver(view.folder).resolve(&mut document)?;
        let budget = &mut self.findings.budget;
        defaults::environment(&mut document, view.environment, budget)?;
        Ok(document)
    }

    fn resolver<'b>(&'b self, folder: &'b str) -> defaults::Resolver<'b> {
        defaults::Resolver {
            folder,
            home: self.home.as_deref(),
        }
    }

    /// Merges a file over what there is, document by document.
    fn file(
        &mut self,
        file: &str,
        view: View<'_>,
        used: Use,
        mut merged: Map,
        included: &[String],
    ) -> Result<(Map, Resets), Failure> {
        let mut included = included.to_vec();
        let mut resets = Resets::default();
        let documents = match self.ready.remove(file) {
            Some(documents) => documents,
            None => self.documents(file)?,
        };
        for document in documents {
            let place = document.root.place;
            let Value::Map(mut own) = document.root.value else {
                let message = "the document must be a mapping";
                return Err(Fault::rule(place, message).into());
            };
            resets = document.resets;
            variables::replace(&mut own, view.environment, &mut self.findings)?;
            if used == Use::Whole {
                self.extend_all(&mut own, file, view, &resets)?;
            }
            let budget = &mut self.findings.budget;
            resets.apply(&mut merged, &Path::root(), budget)?;
            if used == Use::Whole {
                included.push(file.to_owned());
                self.include_all(&mut own, view, &included)?;
            }
            let before: usize = merged.iter().map(|(_, entry)| entry.node.count()).sum();
            self.findings.budget.merged(before, place)?;
            merged = merge::merge(merged, own)?;
            unique::enforce(&mut merged)?;
            if used == Use::Whole {
                schema::check(&merged)?;
                if let Some(version) = merged.remove("version") {
                    let remark = "`version` is obsolete and ignored; please remove it";
                    self.findings.remarks.push((remark.to_owned(), version.key));
                }
            }
            canonical::transform(&mut merged, &mut self.findings)?;
            unique::enforce(&mut merged)?;
        }
        Ok((merged, resets))
    }
}

/// A path as it is found from a folder.
fn from_folder(folder: &str, path: &str) -> String {
    if paths::is_absolute(path) {
        path.to_owned()
    } else {
        paths::join(folder, path)
    }
}
