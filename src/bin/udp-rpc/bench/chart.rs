//! A histogram of latencies, drawn in a terminal.
//!
//! Rows grow by a constant factor, because latencies spread over powers of ten: a chart in equal
//! steps has one row for all calls and twenty for the slowest.

use hdrhistogram::Histogram;

/// Preferred numbers (ISO 3, rounded), finest first: where rows begin in each power of ten.
const SERIES: [&[f64]; 5] = [
    &[
        1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24, 2.5, 2.8, 3.15, 3.55, 4.0, 4.5, 5.0, 5.6, 6.3,
        7.1, 8.0, 9.0,
    ],
    &[1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0],
    &[1.0, 1.6, 2.5, 4.0, 6.3],
    &[1.0, 2.0, 5.0],
    &[1.0],
];

/// Most rows of a chart, those of the quickest and of the slowest apart.
const ROWS_MAX: usize = 16;

/// Columns of the longest bar: label, share and count take the rest of eighty.
const COLUMNS: usize = 50;

/// The shares of the calls between which rows are told apart; quicker ones have a row of their own,
/// and slower ones too.
const BODY: (f64, f64) = (0.001, 0.999);

/// Parts of a column, from an eighth to a whole.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Calls that took from so long to so long, ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) calls: u64,
}

/// The rows of a histogram, finely, empty ones left out.
pub(super) fn fine(latency: &Histogram<u64>) -> Vec<Row> {
    let edges = edges(SERIES[0], latency.min() as f64, latency.max() as f64);
    rows(latency, &edges).into_iter().filter(|row| row.calls > 0).collect()
}

/// The rows of a chart: as fine as there is room for.
pub(super) fn coarse(latency: &Histogram<u64>) -> Vec<Row> {
    let at = |share| latency.value_at_quantile(share) as f64;
    let mut found = Vec::new();
    for series in SERIES {
        found = edges(series, at(BODY.0), at(BODY.1));
        // One row begins at each edge but the last.
        if found.len() <= ROWS_MAX + 1 {
            break;
        }
    }
    let (min, max) = (latency.min() as f64, latency.max() as f64);
    if found.first().is_some_and(|first| min < *first) {
        found.insert(0, min);
    }
    if found.last().is_some_and(|last| *last <= max) {
        found.push(max + 1.0);
    }
    rows(latency, &found)
}

/// The edges of a series from the last one that is not above `min` to the first one above `max`.
fn edges(series: &[f64], min: f64, max: f64) -> Vec<f64> {
    let mut edges = Vec::new();
    let mut power = 1.0;
    while edges.last().is_none_or(|last| *last <= max) {
        // As round as it is written.
        for edge in series.iter().map(|number| (number * power * 100.0).round() / 100.0) {
            if edge <= min {
                edges.clear();
            }
            edges.push(edge);
            if edge > max {
                break;
            }
        }
        power *= 10.0;
    }
    edges
}

fn rows(latency: &Histogram<u64>, edges: &[f64]) -> Vec<Row> {
    let pairs = edges.iter().zip(edges.iter().skip(1));
    let mut rows: Vec<Row> =
        pairs.map(|(from, to)| Row { from: *from, to: *to, calls: 0 }).collect();
    for recorded in latency.iter_recorded() {
        let ns = latency.lowest_equivalent(recorded.value_iterated_to()) as f64;
        let place = edges.partition_point(|edge| *edge <= ns).saturating_sub(1);
        let last = rows.len().saturating_sub(1);
        if let Some(row) = rows.get_mut(place.min(last)) {
            row.calls += recorded.count_at_value();
        }
    }
    rows
}

/// The bar of a row, of which the longest has `most` calls. No call is without a mark.
pub(super) fn bar(calls: u64, most: u64) -> String {
    let all = (COLUMNS * EIGHTHS.len()) as f64;
    let length = (calls as f64 / most.max(1) as f64 * all).round() as usize;
    let length = length.max(usize::from(calls > 0));
    let (whole, part) = (length / EIGHTHS.len(), length % EIGHTHS.len());
    let mut bar: String = std::iter::repeat_n(EIGHTHS[EIGHTHS.len() - 1], whole).collect();
    bar.extend((part > 0).then(|| EIGHTHS[part - 1]));
    // Not by `format!`, which counts what the terminal does not.
    bar.extend(std::iter::repeat_n(' ', COLUMNS - whole - usize::from(part > 0)));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn every_call_is_in_a_row() {
        for values in [
            vec![1],
            vec![70_000; 3],
            (1..=1_000).map(|n| n * n * n).collect(),
            (0..64).map(|power| 1 << (power / 2)).collect(),
            vec![999_999, 1_000_000, 1_000_001],
        ] {
            let latency = histogram(values.iter().copied());
            for rows in [fine(&latency), coarse(&latency)] {
                assert_eq!(rows.iter().map(|row| row.calls).sum::<u64>(), values.len() as u64);
                assert!(rows.windows(2).all(|pair| pair[0].to <= pair[1].from), "{rows:?}");
            }
            assert!((1..=ROWS_MAX + 2).contains(&coarse(&latency).len()), "{values:?}");
        }
    }

    #[test]
    fn rows_begin_at_round_numbers_and_hold_what_lies_between() {
        let rows = coarse(&histogram([100, 124, 125, 126, 159, 160]));
        let expected = [
            (100.0, 112.0, 1),
            (112.0, 125.0, 1),
            (125.0, 140.0, 2),
            (140.0, 160.0, 1),
            (160.0, 180.0, 1),
        ];
        let row = |(from, to, calls)| Row { from, to, calls };
        assert_eq!(rows, expected.map(row));
    }

    #[test]
    fn few_outliers_do_not_squeeze_the_rest() {
        let body = (0..100_000).map(|n| 101_000 + n % 50_000);
        let rows = coarse(&histogram(body.chain([7, 10_000_000_000])));
        let edges: Vec<_> = rows.iter().map(|row| row.from).collect();
        assert_eq!(edges, [7.0, 100_000.0, 112_000.0, 125_000.0, 140_000.0, 160_000.0]);
        assert_eq!((rows[0].calls, rows[5].calls), (1, 1), "{rows:?}");
    }

    #[test]
    fn bars_are_as_long_as_their_share_and_never_nothing_for_something() {
        assert_eq!(bar(8, 8), "█".repeat(COLUMNS));
        assert_eq!(bar(4, 8).trim_end(), "█".repeat(COLUMNS / 2));
        assert_eq!(bar(1, 1_000_000).trim_end(), "▏");
        assert_eq!(bar(0, 8).trim_end(), "");
        for calls in 0..=400 {
            assert_eq!(bar(calls, 400).chars().count(), COLUMNS, "{calls}");
        }
    }
}
