//! What is in force: the policy in sentences, what is weak, and the configuration key by key. Nothing can be changed here:
//! configuration belongs into a file that is reviewed, not behind a session.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use cloakroom_axum::Session;

use super::{Section, Shell};
use crate::config::{EffectiveKey, Source, Warning};
use crate::sentences;
use crate::web::App;
use crate::web::context::Context;
use crate::web::pages::render;
use crate::web::pages::view::Page;
use crate::web::refusal::Refusal;
use crate::web::staff::{Right, Staff};

#[derive(Template)]
#[template(path = "console/settings.html")]
struct SettingsPage<'a> {
    page: Page<'a>,
    shell: Shell,
    policy: Vec<String>,
    store: Vec<String>,
    warnings: Vec<Warning>,
    groups: Vec<Group<'a>>,
    version: &'static str,
}

/// The keys of one section of the configuration.
struct Group<'a> {
    name: String,
    keys: Vec<Key<'a>>,
}

/// One key as it is shown; secrets are masked where the list is made.
struct Key<'a> {
    name: &'a str,
    value: Option<String>,
    source: &'a Source,
}

impl Key<'_> {
    /// Whether somebody chose the value.
    fn is_set(&self) -> bool {
        matches!(self.source, Source::Set(_))
    }
}

pub(in crate::web) async fn show(
    State(app): State<App>,
    context: Context,
    session: Session,
) -> Result<Response, Refusal> {
    let staff = Staff::require(&app, &session, Right::SeeAll).await?;
    let shell = Shell::new(&session, &staff, Section::Settings).await?;
    let store = app.sessions.store();
    let mut told: Vec<String> =
        sentences::of_store(store.name(), store.capabilities()).into_iter().map(str::to_owned).collect();
    told.extend(sentences::of_reach(&app.config, &app.sessions));
    Ok(render(&SettingsPage {
        page: Page::new(&app, &context),
        shell,
        policy: sentences::of_policy(&app.config),
        store: told,
        warnings: app.config.warnings(),
        groups: groups(&app.effective),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// The keys by their section, in the order of the configuration.
fn groups(effective: &[EffectiveKey]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for key in effective {
        let Some((name, parents)) = key.path().split_last() else { continue };
        let section = parents.join(".");
        let shown = Key { name, value: key.value().map(plain), source: key.source() };
        match groups.last_mut().filter(|group| group.name == section) {
            Some(group) => group.keys.push(shown),
            None => groups.push(Group { name: section, keys: vec![shown] }),
        }
    }
    groups
}

/// A value as people write it; texts without their quotes.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) if values.is_empty() => "none".to_owned(),
        toml::Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}
