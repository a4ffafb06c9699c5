//! What happened, in numbers and in pictures.

use std::collections::BTreeMap;

use cloakroom::EndReason;
use cloakroom_audit::{Count, Sample, names};

use super::Active;
use crate::web::admin::{Stats, Window};
use crate::web::pages::console::chart::{Chart, Form, Hue, Series, Slots};
use crate::web::pages::console::rows::grouped;
use crate::web::pages::console::words::reason_words;

/// One number with its name, and where to look closer.
pub(super) struct Figure {
    /// Its name in tests.
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: Option<String>,
    pub(super) note: &'static str,
    pub(super) href: Option<&'static str>,
    /// Whether somebody should look at it.
    pub(super) is_worrying: bool,
}

impl Figure {
    fn new(name: &'static str, label: &'static str, value: Option<u64>, note: &'static str) -> Self {
        Self { name, label, value: value.map(grouped), note, href: None, is_worrying: false }
    }

    fn at(self, href: &'static str) -> Self {
        Self { href: Some(href), ..self }
    }

    fn worrying(self, is_worrying: bool) -> Self {
        Self { is_worrying, ..self }
    }
}

/// The numbers at the top of the page.
pub(super) fn figures(stats: &Stats) -> Vec<Figure> {
    let span = match stats.window {
        Window::Hour => "last hour",
        Window::Day => "last day",
    };
    let counted = |is: &dyn Fn(&Count) -> bool| {
        stats.counts.as_ref().map(|counts| counts.iter().filter(|count| is(count)).map(|c| c.count).sum())
    };
    let event = |name: &'static str| counted(&|count| count.event == name);
    let failed = counted(&|count| is_failed_sign_in(count));
    let signals = event(names::SIGNAL);
    let sessions = stats.sessions.as_ref();
    let mut figures = Vec::new();
    if stats.is_counted {
        figures.push(
            Figure::new("signed-in", "Signed in", sessions.map(|counts| counts.signed_in), "now")
                .at("/admin/sessions?state=active"),
        );
        figures.push(Figure::new("anonymous", "Anonymous", sessions.map(|counts| counts.anonymous), "now"));
    }
    figures.extend([
        Figure::new("issued", "Issued", event("session_created"), span)
            .at("/admin/audit?event=session_created"),
        Figure::new("ended", "Ended", counted(&|count| end_of(count).is_some()), span),
        Figure::new("failed", "Sign-ins failed", failed, span).at("/admin/audit?event=authn_login_fail*"),
        Figure::new("unknown", "Unknown tokens", event("session_unknown_token"), span)
            .at("/admin/audit?event=session_unknown_token"),
        Figure::new("signals", "Signals", signals, span)
            .at("/admin/audit?event=session_signal")
            .worrying(signals.is_some_and(|count| count > 0)),
    ]);
    figures
}

/// The pictures below them; none where the log cannot be read.
pub(super) fn charts(stats: &Stats, active: &Active) -> Vec<Chart> {
    let slots = match stats.window {
        Window::Hour => Slots { start: stats.since, minutes_each: 1, count: 60 },
        Window::Day => Slots { start: stats.since, minutes_each: 30, count: 48 },
    };
    let Some(counts) = &stats.counts else { return Vec::new() };
    let minutes = Minutes { slots, counts };
    let succeeded = minutes.of(|count| count.event == names::SIGN_IN_SUCCESS);
    let failed = minutes.of(is_failed_sign_in);
    let issued = minutes.of(|count| count.event == "session_created");
    let ended = ended(minutes);
    let mut charts: Vec<Chart> = stats.is_counted.then(|| active_chart(slots, active)).into_iter().collect();
    charts.extend([
        Chart::new(
            "issued",
            "Sessions issued",
            total(&issued),
            Form::Bars,
            slots,
            vec![Series::new("Issued", Hue::Green, known(&issued))],
        ),
        Chart::new("ended", "Sessions ended, by reason", total_of(&ended), Form::Bars, slots, ended),
        Chart::new(
            "sign-ins",
            "Sign-ins",
            format!("{} succeeded, {} failed", total(&succeeded), total(&failed)),
            Form::Bars,
            slots,
            vec![
                Series::new("Succeeded", Hue::Green, known(&succeeded)),
                Series::new("Failed", Hue::Red, known(&failed)),
            ],
        ),
    ]);
    charts
}

/// What the log counted, minute by minute.
#[derive(Clone, Copy)]
struct Minutes<'a> {
    slots: Slots,
    counts: &'a [Count],
}

