//! The spectra of a batch as SVG: |λ| over the cutoff τ against the index, on a logarithmic axis.

use super::chart::{decades, drawable};
use super::style::{FONT, GREY, SIZE, TEXT, TITLE, power_of_ten};
use crate::failure::{Failure, Result};
use eigengrad::{Cpu, Eigenpairs, Element, Real};
use plotters::prelude::*;

/// Matrices drawn, at most; more cannot be told apart.
const MATRICES: usize = 200;

/// |λ| of a matrix over its cutoff, and which are kept.
struct Spectrum {
    over_cutoff: Vec<f64>,
    kept: Vec<bool>,
}

/// An SVG of the spectra. What is kept is black, what is dropped grey, the cut is the line at 1.
/// Where there is no cutoff, |λ| is drawn as it is.
///
/// # Errors
/// If plotters cannot draw it.
pub fn svg<T: Element>(pairs: &Eigenpairs<T, Cpu>) -> Result<String> {
    let margins: Vec<_> = pairs.cut_margins().map(|margins| margins.map(Real::to_f64)).collect();
    let worst = |which: usize, better: fn(f64, f64) -> bool| {
        let of = margins.iter().map(|margins| margins[which]).enumerate().filter(|(_, x)| drawable(*x));
        of.reduce(|a, b| if better(a.1, b.1) { b } else { a })
    };
    let (kept, dropped) = (worst(0, |a, b| b < a), worst(1, |a, b| b > a));
    let cut = kept.is_some() || dropped.is_some();
    let named = |name: &str, of: Option<(usize, f64)>| of.map(|(matrix, x)| format!("{name} {x:.1e} τ (matrix {matrix})"));
    let title: Vec<_> = [named("smallest kept", kept), named("largest dropped", dropped)].into_iter().flatten().collect();
    let title = if title.is_empty() { "no cutoff".to_owned() } else { title.join(", ") };
    // Those that are named are among those that are drawn.
    let every = pairs.batch().div_ceil(MATRICES).max(1);
    let shown = |b: &usize| b.is_multiple_of(every) || [kept, dropped].iter().flatten().any(|(named, _)| named == b);
    let spectra: Vec<_> = (0..pairs.batch()).filter(shown).map(|b| spectrum(pairs, b, margins[b], cut)).collect();
    let mut svg = String::new();
    draw(&mut svg, &title, &spectra, pairs.n(), cut).map_err(|e| Failure::new(format!("chart: {e}")))?;
    Ok(svg)
}

/// The spectrum of matrix b. Its margins tell the cutoff.
fn spectrum<T: Element>(pairs: &Eigenpairs<T, Cpu>, b: usize, [of_kept, of_dropped]: [f64; 2], cut: bool) -> Spectrum {
    let values: Vec<_> = pairs.values().row(b).iter().map(|&x| Real::to_f64(x.widen()).abs()).collect();
    let kept = pairs.kept().row(b).to_vec();
    let of = |which: bool| values.iter().zip(&kept).filter(move |(_, kept)| **kept == which).map(|(x, _)| *x);
    let (least, most) = (of(true).fold(f64::INFINITY, f64::min), of(false).fold(0.0, f64::max));
    let cutoff = if drawable(of_kept) { least / of_kept } else { most / of_dropped };
    let unit = if cut && drawable(cutoff) { cutoff } else { 1.0 };
    Spectrum { over_cutoff: values.iter().map(|x| x / unit).collect(), kept }
}

fn draw(
    svg: &mut String,
    title: &str,
    spectra: &[Spectrum],
    n: usize,
    cut: bool,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let line = cut.then_some(1.0);
    let (low, high) = decades(spectra.iter().flat_map(|spectrum| spectrum.over_cutoff.iter().copied()).chain(line));
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, TITLE))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.5..(n.max(1) as f64 - 0.5), low..high)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .label_style((FONT, TEXT))
        .x_desc("index")
        .y_desc(if cut { "|λ| / τ" } else { "|λ|" })
        .x_label_formatter(&|k| format!("{k:.0}"))
        .y_label_formatter(&power_of_ten)
        .draw()?;
    for Spectrum { over_cutoff, kept } in spectra {
        let points = over_cutoff.iter().zip(kept).enumerate().filter(|(_, (x, _))| drawable(**x));
        chart.draw_series(points.map(|(k, (x, &kept))| {
            // what is kept is a disc, what is dropped a ring
            Circle::new((k as f64, x.log10()), 3, if kept { BLACK.filled() } else { GREY.stroke_width(1) })
        }))?;
    }
    if cut {
        chart.draw_series(LineSeries::new([(-0.5, 0.0), (n as f64 - 0.5, 0.0)], BLACK.stroke_width(1)))?;
    }
    root.present()?;
    Ok(())
}
