//! What a Dockerfile takes from elsewhere: the images that a build begins with and copies from.
//!
//! Reads only as much as that needs, and only where it reads as BuildKit does: a Dockerfile that could
//! mean something else to the builder is [`Obscure`], and whoever asks has to build. No crate does
//! this: those there are know neither heredocs nor the scopes of `ARG`.

mod fetched;
mod lines;
mod unknown;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use self::fetched::fetched;
pub use self::fetched::is_commit;
use self::lines::Instruction;
pub use self::unknown::UnknownInstruction;
use self::words::Value;
use crate::oci::{Platform, Reference};

/// The largest Dockerfile that is read, in bytes.
pub const LARGEST_DOCKERFILE: usize = 4 * 1024 * 1024;
/// How many stages are looked at.
const MOST_STAGES: usize = 1000;

/// The instructions of the Dockerfile reference.
const KEYWORDS: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// Why it cannot be told what a Dockerfile takes from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match line { Some(line) => format!("line {line}: {what}"), None => what.clone() })]
pub struct Obscure {
    /// What is in the way.
    pub what: String,
    /// The line, from 1.
    pub line: Option<usize>,
}

impl Obscure {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            line: None,
        }
    }

    fn at(line: usize, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            line: Some(line),
        }
    }

    fn or_at(mut self, line: usize) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

/// A Dockerfile, read.
#[derive(Debug)]
pub struct Dockerfile {
    escape: char,
    syntax: Option<String>,
    /// `ARG` before the first `FROM`: names and defaults as they are written, with their lines.
    arguments: Vec<(String, Option<String>, usize)>,
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    /// In lower case.
    name: Option<String>,
    /// As it is written.
    base: String,
    line: usize,
    /// `COPY --from` and `RUN --mount=from=`.
    from: Vec<(String, usize)>,
    /// Why the stage cannot be known without carrying it out.
    obscure: Option<Obscure>,
}

/// What a Dockerfile is built with, as far as it decides which images it needs.
#[derive(Clone, Debug, Default)]
pub struct With<'a> {
    /// Build arguments.
    pub arguments: BTreeMap<&'a str, &'a str>,
    /// The stage, where one is named.
    pub target: Option<&'a str>,
    /// The platforms, where they are known.
    pub platforms: &'a [Platform],
    /// The names of named contexts.
    pub contexts: BTreeSet<&'a str>,
}

/// The images that a build needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Those of `FROM`, `COPY --from` and `RUN --mount`, in their canonical form.
    pub bases: BTreeSet<Reference>,
    /// Those of `FROM` among them, whose triggers are carried out.
    pub begun: BTreeSet<Reference>,
    /// The frontend that `# syntax=` names.
    pub frontend: Option<Reference>,
}

