//! How much of what Prometheus answers a run may keep: the operator has little memory, and many runs.
//!
//! Answers are kept until the run is recorded. What has no room any more is no answer: its figure has no data, and says
//! what to do about it.

use crate::prometheus::{
    ask::{Answer, RequestKind},
    histogram::Bucket,
    series::Labels,
};

/// All answers of a run together take no more than this in memory. Most runs need much less: they are judged with little
/// room, several at once, and one that needs more is judged again with all of it.
pub const MOST_BYTES: usize = 32 << 20;
pub const LITTLE_BYTES: usize = 5 << 20;
/// A single answer.
pub const MOST_OF_ONE: usize = 8 << 20;
/// This much is left to answers that are small: those about the load itself, which every run needs, are.
const LEFT_TO_SMALL: usize = 2 << 20;
const SMALL: usize = 64 << 10;
/// What is asked for at many times has few series, or it says nothing of the system as a whole.
pub const MOST_SERIES: usize = 200;

/// What is left for the answers of one run.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    most: usize,
    left: usize,
    overfull: bool,
}

impl Room {
    #[must_use]
    pub fn little() -> Self {
        Self { most: LITTLE_BYTES, left: LITTLE_BYTES, overfull: false }
    }

    #[must_use]
    pub fn whole() -> Self {
        Self { most: MOST_BYTES, left: MOST_BYTES, overfull: false }
    }

    /// More room would help.
    #[must_use]
    pub fn is_too_little(&self) -> bool {
        self.overfull && self.most < MOST_BYTES
    }

    /// The answer as far as there is room for it.
    #[must_use]
    pub fn keep(&mut self, kind: RequestKind, answer: Answer) -> Answer {
        if let (RequestKind::Range { .. }, Some(series)) = (kind, series(&answer))
            && series > MOST_SERIES
        {
            return Answer::Failed(too_many());
        }
        let bytes = answer.bytes();
        let left = if bytes > SMALL { self.left.saturating_sub(LEFT_TO_SMALL) } else { self.left };
        if bytes > left {
            self.overfull = true;
            return Answer::Failed(format!(
                "the answers of a run may take {} MiB together, and this one has no room any more: aggregate the \
                 queries, as in sum(…), or narrow their selectors",
                MOST_BYTES >> 20
            ));
        }
        self.left -= bytes;
        answer
    }

    /// How much has been taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.most - self.left
    }
}

/// Said of an answer to a question about many times that has more series than are read.
#[must_use]
pub fn too_many() -> String {
    format!("it gives more than {MOST_SERIES} series: wrap it in sum(), max() or min(), so that it gives one")
}

/// Said of an answer that takes too much by itself.
#[must_use]
pub fn too_large(series: usize) -> String {
    format!(
        "its answer, with {series} series, takes more than {} MiB: aggregate the query, as in sum(…), or narrow its \
         selectors",
        MOST_OF_ONE >> 20
    )
}

fn series(answer: &Answer) -> Option<usize> {
    match answer {
        Answer::Vector(series) => Some(series.len()),
        Answer::Matrix(series) => Some(series.len()),
        Answer::Histograms(series) => Some(series.len()),
        Answer::Rules(_) | Answer::Failed(_) => None,
    }
}

impl Answer {
    /// How much memory it takes, within some percent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let in_vector = |labels: &Labels| VECTOR + bytes_of_labels(labels);
        match self {
            Self::Vector(series) => series.iter().map(|(labels, ..)| in_vector(labels)).sum(),
            Self::Matrix(series) => {
                series.iter().map(|(labels, points)| bytes_of_series(labels, points.len())).sum()
            }
            Self::Histograms(series) => {
                let of_points = |points: &[(f64, _)]| -> usize {
                    points.iter().map(|(_, histogram)| bytes_of_histogram(histogram)).sum()
                };
                series.iter().map(|(labels, points)| in_vector(labels) + of_points(points)).sum()
            }
            Self::Rules(rules) => size_of_val(rules.as_slice()),
            Self::Failed(why) => BLOCK + why.len(),
        }
    }
}

/// What an allocator needs besides, and loses to rounding.
const BLOCK: usize = 16;
/// A series in its list, with a value or a list of them.
const VECTOR: usize = 48 + BLOCK;
/// Labels are kept in nodes of eleven, each a name and a value.
const NODE: usize = 11 * 2 * size_of::<String>() + BLOCK * 2;
const PER_NODE: usize = 11;

/// A series of so many points.
#[must_use]
pub fn bytes_of_series(labels: &Labels, points: usize) -> usize {
    VECTOR + bytes_of_labels(labels) + points * size_of::<(f64, f64)>()
}

#[must_use]
pub fn bytes_of_labels(labels: &Labels) -> usize {
    let texts: usize = labels.iter().map(|(name, value)| name.len() + value.len() + 2 * BLOCK).sum();
    // Nodes of larger maps may be half full.
    let nodes =
        if labels.len() <= PER_NODE { labels.len().min(1) } else { labels.len().div_ceil(PER_NODE / 2) };
    nodes * NODE + texts
}

fn bytes_of_histogram(histogram: &crate::prometheus::histogram::Histogram) -> usize {
    bytes_of_buckets(histogram.buckets.len())
}

/// A histogram of so many buckets, with its time.
#[must_use]
pub fn bytes_of_buckets(buckets: usize) -> usize {
    size_of::<(f64, crate::prometheus::histogram::Histogram)>() + BLOCK + buckets * size_of::<Bucket>()
}

#[cfg(test)]
mod tests;
