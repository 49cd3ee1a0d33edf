use super::*;

/// A builder of a test: what is known without asking, and what it answers.
struct Builder {
    contender: Contender,
    answer: Knowledge,
}

fn platforms(text: &str) -> Vec<Platform> {
    let words = text.split_whitespace();
    words
        .map(|word| format!("linux/{word}").parse().unwrap())
        .collect()
}

/// `native+emulated`, for example `amd64+arm64 riscv64`.
fn builder(name: &str, has: &str) -> Builder {
    let (native, emulated) = has.split_once('+').unwrap_or((has, ""));
    let native = platforms(native);
    let all = [native.clone(), platforms(emulated)].concat();
    Builder {
        contender: Contender {
            name: name.to_owned(),
            is_engine: false,
            is_running: true,
            known: Knowledge::Declared(Vec::new()),
        },
        answer: Knowledge::Asked(Abilities {
            platforms: all,
            native,
            is_full: true,
        }),
    }
}

impl Builder {
    fn engine(mut self) -> Self {
        self.contender.is_engine = true;
        self
    }

    fn asleep(mut self, declared: &str) -> Self {
        self.contender.is_running = false;
        self.contender.known = Knowledge::Declared(platforms(declared));
        self
    }

    /// With the classic image store.
    fn classic(mut self) -> Self {
        if let Knowledge::Asked(abilities) = &mut self.answer {
            abilities.is_full = false;
        }
        self
    }

    fn silent(mut self) -> Self {
        self.answer = Knowledge::Silent("connection refused".to_owned());
        self
    }
}

fn ask(text: &str) -> Ask {
    let platforms = platforms(text);
    Ask {
        services: vec!["web".to_owned()],
        beyond_classic_store: (platforms.len() > 1)
            .then_some(BeyondClassicStore::Platforms)
            .into_iter()
            .collect(),
        platforms,
        ..Ask::default()
    }
}

/// Who was asked, and who builds or why nobody does. The first of `builders` is docker's own.
fn decide(ask: &Ask, builders: &[Builder]) -> (String, String) {
    let mut known = vec![builders[0].contender.clone()];
    let mut asked: Vec<&str> = Vec::new();
    let mut are_all = false;
    for _ in 0..=builders.len() + 1 {
        match next(ask, &known, are_all) {
            Next::Take { number, because } => {
                let because = because.unwrap_or_else(|| "-".to_owned());
                return (
                    asked.join(" "),
                    format!("{}: {because}", known[number].name),
                );
            }
            Next::Nothing(reasons) => {
                return (asked.join(" "), format!("nobody: {}", reasons.join("; ")));
            }
            Next::Look => {
                assert!(!are_all, "they are known");
                are_all = true;
                known.extend(builders[1..].iter().map(|one| one.contender.clone()));
            }
            Next::Ask(numbers) => {
                for number in numbers {
                    assert!(matches!(known[number].known, Knowledge::Declared(_)));
                    known[number].known = builders[number].answer.clone();
                    asked.push(&builders[number].contender.name);
                }
            }
        }
    }
    panic!("it comes to no end");
}

#[track_caller]
fn comes_to(ask: &Ask, builders: &[Builder], asked: &str, chosen: &str) {
    let (who, what) = decide(ask, builders);
    assert_eq!((who.as_str(), what.as_str()), (asked, chosen));
}

#[test]
fn the_first_builder_is_asked_alone_where_it_does() {
    let world = || {
        [
            builder("engine", "amd64+arm64").engine(),
            builder("farm", "amd64 arm64"),
        ]
    };
    for wish in ["", "amd64", "amd64 arm64"] {
        comes_to(&ask(wish), &world(), "engine", "engine: -");
    }
    let rich = Ask {
        beyond_classic_store: [BeyondClassicStore::Platforms, BeyondClassicStore::Sbom].into(),
        caches: ["gha", "inline", "local", "registry"]
            .map(str::to_owned)
            .into(),
        ..ask("amd64 arm64")
    };
    comes_to(&rich, &world(), "engine", "engine: -");
}

