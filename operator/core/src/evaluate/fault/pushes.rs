//! Whether k6's pushes came in time after a fault. What a late push brings counts in the cell in which it comes, and not
//! in that in which it happened: then nothing that stands on these cells is known.

use std::time::Duration;

use crate::{
    evaluate::{
        fault::scene::Scene,
        objective::pushes::{came_late, unknown},
        windows::grid::Grid,
    },
    prometheus::ask::Answers,
};

/// How old the last push was of the runner whose last push was the oldest, as each cell begins and as the last ends.
#[derive(Debug)]
pub(super) struct Pushes<'a> {
    scene: &'a Scene<'a>,
    ages: Result<Vec<Duration>, String>,
}

impl<'a> Pushes<'a> {
    pub(super) fn read(asked: usize, grid: Grid, scene: &'a Scene<'_>, answers: &Answers) -> Self {
        let ages = answers.matrix(asked).map(|series| {
            let mut ages = vec![Duration::ZERO; grid.len() + 1];
            for (at, age) in series.iter().flat_map(|(_, points)| points) {
                if let (Some(index), Ok(age)) = (grid.index(*at), Duration::try_from_secs_f64(*age)) {
                    ages[index] = age;
                }
            }
            ages
        });
        Self { scene, ages }
    }

    fn is_late(&self, age: &Duration) -> bool {
        *age > self.scene.resolution()
    }

    /// Why nothing is known that stands on so many cells.
    pub(super) fn doubt(&self, cells: usize) -> Option<String> {
        let ages = match &self.ages {
            Ok(ages) => ages,
            Err(why) => return Some(unknown(why)),
        };
        let oldest = ages.iter().take(cells.saturating_add(1)).max()?;
        self.is_late(oldest).then(|| came_late(*oldest))
    }

    /// So many cells had all of their requests before the first late push: of the last one in time it is known that it
    /// brought what was older than a cell and a push.
    pub(super) fn heard_of(&self) -> usize {
        let ages = self.ages.as_deref().unwrap_or_default();
        let in_time = ages.iter().position(|age| self.is_late(age)).unwrap_or(0).saturating_sub(1);
        in_time.saturating_sub(self.scene.cells(self.scene.resolution()))
    }
}
