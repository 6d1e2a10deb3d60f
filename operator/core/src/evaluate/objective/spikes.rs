//! Whether a figure was the same throughout: single cells of 5 s that stand out of steady load.
//!
//! A run of ten minutes may be within its limits although the system stood still for five seconds twice: a share
//! over ten minutes hides that. A cell is a spike when it is beyond its limit for certain, with at least two bad
//! requests, and far from the usual: by more than six standard deviations, estimated from the median of the
//! distances to the median (MAD), which single cells do not move.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::Spike;

use crate::{
    evaluate::{
        objective::{
            against::Against,
            cells::{Share, ShareCells},
        },
        windows::{Window, context::Context},
    },
    k6::question::Asks,
    numbers::{
        confidence::{Cell, wilson},
        limit::{percent, whole},
        median::median,
    },
    plan::objective::ObjectivePlan,
    prometheus::ask::Answers,
};

/// With fewer cells nothing is usual.
const FEWEST_CELLS: usize = 6;
/// Of a normal distribution the standard deviation is 1.4826 times the MAD.
const DISTANCE: f64 = 6.0 * 1.4826;
/// So close together two of them make a run unstable.
const TOGETHER: SignedDuration = SignedDuration::from_mins(10);

/// More than these are not listed.
const MOST: usize = 20;

/// The cells of one objective.
#[derive(Debug)]
pub struct SpikeProbe {
    pub objective: usize,
    cells: ShareCells,
    /// Those in steady load.
    numbers: Vec<usize>,
}

impl SpikeProbe {
    /// Asks for the cells of an objective; `None` where there are none, and for one of faults alone, whose limit says
    /// nothing about steady load.
    #[must_use]
    pub fn ask(
        index: usize,
        objective: &ObjectivePlan,
        steady: &Window,
        context: &Context,
        asks: &mut Asks,
    ) -> Option<Self> {
        if objective.windows.iter().all(|kind| kind.is_of_fault()) {
            return None;
        }
        let grid = context.cells?;
        let numbers: Vec<usize> = grid.within(&context.reads(steady)).collect();
        if numbers.len() < FEWEST_CELLS {
            return None;
        }
        let share = Share::of(objective)?;
        Some(Self { objective: index, cells: ShareCells::ask(&share, grid, context, asks), numbers })
    }

    /// The spikes. Cells that cannot be read have none: what is missing shows in the objective itself.
    #[must_use]
    pub fn find(&self, objective: &ObjectivePlan, answers: &Answers) -> Vec<Spike> {
        let all = self.cells.read(answers).ok().flatten().unwrap_or_default();
        let against = Against::of(objective);
        let counted = |number: &usize| {
            against.counted(all.get(*number).copied().unwrap_or_default().cell(|bad| bad.likely))
        };
        let steady: Vec<Cell> = self.numbers.iter().map(counted).collect();
        let (found, usual) = outstanding(&steady, against.allowed);
        let spike = |number: usize| Spike {
            at: Some(MicroTime(self.cells.grid.start(self.numbers[number]))),
            seconds: i64::try_from(self.cells.grid.step.as_secs()).unwrap_or(0),
            share: percent(steady[number].bad / steady[number].total),
            usual: percent(usual),
            samples: whole(steady[number].total),
        };
        found.into_iter().take(MOST).map(spike).collect()
    }
}

/// The cells that stand out, by their numbers, with the share of the usual cell. `allowed` is the share of bad ones
/// that the limit allows.
#[must_use]
pub fn outstanding(cells: &[Cell], allowed: f64) -> (Vec<usize>, f64) {
    let shares: Vec<f64> = cells.iter().filter(|c| c.total > 0.5).map(|c| c.bad / c.total).collect();
    if shares.len() < FEWEST_CELLS {
        return (Vec::new(), 0.0);
    }
    let usual = median(shares.iter().copied()).unwrap_or(0.0);
    let spread = median(shares.iter().map(|share| (share - usual).abs())).unwrap_or(0.0);
    let stands_out = |cell: &Cell| {
        cell.bad > 1.5
            && wilson(cell.bad / cell.total, cell.total).0 > allowed
            && cell.bad / cell.total > usual + DISTANCE * spread
    };
    let found = cells.iter().enumerate().filter(|(_, cell)| cell.total > 0.5 && stands_out(cell));
    (found.map(|(number, _)| number).collect(), usual)
}