#[test]
fn what_the_first_cannot_do_is_the_reason_for_another() {
    let world = [
        builder("engine", "amd64").engine(),
        builder("farm", "arm64+amd64"),
    ];
    comes_to(
        &ask("arm64"),
        &world,
        "engine farm",
        "farm: engine cannot build for linux/arm64; farm does natively",
    );
    comes_to(
        &ask("amd64 arm64"),
        &world,
        "engine farm",
        "farm: engine cannot build for linux/arm64; farm does by emulation",
    );
    let world = [
        builder("engine", "amd64").engine().classic(),
        builder("farm", "amd64"),
    ];
    let attested = Ask {
        beyond_classic_store: [BeyondClassicStore::Provenance].into(),
        ..ask("")
    };
    comes_to(
        &attested,
        &world,
        "engine farm",
        "farm: engine cannot attest provenance; farm does",
    );
}

#[test]
fn native_comes_before_running_and_that_before_engines() {
    // Native before emulated.
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "amd64+arm64"),
        builder("b", "arm64"),
    ];
    let taken = "b: engine cannot build for linux/arm64; b does natively";
    comes_to(&ask("arm64"), &world, "engine a b", taken);
    // One that sleeps and is said to be native before one that emulates.
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "amd64+arm64"),
        builder("b", "arm64").asleep("arm64"),
        builder("c", "arm64").asleep(""),
    ];
    comes_to(&ask("arm64"), &world, "engine a b", taken);
    // Where that turns out to be no better, the one that runs.
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "amd64+arm64"),
        builder("b", "amd64+arm64").asleep("arm64"),
    ];
    comes_to(
        &ask("arm64"),
        &world,
        "engine a b",
        "a: engine cannot build for linux/arm64; a does by emulation",
    );
    // Nothing is started where one that runs does as well.
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "arm64").asleep("arm64"),
        builder("b", "arm64"),
    ];
    comes_to(&ask("arm64"), &world, "engine b", taken);
    // An Engine before others, and else the order of the names.
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "arm64"),
        builder("b", "arm64").engine(),
    ];
    comes_to(&ask("arm64"), &world, "engine a b", taken);
}

#[test]
fn sleepers_are_woken_one_after_the_other_and_only_in_need() {
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "amd64").asleep(""),
        builder("b", "amd64+arm64").asleep(""),
        builder("c", "arm64").asleep(""),
    ];
    comes_to(
        &ask("arm64"),
        &world,
        "engine a b",
        "b: engine cannot build for linux/arm64; b does by emulation",
    );
}

#[test]
fn what_has_no_platforms_stays_what_it_was() {
    // Another machine's own platform would be another image.
    let world = [
        builder("engine", "amd64").engine().classic(),
        builder("a", "arm64+amd64"),
        builder("b", "amd64"),
    ];
    let attested = Ask {
        beyond_classic_store: [BeyondClassicStore::Provenance].into(),
        ..ask("")
    };
    comes_to(
        &attested,
        &world,
        "engine a b",
        "b: engine cannot attest provenance; b does",
    );
    let world = [
        builder("engine", "").engine().silent(),
        builder("a", "arm64"),
    ];
    let own = Ask {
        own: platforms("amd64").pop(),
        ..ask("")
    };
    comes_to(
        &own,
        &world,
        "engine a",
        "nobody: engine does not answer: connection refused; a cannot build for linux/amd64 as its own platform",
    );
}

#[test]
fn one_that_does_not_answer_is_passed_over() {
    let world = [
        builder("engine", "").engine().silent(),
        builder("a", "").silent(),
        builder("b", "amd64"),
    ];
    comes_to(
        &ask("amd64"),
        &world,
        "engine a b",
        "b: engine does not answer; b does natively",
    );
}

