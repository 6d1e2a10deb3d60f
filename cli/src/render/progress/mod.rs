//! A run while it goes on: one block that a terminal redraws, or lines for a log.
//!
//! [`standing`] words what the status says at a point of time, [`meter`] adds the pace of the load, and [`block`] and
//! [`lines`] lay both out.

pub mod block;
pub mod lines;
pub mod meter;
pub mod standing;

#[cfg(test)]
mod tests;
