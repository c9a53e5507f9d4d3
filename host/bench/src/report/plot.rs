//! Latencies over time as an SVG file that needs nothing else, on light and dark pages.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::swap::{BIN, Bin, Swap, SwapReport};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 48.0;
/// Length of a bin, seconds.
const BIN_S: f64 = BIN.as_secs_f64();
/// More labels than this do not fit below the plot.
const X_TICKS_MAX: f64 = 12.0;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 14px; font-weight: 600 }
.page { fill: #ffffff }
.frame { fill: none; stroke: #59636e }
.grid { stroke: #d1d9e0; stroke-width: .6 }
.preparing { fill: #59636e; opacity: .14 }
.change { stroke: #59636e; stroke-dasharray: 4 3 }
.p50, .p99, .max { fill: none; stroke-width: 1.4; stroke-linejoin: round }
.p50 { stroke: #0969da } .p99 { stroke: #bc4c00 } .max { stroke: #8250df; stroke-width: .8 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.page { fill: #0d1117 }
.frame { stroke: #9198a1 }
.grid { stroke: #3d444d }
.preparing { fill: #9198a1; opacity: .2 }
.change { stroke: #9198a1 }
.p50 { stroke: #4493f8 } .p99 { stroke: #f0883e } .max { stroke: #ab7df8 }
}";

/// Draws p50, p99 and maximum of each bin over the time, and when pointers changed.
pub(crate) fn svg(report: &SwapReport) -> String {
    let scale = Scale::of(&report.bins);
    let mut out = String::new();
    let mut put = |text: std::fmt::Arguments<'_>| {
        // Writing to a text does not fail.
        let _ = writeln!(out, "{text}");
    };
    put(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d">"#
    ));
    put(format_args!(
        r#"<title id="t">Latency of chat requests while the plugin is exchanged</title>
<desc id="d">{} players, {} requests per second, {} versions deployed one after the other; p50, p99 and maximum of each tenth of a second.</desc>
<style>
{STYLE}
</style>
<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>
<text class="title" x="{LEFT}" y="22">Latency of chat requests while the plugin is exchanged: {} players, {} requests/s</text>"#,
        report.players,
        report.per_second,
        report.swaps.len(),
        report.players,
        report.per_second
    ));
    for swap in &report.swaps {
        put(format_args!("{}", preparing(swap, &scale)));
    }
    put(format_args!("{}", axes(&scale)));
    for swap in &report.swaps {
        put(format_args!("{}", change(swap, &scale)));
    }
    for (class, value) in SERIES.iter().rev() {
        put(format_args!(r#"<path class="{class}" d="{}"/>"#, path(&report.bins, *value, &scale)));
    }
    put(format_args!("{}\n</svg>", legend()));
    out
}

/// What is drawn of a bin, in microseconds.
type Value = fn(&Bin) -> f64;

/// All lines, by the class of its line.
const SERIES: [(&str, Value); 3] =
    [("p50", |bin| bin.latency.p50_us), ("p99", |bin| bin.latency.p99_us), ("max", |bin| bin.latency.max_us)];

/// Where times and latencies are in the picture.
struct Scale {
    seconds: f64,
    /// Powers of ten, in microseconds, at the lower and the upper edge.
    decades: (i32, i32),
}

impl Scale {
    fn of(bins: &[Bin]) -> Self {
        let filled = || bins.iter().filter(|bin| bin.requests > 0);
        let lowest = filled().map(|bin| bin.latency.p50_us).fold(f64::INFINITY, f64::min);
        let highest = filled().map(|bin| bin.latency.max_us).fold(0.0, f64::max);
        let decade = |us: f64| us.clamp(1.0, 1e9).log10();
        let low = decade(if lowest.is_finite() { lowest } else { 100.0 }).floor() as i32;
        let high = (decade(highest).ceil() as i32).max(low + 1);
        let seconds = bins.last().map_or(0.0, |bin| bin.at_s + BIN_S).max(1.0);
        Self { seconds, decades: (low, high) }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds / self.seconds).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, us: f64) -> f64 {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let share = (us.max(1e-3).log10() - low) / (high - low);
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    /// Latencies at which a line is drawn, microseconds.
    fn y_ticks(&self) -> Vec<f64> {
        let decades: RangeInclusive<i32> = self.decades.0..=self.decades.1;
        let steps: &[f64] = if self.decades.1 - self.decades.0 > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let top = 10_f64.powi(self.decades.1) * 1.001;
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        ticks.filter(|us| *us <= top).collect()
    }

    /// Seconds at which a line is drawn.
    fn x_ticks(&self) -> Vec<f64> {
        let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
        let step = steps.into_iter().find(|step| self.seconds / step <= X_TICKS_MAX).unwrap_or(200.0);
        (0..=(self.seconds / step) as u32).map(|tick| f64::from(tick) * step).collect()
    }
}

fn axes(scale: &Scale) -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut out = String::new();
    for us in scale.y_ticks() {
        let y = scale.y(us);
        let _ = writeln!(
            out,
            r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 6.0,
            y + 4.0,
            us / 1e3
        );
    }
    for seconds in scale.x_ticks() {
        let x = scale.x(seconds);
        let _ = writeln!(
            out,
            r#"<line class="grid" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{seconds}</text>"#,
            bottom + 16.0
        );
    }
    let (width, height) = (right - LEFT, bottom - TOP);
    let middle = f64::midpoint(TOP, bottom);
    let _ = write!(
        out,
        r#"<rect class="frame" x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/>
<text x="{:.1}" y="{:.1}" text-anchor="middle">time, seconds</text>
<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">latency, milliseconds (logarithmic)</text>"#,
        f64::midpoint(LEFT, right),
        HEIGHT - 10.0
    );
    out
}

/// The time from the command to the first change.
fn preparing(swap: &Swap, scale: &Scale) -> String {
    let (from, to) =
        (scale.x(swap.begun_s), scale.x(swap.changes_s.first().copied().unwrap_or(swap.ended_s)));
    format!(
        r#"<rect class="preparing" x="{from:.1}" y="{TOP}" width="{:.1}" height="{}"/>"#,
        to - from,
        HEIGHT - TOP - BOTTOM
    )
}

/// Changes that are less far apart, in seconds, are one line.
const APART: f64 = 0.5;

/// A line where the first server changed, with the swap's number above it, and one where the last did if that is apart.
fn change(swap: &Swap, scale: &Scale) -> String {
    let line = |at: f64| {
        let (x, bottom) = (scale.x(at), HEIGHT - BOTTOM);
        format!(r#"<line class="change" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}"/>"#)
    };
    let (Some(first), Some(last)) = (swap.changes_s.first(), swap.changes_s.last()) else {
        return String::new();
    };
    let settled = if last - first > APART { line(*last) } else { String::new() };
    let (x, y) = (scale.x(*first), TOP - 5.0);
    let number = swap.number;
    format!(r#"{}{settled}<text x="{x:.1}" y="{y}" text-anchor="middle">{number}</text>"#, line(*first))
}

/// A line through the middle of each bin; it breaks where nothing was due.
fn path(bins: &[Bin], value: Value, scale: &Scale) -> String {
    let mut out = String::new();
    let mut is_drawing = false;
    for bin in bins {
        if bin.requests > 0 {
            let (x, y) = (scale.x(bin.at_s + BIN_S / 2.0), scale.y(value(bin)));
            let _ = write!(out, "{}{x:.1} {y:.1}", if is_drawing { 'L' } else { 'M' });
        }
        is_drawing = bin.requests > 0;
    }
    out
}

fn legend() -> String {
    let mut out = String::new();
    let y = 40.0;
    let mut x = LEFT;
    for (class, text) in [
        ("p50", "p50"),
        ("p99", "p99"),
        ("max", "maximum, each of 0.1 s"),
        ("change", "a version takes over"),
    ] {
        let _ = write!(
            out,
            r#"<line class="{class}" x1="{x}" y1="{}" x2="{}" y2="{}"/><text x="{}" y="{y}">{text}</text>"#,
            y - 4.0,
            x + 24.0,
            y - 4.0,
            x + 30.0
        );
        x += 58.0 + 6.6 * text.len() as f64;
    }
    let _ = write!(
        out,
        r#"<rect class="preparing" x="{x}" y="{}" width="24" height="12"/><text x="{}" y="{y}">it is compiled and prepared</text>"#,
        y - 10.0,
        x + 30.0
    );
    out
}

#[cfg(test)]
mod tests {
    use super::super::swap::tests::sample;
    use super::*;

    #[test]
    fn a_plot_has_lines_axes_a_legend_and_every_swap() {
        let report = sample();
        let svg = svg(&report);
        for part in [
            "<svg xmlns=",
            "prefers-color-scheme: dark",
            "time, seconds",
            "latency, milliseconds",
            "a version takes over",
            r#"<path class="p50" d="M"#,
            r#"<path class="p99" d="M"#,
            r#"<path class="max" d="M"#,
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches(r#"<line class="change""#).count(), 1 + report.swaps.len());
        assert_eq!(svg.matches(r#"<rect class="preparing""#).count(), 1 + report.swaps.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        // Nothing is fetched, and nothing runs.
        assert!(!svg.contains("href") && !svg.contains("<script"), "{svg}");
    }

    #[test]
    fn a_swap_that_settled_has_two_lines_and_one_number() {
        let mut report = sample();
        report.swaps[1].changes_s = vec![6.0, 8.0, 8.01];
        let scale = Scale::of(&report.bins);
        let settled = change(&report.swaps[1], &scale);
        assert_eq!((settled.matches("<line").count(), settled.matches("<text").count()), (2, 1), "{settled}");
        report.swaps[1].changes_s.clear();
        assert_eq!(change(&report.swaps[1], &scale), "");
    }

    #[test]
    fn latencies_are_where_the_logarithm_has_them() {
        let scale = Scale::of(&sample().bins);
        assert_eq!(scale.decades, (2, 6));
        assert_eq!(scale.y(100.0), HEIGHT - BOTTOM);
        assert_eq!(scale.y(1e6), TOP);
        assert!((scale.y(1e4) - f64::midpoint(TOP, HEIGHT - BOTTOM)).abs() < 1e-9);
        assert_eq!((scale.x(0.0), scale.x(12.0), scale.x(99.0)), (LEFT, WIDTH - RIGHT, WIDTH - RIGHT));
        assert_eq!(scale.y_ticks(), [1e2, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!(scale.x_ticks(), (0..=12).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn a_time_without_requests_is_a_gap() {
        let mut report = sample();
        for bin in &mut report.bins[35..45] {
            *bin = Bin { requests: 0, latency: crate::Latency::default(), ..*bin };
        }
        let scale = Scale::of(&report.bins);
        assert_eq!(path(&report.bins, |bin| bin.latency.p99_us, &scale).matches('M').count(), 2);
        assert_eq!(scale.decades, (2, 4), "the empty bins do not count");
    }

    #[test]
    fn nothing_measured_is_an_empty_plot() {
        let empty = SwapReport { bins: Vec::new(), swaps: Vec::new(), ..sample() };
        let svg = svg(&empty);
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    }
}
