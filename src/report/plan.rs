//! A plan, for people: on a terminal, and as a comment on a pull request.

use std::fmt::Write as _;

use super::columns::Columns;
use super::table::platforms;
use super::words::{count, digest};
use crate::plan::{Action, Plan, PlannedTag, Target};
use crate::printable::is_hidden;

/// What a publish would do: a line for each service, why, and a line for each tag.
pub fn plan_table(plan: &Plan) -> String {
    let mut services = Columns::new(&["SERVICE", "ACTION", "PLATFORMS", "REPOSITORY"]);
    let mut reasons = Columns::new(&["SERVICE", "WHY"]);
    for target in &plan.targets {
        let mut places = target.repositories.iter().map(ToString::to_string);
        services.add_row([
            target.service.clone(),
            action(&target.action),
            platforms(&target.platforms),
            places
                .next()
                .unwrap_or_else(|| "none: others build on it".to_owned()),
        ]);
        for place in places {
            let empty = String::new;
            services.add_row([empty(), empty(), empty(), place]);
        }
        let also = target.also.iter();
        let also = also.map(|other| format!("`{other}` is the same image"));
        let because: Vec<String> = target.because.iter().cloned().chain(also).collect();
        reasons.add_row([target.service.clone(), because.join("; ")]);
    }
    let mut tags = Columns::new(&["TAG", "CHANGE", "RULE"]);
    for tag in plan.targets.iter().flat_map(|target| &target.tags) {
        tags.add_row([tag.reference.to_string(), change(tag), tag.rule.clone()]);
    }
    format!(
        "{services}\n{reasons}\n{tags}{}{}\n{}\n",
        builders(plan),
        outside(plan),
        summary(plan)
    )
}

/// Who builds, where it is not what docker itself would build with.
fn builders(plan: &Plan) -> String {
    let mut builders = Columns::new(&["SERVICE", "BUILDER", "WHY THIS ONE"]);
    for target in plan.targets.iter().filter(|target| has_place(target)) {
        let place = &target.placement;
        builders.add_row([
            target.service.as_str(),
            place.builder.as_deref().unwrap_or("–"),
            place.builder_because.as_deref().unwrap_or_default(),
        ]);
    }
    if builders.row_count() == 0 {
        return String::new();
    }
    format!("\n{builders}")
}

/// Whether there is something to say about who builds it.
fn has_place(target: &Target) -> bool {
    !target.placement.is_usual && target.placement.builder_because.is_some()
}

/// Which paths leave the project: compose allows them, and whoever reads a plan should know.
fn outside(plan: &Plan) -> String {
    let mut paths = Columns::new(&["SERVICE", "READS OUTSIDE THE PROJECT"]);
    for target in &plan.targets {
        for path in &target.outside {
            paths.add_row([target.service.clone(), path.display().to_string()]);
        }
    }
    if paths.row_count() == 0 {
        return String::new();
    }
    format!("\n{paths}")
}

/// The same in Markdown. Names come from files and branches of others, and mean nothing here but
/// themselves.
pub fn plan_markdown(plan: &Plan) -> String {
    let mut text = format!(
        "### {}: {}\n\n| Service | Action | Why |\n|---|---|---|\n",
        escaped(&plan.project),
        summary(plan)
    );
    for target in &plan.targets {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            escaped(&target.service),
            action(&target.action),
            escaped(&target.because.join("; "))
        );
    }
    for target in plan.targets.iter().filter(|target| has_place(target)) {
        let place = &target.placement;
        let builder = place.builder.as_deref().unwrap_or("nobody");
        let because = place.builder_because.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "\n{} is built by {}: {}",
            escaped(&target.service),
            escaped(builder),
            escaped(because)
        );
    }
    text.push_str("\n| Tag | Change |\n|---|---|\n");
    for tag in plan.targets.iter().flat_map(|target| &target.tags) {
        let reference = escaped(&tag.reference.to_string());
        let _ = writeln!(text, "| {reference} | {} |", escaped(&change(tag)));
    }
    for warning in &plan.warnings {
        let subject = if warning.subject.is_empty() {
            String::new()
        } else {
            format!("{}: ", warning.subject)
        };
        let _ = writeln!(
            text,
            "\n> {}{}",
            escaped(&subject),
            escaped(&warning.message)
        );
    }
    text
}

fn action(action: &Action) -> String {
    match action {
        Action::Build => "build".to_owned(),
        Action::Reuse(reused) => format!("reuse {}", digest(reused)),
        Action::Merge(_) => "merge".to_owned(),
    }
}

/// Where a tag points, and where it will.
fn change(tag: &PlannedTag) -> String {
    let now = tag.from.as_ref().map_or_else(|| "–".to_owned(), digest);
    if let Some(because) = &tag.refused {
        return format!("{now} stays: {because}");
    }
    match &tag.held {
        Some(held) if held.certain => return format!("{now} IN THE WAY: {}", held.because),
        Some(held) => return format!("{now} has to come out the same: {}", held.because),
        None => {}
    }
    match &tag.to {
        to if to.is_some() && *to == tag.from => format!("{now} stays"),
        Some(to) => format!("{now} → {}", digest(to)),
        None => format!("{now} → new"),
    }
}

/// All of it in one line.
fn summary(plan: &Plan) -> String {
    let built = plan
        .targets
        .iter()
        .filter(|target| target.action == Action::Build)
        .count();
    let tags = || plan.targets.iter().flat_map(|target| &target.tags);
    let held = tags().filter(|tag| tag.in_the_way().is_some()).count();
    let moving = tags().filter(|tag| tag.moves()).count() - held;
    let refused = match held {
        0 => String::new(),
        held => format!(
            "; {} in the way: this publish is refused",
            count(held, "immutable tag")
        ),
    };
    format!(
        "{built} to build, {} to reuse; {moving} of {} tags move{refused}",
        plan.targets.len() - built,
        tags().count()
    )
}

/// A text that is only itself in Markdown, and calls nobody.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '@' => escaped.push_str("&#64;"),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            letter if is_hidden(letter) => escaped.push(char::REPLACEMENT_CHARACTER),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_of_others_are_only_names() {
        assert_eq!(
            escaped("a|b @team <img> [x](y) #1"),
            "a\\|b &#64;team &lt;img> \\[x\\](y) \\#1"
        );
        assert_eq!(escaped("x\u{1b}[31m\u{202e}\n"), "x\u{fffd}\\[31m\u{fffd} ");
    }
}
