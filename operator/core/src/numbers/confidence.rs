//! What a number of bad samples says about the share behind them.
//!
//! Steady load is an ongoing process, and a window of it a sample: 1 failure in 300 requests may come from a system
//! that fails 1 in 100 or 1 in 10,000. So a share is Within its limit when its one-sided 95% Wilson interval is
//! (Wilson 1927), and Beyond it likewise; else the sample does not tell. Bad requests come in bursts, and a burst
//! is no better evidence than one request: the sample is worth its size divided by the design effect (Kish 1965),
//! the variance between blocks of 5 s over that of independent requests.
//!
//! A fault is no sample of anything. It happened once, every request of it was counted, and the count is judged. In a
//! window that holds faults and steady load, the requests of the faults are taken as they are, and only the rest is a
//! sample: its interval is that of the rest, with the bad requests of the faults added to both ends.

/// One-sided 95%.
const Z: f64 = 1.644_853_626_951_472_7;
const ERROR: f64 = 0.05;
/// For more bad samples Wilson's interval is exact enough.
const HANDFUL: f64 = 10.0;

/// A number of samples, as exactly as the buckets of a histogram tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    pub least: f64,
    pub likely: f64,
    pub most: f64,
}

/// What was counted in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub total: f64,
    pub bad: Count,
    /// The share of bad ones that the limit allows.
    pub allowed: f64,
    /// How many samples are worth as much as one that is independent of the others, at least 1.
    pub design_effect: f64,
    /// What of it belongs to faults.
    pub faults: Cell,
}

/// How a share stands to what is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    Within,
    Beyond,
    /// The limit lies inside a bucket, and the samples in it decide.
    Bucket,
    /// The share behind the sample lies between these.
    Unclear {
        from: f64,
        to: f64,
    },
    /// Even without a bad one they would show nothing. So many are needed.
    TooFew {
        needed: i64,
    },
}

/// What was counted in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub total: f64,
    pub bad: f64,
}

/// The same, as exactly as the buckets of a histogram tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub total: f64,
    pub bad: Count,
}

impl std::iter::Sum for Cell {
    fn sum<I: Iterator<Item = Self>>(cells: I) -> Self {
        cells.fold(Self::default(), |sum, c| Self { total: sum.total + c.total, bad: sum.bad + c.bad })
    }
}

impl Counts {
    /// With one of the numbers of bad ones.
    #[must_use]
    pub fn cell(self, bad: fn(Count) -> f64) -> Cell {
        Cell { total: self.total, bad: bad(self.bad) }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = (self.bad, other.bad);
        let bad = Count { least: a.least + b.least, likely: a.likely + b.likely, most: a.most + b.most };
        Self { total: self.total + other.total, bad }
    }

    /// What was added since an earlier count. One that falls, as a lost runner's may, adds nothing.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let total = (self.total - earlier.total).max(0.0);
        let gained = |of: fn(Count) -> f64| (of(self.bad) - of(earlier.bad)).clamp(0.0, total);
        let least = gained(|bad| bad.least);
        let likely = gained(|bad| bad.likely).max(least);
        let most = gained(|bad| bad.most).max(likely);
        Self { total, bad: Count { least, likely, most } }
    }
}

impl Count {
    #[must_use]
    pub fn exactly(n: f64) -> Self {
        Self { least: n, likely: n, most: n }
    }

    /// What is left of a total.
    #[must_use]
    pub fn rest_of(self, total: f64) -> Self {
        let rest = |n: f64| (total - n).max(0.0);
        Self { least: rest(self.most), likely: rest(self.likely), most: rest(self.least) }
    }

    #[must_use]
    pub fn plus(self, n: f64) -> Self {
        Self { least: self.least + n, likely: self.likely + n, most: self.most + n }
    }
}

impl Sample {
    /// How many independent samples it is worth.
    #[must_use]
    pub fn effective(&self) -> f64 {
        let rest = (self.total - self.faults.total).max(0.0);
        self.total - rest + rest / self.design_effect.max(1.0)
    }

