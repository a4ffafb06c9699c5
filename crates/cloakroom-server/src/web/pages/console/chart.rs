//! Charts as inline SVG. Colours are named by what they mean: the stylesheet replaces each by the theme's own, by
//! attribute selectors, since the content security policy allows no style in the page. Beside each chart stands a table
//! with the same numbers.

use std::time::Duration;

use cloakroom::Timestamp;
use plotters::coord::combinators::BindKeyPoints as _;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::{Polygon, Rectangle};
use plotters::prelude::{ChartBuilder, IntoDrawingArea as _, RGBColor, SVGBackend};
use plotters::style::{Color as _, IntoFont as _, IntoTextStyle as _, ShapeStyle};

use super::rows::grouped;
use crate::web::pages::view::clock;

/// A chart with its legend and its table.
pub(super) struct Chart {
    /// Its name in addresses and tests.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What it comes to, in a few words.
    pub(super) sum: String,
    pub(super) svg: String,
    pub(super) slots: Slots,
    pub(super) series: Vec<Series>,
    /// The table's rows, without those in which nothing happened.
    pub(super) rows: Vec<Row>,
}

/// One colour of a chart.
pub(super) struct Series {
    pub(super) label: String,
    pub(super) hue: Hue,
    /// One for each slot; `None` where nobody knows.
    pub(super) values: Vec<Option<u64>>,
}

/// A row of a chart's table.
pub(super) struct Row {
    pub(super) slot: usize,
    pub(super) time: String,
    pub(super) values: Vec<String>,
}

/// The time that a chart shows, cut into slots of equal length.
#[derive(Clone, Copy)]
pub(super) struct Slots {
    /// The beginning of the first one.
    pub(super) start: Timestamp,
    pub(super) minutes_each: u32,
    pub(super) count: usize,
}

/// How values are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// What happened in each slot: bars, stacked.
    Bars,
    /// How things stood: a surface, stacked.
    Surface,
}

/// A colour by its place in the theme.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hue {
    Green,
    Brass,
    Blue,
    Red,
    Violet,
    Grey,
}

impl Hue {
    /// The class of its key in the legend.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Green => "hue-1",
            Self::Brass => "hue-2",
            Self::Blue => "hue-3",
            Self::Red => "hue-4",
            Self::Violet => "hue-5",
            Self::Grey => "hue-6",
        }
    }

    /// Its colour where no stylesheet says otherwise, and the name by which the stylesheet finds it.
    const fn colour(self) -> RGBColor {
        match self {
            Self::Green => RGBColor(0x1d, 0x6f, 0x5a),
            Self::Brass => RGBColor(0xb9, 0x7c, 0x14),
            Self::Blue => RGBColor(0x4a, 0x6f, 0xa5),
            Self::Red => RGBColor(0xb4, 0x49, 0x3d),
            Self::Violet => RGBColor(0x7a, 0x6a, 0x9c),
            Self::Grey => RGBColor(0x8b, 0x86, 0x79),
        }
    }
}

impl Slots {
    /// Which slot an instant lies in.
    pub(super) fn of(&self, at: Timestamp) -> Option<usize> {
        let minutes = at.as_millis().checked_sub(self.start.as_millis())?.div_euclid(MINUTE_MILLIS);
        let slot = usize::try_from(minutes / i64::from(self.minutes_each)).ok()?;
        (minutes >= 0 && slot < self.count).then_some(slot)
    }

    /// When a slot begins, as the clock shows it.
    fn time(&self, slot: usize) -> String {
        let minutes = i64::from(self.minutes_each) * i64::try_from(slot).unwrap_or_default();
        clock(Timestamp::from_millis(self.start.as_millis() + minutes * MINUTE_MILLIS))
    }

    /// How many minutes there are in all.
    fn minutes(&self) -> u32 {
        self.minutes_each.saturating_mul(u32::try_from(self.count).unwrap_or(u32::MAX))
    }

    /// Where the time is written below the chart: at round minutes, in parts of minutes.
    fn ticks(&self) -> Vec<u32> {
        let every = i64::from(if self.minutes() > 120 { 240_u32 } else { 10 });
        let first = self.start.as_millis().div_euclid(MINUTE_MILLIS);
        let until_round = (every - first.rem_euclid(every)) % every;
        let ticks = (0_i32..).map(|tick| i64::from(tick) * every + until_round);
        let inside = ticks.take_while(|minute| *minute <= i64::from(self.minutes()));
        inside.filter_map(|minute| u32::try_from(minute).ok()).map(|minute| minute * PARTS).collect()
    }
}

