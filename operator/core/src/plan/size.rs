//! How large a spec may be, so that its status fits beside it where both are kept.

use std::io;

use loadtest_crds::LoadTestSpec;
use serde::Serialize;

/// The largest spec. What else may be in the object: as much again in annotations and managed fields, and the status.
pub const LARGEST_SPEC: usize = 512 << 10;

/// A spec that leaves no room for a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the spec takes {} KiB where it is kept, and may take {} KiB, so that the status fits beside it: put scripts and long \
     values into ConfigMaps (script.configMap, valueFrom.configMapKeyRef), or make several LoadTests of it",
    .0.div_ceil(1024),
    LARGEST_SPEC >> 10
)]
pub struct SpecTooLarge(usize);

/// Checks that a spec leaves room for a status.
///
/// # Errors
/// [`SpecTooLarge`] says by how much.
pub fn check(spec: &LoadTestSpec) -> Result<(), SpecTooLarge> {
    let bytes = stored_bytes(spec);
    if bytes > LARGEST_SPEC { Err(SpecTooLarge(bytes)) } else { Ok(()) }
}

/// How much something takes in etcd: JSON as the API server writes it, where `<`, `>` and `&` take six bytes each.
#[must_use]
pub fn stored_bytes(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let escaped = bytes.iter().filter(|byte| matches!(byte, b'<' | b'>' | b'&')).count();
            self.0 += bytes.len() + 5 * escaped;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written takes as much room as there is none for.
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}
