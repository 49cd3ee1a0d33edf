//! The tables of the field's reference libraries (`tests/data`), row by row.

use super::*;

/// A row's input, and what it must give: `None` where it is refused, else the parts by name.
type Row = (String, Option<Vec<(String, String)>>);

fn rows(table: &str) -> Vec<Row> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (input, expected) = line.rsplit_once(" => ").unwrap();
            let input = serde_json::from_str(input).unwrap();
            let parts = match expected {
                "refused" => None,
                "accepted" => Some(Vec::new()),
                parts => Some(parts.split(' ').map(part).collect()),
            };
            (input, parts)
        })
        .collect()
}

fn part(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap();
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.to_owned());
    (name.to_owned(), value)
}

/// Holds every row of `table` against `read`, which gives a part of what it read by its name.
fn check<T>(
    table: &str,
    count: usize,
    read: impl Fn(&str) -> Option<T>,
    part: impl Fn(&T, &str) -> String,
) {
    let rows = rows(table);
    assert_eq!(rows.len(), count);
    for (input, expected) in rows {
        let value = read(&input);
        assert_eq!(value.is_some(), expected.is_some(), "{input:?}");
        for (name, expected) in expected.into_iter().flatten() {
            let found = value.as_ref().map(|value| part(value, &name));
            assert_eq!(found, Some(expected), "{name} of {input:?}");
        }
    }
}

#[test]
fn references_are_read_as_distribution_reads_them() {
    let table = include_str!("../../tests/data/references.txt");
    let part = |reference: &Reference, name: &str| match name {
        "domain" => reference.repository().domain().to_owned(),
        "path" => reference.repository().path().to_owned(),
        "name" => reference.repository().to_string(),
        "familiar" => reference.repository().familiar(),
        "canonical" => reference.canonical().to_string(),
        "tag" => reference.tag().map(ToString::to_string).unwrap_or_default(),
        "digest" => reference
            .digest()
            .map(ToString::to_string)
            .unwrap_or_default(),
        other => panic!("unknown part {other}"),
    };
    check(table, 191, |text| text.parse::<Reference>().ok(), part);
}

#[test]
fn printing_a_reference_and_reading_it_again_changes_nothing() {
    for (input, _) in rows(include_str!("../../tests/data/references.txt")) {
        if let Ok(reference) = input.parse::<Reference>() {
            assert_eq!(reference.to_string().parse(), Ok(reference), "{input:?}");
        }
    }
}

#[test]
fn platforms_are_read_as_containerd_reads_them() {
    let table = include_str!("../../tests/data/platforms.txt");
    let part = |platform: &Platform, name: &str| match name {
        "os" => platform.os().to_owned(),
        "os.version" => platform.os_version().to_owned(),
        "architecture" => platform.architecture().to_owned(),
        "variant" => platform.variant().to_owned(),
        "formatted" => platform.to_string(),
        other => panic!("unknown part {other}"),
    };
    check(table, 27, |text| text.parse::<Platform>().ok(), part);
}

#[test]
fn sizes_are_read_as_docker_reads_them() {
    let part = |bytes: &u64, _: &str| bytes.to_string();
    let sizes = include_str!("../../tests/data/sizes.txt");
    check(sizes, 68, |text| parse_size(text).ok(), part);
    let sizes = include_str!("../../tests/data/ram_sizes.txt");
    check(sizes, 33, |text| parse_ram_in_bytes(text).ok(), part);
}
