//! Curves against the step, on a logarithmic axis, as SVG.

use super::style::{FONT, GREY, SIZE, TEXT, TITLE, power_of_ten};
use crate::failure::{Failure, Result};
use plotters::element::DashedPathElement;
use plotters::prelude::*;

/// Points drawn of a curve, at most; more cannot be told apart.
const POINTS: usize = 2000;

/// A curve by name: y at steps 0, 1, …
#[derive(Debug)]
pub struct Curve<'a> {
    /// What the legend says.
    pub name: &'a str,
    /// The values; those that a logarithmic axis cannot show (0, NaN, infinity) leave a gap.
    pub y: Vec<f64>,
}

/// An SVG of the curves under a title and a line on how they ended. The first is solid and black,
/// the second dashed and grey; a mark and a number stand where each ends.
///
/// # Errors
/// If plotters cannot draw it.
pub fn svg(title: &str, ending: &str, curves: &[Curve<'_>; 2]) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, title, ending, curves).map_err(|e| Failure::new(format!("chart: {e}")))?;
    Ok(svg)
}

fn draw(svg: &mut String, title: &str, ending: &str, curves: &[Curve<'_>; 2]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (16, 12), (FONT, TITLE)))?;
    root.draw(&Text::new(ending.to_owned(), (16, 38), (FONT, TEXT)))?;
    let last = curves.iter().map(|curve| curve.y.len()).max().unwrap_or(0).saturating_sub(1).max(1);
    let (low, high) = decades(curves.iter().flat_map(|curve| &curve.y).copied());
    let mut chart = ChartBuilder::on(&root.margin(56, 0, 0, 0))
        .margin(12)
        .margin_right(72)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0..last, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .label_style((FONT, TEXT))
        .y_labels(12)
        .x_desc("step")
        .y_desc("loss, mean over the matrices")
        .y_label_formatter(&power_of_ten)
        .draw()?;
    let [solid, dashed] = curves;
    let line = |x, y| vec![(x, y), (x + 24, y)];
    chart
        .draw_series(LineSeries::new(points(&solid.y), BLACK.stroke_width(2)))?
        .label(solid.name)
        .legend(move |(x, y)| PathElement::new(line(x, y), BLACK.stroke_width(2)));
    chart
        .draw_series(DashedLineSeries::new(points(&dashed.y), 6, 4, GREY.stroke_width(2)))?
        .label(dashed.name)
        .legend(move |(x, y)| DashedPathElement::new(line(x, y), 6, 4, GREY.stroke_width(2)));
    for (curve, colour) in curves.iter().zip([BLACK, GREY]) {
        if let Some((step, exponent)) = points(&curve.y).last() {
            let number = format!("{:.1e}", curve.y[step]);
            let text = Text::new(number, (8, -7), (FONT, TEXT).into_font().color(&colour));
            chart.plotting_area().draw(&(EmptyElement::at((step, exponent)) + Circle::new((0, 0), 4, colour.filled()) + text))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((FONT, TEXT))
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
fn points(y: &[f64]) -> impl Iterator<Item = (usize, f64)> + Clone {
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
            let curves = ["a", "b"].map(|name| Curve { name, y: y.clone() });
            let svg = svg("title", "ending", &curves).unwrap();
            assert!(svg.ends_with("</svg>\n"), "{y:?}");
        }
    }

    #[test]
    fn a_long_curve_is_thinned_and_ends_where_it_ends() {
        let drawn: Vec<_> = points(&vec![1.0; 100_001]).collect();
        assert!(drawn.len() <= POINTS + 1);
        assert_eq!(drawn.last(), Some(&(100_000, 0.0)));
    }
}
