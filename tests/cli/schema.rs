//! The JSON Schema of publish.toml, judged by somebody else's validator: what castoff reads it accepts,
//! and what it refuses castoff does not read.

use std::path::{Path, PathBuf};
use std::process::Command;

use boon::{Compiler, SchemaIndex, Schemas};

use crate::shop;
use crate::support::project::Project;

/// The schema, as `castoff schema` prints it.
struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn printed() -> Self {
        let schema = Project::new().castoff(["schema"]).run().exits(0).json();
        let address = "https://castoff.test/publish.schema.json";
        let mut compiler = Compiler::new();
        compiler.add_resource(address, schema).unwrap();
        let mut schemas = Schemas::new();
        let index = compiler.compile(address, &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn check(&self, toml: &str) -> Result<(), String> {
        let table: toml::Table = toml.parse().map_err(|error| format!("{error}"))?;
        let value = serde_json::to_value(table).unwrap();
        let result = self.schemas.validate(&value, self.index);
        result.map_err(|error| error.to_string())
    }
}

/// The files of the repository with this name.
fn files(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", name, &format!("**/{name}")])
        .current_dir(root)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().map(|path| root.join(path)).collect()
}

/// A template with its examples switched on.
fn uncommented(template: &str) -> String {
    let lines = template.lines().map(|line| match line.strip_prefix("# ") {
        Some(code) if code.starts_with('[') || code.contains(" = ") => code,
        Some(_) => "",
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_publish_toml_of_the_repository_follows_the_schema() {
    let schema = Schema::printed();
    let files = files("publish.toml");
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for text in [uncommented(&text), text] {
            if let Err(error) = schema.check(&text) {
                panic!("{}: {error}", file.display());
            }
        }
    }
}

#[test]
fn what_the_schema_refuses_castoff_does_not_read() {
    let schema = Schema::printed();
    for broken in [
        "buidl = 1",
        "[build]\nplatfroms = []",
        "[build]\nplatforms = \"linux/amd64\"",
        "[build]\npull = \"often\"",
        "[build]\nprovenance = \"full\"",
        "[build]\nsbom = \"yes\"",
        "[build]\nsbom = { image = \"x\" }",
        "[build]\ncreated = \"yesterday\"",
        "[registries.a]\nrequired = true",
        "[registries.a]\nrepository = 1",
        "[registries]\na = \"ghcr.io/acme/{{service}}\"",
        "[tags]\nrules = \"type=sha\"",
        "[tags]\ndirty = \"maybe\"",
        "[labels]\nvendor = 3",
        "[annotations]\nlevels = [\"image\"]",
        "[cache]\nsources = [\"ftp\"]",
        "[cache]\nmode = \"most\"",
        "[prune.local]\nimages = { keep_last = -1 }",
        "[prune.local]\nimages = { unused_for = 30 }",
        "[prune.local]\nvolumes = \"all\"",
        "[prune]\nremote = {}",
        "[services.web]\nskip = 1",
        "[services.web]\nregistry = []",
        "[project]\ncompose = \"compose.yaml\"",
    ] {
        assert!(schema.check(broken).is_err(), "the schema takes {broken}");
        let project = shop().file("publish.toml", broken);
        let ran = project.castoff(["plan", "--offline"]).run().exits(2);
        assert!(ran.stderr.contains("publish.toml:"), "{}", ran.stderr);
    }
}
