//! The list of sessions: searched, filtered, sorted, page by page.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use cloakroom::{Found, ListOrder, Search, SessionId, TakenFor};
use cloakroom_axum::Session;
use cloakroom_core::Timestamp;

use super::filter::{Asked, Column, LIVE, Sort, Understood};
use super::notices::Done;
use super::paths;
use super::person::unseen_sentence;
use super::rows::{self, SessionRow};
use super::{Section, Shell};
use crate::web::App;
use crate::web::context::Context;
use crate::web::pages::view::{Notice, Page};
use crate::web::pages::{address, render, see_other};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

/// What stands in the place of a list that cannot be made.
#[derive(Template)]
#[template(path = "console/unseen.html")]
struct UnseenPage<'a> {
    page: Page<'a>,
    shell: Shell,
    notice: Option<Notice>,
    sentence: &'static str,
    can_end: bool,
}

#[derive(Template)]
#[template(path = "console/sessions.html")]
struct SessionsPage<'a> {
    page: Page<'a>,
    shell: Shell,
    notice: Option<Notice>,
    asked: Asked,
    results: Results,
}

/// What changes while somebody types.
#[derive(Template)]
#[template(path = "console/results.html")]
struct ResultsPart {
    results: Results,
}

/// A page of the list, and what is to be said of it.
struct Results {
    rows: Vec<SessionRow>,
    /// How many rows the store looked at for it.
    read: u64,
    summary: String,
    /// What was asked for and cannot be had.
    problems: Vec<String>,
    /// What the words were taken for, and how to mean them otherwise.
    taken: Option<Taken>,
    /// The list from its beginning, where this is not it.
    first: Option<String>,
    next: Option<String>,
    next_label: &'static str,
    /// Where nothing is on this page.
    empty: &'static str,
    /// Whether sessions can be chosen and ended.
    may_end: bool,
    /// Where the confirmation leads back to.
    back: Option<String>,
}

struct Taken {
    text: String,
    otherwise: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    if asked.part == LIVE {
        session.not_activity();
    }
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    if !app.can_list() {
        if let Ok(id) = asked.q.trim().parse::<SessionId>() {
            return Ok(see_other(&paths::session(id)));
        }
        let shell = Shell::new(&session, &staff, Section::Sessions).await?;
        let no_id = || Notice::bad("no_such_session", NO_ID);
        let notice = Done::read(&asked.notice).map(Done::notice);
        let notice = notice.or_else(|| (!asked.q.trim().is_empty()).then(no_id));
        let (sentence, can_end) = (unseen_sentence(&app), app.can_end() && shell.may(Right::EndOfMany));
        return Ok(render(&UnseenPage { page: Page::new(&app, &context), shell, notice, sentence, can_end }));
    }
    let now = app.sessions.now();
    let results = app.results(&staff, &asked, now).await?;
    if !asked.part.is_empty() {
        return Ok(render(&ResultsPart { results }));
    }
    let shell = Shell::new(&session, &staff, Section::Sessions).await?;
    let notice = Done::read(&asked.notice).map(Done::notice);
    Ok(render(&SessionsPage { page: Page::new(&app, &context), shell, notice, asked, results }))
}

