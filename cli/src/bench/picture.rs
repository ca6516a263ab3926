//! Time per matrix against n as SVG, both axes logarithmic: a panel for each pass; colours tell
//! programs, lines and marks types.

use super::figure::{Figure, Pass, Settled};
use super::table::distinct;
use crate::failure::{Failure, Result};
use crate::report::style::{FONT, TEXT, TITLE};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::coord::{CoordTranslate, Shift};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use std::ops::Range;

type Area<'a, C = Shift> = DrawingArea<SVGBackend<'a>, C>;
type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Black is ours. Then Okabe and Ito's colours without yellow, which colour-blind readers can tell
/// apart, too; neighbours differ in brightness.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(204, 121, 167),
];
const SIZE: (u32, u32) = (1200, 560);
/// The height of the titles, the width of the legend and the height of its lines.
const TITLES: i32 = 60;
const LEGEND: i32 = 240;
const LINE: i32 = 22;

/// An SVG of all figures.
///
/// # Errors
/// If plotters cannot draw it.
pub fn svg(found: &[Settled], subtitle: &str) -> Result<String> {
    let mut svg = String::new();
    let figures: Vec<_> = found.iter().map(|settled| &settled.figure).collect();
    draw(&mut svg, &figures, subtitle).map_err(|e| Failure::new(format!("picture: {e}")))?;
    Ok(svg)
}

fn draw(svg: &mut String, figures: &[&Figure], subtitle: &str) -> Drawn {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new("Time per matrix against its order n", (16, 12), (FONT, TITLE)))?;
    root.draw(&Text::new(subtitle.to_owned(), (16, 38), (FONT, TEXT)))?;
    let (panels, legend) = root.margin(TITLES, 0, 0, 0).split_horizontally(SIZE.0 as i32 - LEGEND);
    let (programs, dtypes) = (distinct(figures, program), distinct(figures, |figure| figure.dtype.clone()));
    for (panel, pass) in panels.split_evenly((1, 2)).iter().zip([Pass::Forward, Pass::Backward]) {
        let curves = programs.iter().zip(COLOURS.iter().cycle()).flat_map(|(program, &colour)| {
            dtypes.iter().map(move |dtype| (Style { colour, dtype }, points(figures, pass, program, dtype)))
        });
        one_pass(panel, pass, figures, curves)?;
    }
    let program = programs.iter().zip(COLOURS.iter().cycle()).map(|(name, &colour)| (name, Style { colour, dtype: "" }));
    let dtype = dtypes.iter().map(|dtype| (dtype, Style { colour: BLACK, dtype }));
    for (row, (name, style)) in program.chain(dtype).enumerate() {
        // The types stand apart from the programs.
        let y = 40 + LINE * (row + usize::from(row >= programs.len())) as i32;
        style.line(&legend, vec![(0, y), (36, y)])?;
        style.mark(&legend, (18, y))?;
        legend.draw(&Text::new(name.clone(), (44, y - 7), (FONT, TEXT)))?;
    }
    root.present()?;
    Ok(())
}

/// What a curve of every type has in common.
fn program(figure: &&Figure) -> String {
    let Figure { peer, version, device, .. } = figure;
    format!("{peer} {version}, {device}")
}

/// (log₂ n, log₁₀ ns) of a curve.
fn points(figures: &[&Figure], pass: Pass, of: &str, dtype: &str) -> Vec<(f64, f64)> {
    let on_it = figures.iter().filter(|figure| figure.what == pass && figure.dtype == dtype && program(figure) == of);
    let mut points: Vec<_> = on_it.map(|figure| exponents(figure)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn exponents(figure: &Figure) -> (f64, f64) {
    ((figure.n as f64).log2(), figure.median_ns.log10())
}

/// A panel, on axes that are the same for both, in exponents: plotters' own logarithmic axes know
/// powers of 10 only.
fn one_pass<'a>(
    panel: &Area<'_>,
    pass: Pass,
    figures: &[&Figure],
    curves: impl Iterator<Item = (Style<'a>, Vec<(f64, f64)>)>,
) -> Drawn {
    let (x, y) = (Axis::around(figures, |figure| exponents(figure).0), Axis::around(figures, |figure| exponents(figure).1));
    let mut chart = ChartBuilder::on(panel)
        .caption(pass.to_string(), (FONT, TITLE))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .label_style((FONT, TEXT))
        .x_desc("n")
        .x_label_formatter(&|exponent| format!("{:.0}", exponent.exp2()))
        .y_label_formatter(&|&exponent| duration(exponent))
        .draw()?;
    for (style, points) in curves {
        style.line(chart.plotting_area(), points.clone())?;
        points.into_iter().try_for_each(|point| style.mark(chart.plotting_area(), point))?;
    }
    Ok(())
}

/// An axis over whole exponents, with a line at each.
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    fn around(figures: &[&Figure], exponent: impl Fn(&Figure) -> f64) -> Self {
        let exponents = figures.iter().map(|figure| exponent(figure));
        let (low, high) = exponents.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let low = low.floor() as i32;
        Self { low, high: (high.ceil() as i32).max(low + 1) }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let none_between = hint.weight().allow_light_points();
        if none_between { Vec::new() } else { (self.low..=self.high).map(f64::from).collect() }
    }

    /// With room for the outermost marks.
    fn range(&self) -> Range<f64> {
        f64::from(self.low) - 0.1..f64::from(self.high) + 0.1
    }
}

/// 10^exponent ns, in the unit that leaves one to three digits.
fn duration(exponent: f64) -> String {
    let units = ["ns", "µs", "ms", "s"];
    let unit = (exponent.round() / 3.0).floor().clamp(0.0, 3.0);
    format!("{} {}", 10f64.powi((exponent - 3.0 * unit).round() as i32), units[unit as usize])
}

/// The look of a curve.
struct Style<'a> {
    colour: RGBColor,
    dtype: &'a str,
}

impl Style<'_> {
    /// Solid in single precision, dashed in double, dotted in half.
    fn line<C: CoordTranslate<From: Clone + 'static>>(&self, area: &Area<'_, C>, points: Vec<C::From>) -> Drawn {
        let style = self.colour.stroke_width(2);
        match self.dtype {
            "complex128" | "float64" => area.draw(&DashedPathElement::new(points, 7, 4, style))?,
            "float16" | "bfloat16" => area.draw(&DashedPathElement::new(points, 2, 3, style))?,
            _ => area.draw(&PathElement::new(points, style))?,
        }
        Ok(())
    }

    /// A disc for complex numbers, a triangle for real ones, a ring and a cross for halves.
    fn mark<C: CoordTranslate<From: Clone + 'static>>(&self, area: &Area<'_, C>, at: C::From) -> Drawn {
        let filled = self.colour.filled();
        match self.dtype {
            "complex64" | "complex128" => area.draw(&Circle::new(at, 4, filled))?,
            "float32" | "float64" => area.draw(&TriangleMarker::new(at, 6, filled))?,
            "float16" => area.draw(&Circle::new(at, 4, self.colour))?,
            "bfloat16" => area.draw(&Cross::new(at, 4, self.colour))?,
            _ => {} // a program, in the legend
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let exponents = [-1.0, 0.0, 2.0, 3.0, 5.0, 6.0, 9.0, 11.0];
        assert_eq!(exponents.map(duration), ["0.1 ns", "1 ns", "100 ns", "1 µs", "100 µs", "1 ms", "1 s", "100 s"]);
    }
}
