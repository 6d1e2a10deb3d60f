//! Native histograms, as Prometheus answers them: how many samples lie up to a limit, and where a quantile lies.
//!
//! Buckets are exponential: a sample's place within its bucket is not known. So a number of samples up to a limit
//! comes as what is certain, what is likely and what is possible. The likely one is interpolated as Prometheus
//! does it in `histogram_fraction` and `histogram_quantile` (promql/quantile.go): within a bucket the samples are
//! taken to be spread evenly on a logarithmic scale, and evenly in the bucket around zero.

use serde::{Deserialize, Serialize};

use crate::prometheus::wire::{self, Number};

/// The samples of one series, or of a sum of series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    #[serde(with = "wire::number")]
    pub count: f64,
    #[serde(with = "wire::number")]
    pub sum: f64,
    /// Those with samples, in order.
    pub buckets: Vec<Bucket>,
}

/// The samples above `lower` and up to `upper`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(Number, Number, Number)", into = "(Number, Number, Number)")]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// How many samples lie up to a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpTo {
    /// In buckets that end at the limit or before.
    pub surely: f64,
    /// With the interpolated part of the bucket in which the limit lies.
    pub likely: f64,
    /// With all of that bucket.
    pub perhaps: f64,
}

impl From<(Number, Number, Number)> for Bucket {
    fn from((lower, upper, count): (Number, Number, Number)) -> Self {
        Self { lower: lower.0, upper: upper.0, count: count.0 }
    }
}

impl From<Bucket> for (Number, Number, Number) {
    fn from(bucket: Bucket) -> Self {
        (Number(bucket.lower), Number(bucket.upper), Number(bucket.count))
    }
}

impl Bucket {
    /// The share of its samples up to a value within it.
    fn share(&self, value: f64) -> f64 {
        let share = if self.lower > 0.0 && self.upper.is_finite() {
            (value / self.lower).ln() / (self.upper / self.lower).ln()
        } else {
            (value - self.floor()) / (self.upper - self.floor())
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The value below which a share of its samples lies.
    fn at(&self, share: f64) -> f64 {
        if self.lower > 0.0 && self.upper.is_finite() {
            self.lower * (self.upper / self.lower).powf(share)
        } else {
            share.mul_add(self.upper - self.floor(), self.floor())
        }
    }

    #[must_use]
    pub fn middle(&self) -> f64 {
        f64::midpoint(self.floor(), self.upper)
    }

    /// The bucket around zero reaches as far below it as above, though nothing takes less than no time.
    fn floor(&self) -> f64 {
        if self.upper > 0.0 { self.lower.max(0.0) } else { self.lower }
    }
}

impl Histogram {
    /// How many samples lie up to a limit.
    #[must_use]
    pub fn up_to(&self, limit: f64) -> UpTo {
        let mut up_to = UpTo::default();
        for bucket in &self.buckets {
            // Prometheus prints the bounds with all their digits, but 0.3 may be one of them.
            if bucket.upper <= limit * (1.0 + 1e-9) {
                up_to.surely += bucket.count;
                up_to.likely += bucket.count;
                up_to.perhaps += bucket.count;
            } else if bucket.floor() < limit {
                up_to.likely += bucket.count * bucket.share(limit);
                up_to.perhaps += bucket.count;
            }
        }
        up_to
    }

    /// The value up to which a share, from 0 to 1, of the samples lies; `None` without samples.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: f64 = self.buckets.iter().map(|b| b.count).sum();
        if total <= 0.0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        let rank = share * total;
        let mut below = 0.0;
        for bucket in self.buckets.iter().filter(|b| b.count > 0.0) {
            // Sums of counts may be off by the last bit.
            if below + bucket.count >= rank - total * 1e-12 {
                return Some(bucket.at(((rank - below) / bucket.count).clamp(0.0, 1.0)));
            }
            below += bucket.count;
        }
        None
    }

    /// All samples of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.merged(other, 1.0)
    }

