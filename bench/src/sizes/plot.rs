//! What was found, as a picture: one panel for each operation, one line for each store.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, Color as _, DrawingArea, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
};

use super::Found;
use super::level::Operation;
use crate::error::{Doing as _, Outcome};
use crate::statistics::{each, number};

/// Draws into the SVG file at `path`.
pub(super) fn draw(path: &Path, found: &[Found]) -> Outcome {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).doing("drawing")?;
    let mut panels = Operation::ALL.map(Some).to_vec();
    panels.push(None);
    for (panel, operation) in root.split_evenly((3, 2)).iter().zip(panels) {
        draw_panel(panel, operation, found)?;
    }
    root.present().doing("writing a picture")
}

/// The cost of an operation, or else what sessions weigh.
fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    operation: Option<Operation>,
    found: &[Found],
) -> Outcome {
    let title = operation.map_or_else(
        || "weight of a session (bytes)".to_owned(),
        |operation| format!("{operation} (µs, median)"),
    );
    let lines = found.iter().zip(COLOURS.into_iter().cycle()).map(|(found, colour)| Line {
        store: found.store.to_string(),
        colour,
        points: points(found, operation),
    });
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d((800.0..13_000_000.0).log_scale(), (1.0..300_000.0).log_scale())
        .doing("drawing")?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(5)
        .y_labels(6)
        .x_label_formatter(&|sessions| format!("{sessions:.0}"))
        .y_label_formatter(&|cost| format!("{cost}"))
        .x_desc("sessions in the store")
        .draw()
        .doing("drawing")?;
    for Line { store, colour, points } in lines.filter(|line| !line.points.is_empty()) {
        let dots = points.iter().map(|&point| Circle::new(point, 2, colour.filled()));
        chart.draw_series(dots).doing("drawing")?;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .doing("drawing")?
            .label(store)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 10))
        .draw()
        .doing("drawing")
}

struct Line {
    store: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

fn points(found: &Found, operation: Option<Operation>) -> Vec<(f64, f64)> {
    let levels = found.levels.iter();
    levels
        .filter_map(|level| {
            let value = match operation {
                Some(operation) => level.costs.get(&operation)?.median_microseconds(),
                None => each(number(level.weight), level.size),
            };
            Some((f64::from(u32::try_from(level.size).ok()?), value))
        })
        .collect()
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 1080);
/// Told apart also by those who don't see red and green alike (Okabe and Ito 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(86, 180, 233),
];
