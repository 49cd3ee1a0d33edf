use super::{KEYWORDS, LARGEST_DOCKERFILE, lines};

/// An instruction that no Dockerfile has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInstruction {
    /// The line where it begins, from 1.
    pub line: usize,
    /// Its name in capital letters, shortened.
    pub keyword: String,
    /// The instruction whose name is most like it.
    pub nearest: Option<String>,
}

impl UnknownInstruction {
    /// The first in a Dockerfile. None is found where another frontend is named, which may know more
    /// instructions, or where the file may be something else to the builder.
    pub fn first(dockerfile: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(dockerfile).ok()?;
        if dockerfile.len() > LARGEST_DOCKERFILE || lines::syntax(text).ok()?.is_some() {
            return None;
        }
        let mut instructions = lines::read(text).ok()?.instructions.into_iter();
        let found = instructions.find(|it| !KEYWORDS.contains(&it.keyword.as_str()))?;
        let shown: String = found.keyword.chars().take(40).collect();
        let likeness = |known: &&str| strsim::jaro_winkler(known, &shown);
        let nearest = KEYWORDS
            .iter()
            .copied()
            .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
            .filter(|known| likeness(known) > 0.8);
        Some(Self {
            line: found.line,
            nearest: nearest.map(str::to_uppercase),
            keyword: shown.to_uppercase(),
        })
    }
}
