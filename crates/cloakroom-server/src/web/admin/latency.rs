//! How long this server's work takes, read from its own metrics.

use std::collections::BTreeMap;

/// How long something took, since this server started.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::web) struct Latency {
    /// How often it happened.
    pub(in crate::web) count: u64,
    /// Half of the times took at most so many seconds.
    pub(in crate::web) p50: f64,
    /// 95 of 100 did.
    pub(in crate::web) p95: f64,
    /// 99 of 100 did.
    pub(in crate::web) p99: f64,
}

impl Latency {
    /// The latencies of a histogram in Prometheus' text format, by the value of one of its labels.
    ///
    /// Each is the upper bound of the bucket that the quantile falls in: never less than it was. What took longer than
    /// the last bound counts as that bound.
    pub(in crate::web) fn of(exposition: &str, histogram: &str, label: &str) -> BTreeMap<String, Self> {
        let mut buckets = BTreeMap::<String, BTreeMap<Bound, u64>>::new();
        for line in exposition.lines() {
            let Some((bound, value, count)) = bucket(line, histogram, label) else { continue };
            // One line for each combination of the other labels.
            *buckets.entry(value).or_default().entry(bound).or_default() += count;
        }
        buckets
            .into_iter()
            .filter_map(|(value, buckets)| Some((value, Self::of_buckets(&buckets)?)))
            .collect()
    }

    fn of_buckets(buckets: &BTreeMap<Bound, u64>) -> Option<Self> {
        let count = *buckets.last_key_value()?.1;
        let longest = buckets.keys().rev().find(|bound| bound.0.is_finite())?.0;
        let quantile = |percent: u64| {
            let rank = count.saturating_mul(percent).div_ceil(100);
            let bucket = buckets.iter().find(|(_, so_far)| **so_far >= rank);
            bucket.map_or(longest, |(bound, _)| bound.0.min(longest))
        };
        (count > 0).then(|| Self { count, p50: quantile(50), p95: quantile(95), p99: quantile(99) })
    }
}

/// A bucket's bound: seconds, in their order.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Bound(f64);

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Bound, value of `label` and count of a bucket's line.
fn bucket(line: &str, histogram: &str, label: &str) -> Option<(Bound, String, u64)> {
    let (labels, count) = line.strip_prefix(histogram)?.strip_prefix("_bucket{")?.rsplit_once("} ")?;
    let value = |name: &str| {
        let mut pairs = labels.split("\",").filter_map(|pair| pair.trim_end_matches('"').split_once("=\""));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    };
    let bound = match value("le")? {
        "+Inf" => f64::INFINITY,
        bound => bound.parse().ok()?,
    };
    Some((Bound(bound), value(label)?.to_owned(), count.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSITION: &str = r#"# TYPE took_seconds histogram
took_seconds_bucket{source="cache",le="0.001"} 90
took_seconds_bucket{source="cache",le="0.01"} 99
took_seconds_bucket{source="cache",le="+Inf"} 100
took_seconds_sum{source="cache"} 1.5
took_seconds_count{source="cache"} 100
took_seconds_bucket{source="store",store="a",le="0.001"} 1
took_seconds_bucket{source="store",store="a",le="0.01"} 1
took_seconds_bucket{source="store",store="a",le="+Inf"} 1
took_seconds_bucket{source="store",store="b",le="0.001"} 0
took_seconds_bucket{source="store",store="b",le="0.01"} 3
took_seconds_bucket{source="store",store="b",le="+Inf"} 3
took_seconds_bucket{source="idle",le="0.001"} 0
took_seconds_bucket{source="idle",le="+Inf"} 0
other_bucket{source="cache",le="0.001"} 7
"#;

    #[test]
    fn quantiles_are_the_bounds_of_their_buckets() {
        let found = Latency::of(EXPOSITION, "took_seconds", "source");
        let latency = |count, p50, p95, p99| Latency { count, p50, p95, p99 };
        assert_eq!(
            found,
            BTreeMap::from([
                ("cache".to_owned(), latency(100, 0.001, 0.01, 0.01)),
                ("store".to_owned(), latency(4, 0.01, 0.01, 0.01)),
            ])
        );
    }

    #[test]
    fn nothing_is_read_from_what_is_no_histogram() {
        for text in [
            "",
            "took_seconds_bucket",
            "took_seconds_bucket{le=\"1\"} x",
            "took_seconds_bucket{source=\"a\"} 1",
        ] {
            assert!(Latency::of(text, "took_seconds", "source").is_empty(), "{text}");
        }
    }
}
