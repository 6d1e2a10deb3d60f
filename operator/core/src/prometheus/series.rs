//! Raw samples of counters, and points of a range query: what they say about a window.

use std::collections::BTreeMap;

use crate::numbers::median::median;

/// One sample: seconds since the epoch, and its value.
pub type Point = (f64, f64);

/// How a window lies between the scrapes at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every event of the window, and at most one scrape interval's events at either end besides.
    Whole,
    /// No event from outside the window; at most one scrape interval's events at either end are left out.
    Inside,
}

/// What a counter gained in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Increase {
    /// Between samples of the window.
    pub events: f64,
    /// What its series had counted when they began, and what they counted across a hole: all of it in the window, or all
    /// of it before. Nothing tells.
    pub perhaps: f64,
    /// Scrapes within the window.
    pub scrapes: usize,
}

/// What is known of a series beside its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// It was at zero before its first sample.
    pub from_zero: bool,
    /// Samples that are further apart than so many seconds have a hole between them.
    pub hole: f64,
}

/// The gain of one counter series from `from` to `to`, in seconds since the epoch. The samples are in order
/// and reach back to before the window, where there were any.
///
/// A series may begin with what it counted in all its life: one that first appears, unless it is known to come from zero,
/// and one whose value falls, which was set back to zero or to something else. Nothing is extrapolated, so the result is
/// what was counted between scrapes.
#[must_use]
pub fn increase(samples: &[Point], from: f64, to: f64, coverage: Coverage, known: Known) -> Increase {
    let samples: Vec<Point> = samples.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let scrapes = samples.iter().filter(|(at, _)| *at > from && *at <= to).count();
    let mut all = Increase { scrapes, ..Increase::default() };
    let existed = samples.first().is_some_and(|(at, _)| *at <= from);
    let base = match coverage {
        _ if !existed => None,
        Coverage::Whole => samples.iter().rposition(|(at, _)| *at <= from),
        Coverage::Inside => samples.iter().position(|(at, _)| *at >= from),
    };
    if existed && base.is_none() {
        return all;
    }
    let end = match coverage {
        Coverage::Whole => {
            samples.iter().position(|(at, _)| *at >= to).unwrap_or(samples.len().saturating_sub(1))
        }
        Coverage::Inside => match samples.iter().rposition(|(at, _)| *at <= to) {
            Some(end) => end,
            None => return all,
        },
    };
    let born_late = !existed && samples.first().is_none_or(|(at, _)| *at > to);
    if born_late {
        return all;
    }
    if base.is_none() {
        all.gain(samples[0].1, known.from_zero);
    }
    for pair in samples.get(base.unwrap_or(0)..=end).unwrap_or_default().windows(2) {
        let [before, after] = [pair[0], pair[1]];
        if after.1 < before.1 {
            all.gain(after.1, false);
        } else {
            let from_before = before.0 < from && after.0 - before.0 > known.hole;
            all.gain(after.1 - before.1, !from_before);
        }
    }
    all
}

impl Increase {
    fn gain(&mut self, events: f64, is_certain: bool) {
        if is_certain {
            self.events += events;
        } else {
            self.perhaps += events;
        }
    }
}

/// The gains of several series together. Their scrapes are those of the series that has the most: pods come
/// and go.
#[must_use]
pub fn increase_of_all<'a>(
    series: impl Iterator<Item = (&'a [Point], Known)>,
    from: f64,
    to: f64,
    coverage: Coverage,
) -> Increase {
    let gains = series.map(|(samples, known)| increase(samples, from, to, coverage, known));
    gains.fold(Increase::default(), |all, one| Increase {
        events: all.events + one.events,
        perhaps: all.perhaps + one.perhaps,
        scrapes: all.scrapes.max(one.scrapes),
    })
}

/// Seconds between two samples of the series that is sampled most often, in the middle of its own; `None` where none
/// has two.
#[must_use]
pub fn sampled_every<'a>(series: impl Iterator<Item = &'a [Point]>) -> Option<f64> {
    let middle = |samples: &[Point]| {
        let mut gaps: Vec<f64> = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        gaps.sort_unstable_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    };
    series.filter_map(middle).filter(|every| *every > 0.0).min_by(f64::total_cmp)
}

/// What all series together gained in each of the stretches from one time to the next, a gain at the scrape that shows
/// it. So the good and all events of one scrape fall into the same stretch.
#[must_use]
pub fn gained_between<'a>(series: impl Iterator<Item = &'a [Point]>, times: &[f64]) -> Vec<f64> {
    let mut gained = vec![0.0; times.len().saturating_sub(1)];
    for samples in series {
        let finite: Vec<Point> = samples.iter().copied().filter(|(_, value)| value.is_finite()).collect();
        for pair in finite.windows(2) {
            let (at, value) = pair[1];
            let gain = if value >= pair[0].1 { value - pair[0].1 } else { value };
            let after = times.partition_point(|time| *time < at);
            if let Some(stretch) = after.checked_sub(1).and_then(|number| gained.get_mut(number)) {
                *stretch += gain;
            }
        }
    }
    gained
}

