//! The middle of some values.

/// Of an even number of values the middle of the two in the middle; `None` of none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let high = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(high);
    }
    sorted.get(middle - 1).map(|low| f64::midpoint(*low, high))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], None)]
    #[case(&[3.0], Some(3.0))]
    #[case(&[4.0, 1.0], Some(2.5))]
    #[case(&[9.0, 1.0, 2.0], Some(2.0))]
    #[case(&[9.0, 1.0, 2.0, 4.0], Some(3.0))]
    fn the_middle(#[case] values: &[f64], #[case] expected: Option<f64>) {
        assert_eq!(median(values.iter().copied()), expected);
    }
}
