//! Everything that can be asked, in one list.

use axum::routing::{MethodRouter, delete, get, patch, post};

use super::staff::Right;
use super::{App, api, assets, health, openapi, pages};

/// One thing that can be asked.
#[derive(Debug)]
pub struct Route {
    /// The method; `HEAD` comes with `GET`.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    pub(super) handler: MethodRouter<App>,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody.
    Anyone,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever is signed in and proved identity lately.
    Fresh,
    /// Whoever has this right in running the server, with the proof of identity that it takes.
    Staff(Right),
    /// Programs on this machine.
    Local,
}

use Access::{Anyone, Fresh, Local, SignedIn, Staff};

/// Every route of the server.
#[must_use]
pub fn routes() -> Vec<Route> {
    [pages(), console(), api(), admin(), machines()].into_iter().flatten().collect()
}

const fn route(
    method: &'static str,
    path: &'static str,
    access: Access,
    handler: MethodRouter<App>,
) -> Route {
    Route { method, path, access, handler }
}

/// Pages for whoever has an account.
fn pages() -> Vec<Route> {
    vec![
        route("GET", "/", Anyone, get(pages::entrance::start)),
        route("GET", "/sign-in", Anyone, get(pages::entrance::show_sign_in)),
        route("POST", "/sign-in", Anyone, post(pages::entrance::sign_in)),
        route("GET", "/sign-in/done", Anyone, get(pages::entrance::signed_in)),
        route("GET", "/setup", Anyone, get(pages::setup::show)),
        route("POST", "/setup", Anyone, post(pages::setup::complete)),
        route("GET", "/sign-out", SignedIn, get(pages::entrance::show_sign_out)),
        route("POST", "/sign-out", SignedIn, post(pages::entrance::sign_out)),
        route("GET", "/sign-out/swept.svg", Anyone, get(pages::entrance::sweep)),
        route("GET", "/reauthenticate", SignedIn, get(pages::reauthenticate::show)),
        route("POST", "/reauthenticate", SignedIn, post(pages::reauthenticate::prove)),
        route("GET", "/account", SignedIn, get(pages::account::show)),
        route("POST", "/account/password", Fresh, post(pages::account::change_password)),
        route("GET", "/account/sessions/{id}/end", SignedIn, get(pages::account::ask_end_session)),
        route("POST", "/account/sessions/{id}/end", Fresh, post(pages::account::end_session)),
        route("GET", "/account/end-others", SignedIn, get(pages::account::ask_end_others)),
        route("POST", "/account/end-others", Fresh, post(pages::account::end_others)),
        route("GET", "/assets/{file}", Anyone, get(assets::serve)),
    ]
}

/// The console's pages.
fn console() -> Vec<Route> {
    use Right::{EndOfMany, EndOfOne, Enter, ManageAccounts, SeeAll, SeeOne};
    use pages::console::{
        accounts, acts, audit, changes, live, overview, person, session, sessions, settings,
    };
    let route = |method, path, right, handler| Route { method, path, access: Access::Staff(right), handler };
    vec![
        route("GET", "/admin", Enter, get(overview::show)),
        route("GET", "/admin/live", SeeAll, get(live::show)),
        route("GET", "/admin/audit", SeeAll, get(audit::show)),
        route("GET", "/admin/audit/export", SeeAll, get(audit::export)),
        route("GET", "/admin/settings", SeeAll, get(settings::show)),
        route("GET", "/admin/sessions", SeeAll, get(sessions::list)),
        route("GET", "/admin/sessions/end", EndOfMany, get(acts::ask_many)),
        route("POST", "/admin/sessions/end", EndOfMany, post(acts::end_many)),
        route("GET", "/admin/sessions/{id}", SeeOne, get(session::show)),
        route("GET", "/admin/sessions/{id}/end", EndOfOne, get(acts::ask_one)),
        route("POST", "/admin/sessions/{id}/end", EndOfOne, post(acts::end_one)),
        route("GET", "/admin/people", SeeOne, get(person::find)),
        route("GET", "/admin/people/{name}", SeeOne, get(person::show)),
        route("GET", "/admin/people/{name}/end", EndOfOne, get(acts::ask_person)),
        route("POST", "/admin/people/{name}/end", EndOfOne, post(acts::end_person)),
        route("GET", "/admin/people/{name}/disable", ManageAccounts, get(changes::ask_disable)),
        route("POST", "/admin/people/{name}/disable", ManageAccounts, post(changes::disable)),
        route("GET", "/admin/people/{name}/enable", ManageAccounts, get(changes::ask_enable)),
        route("POST", "/admin/people/{name}/enable", ManageAccounts, post(changes::enable)),
        route("GET", "/admin/people/{name}/roles", ManageAccounts, get(changes::ask_roles)),
        route("POST", "/admin/people/{name}/roles", ManageAccounts, post(changes::set_roles)),
        route("GET", "/admin/people/{name}/password", ManageAccounts, get(changes::ask_password)),
        route("POST", "/admin/people/{name}/password", ManageAccounts, post(changes::set_password)),
        route("GET", "/admin/accounts", SeeAll, get(accounts::list)),
        route("GET", "/admin/accounts/new", ManageAccounts, get(accounts::ask_new)),
        route("POST", "/admin/accounts/new", ManageAccounts, post(accounts::add)),
    ]
}

