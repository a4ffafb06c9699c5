//! How things stand: figures, health, charts. Who sees one person at a time is asked for that person instead.

mod figures;
mod health;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use cloakroom_audit::Sample;
use cloakroom_axum::Session;
use http::header::CACHE_CONTROL;
use serde::Deserialize;

use self::figures::{Figure, charts, figures};
use self::health::{Check, checks};
use super::chart::Chart;
use super::{Section, Shell};
use crate::web::App;
use crate::web::admin::{Stats, Window};
use crate::web::context::Context;
use crate::web::pages::render;
use crate::web::pages::view::{Page, When};
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewPage<'a> {
    page: Page<'a>,
    shell: Shell,
    standing: Standing,
}

#[derive(Template)]
#[template(path = "console/standing.html")]
struct StandingPart {
    standing: Standing,
}

#[derive(Template)]
#[template(path = "console/start.html")]
struct StartPage<'a> {
    page: Page<'a>,
    shell: Shell,
}

/// How things stand, ready to be shown.
struct Standing {
    window: Window,
    at: When,
    figures: Vec<Figure>,
    checks: Vec<Check>,
    /// None where the log cannot be read.
    charts: Vec<Chart>,
}

impl Standing {
    fn is_day(&self) -> bool {
        self.window == Window::Day
    }

    /// "in the last hour".
    const fn span(&self) -> &'static str {
        match self.window {
            Window::Hour => "in the last hour",
            Window::Day => "in the last day",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Question {
    window: Option<String>,
    part: Option<String>,
}

impl Question {
    fn window(&self) -> Window {
        if self.window.as_deref() == Some(Window::Day.as_str()) { Window::Day } else { Window::Hour }
    }

    /// Whether a page that is open already asks for what has changed since.
    fn is_refresh(&self) -> bool {
        self.part.as_deref() == Some("standing")
    }
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
    Query(question): Query<Question>,
) -> Result<Response, Refusal> {
    if question.is_refresh() {
        // The page asks by itself: that nobody sits in front of it has to end the session all the same.
        session.not_activity();
    }
    let staff = Staff::require(&app, &session, Right::Enter).await?;
    if staff.duty.has(Right::SeeAll) {
        let standing = standing(&app, &staff, question.window()).await?;
        if question.is_refresh() {
            return Ok(([(CACHE_CONTROL, "no-store")], render(&StandingPart { standing })).into_response());
        }
        let shell = Shell::new(&session, &staff, Section::Overview).await?;
        return Ok(render(&OverviewPage { page: Page::new(&app, &context), shell, standing }));
    }
    let shell = Shell::new(&session, &staff, Section::Overview).await?;
    Ok(render(&StartPage { page: Page::new(&app, &context), shell }))
}

async fn standing(app: &App, staff: &Staff, window: Window) -> Result<Standing, Refusal> {
    let stats = app.stats(staff, window).await?;
    let active = Active::of(app, &stats).await;
    let now = app.sessions.now();
    Ok(Standing {
        window,
        at: When::new(stats.at, now),
        figures: figures(&stats),
        checks: checks(app, &stats, now),
        charts: charts(&stats, &active),
    })
}

/// How many sessions were active, minute by minute.
struct Active {
    signed_in: Vec<Sample>,
    anonymous: Vec<Sample>,
}

impl Active {
    async fn of(app: &App, stats: &Stats) -> Self {
        let samples = async |series| match app.audit.samples(series, stats.since).await {
            Ok(samples) => samples,
            Err(error) => {
                tracing::warn!(%error, series, "samples cannot be read");
                Vec::new()
            }
        };
        Self { signed_in: samples(SIGNED_IN).await, anonymous: samples(ANONYMOUS).await }
    }
}

/// The series of active sessions in the audit log's samples.
const SIGNED_IN: &str = "sessions_signed_in";
const ANONYMOUS: &str = "sessions_anonymous";
