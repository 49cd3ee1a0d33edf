//! The builder of those who leave it to castoff: the cheapest that can do what they ask.
//!
//! What is cheap is [`plan::next`]'s decision; here those are asked whom it wants to be asked, each of
//! them once for all services.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::OnceCell;

use super::ports::{BuildOrder, Builder, BuilderError, Built, Other, Others, Survey};
use crate::cx::Cx;
use crate::plan::{self, Abilities, Ask, BuildSpec, Contender, Knowledge, Next};

/// All builders that could be taken, and what they said of themselves.
pub struct Pool {
    first: Member,
    others: OnceCell<Vec<Member>>,
    finder: Box<dyn Others>,
}

struct Member {
    contender: Contender,
    builder: Arc<dyn Builder>,
    answer: OnceCell<Result<Survey, BuilderError>>,
}

/// A builder that is chosen when it is first needed.
pub struct Auto {
    ask: Ask,
    pool: Arc<Pool>,
    chosen: OnceCell<Chosen>,
}

struct Chosen {
    builder: Arc<dyn Builder>,
    because: Option<String>,
}

impl Member {
    fn new(Other { contender, builder }: Other) -> Self {
        Self {
            contender,
            builder,
            answer: OnceCell::new(),
        }
    }

    /// What is known by now.
    fn contender(&self) -> Contender {
        let known = match self.answer.get() {
            None => self.contender.known.clone(),
            Some(Ok(survey)) => Knowledge::Asked(abilities(survey)),
            Some(Err(error)) => Knowledge::Silent(error.to_string()),
        };
        Contender {
            known,
            ..self.contender.clone()
        }
    }

    async fn ask(&self) {
        self.answer.get_or_init(|| self.builder.survey()).await;
    }
}

/// The part of a survey that decides about who builds.
fn abilities(survey: &Survey) -> Abilities {
    Abilities {
        platforms: survey.platforms.clone(),
        native: survey.native.clone(),
        is_full: survey.full_exporter,
    }
}

impl Pool {
    /// Builders of which `first` is taken where it can do everything. The others are looked for when
    /// it cannot.
    pub fn new(first: Other, finder: Box<dyn Others>) -> Self {
        Self {
            first: Member::new(first),
            others: OnceCell::new(),
            finder,
        }
    }

    /// The first, and the others as far as they were looked for.
    fn members(&self) -> Vec<&Member> {
        let others = self.others.get().into_iter().flatten();
        std::iter::once(&self.first).chain(others).collect()
    }

    async fn look(&self) {
        let find = || async {
            let found = self.finder.find().await;
            found.into_iter().map(Member::new).collect()
        };
        self.others.get_or_init(find).await;
    }

    /// Chooses who builds. Each time round more is known, so this ends.
    async fn choose(&self, ask: &Ask) -> Result<Chosen, BuilderError> {
        loop {
            // Another service may be looking at the same time: what is known of the others is read once.
            let are_all = self.others.initialized();
            let members = self.members();
            let known: Vec<Contender> = members.iter().map(|member| member.contender()).collect();
            match plan::next(ask, &known, are_all) {
                Next::Take { number, because } => {
                    let taken = members.get(number).copied().unwrap_or(&self.first);
                    return Ok(Chosen {
                        builder: Arc::clone(&taken.builder),
                        because,
                    });
                }
                Next::Look => self.look().await,
                Next::Ask(numbers) => {
                    let asked = numbers.iter().filter_map(|number| members.get(*number));
                    join_all(asked.map(|member| member.ask())).await;
                }
                Next::Nothing(reasons) => {
                    return Err(match self.first.answer.get() {
                        // Why the only one does not answer says more than that it cannot.
                        Some(Err(error)) if known.len() == 1 => error.clone(),
                        _ => BuilderError::NoFit {
                            services: ask.services.clone(),
                            reasons,
                            hint: plan::remedy(ask, &known),
                        },
                    });
                }
            }
        }
    }
}

impl Auto {
    /// What builds the services of `ask`, out of `pool`.
    pub fn new(ask: Ask, pool: Arc<Pool>) -> Self {
        Self {
            ask,
            pool,
            chosen: OnceCell::new(),
        }
    }

    async fn chosen(&self) -> Result<&Chosen, BuilderError> {
        let choose = || self.pool.choose(&self.ask);
        self.chosen.get_or_try_init(choose).await
    }
}