impl App {
    async fn results(&self, staff: &Staff, asked: &Asked, now: Timestamp) -> Result<Results, Refusal> {
        let Understood { mut search, mut sort, mut problems } = asked.understood(now);
        search.order = if sort == Sort::Oldest { ListOrder::OldestFirst } else { ListOrder::NewestFirst };
        let found = self.find_sessions(staff, &search).await?;
        if let Sort::By(column) = sort
            && (found.next.is_some() || search.after.is_some())
        {
            problems.push(too_many_to_sort(column));
            sort = Sort::Newest;
        }
        let rows = rows_of(&found, sort, now, staff.active.id());
        let next = found.next.map(|cursor| asked.at(&cursor.to_string()));
        let back = asked.at(&asked.cursor);
        Ok(Results {
            read: found.read,
            summary: summary(&found, &search),
            problems,
            taken: taken(&found, asked),
            first: search.after.map(|_| asked.first()),
            next_label: next_label(&found, sort),
            next,
            empty: match (asked.narrows(), found.next.is_some()) {
                (_, true) => {
                    "Nothing so far. Go on looking, or narrow the search: by principal or address it is quick."
                }
                (true, false) => "No session matches. Ended sessions are found under “Ended”.",
                (false, false) => "Nobody is signed in.",
            },
            may_end: staff.duty.has(Right::EndOfMany),
            back: (back.len() <= BACK_MAX_BYTES).then_some(back),
            rows,
        })
    }
}

fn rows_of(found: &Found, sort: Sort, now: Timestamp, own: SessionId) -> Vec<SessionRow> {
    let mut rows: Vec<_> = found.items.iter().map(|item| SessionRow::new(item, now, own)).collect();
    match sort {
        Sort::By(Column::Seen) => rows.sort_by_key(|row| std::cmp::Reverse(row.keys.seen_at)),
        Sort::By(Column::Ends) => rows.sort_by_key(|row| row.keys.ends_at),
        Sort::By(Column::Principal) => rows.sort_by(|a, b| a.keys.principal.cmp(&b.keys.principal)),
        // Without an address last.
        Sort::By(Column::Address) => rows.sort_by_key(|row| (row.keys.ip.is_none(), row.keys.ip)),
        Sort::Newest | Sort::Oldest => {}
    }
    rows
}

/// How much this is of what there is.
fn summary(found: &Found, search: &Search) -> String {
    let shown = u64::try_from(found.items.len()).unwrap_or(u64::MAX);
    let count = rows::sessions(shown);
    match (found.next.is_some(), found.at_bound) {
        (true, true) => {
            format!("Looked at {}: {} here so far.", rows::sessions(found.read), rows::grouped(shown))
        }
        (true, false) => format!("{count} here, and there are more."),
        (false, _) if search.after.is_some() => format!("{count} here, the last of this list."),
        (false, _) => format!("{count} in all."),
    }
}

fn next_label(found: &Found, sort: Sort) -> &'static str {
    match (found.at_bound, sort) {
        (true, _) => "Go on looking",
        (false, Sort::Oldest) => "Newer",
        (false, _) => "Older",
    }
}

fn too_many_to_sort(column: Column) -> String {
    format!(
        "There are more than {} sessions: too many to sort by {}. They are listed by age; narrow the search first.",
        super::filter::WHOLE,
        column.name()
    )
}

fn taken(found: &Found, asked: &Asked) -> Option<Taken> {
    let words = asked.q.trim();
    let text = match found.taken_for? {
        TakenFor::Session => "This is the session of that id.".to_owned(),
        TakenFor::Principal => format!("These are the sessions of the principal “{words}”."),
        TakenFor::Prefix => {
            format!("These are the sessions of principals that begin with “{}”.", words.trim_end_matches('*'))
        }
        TakenFor::Address => format!("These are the sessions from the address {words}."),
        _ => return None,
    };
    let quoted = Asked { q: format!("\"{words}\""), cursor: String::new(), ..asked.clone() };
    Some(Taken { text, otherwise: Some(quoted.first()) })
}

impl Results {
    /// The address that asks whether to end `row`.
    fn end_href(&self, row: &SessionRow) -> String {
        let path = format!("{}/end", row.href);
        self.back.as_deref().map_or(path.clone(), |back| address(&path, &[("back", back)]))
    }
}

/// What was asked for is no id, and nothing else finds a session here.
const NO_ID: &str = "No session has this id. An id begins with ses_, and stands in the audit log in full.";
/// Longest address that a confirmation leads back to: with every session of a page it still fits a return address.
const BACK_MAX_BYTES: usize = 256;
