//! What was found, as a picture: a group of bars for each kind of request.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, RGBColor, Rectangle, SVGBackend,
    SeriesLabelPosition, WHITE,
};

use crate::error::{Doing as _, Outcome};

use super::Found;
use super::case::Case;
use super::subject::{Library, Store};

/// Draws into the SVG file at `path`.
pub(super) fn draw(path: &Path, found: &Found) -> Outcome {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).doing("drawing")?;
    let panels = root.split_evenly((2, 1));
    for (panel, store) in panels.iter().zip([Store::Redis, Store::Memory]) {
        draw_panel(panel, store, found)?;
    }
    root.present().doing("writing a picture")
}

fn draw_panel(panel: &DrawingArea<SVGBackend<'_>, Shift>, store: Store, found: &Found) -> Outcome {
    let top = if store == Store::Redis { 8.0 } else { 3.0 };
    let groups = f64::from(u8::try_from(Case::ALL.len()).unwrap_or(u8::MAX));
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("{store}: processor time of a request, bare handler = 1"), ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(40)
        .build_cartesian_2d(0.0..groups, 0.0..top)
        .doing("drawing")?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(2 * Case::ALL.len() + 1)
        .x_label_formatter(&|x| label(*x))
        .y_labels(9)
        .draw()
        .doing("drawing")?;
    for (library, colour, place) in BARS {
        let bars = Case::ALL.into_iter().zip(0_u8..).filter_map(|(case, group)| {
            let height = found.ratio(library, store, case)?.min(top);
            let left = f64::from(group) + 0.1 + 0.16 * place;
            Some(Rectangle::new([(left, 0.0), (left + 0.14, height)], colour.filled()))
        });
        chart
            .draw_series(bars)
            .doing("drawing")?
            .label(library.to_string())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 11))
        .draw()
        .doing("drawing")
}

/// The name of the group whose middle is at `x`.
fn label(x: f64) -> String {
    let cases = Case::ALL.into_iter().zip(0_u8..);
    let mut middles = cases.map(|(case, group)| (case, f64::from(group) + 0.5));
    let case = middles.find(|(_, middle)| (x - middle).abs() < 0.01);
    case.map(|(case, _)| case.short().to_owned()).unwrap_or_default()
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 720);
/// Told apart also by those who don't see red and green alike (Okabe and Ito 2008), and each one's place in its group.
const BARS: [(Library, RGBColor, f64); 5] = [
    (Library::Cloakroom, RGBColor(0, 114, 178), 0.0),
    (Library::TowerSessions, RGBColor(230, 159, 0), 1.0),
    (Library::AxumSession, RGBColor(204, 121, 167), 2.0),
    (Library::ActixSession, RGBColor(0, 158, 115), 3.0),
    (Library::RawRedis, RGBColor(120, 120, 120), 4.0),
];
