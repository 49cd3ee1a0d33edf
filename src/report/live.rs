use jiff::Timestamp;

use super::run::{Phase, Run, ServiceRun, TagState};
use super::words::{count, cut, one_line, seconds, size};

/// How many cells a progress bar has.
const BAR: usize = 12;
/// The narrowest terminal that still gets a bar, and how many steps were cached.
const WIDE: usize = 60;
/// How many of a failed service's last log lines are shown where there is room.
const LAST_WORDS: usize = 6;

/// The picture of a run on a terminal of `width` × `height` cells, at the moment `now`. Never more
/// than `height` - 1 lines, as the cursor stands below them, and none wider than `width` - 1 cells.
///
/// Each service has a line, in the order of the plan, and the run has the last one. What failed is
/// unfolded: the last lines of its log stand below it. Where the terminal is too low for all of
/// that, services that are done fold into a count first, then those that wait.
pub fn frame(run: &Run, width: usize, height: usize, now: Timestamp) -> Vec<String> {
    let columns = Columns::of(run, width);
    let room = height.saturating_sub(2);
    let view = View::choose(run, room);
    let mut lines = Vec::new();
    for (name, service) in &run.services {
        let Some(unfolded) = view.shown.iter().find(|shown| shown.name == name) else {
            continue;
        };
        lines.push(columns.service(name, service, now));
        let words: Vec<&str> = service.last_words().rev().take(unfolded.words).collect();
        lines.extend(words.iter().rev().map(|word| columns.word(word)));
    }
    lines.extend(view.folded(run).filter(|_| room > 0));
    lines.push(total(run, now));
    let limit = width.saturating_sub(1);
    lines.iter().map(|line| cut(line, limit)).collect()
}

/// Which services have a line of their own.
struct View<'a> {
    shown: Vec<Unfolded<'a>>,
}

/// A service that has a line, and how many lines of its log stand below it.
struct Unfolded<'a> {
    name: &'a String,
    words: usize,
}

impl<'a> View<'a> {
    /// Chooses for `room` lines.
    fn choose(run: &'a Run, room: usize) -> Self {
        let mut services: Vec<(&String, &ServiceRun)> = run.services.iter().collect();
        let wanted: usize = services.iter().map(|(_, service)| words(service)).sum();
        let mut left = wanted;
        if services.len() + wanted > room {
            // Of a low terminal, half is for what failed.
            left = wanted.min(room / 2);
            if services.len() + left > room {
                // One line says what is folded.
                let lines = room.saturating_sub(left + 1);
                services.sort_by_key(|(_, service)| interest(service));
                services.truncate(lines);
            }
        }
        let failed = services.iter().filter(|(_, service)| words(service) > 0);
        let mut failed = failed.count();
        let shown = services.into_iter().map(|(name, service)| {
            let mut words = words(service);
            if words > 0 {
                words = words.min(left.div_ceil(failed));
                left -= words;
                failed -= 1;
            }
            Unfolded { name, words }
        });
        Self {
            shown: shown.collect(),
        }
    }

    /// How many services have no line of their own, by where they are.
    fn folded(&self, run: &Run) -> Option<String> {
        let phases = [
            (Phase::Uploaded, "done"),
            (Phase::Failed, "failed"),
            (Phase::Building, "building"),
            (Phase::Uploading, "uploading"),
            (Phase::Waiting, "waiting"),
            (Phase::Stopped, "stopped"),
        ];
        let counts: Vec<String> = phases
            .into_iter()
            .filter_map(|(phase, word)| {
                let of_phase = run.services.iter().filter(|(name, service)| {
                    service.phase == phase && !self.shown.iter().any(|shown| shown.name == *name)
                });
                let number = of_phase.count();
                (number > 0).then(|| format!("{number} {word}"))
            })
            .collect();
        (!counts.is_empty()).then(|| format!("… {}", counts.join(", ")))
    }
}

/// How many lines of its log a service would like to show.
fn words(service: &ServiceRun) -> usize {
    if service.phase == Phase::Failed {
        service.last_words().take(LAST_WORDS).count()
    } else {
        0
    }
}

/// What is of most interest comes first: what failed, what goes on, what is to come, and of what is
/// done the latest.
fn interest(service: &ServiceRun) -> (u8, std::cmp::Reverse<Option<Timestamp>>) {
    let rank = match service.phase {
        Phase::Failed => 0,
        Phase::Building => 1,
        Phase::Uploading => 2,
        Phase::Waiting => 3,
        Phase::Uploaded => 4,
        Phase::Stopped => 5,
    };
    (rank, std::cmp::Reverse(service.ended))
}

/// How wide things are.
struct Columns {
    name: usize,
    wide: bool,
}

