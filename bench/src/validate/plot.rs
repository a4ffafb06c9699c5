//! What was found, as a picture: cost against size, of both ways and of the map alone.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, Color as _, DrawingArea, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
};

use crate::error::{Doing as _, Outcome};

use super::Way;
use super::population::Found;
use super::turn::Kind;

/// Draws into the SVG file at `path`.
pub(super) fn draw(path: &Path, found: &[(Way, Found)]) -> Outcome {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).doing("drawing")?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    draw_panel(&left, "one session again and again", (Kind::Hot, Kind::MapHot), found)?;
    draw_panel(&right, "all sessions, in no order", (Kind::Uniform, Kind::MapUniform), found)?;
    root.present().doing("writing a picture")
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    (ours, floor): (Kind, Kind),
    found: &[(Way, Found)],
) -> Outcome {
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("validate (ns): {title}"), ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d((800.0..13_000_000.0).log_scale(), 0.0..800.0)
        .doing("drawing")?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&|sessions| format!("{sessions:.0}"))
        .x_desc("sessions")
        .draw()
        .doing("drawing")?;
    let mut lines = Vec::new();
    for (threads, mark) in [(1, 2), (2, 1)] {
        for (way, colour) in [(Way::Memory, RGBColor(0, 114, 178)), (Way::Near, RGBColor(213, 94, 0))] {
            lines.push((way, ours, threads, mark, colour, way.name()));
        }
        lines.push((Way::Memory, floor, threads, mark, RGBColor(120, 120, 120), "a map alone"));
    }
    for (way, kind, threads, width, colour, name) in lines {
        let of_way = found.iter().filter(|(of, _)| *of == way);
        let points: Vec<_> = of_way.filter_map(|(_, found)| point(found, threads, kind)).collect();
        let dots = points.iter().map(|&point| Circle::new(point, width, colour.filled()));
        chart.draw_series(dots).doing("drawing")?;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(width)))
            .doing("drawing")?
            .label(if threads == 1 { name.to_owned() } else { format!("{name}, two threads") })
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(width)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 11))
        .draw()
        .doing("drawing")
}

fn point(found: &Found, threads: usize, kind: Kind) -> Option<(f64, f64)> {
    let sessions = f64::from(u32::try_from(found.sessions).ok()?);
    Some((sessions, found.cost(threads, kind)?))
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 400);
