//! What a fault's recovery and its harm are measured in: cells from the injection on.

use std::time::Duration;

use jiff::Timestamp;

/// A fault and the cells after it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub injected: Timestamp,
    /// The length of a cell.
    pub step: Duration,
    pub push: Duration,
    /// For how many cells after the injection the asked load stays as it was; `None` where that is not known.
    pub flat_cells: Option<usize>,
    /// In which cell as many pods as before were ready again; `None` where that never came.
    pub ready: Option<usize>,
    /// What ended the cells, as in `load ended`.
    pub end: &'static str,
    /// The fault before this one that may still have been felt.
    pub felt: Option<&'a str>,
}

impl Scene<'_> {
    /// How finely anything is known that happened in a cell.
    #[must_use]
    pub fn resolution(&self) -> Duration {
        self.step + self.push
    }

    /// How long so many cells last.
    #[must_use]
    pub fn time(&self, cells: usize) -> Duration {
        self.step * u32::try_from(cells).unwrap_or(u32::MAX)
    }

    /// How many cells a length of time takes.
    #[must_use]
    pub fn cells(&self, length: Duration) -> usize {
        let cells = length.as_millis().div_ceil(self.step.as_millis().max(1));
        usize::try_from(cells).unwrap_or(usize::MAX)
    }

    /// `, with kill-dbman still felt`, where it was.
    pub(crate) fn still_felt(&self) -> String {
        self.felt.map(|fault| format!(", with {fault} still felt")).unwrap_or_default()
    }
}

pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// Says something more.
pub(crate) fn add(message: &mut Option<String>, text: &str) {
    message.get_or_insert_default().push_str(text);
}
