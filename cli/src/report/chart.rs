//! Curves against the step, on a logarithmic axis, as SVG.

use crate::failure::{Failure, Result};
use plotters::prelude::*;

/// Points drawn of a curve, at most; more cannot be told apart.
const POINTS: usize = 2000;
/// The colours of the curves, in turn.
const COLOURS: [RGBColor; 2] = [RGBColor(31, 119, 180), RGBColor(214, 39, 40)];

/// A curve by name: y at steps 0, 1, …
#[derive(Debug)]
pub struct Curve<'a> {
    /// What the legend says.
    pub name: &'a str,
    /// The values; those that a logarithmic axis cannot show (0, NaN, infinity) leave a gap.
    pub y: Vec<f64>,
}

/// An SVG of the curves.
///
/// # Errors
/// If plotters cannot draw it.
pub fn svg(title: &str, curves: &[Curve<'_>]) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, title, curves).map_err(|e| Failure::new(format!("chart: {e}")))?;
    Ok(svg)
}

fn draw(svg: &mut String, title: &str, curves: &[Curve<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, (800, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let last = curves.iter().map(|curve| curve.y.len()).max().unwrap_or(0).saturating_sub(1).max(1);
    let (low, high) = decades(curves.iter().flat_map(|curve| &curve.y).copied());
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0..last, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .y_labels(12)
        .x_desc("step")
        .y_label_formatter(&|exponent| format!("1e{exponent:.0}"))
        .draw()?;
    for (curve, &colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let series = LineSeries::new(points(&curve.y), colour);
        chart.draw_series(series)?.label(curve.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

/// The exponents of the whole powers of ten around the positive numbers.
pub fn decades(y: impl Iterator<Item = f64>) -> (f64, f64) {
    let exponents = y.filter(|&y| drawable(y)).map(f64::log10);
    let (low, high) = exponents.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high { (-1.0, 0.0) } else { (low.floor(), high.ceil().max(low.floor() + 1.0)) }
}

/// Whether a logarithmic axis has it.
pub fn drawable(y: f64) -> bool {
    y.is_finite() && y > 0.0
}

/// Every so many points of a curve, and the last, with log₁₀ y: plotters' own logarithmic axis has
/// no labels below 1e-15.
fn points(y: &[f64]) -> impl Iterator<Item = (usize, f64)> {
    let (every, last) = (y.len().div_ceil(POINTS).max(1), y.len().saturating_sub(1));
    let shown = y.iter().copied().enumerate().filter(move |&(step, y)| drawable(y) && (step % every == 0 || step == last));
    shown.map(|(step, y)| (step, y.log10()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_that_no_logarithm_has_are_drawn_all_the_same() {
        for y in [vec![], vec![0.0], vec![1.0], vec![f64::NAN, 1e-320, f64::INFINITY], vec![1e300; 3], vec![1e-9, 0.0, 1e3]] {
            assert!(svg("title", &[Curve { name: "a", y: y.clone() }]).unwrap().ends_with("</svg>\n"), "{y:?}");
        }
    }

    #[test]
    fn a_long_curve_is_thinned_and_ends_where_it_ends() {
        let drawn: Vec<_> = points(&vec![1.0; 100_001]).collect();
        assert!(drawn.len() <= POINTS + 1);
        assert_eq!(drawn.last(), Some(&(100_000, 0.0)));
    }
}