#[async_trait]
impl Builder for Auto {
    fn name(&self) -> &str {
        let chosen = self.chosen.get();
        chosen
            .map_or(&self.pool.first.builder, |chosen| &chosen.builder)
            .name()
    }

    fn because(&self) -> Option<&str> {
        self.chosen.get()?.because.as_deref()
    }

    async fn survey(&self) -> Result<Survey, BuilderError> {
        self.chosen().await?.builder.survey().await
    }

    fn unset_secrets(&self, spec: &BuildSpec) -> Vec<String> {
        let chosen = self.chosen.get();
        chosen
            .map_or(&self.pool.first.builder, |chosen| &chosen.builder)
            .unset_secrets(spec)
    }

    async fn build(&self, cx: &Cx, order: &BuildOrder) -> Result<Built, BuilderError> {
        self.chosen().await?.builder.build(cx, order).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::oci::Platform;

    /// A builder that only answers, and counts how often.
    struct Answering {
        name: &'static str,
        platforms: Vec<Platform>,
        asked: AtomicUsize,
    }

    impl Answering {
        fn new(name: &'static str, platforms: &[&str]) -> Arc<Self> {
            Arc::new(Self {
                name,
                platforms: platforms.iter().map(|text| text.parse().unwrap()).collect(),
                asked: AtomicUsize::new(0),
            })
        }

        fn other(self: &Arc<Self>) -> Other {
            Other {
                contender: Contender {
                    name: self.name.to_owned(),
                    is_engine: false,
                    is_running: true,
                    known: Knowledge::Declared(Vec::new()),
                },
                builder: Arc::clone(self) as Arc<dyn Builder>,
            }
        }
    }

    #[async_trait]
    impl Builder for Answering {
        fn name(&self) -> &str {
            self.name
        }

        async fn survey(&self) -> Result<Survey, BuilderError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(Survey {
                host_gateway: None,
                name: self.name.to_owned(),
                native: self.platforms.clone(),
                platforms: self.platforms.clone(),
                identity: None,
                full_exporter: true,
            })
        }

        async fn build(&self, _: &Cx, _: &BuildOrder) -> Result<Built, BuilderError> {
            Err(BuilderError::Cancelled)
        }
    }

    /// Others, and how often they were looked for.
    struct Known(Vec<Other>, Arc<AtomicUsize>);

    #[async_trait]
    impl Others for Known {
        async fn find(&self) -> Vec<Other> {
            self.1.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.0.clone()
        }
    }

    fn ask(service: &str, platform: &str) -> Ask {
        Ask {
            services: vec![service.to_owned()],
            platforms: vec![platform.parse().unwrap()],
            ..Ask::default()
        }
    }

    #[tokio::test]
    async fn all_services_together_ask_each_builder_once() {
        let first = Answering::new("first", &["linux/amd64"]);
        let far = Answering::new("far", &["linux/arm64"]);
        let farther = Answering::new("farther", &["linux/s390x"]);
        let looked = Arc::new(AtomicUsize::new(0));
        let others = vec![far.other(), farther.other()];
        let known = Known(others, Arc::clone(&looked));
        let pool = Arc::new(Pool::new(first.other(), Box::new(known)));
        let asks = [
            ("a", "linux/amd64", "first"),
            ("b", "linux/arm64", "far"),
            ("c", "linux/s390x", "farther"),
            ("d", "linux/arm64", "far"),
        ];
        let autos =
            asks.map(|(service, platform, _)| Auto::new(ask(service, platform), Arc::clone(&pool)));
        let surveys = join_all(autos.iter().map(Builder::survey)).await;
        for ((survey, auto), (service, _, expected)) in surveys.iter().zip(&autos).zip(asks) {
            assert_eq!(survey.as_ref().unwrap().name, expected, "{service}");
            assert_eq!(auto.name(), expected);
            assert_eq!(auto.because().is_none(), expected == "first");
        }
        assert_eq!(looked.load(Ordering::SeqCst), 1);
        for builder in [&first, &far, &farther] {
            // Once to choose, and once for each who takes it.
            let takers = asks
                .iter()
                .filter(|(_, _, name)| *name == builder.name)
                .count();
            assert_eq!(builder.asked.load(Ordering::SeqCst), 1 + takers);
        }
        let nobody = Auto::new(ask("e", "linux/riscv64"), pool);
        let error = nobody.survey().await.unwrap_err();
        assert!(matches!(error, BuilderError::NoFit { .. }), "{error}");
        assert!(error.hint().unwrap().contains("--platform linux/riscv64"));
    }
}