impl Columns {
    fn of(run: &Run, width: usize) -> Self {
        let longest = run
            .services
            .keys()
            .map(|name| console::measure_text_width(&one_line(name)))
            .max();
        Self {
            name: longest.unwrap_or(0).min(24).min((width / 3).max(4)),
            wide: width >= WIDE,
        }
    }

    /// A line of a failed service's log.
    fn word(&self, line: &str) -> String {
        let indent = if self.wide { self.name + 4 } else { 2 };
        format!("{:indent$}│ {}", "", one_line(line))
    }

    fn service(&self, name: &str, service: &ServiceRun, now: Timestamp) -> String {
        let (done, all, cached) = service.counts();
        let name = cut(&one_line(name), self.name);
        let name = console::pad_str(&name, self.name, console::Alignment::Left, None);
        let bar = if self.wide {
            format!("{} ", bar(done, all, service.phase))
        } else {
            String::new()
        };
        let text = match service.phase {
            Phase::Waiting => "waiting".to_owned(),
            Phase::Building => self.building(service, now),
            Phase::Uploading => format!(
                "built in {}, in {} of {}",
                seconds(service.seconds),
                service.uploads.0,
                count(service.uploads.1, "repository")
            ),
            Phase::Uploaded => {
                // What was only built has no size that anybody knows.
                let size = match service.size {
                    0 => String::new(),
                    bytes => format!("{}  ", size(bytes)),
                };
                let took = seconds(service.seconds);
                format!("{size}{took}, {cached} of {} cached", count(all, "step"))
            }
            Phase::Failed => {
                let failure = service.failure.as_deref().unwrap_or("failed");
                format!("failed: {}", one_line(failure))
            }
            Phase::Stopped => "stopped".to_owned(),
        };
        format!("{} {name}  {bar}{text}", mark(service.phase))
    }

    fn building(&self, service: &ServiceRun, now: Timestamp) -> String {
        let (done, all, cached) = service.counts();
        let elapsed = seconds(since(service.began, now));
        let cached = if cached > 0 && self.wide {
            format!(", {cached} cached")
        } else {
            String::new()
        };
        let Some(step) = service.current() else {
            return format!("{done}/{all}{cached}  {elapsed}");
        };
        let platform = step
            .platform
            .as_ref()
            .map(|platform| format!("{platform} "));
        let (moved, total) = step
            .progress
            .values()
            .filter(|(_, total)| *total > 0)
            .fold((0_u64, 0_u64), |sum, (now, all)| {
                (sum.0.saturating_add(*now), sum.1.saturating_add(*all))
            });
        let moved = if total > 0 {
            format!(" {}/{}", size(moved), size(total))
        } else {
            String::new()
        };
        format!(
            "{done}/{all}{cached}  {elapsed}  {}{}{moved}",
            platform.unwrap_or_default(),
            one_line(&step.name)
        )
    }
}

fn mark(phase: Phase) -> char {
    match phase {
        Phase::Waiting => '·',
        Phase::Building => '▸',
        Phase::Uploading => '▴',
        Phase::Uploaded => '✓',
        Phase::Failed => '✗',
        Phase::Stopped => '-',
    }
}

fn bar(done: usize, all: usize, phase: Phase) -> String {
    let filled = match phase {
        Phase::Waiting => 0,
        Phase::Uploading | Phase::Uploaded => BAR,
        // How many steps there will be is not known before they begin, so it is never full.
        Phase::Building | Phase::Failed | Phase::Stopped => (done * (BAR - 1)) / all.max(1),
    };
    format!("{}{}", "━".repeat(filled), "─".repeat(BAR - filled))
}

/// The line of the run as a whole.
fn total(run: &Run, now: Timestamp) -> String {
    let services = run.services.values();
    let number = |phase| {
        services
            .clone()
            .filter(|service| service.phase == phase)
            .count()
    };
    let state = if let Some(signal) = &run.cancelled {
        format!("stopping ({})", one_line(signal))
    } else if let Some(moves) = run.moves {
        let written = run
            .tags
            .values()
            .filter(|state| matches!(state, TagState::Moved(..) | TagState::Kept(_)))
            .count();
        format!("{written} of {} in place", count(moves, "tag"))
    } else if run.services.is_empty() {
        "checking".to_owned()
    } else {
        let failed = match number(Phase::Failed) {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let is_going = services.clone().any(|service| service.uploads.1 > 0);
        format!(
            "{} of {} {}{failed}",
            number(Phase::Uploaded),
            count(run.services.len(), "service"),
            if is_going { "up" } else { "built" }
        )
    };
    format!(
        "  {} {}  {state}  {}",
        one_line(&run.command),
        one_line(&run.project),
        seconds(since(run.began, now))
    )
}

/// Seconds, never less than none.
fn since(began: Option<Timestamp>, now: Timestamp) -> f64 {
    began.map_or(0.0, |began| {
        now.duration_since(began).as_secs_f64().max(0.0)
    })
}