/// The API for whoever has a session.
fn api() -> Vec<Route> {
    vec![
        route("POST", "/v1/sign-in", Anyone, post(api::sign_in::sign_in)),
        route("GET", "/v1/session", SignedIn, get(api::session::show)),
        route("DELETE", "/v1/session", SignedIn, delete(api::session::sign_out)),
        route("PATCH", "/v1/session/attributes", SignedIn, patch(api::session::attributes)),
        route("POST", "/v1/session/rotate", SignedIn, post(api::session::rotate)),
        route("POST", "/v1/reauthenticate", SignedIn, post(api::sign_in::reauthenticate)),
        route("POST", "/v1/password", Fresh, post(api::sign_in::password)),
        route("GET", "/v1/sessions", SignedIn, get(api::sessions::list)),
        route("DELETE", "/v1/sessions", Fresh, delete(api::sessions::end_many)),
        route("DELETE", "/v1/sessions/{id}", Fresh, delete(api::sessions::end_one)),
    ]
}

/// The API for staff.
fn admin() -> Vec<Route> {
    vec![
        route("GET", "/v1/admin/sessions", Staff(Right::SeeAll), get(api::admin::sessions::list)),
        route("GET", "/v1/admin/sessions/{id}", Staff(Right::SeeOne), get(api::admin::sessions::show)),
        route("DELETE", "/v1/admin/sessions/{id}", Staff(Right::EndOfOne), delete(api::admin::sessions::end)),
        route("POST", "/v1/admin/revocations", Staff(Right::EndOfOne), post(api::admin::revocations::revoke)),
        route(
            "GET",
            "/v1/admin/principals/{principal}",
            Staff(Right::SeeOne),
            get(api::admin::principals::show),
        ),
        route("GET", "/v1/admin/audit", Staff(Right::SeeAll), get(api::admin::audit::list)),
        route("GET", "/v1/admin/live", Staff(Right::SeeAll), get(api::admin::live::follow)),
        route("GET", "/v1/admin/stats", Staff(Right::SeeAll), get(api::admin::stats::show)),
        route("GET", "/v1/admin/users", Staff(Right::SeeAll), get(api::admin::users::list)),
        route("POST", "/v1/admin/users", Staff(Right::ManageAccounts), post(api::admin::users::add)),
        route("GET", "/v1/admin/users/{name}", Staff(Right::SeeAll), get(api::admin::users::show)),
        route(
            "POST",
            "/v1/admin/users/{name}/disable",
            Staff(Right::ManageAccounts),
            post(api::admin::users::disable),
        ),
        route(
            "POST",
            "/v1/admin/users/{name}/enable",
            Staff(Right::ManageAccounts),
            post(api::admin::users::enable),
        ),
        route(
            "POST",
            "/v1/admin/users/{name}/roles",
            Staff(Right::ManageAccounts),
            post(api::admin::users::set_roles),
        ),
        route(
            "POST",
            "/v1/admin/users/{name}/password",
            Staff(Right::ManageAccounts),
            post(api::admin::users::set_password),
        ),
    ]
}

/// For machines.
fn machines() -> Vec<Route> {
    vec![
        route("GET", "/livez", Anyone, get(health::livez)),
        route("GET", "/readyz", Anyone, get(health::readyz)),
        route("GET", "/metrics", Local, get(health::metrics)),
        route("GET", "/openapi.json", Anyone, get(openapi::document)),
    ]
}
