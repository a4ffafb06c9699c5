//! What was found, as a picture: how many of the nodes refuse, how long after the acknowledgement.

use std::path::Path;

use plotters::prelude::{
    ChartBuilder, Color as _, IntoDrawingArea as _, IntoLogRange as _, LineSeries, PathElement, RGBColor,
    SVGBackend, SeriesLabelPosition, WHITE,
};

use crate::error::{Doing as _, Outcome};
use crate::statistics::percentile;

use super::Found;

/// Draws into the SVG file at `path`.
pub(super) fn draw(path: &Path, found: &[Found]) -> Outcome {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).doing("drawing")?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Nodes that refuse a session, after its end was acknowledged (%)", ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(40)
        .build_cartesian_2d((0.05..1000.0).log_scale(), 0.0..100.0)
        .doing("drawing")?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&|milliseconds| format!("{milliseconds}"))
        .x_desc("ms (the lease is 1000)")
        .draw()
        .doing("drawing")?;
    for (found, colour) in found.iter().zip(COLOURS) {
        let steps = (0..=1000_u32).map(|step| f64::from(step) / 10.0);
        let points = steps
            .map(|percent| ((percentile(&found.lag_microseconds, percent / 100.0) / 1e3).max(0.05), percent));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .doing("drawing")?
            .label(found.store.to_string())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .draw()
        .doing("drawing")?;
    root.present().doing("writing a picture")
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 360);
/// Told apart also by those who don't see red and green alike (Okabe and Ito 2008).
const COLOURS: [RGBColor; 2] = [RGBColor(213, 94, 0), RGBColor(0, 114, 178)];