    /// Between which ends the share lies that so many bad ones come from.
    fn interval(&self, bad: f64) -> (f64, f64) {
        let faults = Cell { total: self.faults.total.min(self.total), bad: self.faults.bad.min(bad) };
        let rest = self.total - faults.total;
        if rest < 0.5 {
            return (bad / self.total, bad / self.total);
        }
        let share = ((bad - faults.bad) / rest).clamp(0.0, 1.0);
        let (lower, upper) = wilson(share, rest / self.design_effect.max(1.0));
        ((faults.bad + rest * lower) / self.total, (faults.bad + rest * upper) / self.total)
    }

    /// As a census: what was counted is what there was.
    #[must_use]
    pub fn counted(&self) -> Standing {
        let allowed = self.total.mul_add(self.allowed, self.total * 1e-9);
        if self.bad.least > allowed {
            Standing::Beyond
        } else if self.bad.most <= allowed {
            Standing::Within
        } else {
            Standing::Bucket
        }
    }

    /// As a sample of an ongoing process.
    #[must_use]
    pub fn estimated(&self) -> Standing {
        // A limit of none at all: one is a miss, and any number of good ones is what can be had.
        if self.allowed <= 1e-12 || self.allowed >= 1.0 - 1e-12 {
            return self.counted();
        }
        let needed = needed(self.allowed);
        let beyond = self.interval(self.bad.least).0 > self.allowed;
        if self.is_beyond_by_faults() || beyond && self.is_no_chance() {
            Standing::Beyond
        } else if self.effective() < needed {
            Standing::TooFew { needed: needed as i64 }
        } else if self.interval(self.bad.most).1 <= self.allowed {
            Standing::Within
        } else {
            let (from, to) = self.interval(self.bad.likely);
            let in_bucket = self.bad.most - self.bad.least > 0.5;
            if in_bucket && (from > self.allowed || to <= self.allowed) {
                Standing::Bucket
            } else {
                // Of a handful the lower end is too high: what is allowed is not shown to be beyond it.
                Standing::Unclear { from: from.min(self.allowed), to }
            }
        }
    }

    /// What a fault did was counted, and is no chance however few they are. Of its bad ones as many may lie within the
    /// limit's bucket as of all.
    fn is_beyond_by_faults(&self) -> bool {
        let perhaps = (self.bad.likely - self.bad.least).max(0.0);
        let surely = (self.faults.bad - perhaps).min(self.bad.least);
        surely > self.total.mul_add(self.allowed, self.total * 1e-9)
    }

    /// Wilson's interval is too narrow for a handful of bad samples. Whether so many bad ones would come from an allowed
    /// share in less than 5% of all cases is counted out besides, by the binomial distribution.
    fn is_no_chance(&self) -> bool {
        let bad = (self.bad.least + 1e-9).floor();
        if !(1.0..HANDFUL).contains(&bad) {
            return bad >= HANDFUL;
        }
        let mut probability = (self.total * (-self.allowed).ln_1p()).exp();
        let mut fewer = 0.0;
        let mut k = 0.0;
        while k < bad {
            fewer += probability;
            probability *= (self.total - k) / (k + 1.0) * self.allowed / (1.0 - self.allowed);
            k += 1.0;
        }
        1.0 - fewer < ERROR
    }
}

/// The ends of the one-sided 95% intervals for a share that was seen in `n` samples.
#[must_use]
pub fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z2 = Z * Z;
    let scale = 1.0 + z2 / n;
    let middle = (share + z2 / (2.0 * n)) / scale;
    let half = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).max(0.0).sqrt() / scale;
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// So many samples, none of them bad, come from a share beyond the allowed one in 5% of all cases at most: 59 for
/// p95, 299 for p99, 2,995 for 99.9%.
#[must_use]
pub fn needed(allowed: f64) -> f64 {
    // 1 - 0.95 is a bit more than 0.05.
    (ERROR.ln() / (-allowed).ln_1p() - 1e-6).ceil().max(1.0)
}

