use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::words::{seconds, size};
use crate::ledger::{RegistryState, Release};
use crate::printable::is_hidden;

/// The files through which a step of a GitHub workflow speaks (workflow commands, "Environment files").
#[derive(Clone, Debug, Default)]
pub struct GithubFiles {
    /// `GITHUB_OUTPUT`.
    pub output: Option<PathBuf>,
    /// `GITHUB_STEP_SUMMARY`.
    pub summary: Option<PathBuf>,
}

/// Writes the step's outputs and the job's summary. `delimiter` is a word that nobody can guess, so
/// that no value can end its own output and begin another one.
pub fn write_github(files: &GithubFiles, release: &Release, delimiter: &str) -> io::Result<()> {
    let append = |path: &PathBuf, text: String| {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    if let Some(path) = &files.output {
        append(path, outputs(release, delimiter))?;
    }
    if let Some(path) = &files.summary {
        append(path, summary(release))?;
    }
    Ok(())
}

/// `release`, `digests`, and `digest-SERVICE` and `tags-SERVICE` for each service.
fn outputs(release: &Release, delimiter: &str) -> String {
    let mut text = String::new();
    let mut output = |name: &str, value: &str| {
        let _ = write!(text, "{name}<<{delimiter}\n{value}\n{delimiter}\n");
    };
    let digests: serde_json::Map<String, serde_json::Value> = release
        .images
        .iter()
        .map(|image| (image.service.clone(), image.digest.to_string().into()))
        .collect();
    output(
        "release",
        &serde_json::to_string(release).unwrap_or_default(),
    );
    output("digests", &serde_json::Value::Object(digests).to_string());
    for image in &release.images {
        let tags: Vec<String> = image.tags.iter().map(ToString::to_string).collect();
        output(&format!("digest-{}", image.service), image.digest.as_str());
        output(&format!("tags-{}", image.service), &tags.join("\n"));
    }
    text
}

fn summary(release: &Release) -> String {
    let mut text = String::new();
    let state = match release.exit {
        0 => "published",
        7 => "published, with failures afterwards",
        _ => "not published",
    };
    let project = escaped(&release.project);
    let _ = writeln!(text, "### {project}: {state}\n");
    if !release.images.is_empty() {
        let _ = writeln!(text, "| service | digest | size | time | tags |");
        let _ = writeln!(text, "|---|---|--:|--:|---|");
    }
    for image in &release.images {
        let tags: Vec<String> = image
            .tags
            .iter()
            .map(|tag| code(&tag.to_string()))
            .collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            escaped(&image.service),
            code(image.digest.as_str()),
            size(image.size),
            if image.reused {
                "reused".to_owned()
            } else {
                seconds(image.seconds)
            },
            tags.join("<br>")
        );
    }
    for registry in &release.registries {
        if registry.outcome == RegistryState::Failed {
            let error = registry.error.as_deref().unwrap_or("failed");
            let _ = writeln!(text, "\n- {}: {}", escaped(&registry.name), escaped(error));
        }
    }
    text
}

/// Text of others as code within a table. Nothing is markdown there but the end of the code, which is
/// told by a longer run of backticks (`CommonMark`, "Code spans"), and `|` (GFM, "Tables").
fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|letter| if is_hidden(letter) { ' ' } else { letter })
        .collect();
    let longest = text.split(|letter| letter != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or_default() + 1);
    // A backtick at an end would belong to the fence, and nothing at all is no code.
    let room = if text.is_empty() || text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    let text = text.replace('|', "\\|");
    format!("{fence}{room}{text}{room}{fence}")
}

/// Text of others within markdown: it stays text.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '`' | '[' | ']' | '*' | '_' | '\\' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter if is_hidden(letter) => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_code_only_the_table_and_the_code_itself_can_break() {
        for (text, shown) in [
            ("ghcr.io/acme/my_app:1.0_x", "`ghcr.io/acme/my_app:1.0_x`"),
            ("a|b", "`a\\|b`"),
            ("a`b", "``a`b``"),
            ("`a``b`", "``` `a``b` ```"),
            ("a\nb", "`a b`"),
            ("", "`  `"),
        ] {
            assert_eq!(code(text), shown);
        }
    }
}
