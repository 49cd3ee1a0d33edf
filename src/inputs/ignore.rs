use std::io::{self, Read as _};
use std::path::Path;

/// The largest ignore file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The patterns that decide what a build sees of the folder `context`: those of `DOCKERFILE.dockerignore`
/// beside the Dockerfile where it exists, else those of `.dockerignore` (BuildKit, dockerui).
pub(super) fn ignored(context: &Path, dockerfile: Option<&Path>) -> io::Result<Vec<String>> {
    if let Some(dockerfile) = dockerfile {
        let mut own = dockerfile.as_os_str().to_owned();
        own.push(".dockerignore");
        if let Some(text) = read(Path::new(&own))? {
            return Ok(patterns(&text));
        }
    }
    let general = read(&context.join(".dockerignore"))?;
    Ok(general.map(|text| patterns(&text)).unwrap_or_default())
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let refused = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        // A builder resolves it within what it was sent, which may not be where it leads here.
        Ok(metadata) if metadata.is_symlink() => return Err(refused("it is a symbolic link")),
        Ok(_) => {}
    }
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(refused("it is too large"));
    }
    Ok(Some(text))
}

/// The patterns of an ignore file (moby/patternmatcher, `ignorefile.ReadAll`). [`super::Patterns`] cleans
/// them further.
fn patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut patterns = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = line.trim();
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
        patterns.push(format!("{sign}{pattern}"));
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_patterns_as_moby_reads_them() {
        let text = "\u{feff}# comment\n\n /a/b/ \r\n! /c\n #no comment\n./d/../e\n/\n";
        assert_eq!(
            patterns(text),
            ["a/b", "!c", "#no comment", "e", "/"].map(str::to_owned)
        );
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
}
