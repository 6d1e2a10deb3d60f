//! A hash that is the same in every process. Not for secrets.

/// FNV-1a.
#[must_use]
pub fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    /// As its authors give them.
    #[test]
    fn known_values() {
        assert_eq!(super::fnv(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(super::fnv(*b"foobar"), 0x8594_4171_f739_67e8);
    }
}