impl Dockerfile {
    /// Reads a Dockerfile's bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Obscure> {
        if bytes.len() > LARGEST_DOCKERFILE {
            return Err(Obscure::new("it is too large"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Obscure::new("it is not UTF-8"))?;
        let syntax = lines::syntax(text)?;
        let lines = lines::read(text)?;
        let mut read = Self {
            escape: lines.escape,
            syntax,
            arguments: Vec::new(),
            stages: Vec::new(),
        };
        for instruction in lines.instructions {
            read.take(&instruction)
                .map_err(|obscure| obscure.or_at(instruction.line))?;
        }
        if read.stages.is_empty() {
            return Err(Obscure::new("it has no FROM"));
        }
        Ok(read)
    }

    fn take(&mut self, instruction: &Instruction) -> Result<(), Obscure> {
        let escape = self.escape;
        match instruction.keyword.as_str() {
            "from" => {
                let stage = Stage::new(instruction)?;
                if self.stages.len() >= MOST_STAGES {
                    return Err(Obscure::new("it has too many stages"));
                }
                self.stages.push(stage);
                Ok(())
            }
            "arg" if self.stages.is_empty() => {
                for word in words::split(&instruction.arguments, escape) {
                    let (name, default) = match word.split_once('=') {
                        Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                        None => (word, None),
                    };
                    self.arguments.push((name, default, instruction.line));
                }
                Ok(())
            }
            known if KEYWORDS.contains(&known) => match self.stages.last_mut() {
                Some(stage) => {
                    if let Err(obscure) = stage.take(instruction, escape) {
                        let obscure = obscure.or_at(instruction.line);
                        stage.obscure.get_or_insert(obscure);
                    }
                    Ok(())
                }
                None => Err(Obscure::new("an instruction stands before the first FROM")),
            },
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Obscure::new(format!(
                    "the instruction `{shown}` is not known"
                )))
            }
        }
    }

    /// The images that a build of it needs, for all platforms together. Stages that the target does not
    /// need count for nothing.
    pub fn images(&self, with: &With<'_>) -> Result<Images, Obscure> {
        let mut images = Images {
            frontend: self.frontend(with)?,
            ..Images::default()
        };
        let everywhere = with.platforms.iter().map(Some);
        let unknown = with.platforms.is_empty().then_some(None);
        for platform in everywhere.chain(unknown) {
            let arguments = self.arguments(with, platform)?;
            self.collect(with, &arguments, &mut images)?;
        }
        Ok(images)
    }

    /// The frontend's image. Only Docker's own is known to read a Dockerfile as it is read here.
    fn frontend(&self, with: &With<'_>) -> Result<Option<Reference>, Obscure> {
        let named = match with.arguments.get("BUILDKIT_SYNTAX") {
            Some(argument) => argument.split_whitespace().next(),
            None => self.syntax.as_deref(),
        };
        let Some(named) = named else { return Ok(None) };
        let shown: String = named.chars().take(120).collect();
        let reference = reference(named)?;
        let path = reference.repository().path();
        let is_dockers = ["docker/dockerfile", "docker/dockerfile-upstream"]
            .iter()
            .any(|known| path == *known || path.ends_with(&format!("/{known}")));
        if is_dockers {
            Ok(Some(reference))
        } else {
            Err(Obscure::new(format!("the frontend {shown} is not known")))
        }
    }

    /// The variables of `FROM`: those of the platforms, and those of `ARG` before the first stage.
    fn arguments(
        &self,
        with: &With<'_>,
        platform: Option<&Platform>,
    ) -> Result<BTreeMap<String, Value>, Obscure> {
        let mut known = BTreeMap::new();
        let builders = ["PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT"];
        for name in builders {
            known.insert(format!("BUILD{name}"), Value::Unknown);
            let value = platform.map_or(Value::Unknown, |platform| {
                let platform = platform.normalized();
                Value::Set(match name {
                    "PLATFORM" => platform.to_string(),
                    "OS" => platform.os().to_owned(),
                    "OSVERSION" => platform.os_version().to_owned(),
                    "ARCH" => platform.architecture().to_owned(),
                    _ => platform.variant().to_owned(),
                })
            });
            known.insert(format!("TARGET{name}"), value);
        }
        let last = self.stages.last().and_then(|stage| stage.name.as_deref());
        let target = with.target.or(last).unwrap_or("default");
        known.insert("TARGETSTAGE".to_owned(), Value::Set(target.to_owned()));
        for (name, value) in &mut known {
            if let Some(given) = with.arguments.get(name.as_str()) {
                *value = Value::Set((*given).to_owned());
            }
        }
        for (name, default, line) in &self.arguments {
            let value = match (with.arguments.get(name.as_str()), default) {
                (Some(given), _) => Some((*given).to_owned()),
                (None, Some(default)) => {
                    let lookup = |name: &str| look_up(&known, name);
                    let value = words::expand(default, self.escape, &lookup);
                    Some(value.map_err(|obscure| obscure.or_at(*line))?)
                }
                (None, None) => None,
            };
            if let Some(value) = value {
                known.insert(name.clone(), Value::Set(value));
            }
        }
        Ok(known)
    }

    /// Adds the images of the target's stage and of every stage that it needs.
    fn collect(
        &self,
        with: &With<'_>,
        arguments: &BTreeMap<String, Value>,
        images: &mut Images,
    ) -> Result<(), Obscure> {
        let target = match with.target.filter(|target| !target.is_empty()) {
            None => self.stages.len().saturating_sub(1),
            Some(name) => self
                .named(name)
                .ok_or_else(|| Obscure::new("the target stage does not exist"))?,
        };
        let mut needed = BTreeSet::new();
        let mut waiting = vec![target];
        while let Some(index) = waiting.pop() {
            let Some(stage) = self.stages.get(index).filter(|_| needed.insert(index)) else {
                continue;
            };
            if let Some(obscure) = &stage.obscure {
                return Err(obscure.clone());
            }
            let lookup = |name: &str| look_up(arguments, name);
            let base = words::expand(&stage.base, self.escape, &lookup)
                .map_err(|obscure| obscure.or_at(stage.line))?;
            // A stage of this name that stands before.
            let earlier = self.stages.iter().take(index);
            let earlier = earlier.map(|stage| stage.name.as_deref());
            match earlier.rev().position(|name| name == Some(base.as_str())) {
                Some(back) => waiting.push(index - 1 - back),
                None => {
                    let found = image(&base, with).map_err(|obscure| obscure.or_at(stage.line))?;
                    images.begun.extend(found.clone());
                    images.bases.extend(found);
                }
            }
            for (from, line) in &stage.from {
                if let Some(found) = self.named(from) {
                    waiting.push(found);
                } else if let Ok(number) = from.parse::<usize>() {
                    if number >= self.stages.len() {
                        return Err(Obscure::at(*line, "the stage does not exist"));
                    }
                    waiting.push(number);
                } else {
                    let found = image(from, with).map_err(|obscure| obscure.or_at(*line))?;
                    images.bases.extend(found);
                }
            }
        }
        Ok(())
    }

    /// The stage of a name; the last where there are several.
    fn named(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        self.stages
            .iter()
            .rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
    }
}

fn look_up(known: &BTreeMap<String, Value>, name: &str) -> Value {
    known.get(name).cloned().unwrap_or(Value::Unset)
}

