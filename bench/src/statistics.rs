//! Medians: one round that was disturbed does not move them.

/// The median; zero of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = values.get(half).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = half.checked_sub(1).and_then(|below| values.get(below)).copied().unwrap_or_default();
    (lower + upper) / 2.0
}

/// The value that this share of all do not exceed, by nearest rank; zero of nothing. One is the largest.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let below = values.iter().enumerate().filter(|(index, _)| {
        let rank = u32::try_from(index + 1).map_or(f64::INFINITY, f64::from);
        rank < share * u32::try_from(values.len()).map_or(f64::INFINITY, f64::from)
    });
    let index = below.count().min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or_default()
}

/// `numerator` for each of `count`; zero where there is none.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(crate) fn each(numerator: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { numerator / count as f64 }
}

/// A count as a number to calculate with.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle_or_between_the_two() {
        assert_eq!(median([3.0, 1.0, 100.0]), 3.0);
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), 3.0);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_there() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| percentile(&values, share)), [1.0, 50.0, 99.0, 100.0]);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
