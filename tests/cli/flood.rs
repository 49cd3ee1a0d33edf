//! What the views cost: builds that log a lot, and builds that log without end.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use castoff::cx::Events;
use castoff::event::{Event, PlannedTarget};
use castoff::report::{Console, Logs, Printer, Progress, Records};

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The CPU time of this process, in seconds.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    // The 14th and 15th field of all, in hundredths of a second (proc_pid_stat(5)).
    let ticks: f64 = [11, 12]
        .map(|at: usize| fields[at].parse::<f64>().unwrap())
        .iter()
        .sum();
    ticks / 100.0
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

fn services() -> Vec<String> {
    (1..=20)
        .map(|number| format!("service-{number:02}"))
        .collect()
}

/// A view with twenty services that are being built.
fn start(progress: Progress, records: Records) -> (Events, Console) {
    let (events, told) = Events::stream(now);
    let printer = Printer::new(true, false, "/".into());
    let console = Console::start(told, progress, printer, records, now);
    events.tell(Event::Planned {
        targets: services()
            .into_iter()
            .map(|service| PlannedTarget {
                service,
                build: true,
                merge: false,
                platforms: vec![],
                repositories: vec![],
                tags: vec![],
            })
            .collect(),
    });
    for service in services() {
        events.tell(Event::BuildStarted {
            service: service.clone(),
            builder: "engine".to_owned(),
            because: None,
        });
        events.tell(Event::StepStarted {
            service,
            step: "1".to_owned(),
            name: "[2/2] RUN make".to_owned(),
            platform: None,
        });
    }
    (events, console)
}

fn logged(service: &str, line: &str) -> Event {
    Event::StepLogged {
        service: service.to_owned(),
        step: "1".to_owned(),
        line: line.to_owned(),
    }
}

#[test]
fn twenty_services_with_a_thousand_lines_a_second_each_cost_part_of_a_core() {
    let (events, console) = start(Progress::Live, Records::default());
    let (before, begin) = (cpu(), Instant::now());
    let line = "compiling something with a name of the usual length, v1.2.3 (/src/something)";
    for tick in 1..=200_u32 {
        for service in services() {
            for _ in 0..10 {
                events.tell(logged(&service, line));
            }
        }
        let due = begin + Duration::from_millis(10) * tick;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    drop(events);
    console.finish();
    let (used, took) = (cpu() - before, begin.elapsed().as_secs_f64());
    eprintln!("{used:.2} s of CPU in {took:.2} s");
    assert!(used < 0.6 * took, "{used} s of CPU in {took} s");
}

#[test]
fn a_log_without_end_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records {
        events: None,
        logs: Some(Logs::create(folder.path()).unwrap()),
    };
    let (events, console) = start(Progress::Live, records);
    let before = peak();
    let line = "y".repeat(2000);
    let all = services();
    for _ in 0..36_000 {
        events.tell(logged(&all[0], &line));
        while events.is_crowded() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    drop(events);
    console.finish();
    let grown = peak() - before;
    eprintln!("{grown} MiB more at the peak, of 69 MiB that were logged");
    assert!(grown < 50, "{grown} MiB");
    let log = folder.path().join(format!("{}.log", all[0]));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.len() > 63 << 20 && log.len() < 65 << 20,
        "{}",
        log.len()
    );
    assert!(log.contains("# cut here: a log is at most 64 MiB"));
}
