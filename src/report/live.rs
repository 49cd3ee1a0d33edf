use jiff::Timestamp;

use super::run::{Phase, Run, ServiceRun, TagState};
use super::words::{count, one_line, seconds, size};

/// How many cells a progress bar has.
const BAR: usize = 12;
/// The narrowest terminal that still gets a bar.
const WIDE: usize = 60;

/// The picture of a run on a terminal of `width` × `height` cells, at the moment `now`: a line for
/// each service and one for the whole. Never more lines than fit.
pub fn frame(run: &Run, width: usize, height: usize, now: Timestamp) -> Vec<String> {
    let name_width = run
        .services
        .keys()
        .map(|name| console::measure_text_width(name))
        .max()
        .unwrap_or(0)
        .min(24);
    let room = height.saturating_sub(2).max(1);
    let mut shown: Vec<(&String, &ServiceRun)> = run.services.iter().collect();
    let hidden = shown.len().saturating_sub(room);
    if hidden > 0 {
        // What is under way is of most interest, then what failed, then what is to come.
        shown.sort_by_key(|(_, service)| match service.phase {
            Phase::Building => 0,
            Phase::Failed => 1,
            Phase::Uploading => 2,
            Phase::Waiting => 3,
            Phase::Uploaded => 4,
        });
        shown.truncate(room.saturating_sub(1));
    }
    let mut lines: Vec<String> = shown
        .into_iter()
        .map(|(name, service)| service_line(name, service, name_width, width, now))
        .collect();
    if hidden > 0 {
        let rest = run.services.len() - lines.len();
        let done = run
            .services
            .values()
            .filter(|service| service.phase == Phase::Uploaded)
            .count();
        lines.push(format!("… and {rest} more ({done} of all done)"));
    }
    lines.push(total_line(run, now));
    lines
        .iter()
        .map(|line| console::truncate_str(line, width.saturating_sub(1), "…").into_owned())
        .collect()
}

fn service_line(
    name: &str,
    service: &ServiceRun,
    name_width: usize,
    width: usize,
    now: Timestamp,
) -> String {
    let (done, all, cached) = service.counts();
    let name = console::pad_str(name, name_width, console::Alignment::Left, Some("…"));
    let bar = if width >= WIDE {
        format!("{} ", bar(done, all, service.phase))
    } else {
        String::new()
    };
    let elapsed = service
        .began
        .map_or(0.0, |began| now.duration_since(began).as_secs_f64());
    let text = match service.phase {
        Phase::Waiting => "waiting".to_owned(),
        Phase::Building => {
            let step = service.current().map(|step| {
                let platform = step
                    .platform
                    .as_ref()
                    .map(|platform| format!("{platform} "));
                let moved = step
                    .progress
                    .values()
                    .filter(|(_, total, done)| !done && *total > 0)
                    .fold((0, 0), |sum, (now, all, _)| (sum.0 + now, sum.1 + all));
                let moved = if moved.1 > 0 {
                    format!(" {}/{}", size(moved.0), size(moved.1))
                } else {
                    String::new()
                };
                format!(
                    "{}{}{moved}",
                    platform.unwrap_or_default(),
                    one_line(&step.name)
                )
            });
            let cached = if cached > 0 {
                format!(", {cached} cached")
            } else {
                String::new()
            };
            format!(
                "{done}/{all}{cached}  {}  {}",
                seconds(elapsed),
                step.unwrap_or_default()
            )
        }
        Phase::Uploading => format!(
            "built in {}, in {} of {}",
            seconds(service.seconds),
            service.uploads.0,
            count(service.uploads.1, "repository")
        ),
        Phase::Uploaded => format!(
            "{}  {}, {cached} of {} cached",
            size(service.size),
            seconds(service.seconds),
            count(all, "step")
        ),
        Phase::Failed => {
            let failure = service.failure.as_deref().unwrap_or("failed");
            format!("failed: {}", one_line(failure))
        }
    };
    format!("{} {name}  {bar}{text}", mark(service.phase))
}

fn mark(phase: Phase) -> char {
    match phase {
        Phase::Waiting => '·',
        Phase::Building => '▸',
        Phase::Uploading => '▴',
        Phase::Uploaded => '✓',
        Phase::Failed => '✗',
    }
}

fn bar(done: usize, all: usize, phase: Phase) -> String {
    let filled = match phase {
        Phase::Waiting => 0,
        Phase::Uploading | Phase::Uploaded => BAR,
        // How many steps there will be is not known before they begin, so it is never full.
        Phase::Building | Phase::Failed => (done * (BAR - 1)) / all.max(1),
    };
    format!("{}{}", "━".repeat(filled), "─".repeat(BAR - filled))
}

fn total_line(run: &Run, now: Timestamp) -> String {
    let elapsed = run
        .began
        .map_or(0.0, |began| now.duration_since(began).as_secs_f64());
    let uploaded = run
        .services
        .values()
        .filter(|service| service.phase == Phase::Uploaded)
        .count();
    let state = if let Some(signal) = &run.cancelled {
        format!("stopping ({signal})")
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
        format!("{uploaded} of {} up", count(run.services.len(), "service"))
    };
    format!(
        "  {} {}  {state}  {}",
        run.command,
        run.project,
        seconds(elapsed)
    )
}
