//! The keys of the ConfigMap in which a run is recorded.

/// The key of the record in its ConfigMap.
pub const RECORD_KEY: &str = "record.json.gz";

/// The key of the counts in the ConfigMap of the record, where the next run finds them.
pub const MATCHED_KEY: &str = "matched.json";
