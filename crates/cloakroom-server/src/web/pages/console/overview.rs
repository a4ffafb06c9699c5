//! How things stand.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use cloakroom_axum::Session;

use super::{Section, Shell};
use crate::web::App;
use crate::web::context::Context;
use crate::web::pages::render;
use crate::web::pages::view::Page;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewPage<'a> {
    page: Page<'a>,
    shell: Shell,
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::Enter).await?;
    let shell = Shell::new(&session, &staff, Section::Overview).await?;
    Ok(render(&OverviewPage { page: Page::new(&app, &context), shell }))
}