/// The image of a name, unless it is nothing or a named context.
fn image(name: &str, with: &With<'_>) -> Result<Option<Reference>, Obscure> {
    if name == "scratch" {
        return Ok(None);
    }
    let reference = reference(name)?;
    // The name by which the frontend looks for a context (BuildKit, dockerui, `NamedContext`).
    let mut familiar = reference.repository().familiar();
    if reference.tag().is_some_and(|tag| tag.as_str() != "latest") || reference.digest().is_some() {
        familiar = format!("{familiar}:{}", reference.selector());
    }
    let is_context = with.contexts.contains(familiar.as_str());
    Ok((!is_context).then_some(reference))
}

/// Whether a trigger, which an image has from `ONBUILD`, takes only from the context of the build that begins
/// with the image.
///
/// # Errors
///
/// What else it takes, or why that cannot be told.
pub fn check_trigger(trigger: &str) -> Result<(), Obscure> {
    let mut lines = lines::read(trigger)?;
    let (Some(one), true) = (lines.instructions.pop(), lines.instructions.is_empty()) else {
        return Err(Obscure::new("it is not one instruction"));
    };
    if one.keyword == "onbuild" || one.keyword == "from" || !KEYWORDS.contains(&&*one.keyword) {
        return Err(Obscure::new("it is no instruction that a trigger can be"));
    }
    let mut stage = Stage {
        name: None,
        base: String::new(),
        line: one.line,
        from: Vec::new(),
        obscure: None,
    };
    stage.take(&one, lines.escape)?;
    match stage.from.first() {
        None => Ok(()),
        Some((from, _)) => Err(Obscure::new(format!("it takes from {from}"))),
    }
}

fn reference(name: &str) -> Result<Reference, Obscure> {
    let parsed = name.parse::<Reference>();
    let shown: String = name.chars().take(120).collect();
    parsed
        .map(|reference| reference.canonical())
        .map_err(|_| Obscure::new(format!("`{shown}` is no image")))
}

impl Stage {
    fn new(from: &Instruction) -> Result<Self, Obscure> {
        let words: Vec<&str> = from.arguments.split_whitespace().collect();
        let (base, name) = match words.as_slice() {
            [base] => (*base, None),
            [base, word, name] if word.eq_ignore_ascii_case("as") => {
                (*base, Some(name.to_lowercase()))
            }
            _ => return Err(Obscure::new("FROM has neither one argument nor a name")),
        };
        if from
            .flags
            .iter()
            .any(|flag| !flag.starts_with("--platform="))
        {
            return Err(Obscure::new("FROM has a flag that is not known"));
        }
        Ok(Self {
            name,
            base: base.to_owned(),
            line: from.line,
            from: Vec::new(),
            obscure: None,
        })
    }

    fn take(&mut self, instruction: &Instruction, escape: char) -> Result<(), Obscure> {
        match instruction.keyword.as_str() {
            "copy" => {
                for flag in flags(instruction, "from")? {
                    self.needs(flag, instruction.line)?;
                }
                Ok(())
            }
            "run" => {
                for mount in flags(instruction, "mount")? {
                    if mount.contains(['"', '\'']) {
                        return Err(Obscure::new("a mount has quotes in it"));
                    }
                    for field in mount.split(',') {
                        let (key, value) = field.split_once('=').unwrap_or((field, ""));
                        if key.trim().eq_ignore_ascii_case("from") {
                            self.needs(value, instruction.line)?;
                        }
                    }
                }
                Ok(())
            }
            "add" => fetched(instruction, escape),
            // What it says is carried out in the stages that begin with this one.
            "onbuild" => {
                let mut inner = lines::read(&instruction.arguments).unwrap_or(lines::Lines {
                    escape,
                    instructions: Vec::new(),
                });
                match (inner.instructions.pop(), inner.instructions.is_empty()) {
                    (Some(inner), true) if inner.keyword != "onbuild" => self.take(
                        &Instruction {
                            line: instruction.line,
                            ..inner
                        },
                        escape,
                    ),
                    _ => Err(Obscure::new("ONBUILD has no instruction that can be read")),
                }
            }
            _ => Ok(()),
        }
    }

    fn needs(&mut self, from: &str, line: usize) -> Result<(), Obscure> {
        if from.is_empty() || from.contains(['$', '"', '\'', '\\', '`']) {
            return Err(Obscure::new("`from` is no plain name"));
        }
        self.from.push((from.to_owned(), line));
        Ok(())
    }
}

/// The values of a flag, which may be given several times.
fn flags<'a>(instruction: &'a Instruction, name: &str) -> Result<Vec<&'a str>, Obscure> {
    let mut values = Vec::new();
    for flag in &instruction.flags {
        let flag = flag.strip_prefix("--").unwrap_or(flag);
        let (key, value) = flag.split_once('=').unwrap_or((flag, ""));
        if key == name {
            values.push(value);
        } else if key.eq_ignore_ascii_case(name) {
            return Err(Obscure::new(format!("`--{key}` is not known")));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
