//! What a page of a list, or of a search, costs in a small store and in a large one: rows that the store looked at, and
//! time. The rows are what is bounded; the time follows.

mod crowd;

use clap::Args;
use cloakroom::{
    Cursor, ListFilter, ListOrder, ListQuery, ManualClock, Search, Sessions, StateFilter, Store,
};
use cloakroom_conformance::principal_id;
use cloakroom_core::SessionId;
use serde::Serialize;
use serde_json::{Map, json};
use std::sync::Arc;
use tokio::runtime::Builder;

use crate::effort::Effort;
use crate::error::{Doing as _, Error, Outcome};
use crate::report::{Row, Section};
use crate::sizes::{Place, Where};
use crate::statistics::median;
use crate::stopwatch::Stopwatch;

use crowd::{Crowd, NOW};

/// Pages of lists and searches.
#[derive(Debug, Args)]
pub(crate) struct Task {
    /// Only these stores
    #[arg(long = "store")]
    stores: Vec<Where>,
    /// Only these sizes
    #[arg(long = "size")]
    sizes: Vec<usize>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
enum Question {
    Newest,
    Oldest,
    Middle,
    Ended,
    OneSession,
    Principal,
    Service,
    Address,
    Office,
    FewBegin,
    ManyBegin,
    NobodyBegins,
    Words,
}

impl Question {
    const ALL: [Self; 13] = [
        Self::Newest,
        Self::Oldest,
        Self::Middle,
        Self::Ended,
        Self::OneSession,
        Self::Principal,
        Self::Service,
        Self::Address,
        Self::Office,
        Self::FewBegin,
        Self::ManyBegin,
        Self::NobodyBegins,
        Self::Words,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Newest => "the newest",
            Self::Oldest => "the oldest",
            Self::Middle => "from the middle",
            Self::Ended => "those ended, one in a hundred",
            Self::OneSession => "one session by its id",
            Self::Principal => "a principal with twenty",
            Self::Service => "a principal with one in twenty",
            Self::Address => "an address with twenty",
            Self::Office => "an address with one in ten",
            Self::FewBegin => "names whose beginning two hundred have",
            Self::ManyBegin => "names whose beginning most have",
            Self::NobodyBegins => "names whose beginning nobody has",
            Self::Words => "words that nobody mentions",
        }
    }

    fn search(self, crowd: &Crowd) -> Search {
        let mut search = Search::default();
        let filter = &mut search.filter;
        match self {
            Self::Newest => {}
            Self::Oldest => search.order = ListOrder::OldestFirst,
            Self::Middle => {
                let session = SessionId::from_bytes([0; SessionId::LENGTH]);
                search.after = Some(Cursor { created_at: crowd.middle(), session });
            }
            Self::Ended => filter.state = StateFilter::Ended,
            Self::OneSession => filter.session = Some(crowd.somebody()),
            Self::Principal => filter.principal = Some(principal_id(&crowd.person())),
            Self::Service => filter.principal = Some(principal_id(crowd::SERVICE)),
            Self::Address => filter.ip = Some(crowd.address()),
            Self::Office => filter.ip = Some(crowd::OFFICE.into()),
            Self::FewBegin => filter.principal_prefix = Some(principal_id(&crowd.beginning())),
            Self::ManyBegin => filter.principal_prefix = Some(principal_id("user-")),
            Self::NobodyBegins => filter.principal_prefix = Some(principal_id("nobody-")),
            Self::Words => search.text = Some("\"nothing of the kind\"".to_owned()),
        }
        search
    }
}

/// What was found.
#[derive(Debug, Serialize)]
struct Cost {
    what: &'static str,
    rows: u64,
    found: usize,
    microseconds: f64,
}

/// Measures store by store, size by size.
pub(crate) fn measure(effort: Effort, task: &Task) -> Outcome<Section> {
    let stores =
        if task.stores.is_empty() { vec![Where::Memory, Where::Sqlite] } else { task.stores.clone() };
    let sizes = if task.sizes.is_empty() { effort.sizes } else { task.sizes.as_slice() };
    let (mut section, mut raw) = (Section::default(), Map::new());
    for store in stores {
        let levels = measure_store(store, sizes)?;
        for (size, costs) in &levels {
            for Cost { what, rows, found, microseconds } in costs {
                let place = format!("{store}, {size}: {what}");
                section.rows.push(Row::new(format!("{place} (finds {found})"), exact(*rows), "rows"));
                section.rows.push(Row::new(place, *microseconds, "µs"));
            }
        }
        raw.insert(store.to_string(), json!(levels));
    }
    section.rounds = raw.into();
    Ok(section)
}

fn measure_store(store: Where, sizes: &[usize]) -> Outcome<Vec<(usize, Vec<Cost>)>> {
    let runtime = Builder::new_current_thread().enable_all().build().doing("building a runtime")?;
    let place = Place::prepare(store)?;
    runtime.block_on(async {
        let store_of_all = place.open().await?;
        let mut crowd = Crowd::new(Arc::clone(&store_of_all));
        let mut levels = Vec::new();
        for &size in sizes {
            eprintln!("{store}: {size} sessions …");
            crowd.grow_to(size).await?;
            levels.push((size, ask(&store_of_all, &crowd).await?));
        }
        Ok(levels)
    })
}

async fn ask(store: &Arc<dyn Store>, crowd: &Crowd) -> Outcome<Vec<Cost>> {
    let clock = Arc::new(ManualClock::at(NOW));
    let sessions =
        Sessions::builder_shared(Arc::clone(store)).clock(clock).build().doing("building the engine")?;
    let mut costs = Vec::new();
    for question in Question::ALL {
        let search = question.search(crowd);
        let (mut times, mut last) = (Vec::new(), None);
        for call in 0..CALLS + WARM_UP {
            let watch = Stopwatch::start();
            let found = sessions.search(&search).await.doing("searching")?;
            if call >= WARM_UP {
                times.push(watch.elapsed().as_secs_f64() * 1e6);
            }
            last = Some(found);
        }
        let found = last.ok_or_else(|| Error::new("searching", "nobody searched"))?;
        costs.push(Cost {
            what: question.title(),
            rows: found.read,
            found: found.items.len(),
            microseconds: median(times),
        });
    }
    let page = ListQuery::new(ListFilter::default());
    let page = sessions.list(&page).await.doing("listing")?;
    if page.items.len() != usize::from(ListQuery::DEFAULT_LIMIT.get()) {
        return Err(Error::new("listing", format!("a page holds {}", page.items.len())));
    }
    Ok(costs)
}

fn exact(number: u64) -> f64 {
    crate::statistics::number(number)
}

/// Pages asked for; a few before them don't count.
const CALLS: usize = 40;
const WARM_UP: usize = 5;
