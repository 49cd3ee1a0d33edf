//! What `ADD` fetches, and whether that is the same for ever.

use super::lines::Instruction;
use super::{Obscure, flags, words};
use crate::printable::without_login;

/// Whether `ADD` fetches something that may be another thing tomorrow.
pub(super) fn fetched(instruction: &Instruction, escape: char) -> Result<(), Obscure> {
    let checksum = flags(instruction, "checksum")?;
    let is_checked = checksum
        .iter()
        .any(|sum| sum.contains(':') && !sum.contains('$'));
    let mut words = match serde_json::from_str::<Vec<String>>(&instruction.arguments) {
        Ok(words) => words,
        Err(_) => words::split(&instruction.arguments, escape),
    };
    words.pop();
    for word in words {
        if word.starts_with("<<") || is_checked || is_commit(&word) {
            continue;
        }
        let shown: String = without_login(&word).chars().take(120).collect();
        let (known, is_whole) = match word.split_once('$') {
            Some((known, _)) => (known, false),
            None => (word.as_str(), true),
        };
        // Every address has a colon in it, but for the old short form of GitHub's.
        if known.contains([':', '@', '"', '\'', '\\', '`']) || known.starts_with("github.com/") {
            return Err(Obscure::new(format!(
                "ADD fetches {shown}, which no checksum pins"
            )));
        }
        if !is_whole && !known.contains('/') {
            return Err(Obscure::new(format!(
                "it cannot be told whether ADD fetches {shown}"
            )));
        }
    }
    Ok(())
}

/// Whether an address is one of git's, and names one commit for ever. To a file that is fetched by HTTP what
/// comes behind `#` says nothing.
pub fn is_commit(address: &str) -> bool {
    let Some((before, fragment)) = address.split_once('#') else {
        return false;
    };
    let commit = fragment.split(':').next().unwrap_or_default();
    !before.contains('$')
        && is_git(before)
        && matches!(commit.len(), 40 | 64)
        && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether an address without its fragment is one of git's (BuildKit, dfgitutil, `ParseGitRef`): what could be
/// something else there is none here.
fn is_git(address: &str) -> bool {
    let is_of = |schemes: &[&str]| schemes.iter().any(|scheme| address.starts_with(scheme));
    let has_suffix = |path: &str| path.strip_suffix(".git").is_some();
    is_of(&["git://", "ssh://", "git@", "github.com/"])
        || (is_of(&["http://", "https://"]) && !address.contains('?') && has_suffix(address))
}