impl Chart {
    /// Draws `series`, the first of them at the bottom.
    pub(super) fn new(
        name: &'static str,
        title: &'static str,
        sum: String,
        form: Form,
        slots: Slots,
        series: Vec<Series>,
    ) -> Self {
        let svg = draw(form, slots, &series).unwrap_or_else(|error| {
            tracing::error!(%error, chart = name, "a chart could not be drawn");
            String::new()
        });
        // It is called by the heading beside it.
        let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-labelledby=\"chart-{name}\" "), 1);
        let rows = rows(slots, &series);
        Self { name, title, sum, svg, slots, series, rows }
    }
}

impl Series {
    pub(super) fn new(label: impl Into<String>, hue: Hue, values: Vec<Option<u64>>) -> Self {
        Self { label: label.into(), hue, values }
    }
}

fn rows(slots: Slots, series: &[Series]) -> Vec<Row> {
    let row = |slot: usize| {
        let values: Vec<Option<u64>> =
            series.iter().map(|one| one.values.get(slot).copied().flatten()).collect();
        let is_told = values.iter().any(|value| value.is_some_and(|value| value > 0));
        let values = values.into_iter().map(|value| value.map_or_else(|| "–".to_owned(), grouped)).collect();
        is_told.then(|| Row { slot, time: slots.time(slot), values })
    };
    (0..slots.count).filter_map(row).collect()
}

type Drawn<T> = Result<T, String>;

fn draw(form: Form, slots: Slots, series: &[Series]) -> Drawn<String> {
    let stacks = stacked(slots, series);
    let highest = stacks.iter().flatten().flatten().map(|(_, top)| *top).max().unwrap_or_default();
    let step = step(highest);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_top(8)
            .margin_right(RIGHT)
            .x_label_area_size(26)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(
                (0..slots.minutes().saturating_mul(PARTS)).with_key_points(slots.ticks()),
                (0..step * 4).with_key_points(vec![0, step * 2, step * 4]),
            )
            .map_err(told)?;
        let text = ("sans-serif", 13).into_font().color(&TEXT).into_text_style(&root);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(plotters::style::TRANSPARENT)
            .axis_style(plotters::style::TRANSPARENT)
            .set_all_tick_mark_size(4)
            .label_style(text)
            .x_label_formatter(&|place| label(slots, *place))
            .y_label_formatter(&|value| short(*value))
            .draw()
            .map_err(told)?;
        for (one, stack) in series.iter().zip(&stacks) {
            let style: ShapeStyle = one.hue.colour().filled();
            match form {
                Form::Bars => chart.draw_series(bars(slots, stack, style)).map_err(told)?,
                Form::Surface => chart.draw_series(surfaces(slots, stack, style)).map_err(told)?,
            };
        }
        root.present().map_err(told)?;
    }
    Ok(svg)
}

/// For each series and slot where it begins and ends when it stands on those before it.
fn stacked(slots: Slots, series: &[Series]) -> Vec<Vec<Option<(u64, u64)>>> {
    let mut floors = vec![0_u64; slots.count];
    let mut stacks = Vec::new();
    for one in series {
        let mut stack = Vec::new();
        for (floor, value) in floors.iter_mut().zip(&one.values) {
            let bottom = *floor;
            *floor = bottom.saturating_add(value.unwrap_or_default());
            stack.push(value.map(|_| (bottom, *floor)));
        }
        stacks.push(stack);
    }
    stacks
}

type Stack = [Option<(u64, u64)>];

fn bars(slots: Slots, stack: &Stack, style: ShapeStyle) -> Vec<Rectangle<(u32, u64)>> {
    let width = slots.minutes_each * PARTS;
    let gap = width / 8;
    let bar = |(left, (bottom, top)): (u32, (u64, u64))| {
        Rectangle::new([(left + gap, bottom), (left + width - gap, top)], style)
    };
    let known = places(slots).zip(stack).filter_map(|(left, extent)| Some((left, (*extent)?)));
    known.filter(|(_, (bottom, top))| top > bottom).map(bar).collect()
}

/// A surface for each run of slots that something is known of.
fn surfaces(slots: Slots, stack: &Stack, style: ShapeStyle) -> Vec<Polygon<(u32, u64)>> {
    let width = slots.minutes_each * PARTS;
    let placed: Vec<(u32, Option<(u64, u64)>)> = places(slots).zip(stack.iter().copied()).collect();
    let runs = placed.split(|(_, extent)| extent.is_none()).filter(|run| !run.is_empty());
    let outline = |run: &[(u32, Option<(u64, u64)>)]| {
        let known = || run.iter().filter_map(|(left, extent)| Some((*left, (*extent)?)));
        let top = known().flat_map(|(left, (_, top))| [(left, top), (left + width, top)]);
        let mut bottom: Vec<_> =
            known().flat_map(|(left, (bottom, _))| [(left, bottom), (left + width, bottom)]).collect();
        bottom.reverse();
        Polygon::new(top.chain(bottom).collect::<Vec<_>>(), style)
    };
    runs.map(outline).collect()
}

/// Where each slot begins.
fn places(slots: Slots) -> impl Iterator<Item = u32> {
    (0_u32..).map(move |slot| slot.saturating_mul(slots.minutes_each).saturating_mul(PARTS))
}

