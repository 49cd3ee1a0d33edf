//! From bytes to instructions: directives, comments, continuation lines, heredocs.

use super::Obscure;

/// The longest line that BuildKit reads (Go, `bufio.MaxScanTokenSize`), in bytes.
const LONGEST_LINE: usize = 64 * 1024 - 1;

/// A Dockerfile as its lines say it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// What escapes a letter and continues a line: `\`, or a backtick where `# escape=` says so.
    pub(super) escape: char,
    pub(super) instructions: Vec<Instruction>,
}

/// One instruction, continuation lines joined.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Its name in lower case.
    pub(super) keyword: String,
    /// The words before its arguments that begin with `--`, quotes resolved.
    pub(super) flags: Vec<String>,
    pub(super) arguments: String,
    /// The line where it begins, from 1.
    pub(super) line: usize,
}

/// Reads the lines as BuildKit does (frontend/dockerfile/parser, `Parse`). Where the two could differ
/// the file is obscure, and so never taken for one that is understood.
pub(super) fn read(text: &str) -> Result<Lines, Obscure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n').zip(1..);
    let mut directives = Directives::new("#");
    let mut read = Lines {
        escape: '\\',
        instructions: Vec::new(),
    };
    while let Some((raw, number)) = lines.next() {
        let line = clean(raw, number)?.trim_start();
        if let Some((name, value)) = directives.read(line)?
            && name == "escape"
        {
            read.escape = match value.as_str() {
                "\\" => '\\',
                "`" => '`',
                _ => return Err(Obscure::at(number, "`# escape=` is neither \\ nor `")),
            };
        }
        if line.starts_with('#') {
            continue;
        }
        let (first, mut goes_on) = continued(line, read.escape);
        if !goes_on && first.is_empty() {
            continue;
        }
        let mut whole = first.to_owned();
        while goes_on && let Some((raw, number)) = lines.next() {
            let line = clean(raw, number)?;
            let start = line.trim_start();
            if start.starts_with('#') || start.is_empty() {
                continue;
            }
            let part;
            (part, goes_on) = continued(line, read.escape);
            whole.push_str(part);
        }
        let instruction = instruction(&whole, read.escape, number)?;
        for end in heredocs(&instruction)? {
            end.skip(&mut lines, number)?;
        }
        read.instructions.push(instruction);
    }
    Ok(read)
}

/// The image that `# syntax=` names (BuildKit, `DetectSyntax`).
pub(super) fn syntax(text: &str) -> Result<Option<String>, Obscure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    for comment in ["#", "//"] {
        let mut directives = Directives::new(comment);
        for line in text.lines() {
            if let Some((name, value)) = directives.read(line)?
                && name == "syntax"
            {
                let image = value.split(' ').next().unwrap_or_default();
                return Ok(Some(image.to_owned()));
            }
            if directives.done {
                break;
            }
        }
    }
    // A whole file of JSON may name one, too; it is no Dockerfile that could be read here.
    if text.trim_start().starts_with('{') {
        return Err(Obscure::at(1, "it is JSON"));
    }
    Ok(None)
}

/// A line without its end.
fn clean(raw: &str, number: usize) -> Result<&str, Obscure> {
    if raw.len() > LONGEST_LINE {
        return Err(Obscure::at(number, "the line is too long"));
    }
    Ok(raw.trim_end_matches(['\r', '\n']))
}

/// A line without the letter that continues it, and whether there was one.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (line, false),
    }
}

/// The comments at the beginning of a file that are no comments.
struct Directives {
    comment: &'static str,
    seen: Vec<String>,
    done: bool,
}

impl Directives {
    fn new(comment: &'static str) -> Self {
        Self {
            comment,
            seen: Vec::new(),
            done: false,
        }
    }

    /// Reads one line. The first that is no directive ends them.
    fn read(&mut self, line: &str) -> Result<Option<(String, String)>, Obscure> {
        if self.done {
            return Ok(None);
        }
        let found = line
            .strip_prefix(self.comment)
            .and_then(|rest| rest.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, _)| {
                let name = name.to_ascii_lowercase();
                ["syntax", "escape", "check"].contains(&name.as_str())
            });
        let Some((name, value)) = found else {
            self.done = true;
            return Ok(None);
        };
        let name = name.to_ascii_lowercase();
        if value.is_empty() || self.seen.contains(&name) {
            return Err(Obscure::new(format!(
                "the directive `{name}` is empty or repeated"
            )));
        }
        self.seen.push(name.clone());
        Ok(Some((name, value.to_owned())))
    }
}

/// Splits a line into its name, flags and arguments (`splitCommand`).
fn instruction(line: &str, escape: char, number: usize) -> Result<Instruction, Obscure> {
    let line = line.trim();
    let at = line.find(['\t', '\u{b}', '\u{c}', '\r', ' ']);
    let (keyword, rest) = at.map_or((line, ""), |at| line.split_at(at));
    let mut rest = rest.trim_start();
    let mut flags = Vec::new();
    while rest.starts_with("--") {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (flag, behind) = rest.split_at(end);
        // What quotes and escapes mean in a flag is rarely asked, and BuildKit reads them byte by byte.
        if flag.contains(['\'', '"', escape]) || !flag.is_ascii() {
            return Err(Obscure::at(number, "a flag has quotes or escapes in it"));
        }
        rest = behind.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag.to_owned());
    }
    Ok(Instruction {
        keyword: keyword.to_ascii_lowercase(),
        flags,
        arguments: rest.trim().to_owned(),
        line: number,
    })
}

/// The last line of a heredoc.
#[derive(Debug, PartialEq, Eq)]
struct End {
    word: String,
    /// Whether tabs before it count for nothing (`<<-`).
    indented: bool,
}

