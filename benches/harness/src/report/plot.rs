//! Drawing: SVG whose places are percentages, so that a plot takes any width while its text and strokes keep their size.
//! Colours are classes, which the page gives a meaning in light and in dark. Nothing here knows what is drawn.
#![forbid(unsafe_code)]

use std::fmt::Write;

/// What a plot is taken to be wide and high, in pixels, where marks must keep clear of each other.
const NOMINAL: (f64, f64) = (560.0, 300.0);

/// A scale: from values to percent of the plot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// Logarithmic, around all values that are positive; none if there are none.
    pub(super) fn around(values: impl IntoIterator<Item = f64>) -> Option<Axis> {
        let positive = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = positive.fold((f64::MAX, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        (high > 0.0).then(|| Axis { low: low / 1.25, high: high * 1.25 })
    }

    /// How far a value is along it.
    pub(super) fn at(self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        (share * 100.0).clamp(0.0, 100.0)
    }

    /// Powers of ten, and their double and fivefold where there would be few, and more where there would be hardly any.
    pub(super) fn ticks(self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = match decades {
            ..0.75 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            ..2.2 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        let inside: Vec<f64> = all.filter(|tick| (self.low..=self.high).contains(tick)).collect();
        // More than nine labels would touch each other on a telephone.
        let every = inside.len().div_ceil(9).max(1);
        inside.into_iter().step_by(every).collect()
    }
}

/// A drawing in the making.
#[derive(Debug, Default)]
pub(super) struct Drawing(String);

impl Drawing {
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            r#"<line class="{class}" x1="{x1:.2}%" y1="{y1:.2}%" x2="{x2:.2}%" y2="{y2:.2}%"/>"#
        ));
    }

    /// A dot that says `title` when pointed at.
    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64, title: &str) {
        let title = escaped(title);
        self.add(format_args!(
            r#"<circle class="{class}" cx="{x:.2}%" cy="{y:.2}%" r="{radius}"><title>{title}</title></circle>"#
        ));
    }

    /// A text moved by some pixels from its place.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), (dx, dy): (f64, f64), text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            r#"<text class="{class}" x="{x:.2}%" y="{y:.2}%" dx="{dx}" dy="{dy}">{text}</text>"#
        ));
    }

    /// Upright lines at the ticks.
    pub(super) fn upright_grid(&mut self, axis: Axis) {
        for tick in axis.ticks() {
            self.line("grid", (axis.at(tick), 0.0), (axis.at(tick), 100.0));
        }
    }

    /// The labels of an upright grid, below the plot.
    pub(super) fn labels_below(&mut self, places: impl IntoIterator<Item = (f64, String)>) {
        for (x, label) in places {
            self.text("tick mid", (x, 100.0), (0.0, 16.0), &label);
        }
    }

    /// Level lines at the ticks, with labels to the left of the plot.
    pub(super) fn level_grid(&mut self, axis: Axis, label: impl Fn(f64) -> String) {
        for tick in axis.ticks() {
            let y = 100.0 - axis.at(tick);
            self.line("grid", (0.0, y), (100.0, y));
            self.text("tick end", (0.0, y), (-6.0, 4.0), &label(tick));
        }
    }

    /// The finished SVG, so many pixels high.
    pub(super) fn svg(self, class: &str, height: u32, description: &str) -> String {
        let description = escaped(description);
        format!(
            r#"<svg class="{class}" width="100%" height="{height}" role="img" aria-label="{description}">{}</svg>"#,
            self.0
        )
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(element);
    }
}

/// Where the labels of points go, in pixels from their points, so that few of them touch. Places are percentages, with y
/// downward.
pub(super) fn label_offsets(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const AROUND: [(f64, f64); 8] = [
        (0.0, -10.0),
        (13.0, 4.0),
        (-13.0, 4.0),
        (0.0, 19.0),
        (13.0, -9.0),
        (-13.0, -9.0),
        (13.0, 17.0),
        (-13.0, 17.0),
    ];
    let pixel = |(x, y): (f64, f64)| (x / 100.0 * NOMINAL.0, y / 100.0 * NOMINAL.1);
    let mut taken: Vec<(f64, f64)> = points.iter().map(|&point| pixel(point)).collect();
    let mut offsets = Vec::with_capacity(points.len());
    for &point in points {
        let (x, y) = pixel(point);
        // The middle of a label is a little above its base line.
        let middle = |(dx, dy): (f64, f64)| (x + dx, y + dy - 4.0);
        let clear = |offset| {
            let (x, y) = middle(offset);
            taken.iter().map(|(a, b)| ((x - a) / 1.3).hypot(y - b)).fold(f64::MAX, f64::min)
        };
        let best = AROUND.into_iter().find(|&offset| clear(offset) >= 11.0);
        let best = best.or_else(|| AROUND.into_iter().max_by(|&a, &b| clear(a).total_cmp(&clear(b))));
        let offset = best.unwrap_or(AROUND[0]);
        taken.push(middle(offset));
        offsets.push(offset);
    }
    offsets
}

/// Text for HTML and SVG, in content and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_spans_its_values_evenly_by_ratio() {
        let axis = Axis::around([100.0, 1000.0, 10.0, 0.0, f64::NAN]).unwrap();
        assert!((axis.at(100.0) - 50.0).abs() < 1e-9);
        assert!(axis.at(10.0) > 0.0 && axis.at(1000.0) < 100.0);
        assert_eq!(axis.ticks(), [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert!(Axis::around([0.0]).is_none());
        assert_eq!(Axis::around([1.0, 1e6]).unwrap().ticks().len(), 7);
        assert_eq!(Axis::around([300.0, 500.0]).unwrap().ticks(), [300.0, 400.0, 500.0]);
        assert!(Axis::around([1e-3, 1e12]).unwrap().ticks().len() <= 9);
    }

    #[test]
    fn text_from_outside_is_no_markup() {
        let mut drawing = Drawing::default();
        drawing.dot("a", (1.0, 2.0), 3.0, "<b> & \"c\"");
        let svg = drawing.svg("plot", 100, "it's");
        assert!(
            svg.contains("&lt;b&gt; &amp; &quot;c&quot;") && svg.contains("it&#39;s") && !svg.contains("<b>")
        );
    }

    #[test]
    fn labels_of_one_place_differ() {
        let offsets = label_offsets(&[(50.0, 50.0), (50.0, 50.0), (50.0, 50.0)]);
        assert!(offsets[0] != offsets[1] && offsets[1] != offsets[2] && offsets[0] != offsets[2]);
    }
}