impl Minutes<'_> {
    /// How much of what `is` lets through lies in each slot.
    fn of(self, is: impl Fn(&Count) -> bool) -> Vec<u64> {
        let mut values = vec![0_u64; self.slots.count];
        for count in self.counts.iter().filter(|count| is(count)) {
            if let Some(value) = self.slots.of(count.at).and_then(|slot| values.get_mut(slot)) {
                *value = value.saturating_add(count.count);
            }
        }
        values
    }
}

fn active_chart(slots: Slots, active: &Active) -> Chart {
    let signed_in = levels(slots, &active.signed_in);
    let anonymous = levels(slots, &active.anonymous);
    let sum = match (latest(&active.signed_in), latest(&active.anonymous)) {
        (None, None) => "not sampled yet".to_owned(),
        (signed_in, anonymous) => format!(
            "{} signed in, {} anonymous",
            grouped(signed_in.unwrap_or_default()),
            grouped(anonymous.unwrap_or_default())
        ),
    };
    let series =
        vec![Series::new("Signed in", Hue::Green, signed_in), Series::new("Anonymous", Hue::Grey, anonymous)];
    Chart::new("active", "Active sessions", sum, Form::Surface, slots, series)
}

/// How high something stood in the last minute that was sampled.
fn latest(samples: &[Sample]) -> Option<u64> {
    let at = samples.iter().map(|sample| sample.at).max()?;
    samples.iter().filter(|sample| sample.at == at).filter_map(level).max()
}

/// A count of sessions; what is no such number is none.
fn level(sample: &Sample) -> Option<u64> {
    format!("{:.0}", sample.value).parse().ok()
}

/// How high something stood in each slot. Several nodes see the same store: what the one that saw most saw.
fn levels(slots: Slots, samples: &[Sample]) -> Vec<Option<u64>> {
    let mut levels: Vec<Option<u64>> = vec![None; slots.count];
    for sample in samples {
        let slot = slots.of(sample.at).and_then(|slot| levels.get_mut(slot));
        if let (Some(highest), Some(value)) = (slot, level(sample)) {
            *highest = (*highest).max(Some(value));
        }
    }
    levels
}

/// A series for each of the most frequent reasons, and one for the rest.
fn ended(minutes: Minutes<'_>) -> Vec<Series> {
    let mut totals = BTreeMap::<&str, u64>::new();
    for count in minutes.counts {
        if let Some(reason) = end_of(count) {
            *totals.entry(reason).or_default() += count.count;
        }
    }
    let mut reasons: Vec<(&str, u64)> = totals.into_iter().collect();
    reasons.sort_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
    let (shown, rest) = reasons.split_at(reasons.len().min(HUES.len()));
    let mut series: Vec<Series> = shown
        .iter()
        .zip(HUES)
        .map(|((reason, _), hue)| {
            let values = minutes.of(|count| end_of(count) == Some(*reason));
            Series::new(reason_words(reason), hue, known(&values))
        })
        .collect();
    if !rest.is_empty() {
        let is_rest = |count: &Count| rest.iter().any(|(reason, _)| end_of(count) == Some(*reason));
        series.push(Series::new("Other reasons", Hue::Grey, known(&minutes.of(is_rest))));
    }
    if series.is_empty() {
        series.push(Series::new("Ended", Hue::Grey, known(&minutes.of(|_| false))));
    }
    series
}

/// Why a session ended, where this counts ends of sessions.
fn end_of(count: &Count) -> Option<&str> {
    let is_end = matches!(count.event.as_str(), "session_logout" | "session_expired" | "session_revoked");
    let reason = count.reason.as_deref().unwrap_or(EndReason::SignedOut.as_str());
    is_end.then_some(reason)
}

fn is_failed_sign_in(count: &Count) -> bool {
    matches!(count.event.as_str(), names::SIGN_IN_FAIL | names::SIGN_IN_FAIL_MAX | names::SIGN_IN_UNAVAILABLE)
}

fn known(values: &[u64]) -> Vec<Option<u64>> {
    values.iter().copied().map(Some).collect()
}

fn total(values: &[u64]) -> String {
    grouped(values.iter().sum())
}

fn total_of(series: &[Series]) -> String {
    grouped(series.iter().flat_map(|one| &one.values).flatten().sum())
}

/// The colours of reasons, the most frequent first. Red is for what failed.
const HUES: [Hue; 4] = [Hue::Green, Hue::Brass, Hue::Blue, Hue::Violet];