/// True when there were two spikes within ten minutes. Two cells side by side are one, which may lie across their
/// boundary, and several objectives that show the same moment are one as well.
#[must_use]
pub fn unstable<'a>(spikes: impl Iterator<Item = &'a Spike>) -> bool {
    let mut cells: Vec<(Timestamp, i64)> =
        spikes.filter_map(|spike| Some((spike.at.as_ref()?.0, spike.seconds))).collect();
    cells.sort_unstable();
    cells.dedup();
    let mut apart: Vec<(Timestamp, i64)> = Vec::new();
    for (at, seconds) in cells {
        let beside = apart
            .last()
            .is_some_and(|(last, length)| at.duration_since(*last) <= SignedDuration::from_secs(*length));
        if !beside {
            apart.push((at, seconds));
        }
    }
    apart.windows(2).any(|pair| pair[1].0.duration_since(pair[0].0) <= TOGETHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn cells(bad: &[f64]) -> Vec<Cell> {
        bad.iter().map(|bad| Cell { total: 100.0, bad: *bad }).collect()
    }

    // Cells of 100 requests, of which 5 may be bad.
    #[rstest]
    #[case::quiet(&[0.0; 12], &[])]
    #[case::one_stands_out(&[0.0, 0.0, 0.0, 40.0, 0.0, 0.0, 0.0], &[3])]
    #[case::within_its_limit(&[0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0], &[])]
    // The lower end for 9 of 100 is 5.3%, for 8 of 100 4.6%.
    #[case::beyond_it_for_certain(&[0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0], &[3])]
    #[case::beyond_it_perhaps(&[0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0], &[])]
    // Median 10%, MAD 2%: usual up to 10 + 6 · 1.4826 · 2 = 27.8%.
    #[case::no_worse_than_usual(&[8.0, 12.0, 10.0, 27.0, 8.0, 12.0, 10.0, 8.0, 12.0], &[])]
    #[case::worse_than_usual(&[8.0, 12.0, 10.0, 28.0, 8.0, 12.0, 10.0, 8.0, 12.0], &[3])]
    #[case::too_few_cells(&[0.0, 0.0, 40.0, 0.0, 0.0], &[])]
    fn cells_that_stand_out(#[case] bad: &[f64], #[case] expected: &[usize]) {
        assert_eq!(outstanding(&cells(bad), 0.05).0, expected);
    }

    #[test]
    fn a_single_bad_request_is_no_spike() {
        let one = |bad: f64| {
            let mut cells = vec![Cell { total: 25.0, bad: 0.0 }; 12];
            cells[4].bad = bad;
            outstanding(&cells, 0.001).0
        };
        assert!(one(1.0).is_empty());
        assert_eq!(one(2.0), [4]);
    }

    fn spike(second: i64) -> Spike {
        let at = Timestamp::from_second(1_700_000_000 + second).unwrap();
        Spike { at: Some(MicroTime(at)), seconds: 5, ..Spike::default() }
    }

    #[rstest]
    #[case::none(&[], false)]
    #[case::one(&[5], false)]
    #[case::one_seen_by_two_objectives(&[5, 5], false)]
    #[case::one_across_a_boundary(&[5, 10], false)]
    #[case::three_in_a_row(&[5, 10, 15], true)]
    #[case::two(&[5, 15], true)]
    #[case::two_in_any_order(&[605, 5], true)]
    #[case::far_apart(&[5, 606], false)]
    fn two_within_ten_minutes(#[case] found: &[i64], #[case] expected: bool) {
        let spikes: Vec<Spike> = found.iter().map(|second| spike(*second)).collect();
        assert_eq!(unstable(spikes.iter()), expected);
    }
}
