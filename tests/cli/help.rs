//! What the commands say of themselves, and of what they cannot make sense of.

use crate::shop;
use crate::support::program::Castoff;

/// What a command says of itself.
fn said(command: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ran = Castoff::inside(folder.path()).args([command, "-h"]).run();
    ran.exits(0).stdout
}

/// The name of the option that a line begins with.
fn option(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split([' ', ',']);
    words.find(|word| word.starts_with("--"))
}

/// How a command is used, and its own options with what is said of them. `schema` has none of its own.
fn help(command: &str) -> String {
    let global = said("schema");
    let global: Vec<&str> = global.lines().filter_map(option).collect();
    let mut is_own = true;
    let mut own = Vec::new();
    for line in said(command).lines() {
        if line.trim_start().starts_with('-') {
            is_own = option(line).is_some_and(|name| !global.contains(&name));
        } else if !line.starts_with(' ') {
            is_own = true;
        }
        if is_own {
            own.push(line.to_owned());
        }
    }
    own.join("\n")
}

#[test]
fn the_commands_of_the_protocol_say_how_they_are_used() {
    for command in [
        "build", "publish", "status", "history", "promote", "rollback",
    ] {
        insta::assert_snapshot!(format!("help_{command}"), help(command));
    }
}

#[test]
fn nothing_is_known_before_the_first_release() {
    let shop = shop();
    for (arguments, code) in [
        (vec!["status"], 0),
        (vec!["history", "--offline"], 0),
        (vec!["rollback", "--forget"], 3),
        (vec!["promote", "1.0"], 2),
        (vec!["promote", "1.0", "--to", "not a tag"], 2),
        (vec!["rollback", "x", "--forget"], 2),
    ] {
        let name = arguments.join("_").replace(['-', ' ', '.'], "");
        let ran = Castoff::inside(shop.path()).args(&arguments).run();
        insta::assert_snapshot!(format!("first_{name}"), ran.exits(code).shown(&[]));
    }
}

#[test]
fn patience_is_a_number_of_seconds() {
    for wrong in ["soon", "-1", "1e99", "NaN"] {
        let argument = format!("--patience={wrong}");
        let ran = Castoff::inside(shop().path())
            .args(["status", &argument])
            .run();
        let ran = ran.exits(2);
        assert!(
            ran.stderr.contains("write a number of seconds"),
            "{}",
            ran.stderr
        );
    }
}
