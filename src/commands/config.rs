//! `castoff config`: the resolved compose project.

use std::io::Read as _;
use std::path::PathBuf;

use crate::cli::{Config, ConfigFormat, Global};
use crate::compose::{self, LoadOptions, Project};

/// What a process knows of the world and `config` needs.
#[derive(Clone, Debug)]
pub struct World {
    /// The folder that the program runs in.
    pub working_directory: PathBuf,
    /// The environment.
    pub environment: std::collections::BTreeMap<String, String>,
}

/// What the compose room is to load.
pub fn load_options(global: &Global, world: World, services: &[String]) -> LoadOptions {
    LoadOptions {
        working_directory: world.working_directory,
        files: global.file.clone(),
        project_directory: global.project_directory.clone(),
        project_name: global.project_name.clone(),
        profiles: global.profile.clone(),
        env_files: global.env_file.clone(),
        environment: world.environment,
        standard_input: standard_input(global),
        services: services.to_vec(),
    }
}

/// The standard input, if a compose file is read from there; compose's own limit applies to it.
fn standard_input(global: &Global) -> Option<String> {
    if !global.file.iter().any(|file| file.as_os_str() == "-") {
        return None;
    }
    let mut bytes = Vec::new();
    let input = std::io::stdin().lock();
    input
        .take(compose::LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What `castoff config` prints for a project.
pub fn text(project: &Project, config: &Config) -> String {
    if config.quiet {
        return String::new();
    }
    if config.names {
        return lines(project.services.iter().map(|service| service.name.clone()));
    }
    if config.images {
        return lines(project.services.iter().map(|service| {
            let built = || format!("{}-{}", project.name, service.name);
            service.image.clone().unwrap_or_else(built)
        }));
    }
    if config.profiles {
        return lines(project.known_profiles.iter().cloned());
    }
    match config.format {
        ConfigFormat::Yaml => project.document.to_yaml(),
        ConfigFormat::Json => project.document.to_json() + "\n",
    }
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item + "\n").collect()
}