#[test]
fn what_nobody_can_do_is_said_of_everybody() {
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "arm64"),
        builder("b", "").asleep("").silent(),
    ];
    comes_to(
        &ask("amd64 arm64"),
        &world,
        "engine a b",
        "nobody: engine cannot build for linux/arm64; a cannot build for linux/amd64; b does not answer: connection refused",
    );
}

#[test]
fn the_classic_store_does_what_it_can() {
    let world = || {
        [
            builder("engine", "amd64+arm64").engine().classic(),
            builder("a", "amd64+arm64"),
        ]
    };
    for wish in ["", "amd64", "arm64"] {
        comes_to(&ask(wish), &world(), "engine", "engine: -");
    }
    comes_to(
        &ask("amd64 arm64"),
        &world(),
        "engine a",
        "a: engine cannot hold an image of several platforms; a does by emulation",
    );
    // Files it writes, and archives of images it does not.
    let going_to = |goal| Ask {
        goal,
        ..ask("amd64")
    };
    comes_to(&going_to(Goal::Files), &world(), "engine", "engine: -");
    comes_to(
        &going_to(Goal::Archive),
        &world(),
        "engine a",
        "a: engine cannot write an archive of an image; a does natively",
    );
    let inline = Ask {
        caches: ["inline".to_owned()].into(),
        ..ask("amd64")
    };
    comes_to(&inline, &world(), "engine", "engine: -");
    let registry = Ask {
        caches: ["registry".to_owned()].into(),
        beyond_classic_store: [BeyondClassicStore::Cache("registry".to_owned())].into(),
        ..ask("amd64")
    };
    comes_to(
        &registry,
        &world(),
        "engine a",
        "a: engine cannot write a `registry` cache; a does natively",
    );
}

#[test]
fn a_cache_that_nobody_writes_is_in_nobodys_way() {
    let cached = Ask {
        caches: ["s3".to_owned()].into(),
        ..ask("amd64")
    };
    let alone = [builder("engine", "amd64").engine()];
    let says = "engine: engine cannot write a `s3` cache, and no other builder can";
    comes_to(&cached, &alone, "engine", says);
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "amd64").engine(),
    ];
    comes_to(&cached, &world, "engine a", says);
    let world = [
        builder("engine", "amd64").engine(),
        builder("a", "amd64").asleep(""),
    ];
    comes_to(
        &cached,
        &world,
        "engine a",
        "a: engine cannot write a `s3` cache; a does natively",
    );
}

#[test]
fn how_an_image_is_written_is_of_no_concern_to_files() {
    let beyond = [
        BeyondClassicStore::Compression("zstd"),
        BeyondClassicStore::Timestamps,
    ];
    let world = || {
        [
            builder("engine", "amd64").engine().classic(),
            builder("a", "amd64"),
        ]
    };
    let published = Ask {
        beyond_classic_store: beyond.into(),
        ..ask("amd64")
    };
    comes_to(
        &published,
        &world(),
        "engine a",
        "a: engine cannot compress with zstd, or rewrite times within layers; a does natively",
    );
    let files = Ask {
        goal: Goal::Files,
        ..published
    };
    comes_to(&files, &world(), "engine", "engine: -");
}

#[test]
fn the_remedy_is_a_command() {
    let asked = |mut builder: Builder| {
        builder.contender.known = builder.answer;
        [builder.contender]
    };
    let engine = asked(builder("engine", "amd64").engine());
    let said = remedy(&ask("amd64 arm64 riscv64"), &engine);
    assert!(said.contains("binfmt --install arm64,riscv64`"), "{said}");
    assert!(
        said.contains(
            "--driver docker-container --platform linux/arm64,linux/riscv64 --bootstrap`"
        ),
        "{said}"
    );
    let engine = asked(builder("engine", "amd64+arm64").engine().classic());
    let said = remedy(&ask("amd64 arm64"), &engine);
    assert!(said.starts_with("`docker buildx create "), "{said}");
}