/// The distance of two lines: four of them reach to the top, and a fifth is never needed.
fn step(highest: u64) -> u64 {
    // Nobody tells numbers of this size apart; four steps of it still fit.
    let highest = highest.min(u64::MAX / 8);
    let decades = std::iter::successors(Some(1_u64), |decade| decade.checked_mul(10));
    let steps = decades.flat_map(|decade| [1, 2, 5].map(|factor| decade.saturating_mul(factor)));
    steps.into_iter().find(|step| step.saturating_mul(4) >= highest).unwrap_or(u64::MAX / 4)
}

fn label(slots: Slots, place: u32) -> String {
    clock(slots.start.plus(Duration::from_secs(u64::from(place / PARTS) * 60)))
}

/// A number in the room beside an axis.
fn short(value: u64) -> String {
    let tenths = |unit: u64| {
        let (whole, rest) = (value / unit, value % unit * 10 / unit);
        if rest == 0 { whole.to_string() } else { format!("{whole}.{rest}") }
    };
    match value {
        0..10_000 => value.to_string(),
        10_000..1_000_000 => format!("{}k", tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{}M", tenths(1_000_000)),
        _ => format!("{}G", tenths(1_000_000_000)),
    }
}

fn told<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> String {
    error.to_string()
}

const MINUTE_MILLIS: i64 = 60_000;
/// Places along the time are counted in parts of a minute: bars begin and end between minutes.
const PARTS: u32 = 100;
/// In units of the drawing: about the pixels of a desktop's column, and four fifths of that on a phone.
const SIZE: (u32, u32) = (460, 190);
/// Room for the numbers at the left of the plot, and for half a time at its right.
const LEFT: u32 = 44;
const RIGHT: u32 = 18;
const TEXT: RGBColor = RGBColor(0x5a, 0x5f, 0x66);
const GRID: RGBColor = RGBColor(0xe4, 0xdd, 0xcf);

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Slots {
        // 10:03 on some day.
        Slots { start: Timestamp::from_millis(603 * MINUTE_MILLIS), minutes_each: 1, count: 60 }
    }

    #[test]
    fn an_instant_lies_in_the_slot_that_holds_it() {
        let at = |millis: i64| slots().of(Timestamp::from_millis(603 * MINUTE_MILLIS + millis));
        for (millis, slot) in [
            (-1, None),
            (0, Some(0)),
            (59_999, Some(0)),
            (60_000, Some(1)),
            (3_599_999, Some(59)),
            (3_600_000, None),
        ] {
            assert_eq!(at(millis), slot, "{millis} ms");
        }
    }

    #[test]
    fn lines_are_round_and_reach_above_what_is_shown() {
        for (highest, wanted) in
            [(0, 1), (4, 1), (5, 2), (8, 2), (9, 5), (21, 10), (999, 500), (2_001, 1_000)]
        {
            assert_eq!(step(highest), wanted, "for {highest}");
        }
        assert!(step(u64::MAX).checked_mul(4).is_some());
    }

    #[test]
    fn times_below_a_chart_are_round() {
        let labels: Vec<String> = slots().ticks().into_iter().map(|place| label(slots(), place)).collect();
        assert_eq!(labels, ["10:10", "10:20", "10:30", "10:40", "10:50", "11:00"]);
    }

    #[test]
    fn a_chart_has_a_shape_for_each_value_and_no_style_that_a_policy_would_refuse() {
        let mut values = vec![Some(0); 60];
        values[3] = Some(2);
        values[7] = Some(5);
        let series = || vec![Series::new("One", Hue::Green, values.clone())];
        let bars = Chart::new("c", "C", String::new(), Form::Bars, slots(), series());
        assert_eq!(bars.svg.matches("#1D6F5A").count(), 2, "a bar for each value: {}", bars.svg);
        assert!(!bars.svg.contains("style="), "{}", bars.svg);
        assert!(bars.svg.starts_with("<svg role=\"img\" aria-labelledby=\"chart-c\" "), "{}", bars.svg);
        let told: Vec<_> = bars.rows.iter().map(|row| (row.time.as_str(), row.values.join(" "))).collect();
        assert_eq!(told, [("10:06", "2".to_owned()), ("10:10", "5".to_owned())]);
        values[5] = None;
        let surface = vec![Series::new("One", Hue::Green, values)];
        let surface = Chart::new("c", "C", String::new(), Form::Surface, slots(), surface);
        assert_eq!(surface.svg.matches("<polygon").count(), 2, "two runs: {}", surface.svg);
    }

    #[test]
    fn numbers_are_short_beside_an_axis() {
        for (value, text) in [(0, "0"), (9_999, "9999"), (12_500, "12.5k"), (1_000_000, "1M")] {
            assert_eq!(short(value), text);
        }
    }
}
