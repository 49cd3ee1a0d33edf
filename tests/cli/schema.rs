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
        "[registries.a]\nrepository = \"\"",
        "[registries.a]\nrepository = \"a\"\nclient_cert = \"x\"",
        "[registries.a]\nrepository = \"a\"\nclient_key = \"x\"",
        "[services.web]\nregistries = []",
        "[services.web]\nplatforms = [\"linux/\"]",
        "[build]\nplatforms = [\"foo\"]",
        "[project]\ncompose = [\"\"]",
        "[build]\nsbom = { generator = \"\" }",
        "[build]\nbuilder = \"a b\"",
        "[build]\nbuilder = \"unix://x\"",
        "[build]\nbuilder_tls = { cert = \"x\" }",
        "[build]\nallow = [\"x\"]",
        "[build]\ncompression = { kind = \"gzip\", level = 10 }",
        "[build]\ncompression = { kind = \"estargz\", level = 10 }",
        "[build]\ncompression = { kind = \"zstd\", level = 23 }",
        "[services.web]\ncompression = { kind = \"uncompressed\", level = 1 }",
        "[tags]\nimmutable = [\"\"]",
        "[tags]\nimmutable = [\"a b\"]",
        "[cache]\ntimeout = \"5\"",
        "[cache]\ntimeout = \"soon\"",
        "[cache]\ntimeout = \"-5m\"",
        "[prune.local]\nimages = { keep_last = 4294967296 }",
        "[prune.local]\nimages = { unused_for = \"\" }",
        "[prune.local]\ncontainers = { stopped_for = \"1.2.3h\" }",
        "[prune.local]\nbuild_cache = { keep = \"10XB\" }",
        "[prune.local]\nbuild_cache = { keep = \"-1\" }",
        "[prune.local]\nbuild_cache = { unused_for = \"1y\" }",
    ] {
        assert!(schema.check(broken).is_err(), "the schema takes {broken}");
        let project = shop().file("publish.toml", broken);
        let ran = project.castoff(["plan", "--offline"]).run().exits(2);
        assert!(ran.stderr.contains("publish.toml:"), "{}", ran.stderr);
    }
}

#[test]
fn what_castoff_reads_the_schema_does_not_refuse() {
    let schema = Schema::printed();
    let platforms = [
        "linux/amd64",
        "linux/arm/v7",
        "Linux/ARM64",
        "amd64",
        "X86_64",
        "x86-64",
        "armhf",
        "linux",
        "macos",
        "s390x",
        "windows(10.0.17763)/amd64",
        "${PLATFORM:-linux/amd64}",
    ];
    let sizes = [
        "10GB",
        "1.5 gib",
        "1e3",
        "0",
        "5_000kb",
        "12b",
        ".5m",
        "-0",
        "${KEEP:-1GB}",
    ];
    let times = [
        "0",
        "5m",
        "1h30m",
        "1.5h",
        "2w3d",
        ".5s",
        "7µs",
        "${SOON:-1h}",
    ];
    let builders = [
        "auto",
        "engine",
        "a.b-c_d",
        "buildx:x",
        "unix:///run/b.sock",
        "tcp://h:1",
        "${B:-auto}",
    ];
    let allowed = [
        "network.host",
        "security.insecure",
        "device",
        "device=x",
        "${A:-device}",
    ];
    let tags = ["v*", "prod-?", "${T:-v1}"];
    let mut texts = Vec::new();
    texts.extend(platforms.map(|text| format!("[build]\nplatforms = [\"{text}\"]")));
    texts.extend(sizes.map(|text| format!("[prune.local.build_cache]\nkeep = \"{text}\"")));
    texts.extend(times.map(|text| format!("[cache]\ntimeout = \"{text}\"")));
    texts.extend(builders.map(|text| format!("[services.web]\nbuilder = \"{text}\"")));
    texts.extend(allowed.map(|text| format!("[build]\nallow = [\"{text}\"]")));
    texts.extend(tags.map(|text| format!("[tags]\nimmutable = [\"{text}\"]")));
    texts.extend(
        [
            "gzip\", level = 9",
            "zstd\", level = 22",
            "uncompressed\", level = 0",
        ]
        .map(|text| format!("[build]\ncompression = {{ kind = \"{text} }}")),
    );
    texts.push("[prune.local.images]\nkeep_last = 4294967295".to_owned());
    let project = shop();
    for text in texts {
        if let Err(error) = schema.check(&text) {
            panic!("{text}: {error}");
        }
        project.write("publish.toml", &text);
        project.castoff(["config", "--publish"]).run().exits(0);
    }
}
