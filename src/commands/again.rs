//! The command line that does a part of a run again.

use crate::cli::Global;
use crate::printable::without_url_secrets;

/// What builds `service` alone, with the flags that decide what is built and where.
pub(super) fn build(global: &Global, service: &str) -> String {
    let mut words = vec!["castoff".to_owned(), "build".to_owned()];
    let mut flag = |name: &str, value: &str| {
        words.push(name.to_owned());
        words.push(quoted(value));
    };
    for file in &global.files {
        flag("-f", &file.to_string_lossy());
    }
    if let Some(directory) = &global.project_directory {
        flag("--project-directory", &directory.to_string_lossy());
    }
    if let Some(name) = &global.project_name {
        flag("-p", name);
    }
    if let Some(config) = &global.config {
        flag("--config", &config.to_string_lossy());
    }
    for profile in &global.profiles {
        flag("--profile", profile);
    }
    for file in &global.env_files {
        flag("--env-file", &file.to_string_lossy());
    }
    for value in &global.set {
        flag("--set", value);
    }
    if let Some(builder) = &global.builder {
        flag("--builder", &without_url_secrets(builder));
    }
    words.push(quoted(service));
    words.join(" ")
}

/// A word as a POSIX shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| {
        letter.is_ascii_alphanumeric()
            || matches!(
                letter,
                '-' | '_' | '.' | '/' | ':' | '=' | ',' | '@' | '%' | '+'
            )
    };
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_that_matter_are_in_it_and_no_others() {
        let global = Global {
            files: vec!["a b.yaml".into(), "c.yaml".into()],
            project_directory: Some("it's".into()),
            profiles: vec!["dev".to_owned()],
            set: vec!["build.platforms=linux/arm64".to_owned()],
            builder: Some("tcp://me:pw@host:1234".to_owned()),
            quiet: true,
            events: Some("events".into()),
            ..Global::default()
        };
        assert_eq!(
            build(&global, "api"),
            r"castoff build -f 'a b.yaml' -f c.yaml --project-directory 'it'\''s' --profile dev --set build.platforms=linux/arm64 --builder tcp://host:1234 api"
        );
        assert_eq!(build(&Global::default(), "api"), "castoff build api");
    }
}
