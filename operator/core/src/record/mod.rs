//! The record of a run: everything that its verdict was decided from, so that [`crate::record::replay`] decides it again
//! from the record alone. JSON, compressed with gzip, kept in a ConfigMap beside the LoadTest.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use loadtest_crds::{LoadTest, LoadTestStatus};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    evaluate::windows::context::Settings, k6::question::Asked, numbers::limit::count, record::cells::Cells,
    verdict::ground::Facts,
};

pub mod cells;
pub mod replay;

/// Raised when a record of before can no longer be read, or would be judged otherwise.
pub const VERSION: u32 = 4;
/// A ConfigMap holds 1 MiB.
pub const MOST_BYTES: usize = 900_000;
/// No record is as large as this once it is decompressed.
const MOST_READ: u64 = 256 << 20;

/// One run, as far as its verdict goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub version: u32,
    /// The LoadTest, with its status as it was before the judgement.
    pub test: LoadTest,
    pub facts: Facts,
    /// How the figures were asked for, and all that was answered.
    #[serde(serialize_with = "serialize_shared", deserialize_with = "deserialize_shared")]
    pub evidence: Arc<Evidence>,
    /// The requests second by second, for what nobody asked at the time.
    #[serde(default)]
    pub cells: Option<Cells>,
    /// What does not fit into the record, in words.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// The status as the judgement made it.
    pub judged: LoadTestStatus,
}

/// What Prometheus said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub settings: Settings,
    pub asked: Vec<Asked>,
    /// They have a place of their own in the record, since they may not fit into it.
    #[serde(skip, default = "elsewhere")]
    pub cells: Result<Cells, String>,
}

/// A record but for the LoadTest's spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Before the judgement.
    pub status: LoadTestStatus,
    pub facts: Facts,
    pub evidence: Arc<Evidence>,
    /// After it.
    pub judged: LoadTestStatus,
}

/// Why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("it is not the record of a run: {0}")]
    Unreadable(String),
    #[error(
        "it is of version {0}, and this program reads version {VERSION}: use the program of the operator's version"
    )]
    Version(u32),
    #[error("failed to compress it: {0}")]
    Compress(#[from] std::io::Error),
    #[error("failed to write it as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it takes {0} bytes, and a ConfigMap holds {MOST_BYTES}")]
    TooLarge(usize),
}

fn folded(names: u64) -> String {
    let names = count(i64::try_from(names).unwrap_or(i64::MAX));
    format!("request names: there were {names}, and it does not tell them apart")
}

fn elsewhere() -> Result<Cells, String> {
    Err("they are beside the evidence".to_owned())
}

fn serialize_shared<S: Serializer>(evidence: &Evidence, serializer: S) -> Result<S::Ok, S::Error> {
    evidence.serialize(serializer)
}

fn deserialize_shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Evidence>, D::Error> {
    Evidence::deserialize(deserializer).map(Arc::new)
}

/// A status as it is read back from where it was written: times end at the microsecond. What is judged now and what
/// is judged again must not differ in what lies beyond.
#[must_use]
pub fn as_written(status: &LoadTestStatus) -> LoadTestStatus {
    let read = serde_json::to_value(status).and_then(serde_json::from_value);
    read.unwrap_or_else(|_| status.clone())
}

impl Record {
    /// Puts a record together. Of the object, only what matters is taken.
    #[must_use]
    pub fn new(object: &LoadTest, draft: &Draft) -> Self {
        let mut test = LoadTest { status: Some(draft.status.clone()), ..object.clone() };
        test.metadata.managed_fields = None;
        test.metadata.annotations = None;
        test.metadata.finalizers = None;
        Self {
            version: VERSION,
            test,
            facts: draft.facts.clone(),
            evidence: draft.evidence.clone(),
            cells: draft.evidence.cells.clone().ok(),
            left_out: match &draft.evidence.cells {
                Ok(cells) => cells.folded.iter().map(|names| folded(*names)).collect(),
                Err(why) => vec![format!("the cells: {why}")],
            },
            judged: draft.judged.clone(),
        }
    }

    /// The record as it is kept. Where it is larger than that allows, the cells are left out.
    ///
    /// # Errors
    /// When it cannot be written, or is larger without them too.
    pub fn write(mut self, most: usize) -> Result<Vec<u8>, RecordError> {
        let mut bytes = self.compressed()?;
        if bytes.len() > most && self.cells.take().is_some() {
            self.left_out = vec!["the cells: the ConfigMap has no room for them".to_owned()];
            bytes = self.compressed()?;
        }
        if bytes.len() > most { Err(RecordError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    fn compressed(&self) -> Result<Vec<u8>, RecordError> {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut compressed, self)?;
        compressed.flush()?;
        Ok(compressed.finish()?)
    }

    /// Reads a record, compressed or not.
    ///
    /// # Errors
    /// When it is none, or one of another version.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let unreadable = |error: &dyn std::error::Error| RecordError::Unreadable(error.to_string());
        let mut text = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut unpacked = GzDecoder::new(bytes).take(MOST_READ);
            unpacked.read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        } else {
            text.extend_from_slice(bytes);
        }
        let head: Head = serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
        if head.version != VERSION {
            return Err(RecordError::Version(head.version));
        }
        serde_json::from_slice(&text).map_err(|error| unreadable(&error))
    }
}

#[cfg(test)]
mod tests;
