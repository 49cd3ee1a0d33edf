//! Where a value stands in the document: `services.web.build.args`.

use std::fmt;

/// How many levels deep the rules of compose look.
const RULES_REACH: usize = 8;

/// A way from the document's root to a value, without a copy of its keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    key: &'a str,
    depth: usize,
}

impl<'a> Path<'a> {
    /// The document itself.
    pub(super) fn root() -> Self {
        Self {
            parent: None,
            key: "",
            depth: 0,
        }
    }

    /// The value of a key below.
    pub(super) fn child(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            key,
            depth: self.depth + 1,
        }
    }

    /// How many keys lead here.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Looks a rule up by the keys that lead here. A path that is longer than any rule has no
    /// keys to look at.
    pub(super) fn rule<R>(&self, rule: impl FnOnce(&[&str]) -> R) -> R {
        if self.depth > RULES_REACH {
            return rule(&["…"; RULES_REACH + 1]);
        }
        let mut keys = [""; RULES_REACH];
        let mut here = Some(self);
        while let Some(path) = here {
            if path.depth > 0
                && let Some(slot) = keys.get_mut(path.depth - 1)
            {
                *slot = path.key;
            }
            here = path.parent;
        }
        rule(keys.get(..self.depth).unwrap_or_default())
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent
            && parent.depth > 0
        {
            write!(formatter, "{parent}.")?;
        }
        formatter.write_str(self.key)
    }
}
