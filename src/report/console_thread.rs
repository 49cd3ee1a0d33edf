use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::checks::check_problems;
use super::live::frame;
use super::logs::Logs;
use super::plain::Plain;
use super::printer::Printer;
use super::problem::{Problem, Severity};
use super::run::Run;
use crate::cx::Told;
use crate::event::{Envelope, Event};

/// How often the live view is drawn anew at most, and how long anything waits to be shown.
const TICK: Duration = Duration::from_millis(100);
/// How many events are taken before what they say is written.
const BATCH: usize = 1_000;

/// How a run is shown while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A picture that changes in place.
    Live,
    /// Lines.
    Plain,
    /// The event stream.
    Json,
    /// Not at all.
    Quiet,
}

/// Where events go besides the terminal.
#[derive(Debug, Default)]
pub struct Records {
    /// Every event, a JSON object a line.
    pub events: Option<File>,
    /// The builds' logs.
    pub logs: Option<Logs>,
}

/// The one thread that shows events, and writes them to files where that is asked for.
#[derive(Debug)]
pub struct Console {
    thread: JoinHandle<Run>,
}

impl Console {
    /// Starts the thread. It ends with the stream.
    pub fn start(
        told: Told,
        progress: Progress,
        printer: Printer,
        records: Records,
        now: fn() -> Timestamp,
    ) -> Self {
        let thread = std::thread::spawn(move || {
            let mut shown = Shown {
                progress,
                plain: Plain::new(printer.dialect()),
                printer,
                events: records.events.map(BufWriter::new),
                logs: records.logs,
                run: Run::default(),
                text: String::new(),
                drawn: Vec::new(),
                size: (0, 0),
                now,
            };
            shown.follow(&told);
            shown.run
        });
        Self { thread }
    }

    /// Waits until everything that was told is shown.
    pub fn finish(self) -> Run {
        self.thread.join().unwrap_or_default()
    }
}

struct Shown {
    progress: Progress,
    printer: Printer,
    events: Option<BufWriter<File>>,
    logs: Option<Logs>,
    plain: Plain,
    run: Run,
    /// Lines that wait to be written together.
    text: String,
    /// The lines that the live view has drawn.
    drawn: Vec<String>,
    /// The terminal's size at that time.
    size: (usize, usize),
    now: fn() -> Timestamp,
}

impl Shown {
    fn follow(&mut self, told: &Told) {
        let mut next = Instant::now();
        loop {
            let wait = match self.progress {
                Progress::Live => next.saturating_duration_since(Instant::now()),
                _ => TICK,
            };
            match told.next_within(wait) {
                Ok(envelope) => {
                    self.take(&envelope);
                    // Whatever came in the meantime is written together.
                    for _ in 1..BATCH {
                        let Ok(envelope) = told.try_next() else {
                            break;
                        };
                        self.take(&envelope);
                    }
                    self.flush();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write();
            if Instant::now() >= next {
                self.flush();
                self.draw();
                next = Instant::now() + TICK;
            }
        }
        self.write();
        self.flush();
        self.erase();
        if matches!(self.progress, Progress::Live | Progress::Plain) {
            for problem in check_problems(&self.run) {
                self.printer.problem(&problem);
            }
        }
    }

    fn take(&mut self, envelope: &Envelope) {
        self.run.apply(envelope);
        let json = if self.events.is_some() || self.progress == Progress::Json {
            let mut line = serde_json::to_string(envelope).unwrap_or_default();
            line.push('\n');
            line
        } else {
            String::new()
        };
        if let Some(file) = &mut self.events
            && let Err(error) = file.write_all(json.as_bytes())
        {
            self.give_up_events(&error);
        }
        if let Some(logs) = &mut self.logs
            && let Err(error) = logs.take(envelope)
        {
            self.give_up_logs(&error);
        }
        match self.progress {
            Progress::Plain => {
                for line in self.plain.lines(envelope) {
                    self.text.push_str(&line);
                    self.text.push('\n');
                }
            }
            Progress::Json => self.text.push_str(&json),
            Progress::Live => {
                if let Some(problem) = warned(&envelope.event) {
                    self.interrupt(&problem);
                }
            }
            Progress::Quiet => {
                let problem = warned(&envelope.event).or_else(|| refused(&envelope.event));
                if let Some(problem) = problem {
                    self.printer.problem(&problem);
                }
            }
        }
    }

    /// Writes the lines that wait.
    fn write(&mut self) {
        match self.progress {
            Progress::Json => Printer::events(&self.text),
            _ => self.printer.say(&self.text),
        }
        self.text.clear();
    }

    /// What stays on the terminal above the picture.
    fn interrupt(&mut self, problem: &Problem) {
        self.erase();
        self.printer.problem(problem);
    }

    fn draw(&mut self) {
        if self.progress != Progress::Live {
            return;
        }
        let (width, height) = Printer::size();
        let lines = frame(&self.run, width, height, (self.now)());
        if lines != self.drawn || (width, height) != self.size {
            self.printer.redraw(&self.drawn, &lines, width);
            self.drawn = lines;
            self.size = (width, height);
        }
    }

    fn erase(&mut self) {
        if !self.drawn.is_empty() {
            let (width, _) = Printer::size();
            self.printer.redraw(&self.drawn, &[], width);
            self.drawn.clear();
        }
    }

    /// Brings what was written to the files.
    fn flush(&mut self) {
        if let Some(file) = &mut self.events
            && let Err(error) = file.flush()
        {
            self.give_up_events(&error);
        }
        if let Some(logs) = &mut self.logs
            && let Err(error) = logs.flush()
        {
            self.give_up_logs(&error);
        }
    }

    /// A file is given up at the first error: the run is worth more than its recording.
    fn give_up_events(&mut self, error: &std::io::Error) {
        self.events = None;
        self.complain(&format!("the events are no longer recorded: {error}"));
    }

    fn give_up_logs(&mut self, error: &std::io::Error) {
        self.logs = None;
        self.complain(&format!("the logs of builds are no longer kept: {error}"));
    }

    fn complain(&mut self, message: &str) {
        self.write();
        self.erase();
        self.printer.problem(&Problem::warning(message));
    }
}

/// The warning that an event is.
fn warned(event: &Event) -> Option<Problem> {
    let Event::Warned {
        subject,
        message,
        hint,
    } = event
    else {
        return None;
    };
    Some(Problem {
        severity: Severity::Warning,
        message: if subject.is_empty() {
            message.clone()
        } else {
            format!("{subject}: {message}")
        },
        hint: hint.clone(),
        ..Problem::default()
    })
}

/// The same of a tag that is left alone, where nothing else shows it.
fn refused(event: &Event) -> Option<Problem> {
    let Event::TagRefused {
        reference, because, ..
    } = event
    else {
        return None;
    };
    Some(Problem::warning(format!(
        "{reference} is left alone: {because}"
    )))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::cx::Events;

    #[test]
    fn what_was_told_is_in_the_file_while_the_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let (events, told) = Events::stream(Timestamp::now);
        let printer = Printer::new(false, true, folder.path().to_owned());
        let records = Records {
            events: Some(File::create(&path).unwrap()),
            logs: None,
        };
        let console = Console::start(told, Progress::Quiet, printer, records, Timestamp::now);
        events.tell(Event::Verified { tags: 3 });
        let limit = Instant::now() + Duration::from_secs(10);
        while !std::fs::read_to_string(&path).unwrap().ends_with('\n') {
            assert!(Instant::now() < limit, "nothing was written");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(events);
        console.finish();
    }
}
