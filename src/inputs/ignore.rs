use std::io;
use std::path::Path;

use super::{ContextError, Patterns};
use crate::excerpt::Excerpt;
use crate::whole_file;

/// The largest ignore file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The patterns that decide what a build sees of the folder `context`: those of `DOCKERFILE.dockerignore`
/// beside the Dockerfile where it exists, else those of `.dockerignore` (BuildKit, dockerui). Each of them
/// has been read as a pattern.
pub(super) fn ignored(
    context: &Path,
    dockerfile: Option<&Path>,
) -> Result<Vec<String>, ContextError> {
    if let Some(dockerfile) = dockerfile {
        let mut own = dockerfile.as_os_str().to_owned();
        own.push(".dockerignore");
        if let Some(patterns) = read(Path::new(&own))? {
            return Ok(patterns);
        }
    }
    Ok(read(&context.join(".dockerignore"))?.unwrap_or_default())
}

fn read(path: &Path) -> Result<Option<Vec<String>>, ContextError> {
    let failed = |source| ContextError::Ignore {
        path: path.to_owned(),
        source,
    };
    let refused = |what: &str| failed(io::Error::new(io::ErrorKind::InvalidData, what));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        // A builder resolves it within what it was sent, which may not be where it leads here.
        Ok(metadata) if metadata.is_symlink() => return Err(refused("it is a symbolic link")),
        Ok(metadata) if metadata.is_dir() => return Err(refused("it is a folder")),
        Ok(metadata) if !metadata.is_file() => {
            return Err(ContextError::IgnoreKind {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    let bytes = whole_file::read(path, LARGEST).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8"))?;
    let mut read = Vec::new();
    for (line, pattern) in patterns(&text) {
        Patterns::new([&pattern]).map_err(|mistake| ContextError::Ignored {
            place: Box::new(place(path, &text, line)),
            mistake,
        })?;
        read.push(pattern);
    }
    Ok(Some(read))
}

/// A line of the file without the blanks around it.
fn place(path: &Path, text: &str, line: &str) -> Excerpt {
    let trimmed = line.trim();
    // The line is a part of the text.
    let start = trimmed.as_ptr().addr() - text.as_ptr().addr();
    Excerpt::at(path, text, start, start + trimmed.len())
}

/// The patterns of an ignore file, each with its line (moby/patternmatcher, `ignorefile.ReadAll`).
/// [`super::Patterns`] cleans them further.
fn patterns(text: &str) -> Vec<(&str, String)> {
    let content = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut patterns = Vec::new();
    for whole in content.lines().filter(|line| !line.starts_with('#')) {
        let line = whole.trim();
        let (sign, pattern) = match line.strip_prefix('!') {
            Some(rest) => ("!", rest.trim()),
            None => ("", line),
        };
        if line.is_empty() {
            continue;
        }
        let mut pattern = match pattern {
            "" => String::new(),
            pattern => super::clean_path(pattern),
        };
        if pattern.len() > 1 && pattern.starts_with('/') {
            pattern.remove(0);
        }
        patterns.push((whole, format!("{sign}{pattern}")));
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_patterns_as_moby_reads_them() {
        let text = "\u{feff}# comment\n\n /a/b/ \r\n! /c\n #no comment\n./d/../e\n/\n";
        let read: Vec<String> = patterns(text).into_iter().map(|(_, it)| it).collect();
        assert_eq!(read, ["a/b", "!c", "#no comment", "e", "/"]);
    }

    #[test]
    fn the_dockerfiles_own_file_stands_for_the_general_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join(".dockerignore"), "general").unwrap();
        let dockerfile = root.join("prod.Dockerfile");
        assert_eq!(ignored(root, Some(&dockerfile)).unwrap(), ["general"]);
        std::fs::write(root.join("prod.Dockerfile.dockerignore"), "own").unwrap();
        assert_eq!(ignored(root, Some(&dockerfile)).unwrap(), ["own"]);
        assert_eq!(ignored(root, None).unwrap(), ["general"]);
    }

    #[test]
    fn a_pattern_that_no_builder_takes_is_shown_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".dockerignore");
        let wrong = |text: &str| {
            std::fs::write(&path, text).unwrap();
            match ignored(folder.path(), None) {
                Err(ContextError::Ignored { place, .. }) => {
                    (place.line, place.column, place.text.clone())
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wrong("ok\n  [a-\n"), (2, 3, "  [a-".to_owned()));
        assert_eq!(wrong("\u{feff}!\n").0, 1);
        assert_eq!(wrong("a\r\n\r\n[z-a]\r\n").0, 3);
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_refused_at_once() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".dockerignore");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let error = ignored(folder.path(), None).unwrap_err();
        assert!(matches!(error, ContextError::IgnoreKind { .. }));
        assert!(error.to_string().ends_with(".dockerignore is no file"));
    }
}