/// The median of the slopes between all pairs of points, a second (Theil 1950, Sen 1968); `None` for less than two
/// moments. Single peaks do not move it.
#[must_use]
pub fn theil_sen(points: &[Point]) -> Option<f64> {
    // Of more points, each so many-th: the pairs grow with the square.
    let every = points.len().div_ceil(MOST_POINTS).max(1);
    let points: Vec<Point> = points.iter().copied().step_by(every).collect();
    let slopes = points
        .iter()
        .enumerate()
        .flat_map(|(i, a)| points[i + 1..].iter().map(move |b| (b.1 - a.1) / (b.0 - a.0)));
    median(slopes.filter(|slope| slope.is_finite()))
}

const MOST_POINTS: usize = 500;

pub type Labels = BTreeMap<String, String>;

/// One series with its points, in order of time.
pub type Series = (Labels, Vec<Point>);

/// One value of an instant query, with its time.
pub type Value = (Labels, f64, f64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    // A scrape every 2 s; the counter gains 10 between scrapes.
    const STEADY: [Point; 6] =
        [(0.0, 100.0), (2.0, 110.0), (4.0, 120.0), (6.0, 130.0), (8.0, 140.0), (10.0, 150.0)];
    // Restarts between 4 s and 6 s.
    const RESTART: [Point; 6] =
        [(0.0, 100.0), (2.0, 110.0), (4.0, 120.0), (6.0, 3.0), (8.0, 13.0), (10.0, 23.0)];
    // Born between 4 s and 6 s.
    const BORN: [Point; 3] = [(6.0, 7.0), (8.0, 17.0), (10.0, 27.0)];

    const ZERO: Known = Known { from_zero: true, hole: 10.0 };
    const UNKNOWN: Known = Known { from_zero: false, hole: 10.0 };
    // Not there from 2 s on, until 20 s.
    const HOLE: [Point; 4] = [(0.0, 100.0), (2.0, 110.0), (20.0, 200.0), (22.0, 210.0)];

    #[rstest]
    #[case::on_the_scrapes(&STEADY, 2.0, 8.0, Coverage::Whole, 30.0, 3)]
    #[case::between_them_whole(&STEADY, 3.0, 7.0, Coverage::Whole, 30.0, 2)]
    #[case::between_them_inside(&STEADY, 3.0, 7.0, Coverage::Inside, 10.0, 2)]
    #[case::born_in_the_window(&BORN, 2.0, 8.0, Coverage::Whole, 17.0, 2)]
    #[case::born_in_the_window_inside(&BORN, 2.0, 9.0, Coverage::Inside, 17.0, 2)]
    #[case::born_after_it(&BORN, 1.0, 5.0, Coverage::Whole, 0.0, 0)]
    #[case::gone_before_it(&STEADY, 20.0, 30.0, Coverage::Whole, 0.0, 0)]
    #[case::gone_before_it_inside(&STEADY, 20.0, 30.0, Coverage::Inside, 0.0, 0)]
    #[case::died_in_it(&STEADY, 6.0, 30.0, Coverage::Whole, 20.0, 2)]
    #[case::nothing_at_all(&[], 0.0, 10.0, Coverage::Whole, 0.0, 0)]
    fn gains_that_can_be_counted_on_paper(
        #[case] samples: &[Point],
        #[case] from: f64,
        #[case] to: f64,
        #[case] coverage: Coverage,
        #[case] events: f64,
        #[case] scrapes: usize,
    ) {
        let gained = Increase { events, perhaps: 0.0, scrapes };
        assert_eq!(increase(samples, from, to, coverage, ZERO), gained);
    }

    #[rstest]
    #[case::known_to_come_from_zero(&BORN, (2.0, 8.0), ZERO, 17.0, 0.0)]
    #[case::nobody_knows(&BORN, (2.0, 8.0), UNKNOWN, 10.0, 7.0)]
    #[case::there_before_the_window(&BORN, (6.0, 8.0), UNKNOWN, 10.0, 0.0)]
    // To zero, or to what was saved of it.
    #[case::set_back(&RESTART, (2.0, 8.0), ZERO, 20.0, 3.0)]
    #[case::gone_as_the_window_begins(&HOLE, (10.0, 22.0), ZERO, 10.0, 90.0)]
    #[case::gone_within_it(&HOLE, (1.0, 22.0), ZERO, 110.0, 0.0)]
    #[case::scraped_so_rarely(&HOLE, (10.0, 22.0), Known { hole: 60.0, ..ZERO }, 100.0, 0.0)]
    fn what_a_series_begins_with_may_be_older_than_the_window(
        #[case] samples: &[Point],
        #[case] (from, to): (f64, f64),
        #[case] known: Known,
        #[case] events: f64,
        #[case] perhaps: f64,
    ) {
        let gained = increase(samples, from, to, Coverage::Whole, known);
        assert_eq!((gained.events, gained.perhaps), (events, perhaps));
    }

    /// A history of one counter: what it gained before each scrape, and whether it restarted just after the
    /// scrape before, losing nothing.
    fn histories() -> impl Strategy<Value = Vec<(u32, bool)>> {
        prop::collection::vec((0u32..50, prop::bool::weighted(0.2)), 1..40)
    }

    #[rstest]
    #[case::as_often_as_the_one_that_is_most(vec![STEADY.to_vec(), vec![(0.0, 1.0), (5.0, 1.0)]], Some(2.0))]
    #[case::with_one_gap(vec![vec![(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (30.0, 1.0)]], Some(1.0))]
    #[case::one_sample(vec![vec![(0.0, 1.0)]], None)]
    #[case::nothing(vec![], None)]
    fn samples_every(#[case] series: Vec<Vec<Point>>, #[case] expected: Option<f64>) {
        assert_eq!(sampled_every(series.iter().map(Vec::as_slice)), expected);
    }

    #[rstest]
    #[case::a_line(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)], Some(2.0))]
    #[case::flat(&[(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)], Some(0.0))]
    // Slopes -96, 1, 1, 1, 49.5 and 98: the peak does not count.
    #[case::a_peak(&[(0.0, 1.0), (1.0, 2.0), (2.0, 100.0), (3.0, 4.0)], Some(1.0))]
    #[case::a_peak_among_many(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 90.0), (4.0, 4.0), (5.0, 5.0), (6.0, 6.0)], Some(1.0))]
    #[case::falling(&[(0.0, 6.0), (2.0, 2.0)], Some(-2.0))]
    #[case::one_point(&[(0.0, 6.0)], None)]
    #[case::one_moment(&[(1.0, 6.0), (1.0, 7.0)], None)]
    fn slopes(#[case] points: &[Point], #[case] expected: Option<f64>) {
        assert_eq!(theil_sen(points), expected);
    }

    #[test]
    fn a_gain_belongs_to_the_scrape_that_shows_it() {
        let times = [1.0, 4.0, 7.0, 10.0];
        let gained = |samples: &[Point]| gained_between(std::iter::once(samples), &times);
        // Scrapes at 2 and 4, at 6, and at 8 and 10.
        assert_eq!(gained(&STEADY), [20.0, 10.0, 20.0]);
        assert_eq!(gained(&RESTART), [20.0, 3.0, 20.0]);
        assert_eq!(gained(&BORN), [0.0, 0.0, 20.0]);
        assert_eq!(gained_between(std::iter::empty(), &[]), Vec::<f64>::new());
    }

    proptest! {
        #[test]
        fn equals_the_true_count(
            history in histories(), born in 0usize..20, from in 0usize..40, length in 1usize..40,
        ) {
            // The scrape with number n is at second n. The counter is at zero before its first scrape.
            let mut value = 0.0;
            let mut previous = 0.0;
            let mut samples: Vec<Point> = Vec::new();
            let mut truth = 0.0;
            let (from, to) = (from as f64, (from + length) as f64);
            for (n, (gain, restart)) in history.iter().enumerate() {
                let at = (born + n) as f64;
                let gain = f64::from(*gain);
                // A restart can only be seen where the value falls.
                value = if *restart && gain < previous { gain } else { value + gain };
                previous = value;
                samples.push((at, value));
                if at > from && at <= to {
                    truth += gain;
                }
            }
            for coverage in [Coverage::Whole, Coverage::Inside] {
                let gained = increase(&samples, from, to, coverage, ZERO);
                prop_assert_eq!(gained.events + gained.perhaps, truth);
            }
        }

        #[test]
        fn whole_is_never_less_than_inside(
            history in histories(), from in 0.0f64..30.0, length in 0.5f64..30.0,
        ) {
            let mut value = 0.0;
            let samples: Vec<Point> = history.iter().enumerate().map(|(n, (gain, restart))| {
                value = if *restart { f64::from(*gain) } else { value + f64::from(*gain) };
                (n as f64, value)
            }).collect();
            let whole = increase(&samples, from, from + length, Coverage::Whole, ZERO);
            let inside = increase(&samples, from, from + length, Coverage::Inside, ZERO);
            prop_assert!(whole.events >= inside.events && whole.perhaps >= inside.perhaps);
        }
    }
}