/// How many times as large the variance between blocks is as it were for independent samples; at least 1. Blocks
/// without a sample tell nothing.
#[must_use]
pub fn design_effect(blocks: &[Cell]) -> f64 {
    let blocks: Vec<&Cell> = blocks.iter().filter(|b| b.total > 0.5).collect();
    let k = blocks.len() as f64;
    let total: f64 = blocks.iter().map(|b| b.total).sum();
    let share = blocks.iter().map(|b| b.bad).sum::<f64>() / total;
    let binomial = total * share * (1.0 - share);
    if k < 2.0 || !(binomial.is_finite() && binomial > 1e-9) {
        return 1.0;
    }
    let squares: f64 = blocks.iter().map(|b| (b.bad - share * b.total).powi(2)).sum();
    (k / (k - 1.0) * squares / binomial).max(1.0)
}

/// True when `bad` of `total` is at most the allowed share, up to what interpolation and rounding leave open.
#[must_use]
pub fn share_holds(bad: f64, total: f64, allowed: f64) -> bool {
    bad <= total.mul_add(allowed, total * 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn sample(bad: f64, total: f64, allowed: f64) -> Sample {
        Sample { total, bad: Count::exactly(bad), allowed, design_effect: 1.0, faults: Cell::default() }
    }

    // From the usual tables: 0 of 299 at 1%, and so on.
    #[rstest]
    #[case::p95(1.0 - 0.95, 59.0)]
    #[case::p99(1.0 - 0.99, 299.0)]
    #[case::three_nines(0.001, 2995.0)]
    #[case::half(0.5, 5.0)]
    fn the_fewest_that_can_show_anything(#[case] allowed: f64, #[case] expected: f64) {
        assert_eq!(needed(allowed), expected);
    }

    // Without a bad one the upper end is z²/(n + z²), z² = 2.7055.
    #[rstest]
    #[case::none_of_100(0.0, 100.0, 0.0, 2.705_543 / 102.705_543)]
    #[case::all_of_100(1.0, 100.0, 100.0 / 102.705_543, 1.0)]
    // Half of 100: 0.5 ± 1.6449·√(0.0025 + 0.0000676)/1.027055.
    #[case::half_of_100(0.5, 100.0, 0.5 - 0.081_156, 0.5 + 0.081_156)]
    fn ends_of_the_interval(#[case] share: f64, #[case] n: f64, #[case] lower: f64, #[case] upper: f64) {
        let interval = wilson(share, n);
        assert!((interval.0 - lower).abs() < 1e-5 && (interval.1 - upper).abs() < 1e-5, "{interval:?}");
    }

    // Shown in words, for the ends of an interval are no round numbers.
    fn words(standing: Standing) -> String {
        match standing {
            Standing::Unclear { from, to } => format!("{:.2}% to {:.2}%", from * 100.0, to * 100.0),
            other => format!("{other:?}"),
        }
    }

    #[rstest]
    #[case::none_bad(0.0, 299.0, 0.01, "Within")]
    #[case::none_bad_of_one_fewer(0.0, 298.0, 0.01, "TooFew { needed: 299 }")]
    // 1 of 300 is 0.33%, within; but the share behind it may be 1.48%.
    #[case::within_but_perhaps_not(1.0, 300.0, 0.01, "0.07% to 1.48%")]
    #[case::within_for_certain(10.0, 2000.0, 0.01, "Within")]
    // 14 of 1,000 are beyond 1%, but 0.91% may be behind them.
    #[case::beyond_but_perhaps_not(14.0, 1000.0, 0.01, "0.91% to 2.16%")]
    #[case::beyond_for_certain(20.0, 1000.0, 0.01, "Beyond")]
    #[case::all_of_a_few(8.0, 8.0, 0.01, "Beyond")]
    // One of three at 5% allowed happens in 14% of all cases: 1 - 0.95³.
    #[case::one_of_three(1.0, 3.0, 0.05, "TooFew { needed: 59 }")]
    // Two of three happen in 0.7%.
    #[case::two_of_three(2.0, 3.0, 0.05, "Beyond")]
    // One of 25 at 0.1% happens in 2.5%.
    #[case::one_of_25(1.0, 25.0, 0.001, "Beyond")]
    #[case::one_of_100(1.0, 100.0, 0.001, "TooFew { needed: 2995 }")]
    // Wilson's lower end is 5.4%; six or more happen in 7.5% of all cases, so that 5% may be behind them.
    #[case::six_of_59(6.0, 59.0, 0.05, "5.00% to 18.48%")]
    #[case::none_allowed_and_none(0.0, 10.0, 0.0, "Within")]
    #[case::none_allowed_and_one(1.0, 1e6, 0.0, "Beyond")]
    fn a_sample_of_a_process(
        #[case] bad: f64,
        #[case] total: f64,
        #[case] allowed: f64,
        #[case] expected: &str,
    ) {
        assert_eq!(words(sample(bad, total, allowed).estimated()), expected);
    }

    #[rstest]
    #[case::at_the_limit(5.0, 100.0, 0.05, Standing::Within)]
    #[case::one_more(6.0, 100.0, 0.05, Standing::Beyond)]
    // floor(30 × 5%) = 1.
    #[case::a_part_of_a_request(1.0, 30.0, 0.05, Standing::Within)]
    #[case::and_one_more(2.0, 30.0, 0.05, Standing::Beyond)]
    #[case::a_handful(0.0, 3.0, 0.001, Standing::Within)]
    fn a_census(#[case] bad: f64, #[case] total: f64, #[case] allowed: f64, #[case] expected: Standing) {
        assert_eq!(sample(bad, total, allowed).counted(), expected);
    }

    // Of 1,000 samples so many surely, likely and perhaps are bad; 5% are allowed.
    #[rstest]
    #[case::within_either_way(10.0, 20.0, 30.0, "Within", "Within")]
    #[case::beyond_either_way(80.0, 90.0, 100.0, "Beyond", "Beyond")]
    #[case::the_bucket_decides(10.0, 20.0, 90.0, "Bucket", "Bucket")]
    #[case::the_bucket_decides_the_other_way(10.0, 90.0, 100.0, "Bucket", "Bucket")]
    #[case::unclear_besides(40.0, 45.0, 49.0, "Within", "3.54% to 5.71%")]
    fn a_limit_within_a_bucket(
        #[case] least: f64,
        #[case] likely: f64,
        #[case] most: f64,
        #[case] counted: &str,
        #[case] estimated: &str,
    ) {
        let sample = Sample { bad: Count { least, likely, most }, ..sample(0.0, 1000.0, 0.05) };
        assert_eq!(words(sample.counted()), counted);
        assert_eq!(words(sample.estimated()), estimated);
    }

    fn blocks(counts: &[(f64, f64)]) -> Vec<Cell> {
        counts.iter().map(|(total, bad)| Cell { total: *total, bad: *bad }).collect()
    }

    // 4 blocks of 100 with 40 bad ones in all: p = 10%, binomial variance 400·0.1·0.9 = 36.
    #[rstest]
    #[case::evenly(&[(100.0, 10.0); 4], 1.0)]
    // 4/3 · (30² + 3·10²)/36 = 4/3 · 1200/36.
    #[case::all_in_one(&[(100.0, 40.0), (100.0, 0.0), (100.0, 0.0), (100.0, 0.0)], 4.0 / 3.0 * 1200.0 / 36.0)]
    // 4/3 · (4·5²)/36.
    #[case::uneven(&[(100.0, 15.0), (100.0, 5.0), (100.0, 15.0), (100.0, 5.0)], 4.0 / 3.0 * 100.0 / 36.0)]
    #[case::empty_blocks_say_nothing(&[(100.0, 15.0), (0.0, 0.0), (100.0, 5.0), (100.0, 15.0), (100.0, 5.0)], 4.0 / 3.0 * 100.0 / 36.0)]
    #[case::none_bad(&[(100.0, 0.0); 4], 1.0)]
    #[case::all_bad(&[(100.0, 100.0); 4], 1.0)]
    #[case::one_block(&[(100.0, 40.0)], 1.0)]
    #[case::no_blocks(&[], 1.0)]
    fn bursts_are_worth_less(#[case] counts: &[(f64, f64)], #[case] expected: f64) {
        assert!((design_effect(&blocks(counts)) - expected).abs() < 1e-9);
    }

    #[test]
    fn a_burst_makes_few_of_many() {
        // 40 of 400 in one block: worth 400 / 44.4 = 9 samples.
        let bursts = Sample { design_effect: 4.0 / 3.0 * 1200.0 / 36.0, ..sample(40.0, 400.0, 0.12) };
        assert_eq!(bursts.effective().round(), 9.0);
        assert_eq!(bursts.estimated(), Standing::TooFew { needed: 24 });
        assert_eq!(sample(40.0, 4000.0, 0.12).estimated(), Standing::Within);
    }

    // 20 bad ones in a fault of 100 requests, beside 1,900 of steady load with so many bad ones.
    #[rstest]
    // 1% of 2,000, whatever bursts they came in; the rest adds up to 1,900 · 2.7055/1,902.7.
    #[case::all_in_the_fault(0.0, 0.011, 1.0, "1.00% to 1.14%")]
    #[case::beyond_by_the_fault_alone(0.0, 0.009, 30.0, "Beyond")]
    #[case::within_with_it(0.0, 0.012, 1.0, "Within")]
    // 20 more of 1,900 are 0.73% to 1.51%: 13.9 and 28.8 of them, and the others.
    #[case::some_of_the_rest(20.0, 0.02, 1.0, "1.69% to 2.44%")]
    fn a_fault_within_a_window(
        #[case] rest: f64,
        #[case] allowed: f64,
        #[case] effect: f64,
        #[case] expected: &str,
    ) {
        let faults = Cell { total: 100.0, bad: 20.0 };
        let sample = Sample { faults, design_effect: effect, ..sample(20.0 + rest, 2000.0, allowed) };
        assert_eq!(words(sample.estimated()), expected);
    }

    // Of 1,000 requests 100 are a fault's, and these many of its are bad; 0.4% are allowed.
    #[rstest]
    // All that are allowed, and one: that so few are often chance says nothing of a fault.
    #[case::the_fault_alone(5.0, 5.0, "Beyond")]
    #[case::the_fault_within(4.0, 4.0, "0.40% to 0.67%")]
    // The one too many is not the fault's.
    #[case::one_of_the_rest(4.0, 5.0, "0.40% to 0.85%")]
    fn a_handful_in_a_fault(#[case] in_fault: f64, #[case] bad: f64, #[case] expected: &str) {
        let faults = Cell { total: 100.0, bad: in_fault };
        assert_eq!(words(Sample { faults, ..sample(bad, 1000.0, 0.004) }.estimated()), expected);
    }

    // Which of the fault's are bad is not known better than which of all are.
    #[rstest]
    #[case::surely(5.0, "Beyond")]
    #[case::perhaps(4.0, "Bucket")]
    fn a_handful_in_a_fault_and_a_bucket(#[case] least: f64, #[case] expected: &str) {
        let bad = Count { least, likely: 5.0, most: 6.0 };
        let faults = Cell { total: 100.0, bad: 5.0 };
        assert_eq!(words(Sample { bad, faults, ..sample(0.0, 1000.0, 0.004) }.estimated()), expected);
    }

    proptest! {
        #[test]
        fn more_bad_ones_never_help(total in 1u32..5000, bad in 0u32..5000, allowed in 0.0005f64..0.5) {
            prop_assume!(bad < total);
            let rank = |standing: Standing| match standing {
                Standing::Within => 0,
                Standing::Unclear { .. } | Standing::TooFew { .. } | Standing::Bucket => 1,
                Standing::Beyond => 2,
            };
            let of = |bad: u32| rank(sample(f64::from(bad), f64::from(total), allowed).estimated());
            prop_assert!(of(bad) <= of(bad + 1));
        }

        #[test]
        fn what_is_certain_agrees_with_what_was_counted(
            total in 1u32..5000, bad in 0u32..5000, allowed in 0.0005f64..0.5, effect in 1.0f64..20.0,
        ) {
            prop_assume!(bad <= total);
            let sample = Sample { design_effect: effect, ..sample(f64::from(bad), f64::from(total), allowed) };
            match sample.estimated() {
                Standing::Within => prop_assert_eq!(sample.counted(), Standing::Within),
                Standing::Beyond => prop_assert_eq!(sample.counted(), Standing::Beyond),
                _ => {}
            }
        }
    }
}
