//! The `[session]` section: from keys to a policy that can be kept.

use std::num::NonZeroU32;
use std::time::Duration;

use cloakroom_core::{AalPreset, OnLimit, Policy, PolicyError, Role, SessionLimit, Timeouts};

use super::read::{ByteSize, Reader, words};
use super::units::format_duration;

/// Reads the policy. Explicit keys win over the preset; what cannot be kept is a problem, and then the policy returned
/// is only good for finding more problems.
pub(super) fn read_policy(r: &mut Reader<'_>) -> (AalPreset, Policy) {
    let preset = r.get("session.preset").unwrap_or(AalPreset::Aal1);
    let base = Policy::preset(preset);
    let timeouts = read_timeouts(r, &["session"], base.timeouts());
    let touch_interval = r.get("session.touch_interval").unwrap_or(base.touch_interval());
    let retention = r.get("session.tombstone_retention").unwrap_or(base.tombstone_retention());
    let rotate_every = r.get("session.rotate_every").or(base.rotate_every());
    let attributes = r.get::<ByteSize>("session.attributes_max_bytes");
    let attributes = attributes
        .map_or(base.attributes_max_bytes(), |ByteSize(n)| usize::try_from(n).unwrap_or(usize::MAX));
    let remember_me = read_remember_me(r, base.remember_me());
    let limit = read_limit(r);
    let mut policy = base
        .with_timeouts(timeouts)
        .with_touch_interval(touch_interval)
        .with_tombstone_retention(retention)
        .with_rotate_every(rotate_every)
        .with_attributes_max_bytes(attributes)
        .with_remember_me(remember_me)
        .with_limit(limit);
    let mut names = r.sections(&["session", "roles"]);
    for staff in STAFF {
        if !names.iter().any(|name| name == staff) {
            names.push(staff.to_owned());
        }
    }
    for name in names {
        let fallback = if STAFF.contains(&name.as_str()) { staff_timeouts(timeouts) } else { timeouts };
        let own = read_timeouts(r, &["session", "roles", &name], fallback);
        match Role::new(&name) {
            Ok(role) => policy = policy.with_role(role, own),
            Err(e) => r.problem(
                "session.roles",
                format!("`{}` cannot be the name of a role: {e}", name.escape_debug()),
                "rename it",
            ),
        }
    }
    if let Err(error) = policy.check() {
        report(r, &error);
    }
    (preset, policy)
}

/// What holds for those who run the server where nobody says otherwise: a quarter of an hour of silence, a working day in all.
fn staff_timeouts(ordinary: Timeouts) -> Timeouts {
    Timeouts {
        idle: ordinary.idle.min(Duration::from_secs(15 * 60)),
        absolute: ordinary.absolute.min(Duration::from_secs(8 * 3_600)),
    }
}

/// The roles that come with rights over others' sessions.
const STAFF: [&str; 3] = ["admin", "auditor", "support"];

fn read_timeouts(r: &mut Reader<'_>, section: &[&str], base: Timeouts) -> Timeouts {
    let mut read = |key: &str, fallback: Duration| {
        let path: Vec<&str> = section.iter().copied().chain([key]).collect();
        r.get_at(&path).unwrap_or(fallback)
    };
    Timeouts { idle: read("idle_timeout", base.idle), absolute: read("absolute_timeout", base.absolute) }
}

fn read_remember_me(r: &mut Reader<'_>, preset: Option<Timeouts>) -> Option<Timeouts> {
    let enabled = r.get("session.remember_me.enabled").unwrap_or(preset.is_some());
    let ordinary = Policy::default().remember_me().expect("the default policy remembers");
    let timeouts = read_timeouts(r, &["session", "remember_me"], preset.unwrap_or(ordinary));
    enabled.then_some(timeouts)
}

fn read_limit(r: &mut Reader<'_>) -> Option<SessionLimit> {
    let max: u32 = r.get("session.per_principal_max").unwrap_or(0);
    let on_limit = r.get("session.on_limit").unwrap_or_default();
    NonZeroU32::new(max).map(|max| SessionLimit { max, on_limit })
}

/// Says in the words of the configuration what the policy cannot keep.
fn report(r: &mut Reader<'_>, error: &PolicyError) {
    let short = |duration: &Duration| format_duration(*duration);
    let (key, cause, remedy) = match error {
        PolicyError::TooShort { place } => {
            let cause = format!(
                "a timeout in `{place}` is shorter than one second: no session would live to its next request"
            );
            (culprit(r, place), cause, "make it at least \"1s\"".to_owned())
        }
        PolicyError::TooLong { place } => {
            let cause =
                format!("a duration in `{place}` is longer than ten years: such a session would never end");
            (culprit(r, place), cause, "shorten it".to_owned())
        }
        PolicyError::IdleExceedsAbsolute { place, idle, absolute } => {
            let cause = format!(
                "in `{place}` the idle_timeout ({}) is longer than the absolute_timeout ({}), so it could never be reached",
                short(idle),
                short(absolute)
            );
            (culprit(r, place), cause, "lower idle_timeout or raise absolute_timeout".to_owned())
        }
        PolicyError::TouchIntervalTooLong { place, touch, idle } => {
            let cause = format!(
                "session.touch_interval ({}) is not shorter than the idle_timeout ({}) of `{place}`: activity could not keep a session alive",
                short(touch),
                short(idle)
            );
            (
                "session.touch_interval".to_owned(),
                cause,
                "lower touch_interval or raise idle_timeout".to_owned(),
            )
        }
        PolicyError::AttributesTooLarge { .. } => (
            "session.attributes_max_bytes".to_owned(),
            error.to_string(),
            "keep larger data in a database, and its key in the session".to_owned(),
        ),
        other => ("session".to_owned(), other.to_string(), "see `cloakroom config show`".to_owned()),
    };
    r.problem(&key, cause, remedy);
}

/// The key below `place` to point at: one that was set, if any was.
fn culprit(r: &Reader<'_>, place: &str) -> String {
    ["idle_timeout", "absolute_timeout"]
        .iter()
        .map(|key| format!("{place}.{key}"))
        .find(|key| r.place(key).is_some())
        .unwrap_or_else(|| place.to_owned())
}

words!(AalPreset, "\"aal1\", \"aal2\" or \"aal3\"", "aal1" => AalPreset::Aal1, "aal2" => AalPreset::Aal2, "aal3" => AalPreset::Aal3);
words!(
    OnLimit,
    "\"end-oldest\", \"end-idlest\" or \"refuse\"",
    "end-oldest" => OnLimit::EndOldest,
    "end-idlest" => OnLimit::EndIdlest,
    "refuse" => OnLimit::Refuse,
);

/// The word for a preset in configuration files.
pub(super) fn preset_word(preset: AalPreset) -> &'static str {
    match preset {
        AalPreset::Aal1 => "aal1",
        AalPreset::Aal2 => "aal2",
        AalPreset::Aal3 => "aal3",
    }
}

/// The word for a choice at the limit in configuration files.
pub(super) fn on_limit_word(on_limit: OnLimit) -> &'static str {
    match on_limit {
        OnLimit::EndOldest => "end-oldest",
        OnLimit::EndIdlest => "end-idlest",
        OnLimit::Refuse => "refuse",
    }
}