impl End {
    /// Passes over the content of the heredoc.
    fn skip<'a>(
        &self,
        lines: &mut impl Iterator<Item = (&'a str, usize)>,
        number: usize,
    ) -> Result<(), Obscure> {
        for (raw, at) in lines {
            let mut line = clean(raw, at)?;
            if self.indented {
                line = line.trim_start_matches('\t');
            }
            if line == self.word {
                return Ok(());
            }
        }
        Err(Obscure::at(number, "a heredoc has no end"))
    }
}

/// The heredocs of an instruction. Only plain ones are read: beside quotes, escapes and expansions a
/// `<<` may be one or not.
fn heredocs(instruction: &Instruction) -> Result<Vec<End>, Obscure> {
    let mut keyword = instruction.keyword.as_str();
    let mut arguments = instruction.arguments.as_str();
    let inner;
    if keyword == "onbuild" {
        let (word, rest) = arguments
            .split_once(char::is_whitespace)
            .unwrap_or((arguments, ""));
        inner = word.to_ascii_lowercase();
        keyword = &inner;
        arguments = rest.trim();
    }
    let in_flags = instruction.flags.iter().any(|flag| flag.contains("<<"));
    let is_json = serde_json::from_str::<Vec<String>>(arguments).is_ok();
    if !["add", "copy", "run"].contains(&keyword) || !(in_flags || arguments.contains("<<")) {
        return Ok(Vec::new());
    }
    if is_json && !in_flags {
        return Ok(Vec::new());
    }
    let obscure = || {
        Obscure::at(
            instruction.line,
            "its heredoc cannot be told from other text",
        )
    };
    let mut ends = Vec::new();
    for word in arguments.split_whitespace() {
        match word.split_once("<<") {
            None if word.contains(['\'', '"', '\\', '$', '`']) => return Err(obscure()),
            None => {}
            Some((descriptor, rest)) => {
                let is_number = descriptor.bytes().all(|byte| byte.is_ascii_digit());
                let indented = rest.starts_with('-');
                let rest = rest.strip_prefix('-').unwrap_or(rest);
                let word = ['\'', '"']
                    .into_iter()
                    .find_map(|quote| rest.strip_prefix(quote)?.strip_suffix(quote))
                    .unwrap_or(rest);
                let is_plain = |letter: char| {
                    letter.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&letter)
                };
                if !is_number || in_flags || word.is_empty() || !word.chars().all(is_plain) {
                    return Err(obscure());
                }
                ends.push(End {
                    word: word.to_owned(),
                    indented,
                });
            }
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords(text: &str) -> Vec<String> {
        let lines = read(text).unwrap();
        let words = lines.instructions.into_iter();
        words
            .map(|one| format!("{} {}", one.keyword, one.arguments))
            .collect()
    }

    #[test]
    fn lines_continue_over_comments_and_empty_lines() {
        let text = "# c\nRUN a \\\n  # in between\n\n  b \\  \n c\nFROM x\n";
        assert_eq!(keywords(text), ["run a   b  c", "from x"]);
        assert_eq!(keywords("RUN a \\\\\nFROM x"), ["run a \\\\", "from x"]);
        assert_eq!(keywords("RUN a \\"), ["run a"]);
        assert_eq!(keywords("\u{feff}FROM x\r\nRUN y\r\n"), ["from x", "run y"]);
    }

    #[test]
    fn the_escape_directive_changes_what_continues_a_line() {
        let text = "# escape=`\nRUN dir C:\\\nRUN a `\n b\n";
        assert_eq!(keywords(text), ["run dir C:\\", "run a  b"]);
        // After another comment it is one itself.
        let text = "# hello\n# escape=`\nRUN a `\nRUN b\n";
        assert_eq!(keywords(text), ["run a `", "run b"]);
    }

    #[test]
    fn heredocs_hide_what_looks_like_an_instruction() {
        let text =
            "RUN <<EOF\nFROM no\nEOF\nCOPY <<-\"A\" <<B /x/\nFROM no\n\tA\nFROM no\nB\nFROM y\n";
        assert_eq!(
            keywords(text),
            ["run <<EOF", "copy <<-\"A\" <<B /x/", "from y"]
                .map(str::to_owned)
                .to_vec()
        );
    }

    #[test]
    fn what_may_be_a_heredoc_is_obscure() {
        for text in [
            "RUN echo \"a <<EOF\"\nEOF\n",
            "RUN cat << EOF\nEOF\n",
            "RUN echo $((1<<3))\n",
            "RUN cat <<EOF>x\nEOF\n",
            "RUN <<EOF\nno end\n",
            "RUN <<A <<'B\nA\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        // A list of JSON has none, and other instructions neither.
        assert_eq!(keywords("RUN [\"a\", \"<<EOF\"]\nFROM x\n").len(), 2);
        assert_eq!(keywords("ENV A=<<EOF\nFROM x\n").len(), 2);
    }

    #[test]
    fn syntax_is_found_where_buildkit_finds_it() {
        let found = |text: &str| syntax(text).unwrap();
        let image = Some("docker/dockerfile:1".to_owned());
        assert_eq!(found("# syntax=docker/dockerfile:1\nFROM x"), image);
        assert_eq!(found("#!x\n#SYNTAX = docker/dockerfile:1 y\nFROM x"), image);
        assert_eq!(found("# escape=\\\n# syntax=docker/dockerfile:1"), image);
        assert_eq!(found("// syntax=docker/dockerfile:1\n"), image);
        assert_eq!(found("# hello\n# syntax=docker/dockerfile:1\n"), None);
        assert_eq!(found("\n# syntax=docker/dockerfile:1\n"), None);
        assert!(syntax("{\"syntax\": \"x\"}").is_err());
    }
}
