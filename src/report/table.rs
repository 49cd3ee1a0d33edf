use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::words::{digest, seconds, size};
use crate::ledger::Release;
use crate::oci::{Digest, Platform, Tag};
use crate::plan::{Action, Plan};

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table
}

/// The table without the spaces at the ends of its lines.
fn printed(table: &Table) -> String {
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn platforms(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "the builder's own".to_owned();
    }
    let texts: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// What a publish would do: a line for each service, then one for each tag.
pub fn plan_table(plan: &Plan) -> String {
    let mut services = table(&["SERVICE", "ACTION", "PLATFORMS", "REPOSITORY"]);
    for target in &plan.targets {
        let action = match &target.action {
            Action::Build => "build".to_owned(),
            Action::Reuse(reused) => format!("reuse {}", digest(reused)),
        };
        let mut places = target.repositories.iter().map(ToString::to_string);
        services.add_row([
            target.service.clone(),
            action,
            platforms(&target.platforms),
            places
                .next()
                .unwrap_or_else(|| "none: others build on it".to_owned()),
        ]);
        for place in places {
            let empty = String::new;
            services.add_row([empty(), empty(), empty(), place]);
        }
    }
    let mut tags = table(&["TAG", "NOW", "THEN", "RULE"]);
    for tag in plan.targets.iter().flat_map(|target| &target.tags) {
        let now = tag.from.as_ref().map_or_else(|| "–".to_owned(), digest);
        let then = tag
            .to
            .as_ref()
            .map_or_else(|| "new image".to_owned(), digest);
        tags.add_row([tag.reference.to_string(), now, then, tag.rule.clone()]);
    }
    format!("{}\n{}", printed(&services), printed(&tags))
}

/// What was published: each service with its digest, size, time and tags.
pub fn release_table(release: &Release) -> String {
    let mut images = table(&["SERVICE", "DIGEST", "SIZE", "TIME", "TAGS"]);
    for image in &release.images {
        let mut tags: Vec<&Tag> = image.tags.iter().filter_map(|tag| tag.tag()).collect();
        tags.dedup();
        let mut names: Vec<&str> = Vec::new();
        for tag in tags {
            if !names.contains(&tag.as_str()) {
                names.push(tag.as_str());
            }
        }
        let time = if image.reused {
            "reused".to_owned()
        } else {
            seconds(image.seconds)
        };
        images.add_row([
            image.service.clone(),
            image.digest.to_string(),
            size(image.size),
            time,
            names.join(", "),
        ]);
    }
    printed(&images)
}

/// The tags of a repository, each with its digest, platforms and size.
pub fn registry_table(rows: &[(String, Digest, Vec<Platform>, u64)]) -> String {
    let mut tags = table(&["REFERENCE", "DIGEST", "PLATFORMS", "SIZE"]);
    for (reference, found, on, bytes) in rows {
        tags.add_row([
            reference.clone(),
            digest(found),
            platforms(on),
            size(*bytes),
        ]);
    }
    printed(&tags)
}

/// What was removed, or would be, with the sum.
pub fn pruned_table(rows: &[(&str, &str, u64, &str)], applied: bool) -> String {
    if rows.is_empty() {
        return "nothing to clean up\n".to_owned();
    }
    let mut pruned = table(&["KIND", "WHAT", "SIZE", "WHY"]);
    let mut sum = 0;
    for (kind, id, bytes, because) in rows {
        pruned.add_row([*kind, *id, &size(*bytes), *because]);
        sum += bytes;
    }
    let verb = if applied {
        "freed at most"
    } else {
        "would free at most"
    };
    let hint = if applied { "" } else { "; --apply does it" };
    format!("{}{verb} {}{hint}\n", printed(&pruned), size(sum))
}
