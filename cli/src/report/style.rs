//! How all pictures look: readable in black and white, and for the colour-blind.

use plotters::prelude::*;

/// The font of all texts.
pub const FONT: &str = "sans-serif";
/// The size of titles.
pub const TITLE: u32 = 18;
/// The size of other texts.
pub const TEXT: u32 = 14;
/// The size of a picture with one panel.
pub const SIZE: (u32, u32) = (800, 480);
/// What is beside the point.
pub const GREY: RGBColor = RGBColor(150, 150, 150);

/// The label of 10^exponent.
pub fn power_of_ten(exponent: &f64) -> String {
    format!("1e{exponent:.0}")
}
