//! One session: whose, from where, since when, how proved, and what happened to it.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use cloakroom::ListItem;
use cloakroom_axum::Session;
use cloakroom_core::{SessionRecord, Timestamp, idle_expires_at};
use serde::Deserialize;

use super::events::EventRow;
use super::filter::LIVE;
use super::notices::Done;
use super::paths::Which;
use super::person::unseen_sentence;
use super::rows::{SessionRow, grouped};
use super::{Section, Shell};
use crate::web::App;
use crate::web::admin::{AttributeSize, SessionLook, Values};
use crate::web::context::Context;
use crate::web::pages::render;
use crate::web::pages::view::{Notice, Page, When, amount};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Sight, Staff};

#[derive(Template)]
#[template(path = "console/session.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is another thing that the template asks")]
struct SessionPage<'a> {
    page: Page<'a>,
    shell: Shell,
    notice: Option<Notice>,
    id: String,
    /// `None` where only the log remembers it.
    row: Option<SessionRow>,
    /// What is said in its place, where sessions cannot be found by their ids.
    unseen: Option<&'static str>,
    facts: Option<Facts>,
    attributes: Vec<AttributeSize>,
    attributes_total: String,
    /// The latest first; `None` where the log cannot be read.
    history: Option<Vec<EventRow>>,
    history_is_whole: bool,
    hides_addresses: bool,
    may_end: bool,
}

/// What a live session tells beyond its row.
struct Facts {
    roles: Vec<String>,
    level: Option<u8>,
    methods: Vec<(String, When)>,
    rotated: When,
    idle_ends: When,
    idle_timeout: String,
    absolute_ends: When,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Arrival {
    notice: String,
    part: String,
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
    Which(id): Which,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Refusal> {
    if arrival.part == LIVE {
        session.not_activity();
    }
    let staff = Staff::require(&app, &session, Right::SeeOne).await?;
    let look = app.look_at_session(&staff, id, Values::Hidden).await?;
    let shell = Shell::new(&session, &staff, Section::Sessions).await?;
    let notice = Done::read(&arrival.notice).map(Done::notice);
    let now = app.sessions.now();
    Ok(render(&SessionPage {
        page: Page::new(&app, &context),
        may_end: match look.item {
            Some(ListItem::Live(_)) => shell.may(Right::EndOfOne),
            // Whose it is cannot be asked: for whoever may end everybody's.
            None => look.is_unseen && app.can_end() && shell.may(Right::EndOfMany),
            Some(ListItem::Ended { .. }) => false,
        },
        unseen: look.is_unseen.then(|| unseen_sentence(&app)),
        shell,
        notice,
        id: id.to_string(),
        row: look.item.as_ref().map(|item| SessionRow::new(item, now, staff.active.id())),
        facts: facts(&look, now),
        attributes_total: total(&look.attributes),
        history_is_whole: look.history.as_ref().is_some_and(|page| page.next.is_none()),
        history: look.history.map(|page| EventRow::all(&page, now)),
        hides_addresses: look.sight == Sight::NoAddresses,
        attributes: look.attributes,
    }))
}

fn facts(look: &SessionLook, now: Timestamp) -> Option<Facts> {
    let Some(ListItem::Live(live)) = &look.item else { return None };
    let record: &SessionRecord = &live.record;
    let proof = record.authentication.as_deref();
    let principal = record.principal.as_deref();
    let methods = proof.map(cloakroom::Authentication::methods).unwrap_or_default();
    Some(Facts {
        roles: principal
            .map(|principal| principal.roles().iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        level: proof.map(|proof| proof.level().as_u8()),
        methods: methods.iter().map(|used| (used.method.to_string(), When::new(used.at, now))).collect(),
        rotated: When::new(record.rotated_at, now),
        idle_ends: When::new(idle_expires_at(record, live.last_seen_at), now),
        idle_timeout: amount(record.lifetime.idle_timeout.as_secs()),
        absolute_ends: When::new(record.lifetime.absolute_expires_at, now),
    })
}

fn total(attributes: &[AttributeSize]) -> String {
    let bytes: usize = attributes.iter().map(|attribute| attribute.key.len() + attribute.bytes).sum();
    grouped(u64::try_from(bytes).unwrap_or(u64::MAX))
}
