//! `.dockerignore`: a path, and patterns a line each.
#![no_main]

use castoff::inputs::{MatchInfo, Patterns};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let path = lines.next().unwrap_or_default();
    let Ok(patterns) = Patterns::new(lines) else {
        return;
    };
    let matches = patterns.matches(path);
    if patterns.is_empty() {
        assert!(!matches);
    }
    // A walk meets clean paths only: no name is empty.
    let is_clean = path.split('/').all(|name| !name.is_empty());
    if is_clean && !patterns.has_exceptions() {
        // Without exceptions a walk that hands results down agrees with asking for the whole path.
        let mut info = MatchInfo::default();
        let mut walked = false;
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let above = path.get(..at).unwrap_or_default();
            (walked, info) = patterns.matches_below(above, &info);
        }
        assert_eq!(walked, matches, "{path:?}");
    }
});
