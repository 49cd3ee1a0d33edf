//! The command line that does a part of a run again.

use crate::cli::{Global, PublishArguments};
use crate::ledger::Next;
use crate::printable::without_url_secrets;

/// What builds `service` alone, with the flags that decide what is built and where.
pub(super) fn build(global: &Global, service: &str) -> String {
    let mut words = words("castoff build", global);
    words.push(quoted(service));
    words.join(" ")
}

/// What goes on with a publish that is interrupted, and what takes it back.
pub(super) fn publish(global: &Global, arguments: &PublishArguments, services: &[String]) -> Next {
    let mut words = words("castoff publish --resume", global);
    for name in &arguments.only_registries {
        words.extend(["--only-registry".to_owned(), quoted(name)]);
    }
    for (is_set, flag) in [
        (arguments.strict, "--strict"),
        (arguments.rebuild, "--rebuild"),
        (arguments.allow_backwards, "--allow-backwards"),
        (arguments.no_prune, "--no-prune"),
    ] {
        words.extend(is_set.then(|| flag.to_owned()));
    }
    words.extend(services.iter().map(|service| quoted(service)));
    // It takes all that comes behind it.
    if !arguments.from.is_empty() {
        words.push("--from".to_owned());
        let files = arguments.from.iter();
        words.extend(files.map(|file| quoted(&file.to_string_lossy())));
    }
    Next {
        finish: words.join(" "),
        undo: rollback(global).undo,
    }
}

/// The same of a promotion.
pub(super) fn promote(global: &Global) -> Next {
    Next {
        finish: words("castoff promote --resume", global).join(" "),
        undo: rollback(global).undo,
    }
}

/// The same of a rollback, which is only ever gone on with.
pub(super) fn rollback(global: &Global) -> Next {
    let rollback = words("castoff rollback", global).join(" ");
    Next {
        finish: rollback.clone(),
        undo: rollback,
    }
}

/// A command with the flags that decide what it is about.
fn words(command: &str, global: &Global) -> Vec<String> {
    let mut words = vec![command.to_owned()];
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
    if let Some(reference) = &global.reference {
        flag("--ref", reference);
    }
    if let Some(event) = &global.event {
        flag("--event", event);
    }
    if let Some(builder) = &global.builder {
        flag("--builder", &without_url_secrets(builder));
    }
    for right in &global.allow {
        flag("--allow", right);
    }
    words
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

    #[test]
    fn an_interruption_ends_with_the_flags_that_it_began_with() {
        let global = Global {
            files: vec!["a b.yaml".into()],
            reference: Some("v1.2".to_owned()),
            allow: vec!["network.host".to_owned()],
            quiet: true,
            ..Global::default()
        };
        let typed = [
            "castoff",
            "publish",
            "api",
            "--from",
            "one.json",
            "it's.json",
            "--only-registry",
            "hub",
            "--allow-backwards",
            "--keep-going",
        ];
        let typed = <crate::cli::Cli as clap::Parser>::parse_from(typed);
        let crate::cli::Command::Publish(arguments) = typed.command else {
            panic!("{typed:?}");
        };
        let next = publish(&global, &arguments, &arguments.services);
        assert_eq!(
            next.finish,
            r"castoff publish --resume -f 'a b.yaml' --ref v1.2 --allow network.host --only-registry hub --allow-backwards api --from one.json 'it'\''s.json'"
        );
        assert_eq!(
            next.undo,
            "castoff rollback -f 'a b.yaml' --ref v1.2 --allow network.host"
        );
        assert_eq!(
            promote(&Global::default()).finish,
            "castoff promote --resume"
        );
        assert_eq!(rollback(&Global::default()).finish, "castoff rollback");
    }
}
