//! Throughput and latency beside the floor's, drawn.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::compare::{Comparison, Ratio, Worth};
use crate::figure::Figure;

/// The drawing's size.
const SIZE: (u32, u32) = (1000, 420);

/// Colours of the server and of the floor.
const COLOURS: [RGBColor; 2] = [RGBColor(0x1f, 0x77, 0xb4), RGBColor(0xb8, 0xb8, 0xb8)];

/// What is called the floor.
const FLOOR: &str = "echo";

/// The server's figure and the floor's.
struct Pair {
    /// What they are of.
    label: String,
    /// The server's and the floor's.
    values: [f64; 2],
    /// What stands beside them: their ratio.
    note: String,
}

/// Draws what was held against the floor: answers a second of closed loops,
/// and percentiles of open ones.
///
/// # Errors
///
/// When there is nothing to draw, or the file cannot be written.
pub fn draw(path: &Path, comparisons: &[Comparison]) -> Result<(), String> {
    let (rates, latencies) = (rates(comparisons), latencies(comparisons));
    if rates.is_empty() && latencies.is_empty() {
        return Err("nothing was held against the echo, so there is nothing to draw".to_owned());
    }
    draw_both(path, &rates, &latencies)
        .map_err(|error| format!("cannot draw {}: {error}", path.display()))
}

/// Both halves of the drawing.
fn draw_both(path: &Path, rates: &[Pair], latencies: &[Pair]) -> Result<(), Box<dyn Error>> {
    let backend = SVGBackend::new(path, SIZE);
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    panel(&left, "Answers a second, closed loop", rates)?;
    panel(&right, "Latency in µs, open loop", latencies)?;
    area.present()?;
    Ok(())
}

/// Rates of closed loops.
fn rates(comparisons: &[Comparison]) -> Vec<Pair> {
    of_floor(comparisons)
        .flat_map(|comparison| {
            (comparison.ratios.iter())
                .filter(|ratio| ratio.figure == Figure::Rate)
                .map(|ratio| Pair {
                    label: comparison.title.clone(),
                    values: [ratio.subject, ratio.base],
                    note: note(ratio, format!("{:.0} %", 100.0 * ratio.ratio)),
                })
        })
        .collect()
}

/// Percentiles of open loops.
fn latencies(comparisons: &[Comparison]) -> Vec<Pair> {
    let drawn = [Figure::P50, Figure::P99, Figure::P999];
    of_floor(comparisons)
        .filter(|comparison| {
            !comparison
                .ratios
                .iter()
                .any(|ratio| ratio.figure == Figure::Rate)
        })
        .flat_map(|comparison| {
            (comparison.ratios.iter())
                .filter(move |ratio| drawn.contains(&ratio.figure))
                .map(|ratio| Pair {
                    label: format!("{}, {}", comparison.title, ratio.figure),
                    values: [ratio.subject, ratio.base],
                    note: note(ratio, format!("× {:.2}", ratio.ratio)),
                })
        })
        .collect()
}

/// A ratio, in brackets if it is not shown.
fn note(ratio: &Ratio, text: String) -> String {
    match ratio.worth {
        Worth::NotShown => format!("({text})"),
        Worth::OrBetter => format!("{text} or better"),
        Worth::Shown => text,
    }
}

/// What was held against the floor over TCP.
fn of_floor(comparisons: &[Comparison]) -> impl Iterator<Item = &Comparison> {
    (comparisons.iter()).filter(|comparison| comparison.base.name == FLOOR)
}

/// Pairs on a logarithmic scale, one below the other.
fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    pairs: &[Pair],
) -> Result<(), Box<dyn Error>> {
    let values = || pairs.iter().flat_map(|pair| pair.values);
    let least = values().fold(f64::INFINITY, f64::min);
    let most = values().fold(0.0, f64::max);
    if pairs.is_empty() || least <= 0.0 {
        return Ok(());
    }
    // Room for the points, and for the notes.
    let (from, to) = (least / 2.0, most * 6.0);
    let count = pairs.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(24)
        .y_label_area_size(170)
        .build_cartesian_2d((from..to).log_scale(), 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .x_labels(6)
        .x_label_formatter(&|value| short(*value))
        .label_style(("sans-serif", 12))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (place, pair) in pairs.iter().enumerate() {
        // The first is at the top.
        let middle = count - place as f64 - 0.5;
        let [server, floor] = pair.values;
        chart.draw_series([PathElement::new(
            [(server, middle), (floor, middle)],
            COLOURS[1].stroke_width(2),
        )])?;
        for (value, colour) in [(floor, COLOURS[1]), (server, COLOURS[0])] {
            chart.draw_series([Circle::new((value, middle), 6, colour.filled())])?;
        }
        let note = ("sans-serif", 12).into_font().color(&BLACK);
        let beyond = server.max(floor) * 1.25;
        let text = Text::new(pair.note.clone(), (beyond, middle + 0.06), note);
        chart.draw_series([text])?;
    }
    let (_, rows) = chart.plotting_area().get_pixel_range();
    let height = f64::from(rows.end - rows.start) / count;
    let base = area.get_base_pixel().1;
    for (place, pair) in pairs.iter().enumerate() {
        let middle = f64::from(rows.start - base) + height * (place as f64 + 0.5);
        let style = TextStyle::from(("sans-serif", 12).into_font()).pos(
            plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Right,
                plotters::style::text_anchor::VPos::Center,
            ),
        );
        area.draw_text(&pair.label, &style, (174, middle as i32))?;
    }
    legend(area)
}

/// Which colour is whose.
fn legend(area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>> {
    let (width, _) = area.dim_in_pixel();
    for (row, (name, colour)) in ["Weir", "bare echo"].into_iter().zip(COLOURS).enumerate() {
        let (x, y) = (width as i32 - 90, 34 + 16 * row as i32);
        area.draw(&Circle::new((x + 5, y + 6), 5, colour.filled()))?;
        area.draw(&Text::new(name, (x + 15, y), ("sans-serif", 12)))?;
    }
    Ok(())
}

/// A number in few characters.
fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{:.0} M", value / 1e6),
        1e3.. => format!("{:.0} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}
