//! Text of others, made fit to be shown.
//!
//! A build's log, a registry's answer, a branch's name: whoever wrote them may want to move the
//! cursor, turn the text around, or be long. Every room that shows such text passes it through
//! here. Imports nothing of ours.

/// Characters that are not seen as they are: control characters, and those that change the direction
/// of text, join it or take no room (Unicode, "Bidirectional Algorithm"; CVE-2021-42574).
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// One line of at most `limit` characters: the ends of lines and tabs become spaces, every other
/// hidden character U+FFFD, and what is left out an ellipsis.
pub fn one_line(text: &str, limit: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(limit)
        .map(|letter| match letter {
            '\n' | '\r' | '\t' => ' ',
            letter if is_hidden(letter) => char::REPLACEMENT_CHARACTER,
            letter => letter,
        })
        .collect();
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

/// The text with its lines as they are, and every other hidden character as [`one_line`] has it.
pub fn lines(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\n' => '\n',
            '\r' | '\t' => ' ',
            letter if is_hidden(letter) => char::REPLACEMENT_CHARACTER,
            letter => letter,
        })
        .collect()
}

/// A line of a program's log, as a terminal would show it in the end: without the sequences that
/// colour it, and of a line that overwrites itself only the last state. At most `limit` characters.
pub fn log_line(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    let text = text.rsplit('\r').next().unwrap_or_default();
    console::strip_ansi_codes(text)
        .chars()
        .map(|letter| if letter == '\t' { ' ' } else { letter })
        .filter(|letter| !is_hidden(*letter))
        .take(limit)
        .collect()
}

/// The text with every URL in it cut off before its query, and without its login: both may hold
/// what lets a reader in.
pub fn without_url_secrets(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        let end = behind
            .find(|letter: char| {
                letter.is_whitespace() || matches!(letter, '"' | '\'' | '`' | '<' | '>')
            })
            .unwrap_or(behind.len());
        let (url, after) = behind.split_at(end);
        shown.push_str(before);
        shown.push_str("://");
        // The name of an image has no login in it, and its digest stands behind an `@`.
        if before.ends_with("docker-image") {
            shown.push_str(url);
        } else {
            shown.push_str(&without_secrets(url));
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// The text with the login of every URL in it hidden, each letter by a `*`: so that what stands behind it
/// stays in its place. A name without a password is none where ssh wants one.
pub fn with_hidden_logins(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = behind
            .find(|letter: char| letter.is_whitespace() || "/?#\"'`<>".contains(letter))
            .unwrap_or(behind.len());
        let (authority, after) = behind.split_at(end);
        match authority.rsplit_once('@') {
            Some((login, host))
                if !host.starts_with("sha256:")
                    && (login.contains(':') || !before.ends_with("ssh")) =>
            {
                shown.extend(login.chars().map(|_| '*'));
                shown.push('@');
                shown.push_str(host);
            }
            _ => shown.push_str(authority),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// The address of a context as it is shown: as [`without_url_secrets`] has it, but with the branch and the
/// folder that a git address names behind `#`, which say what is built and let nobody in.
pub fn without_login(address: &str) -> String {
    match address.split_once('#') {
        Some((place, what)) => format!("{}#{what}", without_url_secrets(place)),
        None => without_url_secrets(address),
    }
}

/// What stands behind `://`, without login and query. A colon at its end belongs to the sentence.
fn without_secrets(url: &str) -> String {
    let cut = url.find(['?', '#']).unwrap_or(url.len());
    let (kept, dropped) = url.split_at(cut);
    let authority_end = kept.find('/').unwrap_or(kept.len());
    let (authority, path) = kept.split_at(authority_end);
    let authority = authority.rsplit('@').next().unwrap_or_default();
    if dropped.is_empty() {
        return format!("{authority}{path}");
    }
    let end = if dropped.ends_with(':') { ":" } else { "" };
    format!("{authority}{path}?…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        assert_eq!(
            one_line("a\nb\u{1b}[2J\u{202e}c", 20),
            "a b\u{fffd}[2J\u{fffd}c"
        );
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(lines("a\nb\tc\u{1b}[2J\n"), "a\nb c\u{fffd}[2J\n");
    }

    #[test]
    fn nothing_of_a_control_sequence_is_left_in_a_log_line() {
        assert_eq!(log_line(b"\x1b[31mred\x1b[0m\tx\x07\n", 99), "red x");
        assert_eq!(log_line(b"10%\r50%\r100%\r\n", 99), "100%");
        assert_eq!(log_line(b"\x1b]0;title\x07shown", 99), "shown");
        assert_eq!(log_line(b"\xff\xfe", 99), "\u{fffd}\u{fffd}");
        assert_eq!(log_line(b"abcdef", 3), "abc");
    }

    #[test]
    fn a_signed_address_is_shown_without_its_signature() {
        for (text, shown) in [
            (
                r#"Put "https://s3.example/x?X-Amz-Signature=abc&b=c": EOF"#,
                r#"Put "https://s3.example/x?…": EOF"#,
            ),
            (
                "POST http://r/v2/blobs/?mount=sha256:12&from=a/b: 405",
                "POST http://r/v2/blobs/?…: 405",
            ),
            (
                "see https://me:pw@h/p?sig=1#x for more",
                "see https://h/p?… for more",
            ),
            ("https://me:pw@h:5000", "https://h:5000"),
            ("why? because", "why? because"),
        ] {
            assert_eq!(without_url_secrets(text), shown);
        }
    }

    #[test]
    fn a_login_is_hidden_and_nothing_else_moves() {
        for (text, shown) in [
            (
                "repository = \"https://me:p@w@ghcr.io/x\"",
                "repository = \"https://******@ghcr.io/x\"",
            ),
            ("`https://token@h`: no", "`https://*****@h`: no"),
            (
                "ssh://me@h and ssh://me:pw@h",
                "ssh://me@h and ssh://*****@h",
            ),
            ("docker-image://a@sha256:0", "docker-image://a@sha256:0"),
            ("https://h/a@b", "https://h/a@b"),
        ] {
            assert_eq!(with_hidden_logins(text), shown);
        }
    }

    #[test]
    fn an_address_of_git_is_shown_with_what_it_names_and_without_the_login() {
        for (address, shown) in [
            ("https://me:pw@h/r.git#v1:sub", "https://h/r.git#v1:sub"),
            ("https://token@h/r.git", "https://h/r.git"),
            ("https://h/x.tar?sig=1#a", "https://h/x.tar?…#a"),
            ("git@h:a/b.git#main", "git@h:a/b.git#main"),
            ("docker-image://alpine:3", "docker-image://alpine:3"),
            (
                "docker-image://alpine@sha256:0",
                "docker-image://alpine@sha256:0",
            ),
        ] {
            assert_eq!(without_login(address), shown);
        }
    }
}
