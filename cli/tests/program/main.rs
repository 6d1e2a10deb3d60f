//! The program as it is run, against an API server that answers what each test says.

// Clippy allows unwrap in tests, and takes only what is marked as such for tests.
#[cfg(test)]
mod commands;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod support;
