//! A folder of its own, with a git and an environment that know nothing of this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder, and what runs in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    directory: PathBuf,
    variables: Vec<(String, String)>,
}

impl Place {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Temporary folders may lie behind links, and git prints where they lead to.
        let root = folder.path().canonicalize().unwrap();
        let directory = root.join("project");
        std::fs::create_dir(&directory).unwrap();
        std::fs::create_dir(root.join("home")).unwrap();
        let mut place = Self {
            directory,
            folder,
            variables: Vec::new(),
        };
        for (name, value) in [
            ("PATH", std::env::var("PATH").unwrap()),
            ("HOME", root.join("home").display().to_string()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_CEILING_DIRECTORIES", root.display().to_string()),
        ] {
            place.set(name, &value);
        }
        place
    }

    /// A repository with one commit on `main`.
    pub(crate) fn repository() -> Self {
        let place = Self::empty();
        place.git("init --quiet --initial-branch=main");
        place.commit("one");
        place
    }

    /// A run of GitHub Actions, in a folder without a repository.
    pub(crate) fn github(reference: &str, event: &str) -> Self {
        let mut place = Self::empty();
        place.set("GITHUB_ACTIONS", "true");
        place.set("GITHUB_REF", reference);
        place.set("GITHUB_EVENT_NAME", event);
        place.set("GITHUB_REPOSITORY", "acme/app");
        place.set("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37");
        place.set("SOURCE_DATE_EPOCH", "1578616200");
        place.payload(r#"{"repository": {"default_branch": "main"}}"#);
        place
    }

    /// Sets a variable for everything that runs here.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The payload of the event.
    pub(crate) fn payload(&mut self, json: &str) {
        let path = self.root().join("event.json");
        std::fs::write(&path, json).unwrap();
        self.set("GITHUB_EVENT_PATH", path.to_str().unwrap());
    }

    /// The folder around the project.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// The project's folder.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Goes on in another folder below the root.
    pub(crate) fn go(&mut self, directory: &str) {
        self.directory = self.root().join(directory);
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs git, which must succeed.
    pub(crate) fn git(&self, arguments: &str) -> String {
        let output = self.try_git(arguments);
        assert!(
            output.status.success(),
            "git {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs git. Arguments are parted at spaces.
    pub(crate) fn try_git(&self, arguments: &str) -> Output {
        Command::new("git")
            .args(["-c", "protocol.file.allow=always"])
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(arguments.split(' '))
            .current_dir(&self.directory)
            .env_clear()
            .envs(self.variables.clone())
            .env("GIT_AUTHOR_DATE", "2024-06-28T10:00:00+02:00")
            .env("GIT_COMMITTER_DATE", "2024-06-28T10:00:00+02:00")
            .output()
            .unwrap()
    }

    /// Commits a change; the commit's name.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.write("file", message);
        self.git("add file");
        self.git(&format!("commit --quiet -m {message}"));
        self.git("rev-parse HEAD")
    }

    /// Runs castoff.
    pub(crate) fn castoff(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_castoff"))
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(self.variables.clone())
            .output()
            .unwrap()
    }

    /// The JSON of `castoff tags`, which must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.castoff(&[&["tags", "--format=json"], arguments].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The tags that rules give here.
    pub(crate) fn tags(&self, rules: &[&str]) -> Vec<String> {
        self.tags_with(rules, &[])
    }

    /// The tags that rules give here, with further arguments.
    pub(crate) fn tags_with(&self, rules: &[&str], arguments: &[&str]) -> Vec<String> {
        let rules: Vec<String> = rules.iter().map(|rule| format!("--rule={rule}")).collect();
        let mut all: Vec<&str> = rules.iter().map(String::as_str).collect();
        all.extend(arguments);
        let json = self.json(&all);
        let tags = json["tags"].as_array().unwrap();
        tags.iter()
            .map(|tag| tag.as_str().unwrap().to_owned())
            .collect()
    }

    /// The messages of the warnings.
    pub(crate) fn warnings(&self, arguments: &[&str]) -> Vec<String> {
        let json = self.json(arguments);
        let warnings = json["warnings"].as_array().unwrap();
        warnings
            .iter()
            .map(|warning| warning["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything that a run shows, with the places and names of this machine taken out.
    pub(crate) fn shown(&self, arguments: &[&str]) -> String {
        let output = self.castoff(arguments);
        let code = output.status.code().unwrap();
        let mut text = format!("exit code {code}\n");
        for (name, stream) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let stream = String::from_utf8_lossy(stream);
            if !stream.is_empty() {
                text = format!("{text}-- {name}\n{stream}");
            }
        }
        text.replace(&self.root().display().to_string(), "[root]")
    }
}

/// A rule for each kind of reference.
pub(crate) const REFERENCES: [&str; 3] = [
    "type=ref,event=branch",
    "type=ref,event=tag",
    "type=ref,event=pr",
];

/// The reference that castoff sees.
pub(crate) fn reference(place: &Place) -> String {
    let json = place.json(&[]);
    json["context"]["ref"].as_str().unwrap_or("none").to_owned()
}
