use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;

use console::Term;
use jiff::Timestamp;

use super::live::frame;
use super::plain::Plain;
use super::printer::Printer;
use super::problem::{Problem, Severity};
use super::run::Run;
use crate::cx::Told;
use crate::event::{Envelope, Event};

/// How often the live view is drawn anew at most.
const TICK: Duration = Duration::from_millis(100);

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

/// The one thread that shows events, and writes them to a file where that is asked for.
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
        file: Option<File>,
        now: fn() -> Timestamp,
    ) -> Self {
        let thread = std::thread::spawn(move || {
            let mut shown = Shown {
                progress,
                printer,
                file: file.map(BufWriter::new),
                plain: Plain::default(),
                run: Run::default(),
                drawn: 0,
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
    file: Option<BufWriter<File>>,
    plain: Plain,
    run: Run,
    /// How many lines the live view has drawn.
    drawn: usize,
    now: fn() -> Timestamp,
}

impl Shown {
    fn follow(&mut self, told: &Told) {
        loop {
            match told.next_within(TICK) {
                Ok(envelope) => {
                    self.show(&envelope);
                    // Whatever came in the meantime is part of the same picture.
                    while let Ok(envelope) = told.try_next() {
                        self.show(&envelope);
                    }
                    self.flush();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.draw();
        }
        self.erase();
        self.flush();
    }

    /// Hands the file what was told so far: a run that is killed leaves what it did until then.
    fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.flush()
        {
            self.complain(&error);
        }
    }

    fn show(&mut self, envelope: &Envelope) {
        self.run.apply(envelope);
        if let Some(file) = &mut self.file {
            let line = serde_json::to_string(envelope).unwrap_or_default();
            if let Err(error) = writeln!(file, "{line}") {
                self.complain(&error);
            }
        }
        match self.progress {
            Progress::Plain => {
                for line in self.plain.lines(envelope) {
                    self.printer.say(&line);
                }
            }
            Progress::Json => {
                let line = serde_json::to_string(envelope).unwrap_or_default();
                self.printer.event(&line);
            }
            Progress::Live => self.interrupt(&envelope.event),
            Progress::Quiet => {}
        }
    }

    /// What stays on the terminal above the picture.
    fn interrupt(&mut self, event: &Event) {
        let problem = match event {
            Event::Warned {
                subject,
                message,
                hint,
            } => Problem {
                severity: Severity::Warning,
                message: if subject.is_empty() {
                    message.clone()
                } else {
                    format!("{subject}: {message}")
                },
                hint: hint.clone(),
                ..Problem::default()
            },
            Event::DockerfileWarned {
                service,
                file,
                line,
                message,
                ..
            } => {
                let place = line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"));
                Problem::warning(format!("{service}: {place}: {message}"))
            }
            _ => return,
        };
        self.erase();
        self.printer.problem(&problem);
    }

    fn draw(&mut self) {
        if self.progress != Progress::Live {
            return;
        }
        let (height, width) = Term::stderr().size();
        let lines = frame(&self.run, width.into(), height.into(), (self.now)());
        self.printer.redraw(self.drawn, &lines);
        self.drawn = lines.len();
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            self.printer.redraw(self.drawn, &[]);
            self.drawn = 0;
        }
    }

    /// The file is given up at the first error: the run is worth more than its recording.
    fn complain(&mut self, error: &std::io::Error) {
        self.file = None;
        self.erase();
        let problem = Problem::warning(format!("the events are no longer recorded: {error}"));
        self.printer.problem(&problem);
    }
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
        let file = Some(File::create(&path).unwrap());
        let console = Console::start(told, Progress::Quiet, printer, file, Timestamp::now);
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
