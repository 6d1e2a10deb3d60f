//! Points at which a test may kill the process. Without the feature this is nothing at all.

/// Ends the process by SIGKILL's like, with nothing flushed and nothing told, if the environment variable
/// `LOADTEST_FAILPOINT` names this point and the file that `LOADTEST_FAILPOINT_ONCE` names does not exist yet.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    if std::env::var("LOADTEST_FAILPOINT").is_ok_and(|point| point == name) {
        if let Ok(path) = std::env::var("LOADTEST_FAILPOINT_ONCE")
            && std::fs::OpenOptions::new().write(true).create_new(true).open(path).is_err()
        {
            return;
        }
        std::process::abort();
    }
}

#[cfg(not(feature = "failpoints"))]
pub fn hit(_: &str) {}