    /// What was added since an earlier state of the same series.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.merged(earlier, -1.0)
    }

    fn merged(&self, other: &Self, sign: f64) -> Self {
        let mut buckets = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut left, mut right) = (self.buckets.iter().peekable(), other.buckets.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.upper.total_cmp(&b.upper),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => break,
            };
            let mine = if order.is_le() { left.next() } else { None };
            let theirs = if order.is_ge() { right.next() } else { None };
            let Some(shape) = mine.or(theirs) else { break };
            let count = mine.map_or(0.0, |b| b.count) + sign * theirs.map_or(0.0, |b| b.count);
            if count > 0.0 {
                buckets.push(Bucket { count, ..*shape });
            }
        }
        Self { count: (self.count + sign * other.count).max(0.0), sum: self.sum + sign * other.sum, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn of(buckets: &[(f64, f64, f64)]) -> Histogram {
        let bucket =
            |(lower, upper, count): &(f64, f64, f64)| Bucket { lower: *lower, upper: *upper, count: *count };
        let buckets: Vec<Bucket> = buckets.iter().map(bucket).collect();
        Histogram { count: buckets.iter().map(|b| b.count).sum(), sum: 0.0, buckets }
    }

    // Each bucket is twice as wide as the one before: within one, half of the samples lie below the lower bound
    // times the square root of two.
    fn doubling() -> Histogram {
        of(&[(0.1, 0.2, 10.0), (0.2, 0.4, 60.0), (0.4, 0.8, 30.0)])
    }

    #[rstest]
    #[case::below_all(0.05, 0.0, 0.0, 0.0)]
    #[case::on_the_lowest_bound(0.1, 0.0, 0.0, 0.0)]
    #[case::on_a_bound(0.2, 10.0, 10.0, 10.0)]
    #[case::in_the_middle_of_a_bucket(0.2 * std::f64::consts::SQRT_2, 10.0, 40.0, 70.0)]
    #[case::a_quarter_into_it(0.2 * 2f64.powf(0.25), 10.0, 25.0, 70.0)]
    #[case::above_all(1.0, 100.0, 100.0, 100.0)]
    fn samples_up_to_a_limit(
        #[case] limit: f64,
        #[case] surely: f64,
        #[case] likely: f64,
        #[case] perhaps: f64,
    ) {
        let up_to = doubling().up_to(limit);
        assert_eq!((up_to.surely, up_to.perhaps), (surely, perhaps));
        assert!((up_to.likely - likely).abs() < 1e-9, "{up_to:?}");
    }

    #[rstest]
    #[case::the_lowest(0.0, 0.1)]
    #[case::a_bound(0.1, 0.2)]
    #[case::half_way_through_a_bucket(0.4, 0.2 * std::f64::consts::SQRT_2)]
    #[case::the_highest(1.0, 0.8)]
    fn quantiles(#[case] share: f64, #[case] value: f64) {
        let quantile = doubling().quantile(share).unwrap();
        assert!((quantile - value).abs() < 1e-9, "{quantile}");
    }

    #[test]
    fn the_bucket_around_zero_is_even_and_begins_at_zero() {
        let zero = of(&[(-0.001, 0.001, 8.0), (0.5, 1.0, 8.0)]);
        assert_eq!(zero.up_to(0.0005), UpTo { surely: 0.0, likely: 4.0, perhaps: 8.0 });
        assert_eq!(zero.up_to(0.0), UpTo::default());
        assert_eq!(zero.quantile(0.25), Some(0.0005));
    }

    #[test]
    fn without_samples_there_is_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(doubling().quantile(f64::NAN), None);
        assert_eq!(doubling().quantile(1.1), None);
    }

    #[test]
    fn what_was_added_since() {
        let before = of(&[(0.2, 0.4, 20.0)]);
        let after = of(&[(0.1, 0.2, 3.0), (0.2, 0.4, 25.0), (0.8, 1.6, 1.0)]);
        assert_eq!(after.since(&before), of(&[(0.1, 0.2, 3.0), (0.2, 0.4, 5.0), (0.8, 1.6, 1.0)]));
        assert_eq!(after.since(&after), of(&[]));
        assert_eq!(after.since(&before).plus(&before), after);
    }

    fn histograms() -> impl Strategy<Value = Histogram> {
        prop::collection::vec(0u32..50, 1..40).prop_map(|counts| {
            let bound = |n: usize| 0.001 * 2f64.powf(n as f64 / 8.0);
            let buckets = counts.iter().enumerate().filter(|(_, n)| **n > 0);
            of(&buckets.map(|(i, n)| (bound(i), bound(i + 1), f64::from(*n))).collect::<Vec<_>>())
        })
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_limit_up_to_which_its_share_lies(histogram in histograms(), share in 0.01f64..0.99) {
            prop_assume!(histogram.count > 0.0);
            let value = histogram.quantile(share).unwrap();
            let up_to = histogram.up_to(value);
            prop_assert!((up_to.likely - share * histogram.count).abs() < 1e-6 * histogram.count.max(1.0));
            prop_assert!(up_to.surely <= up_to.likely + 1e-6 && up_to.likely <= up_to.perhaps + 1e-6);
        }
    }
}
