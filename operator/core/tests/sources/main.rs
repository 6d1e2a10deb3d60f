//! What the sources and their papers keep to, beyond what the compiler sees.
//!
//! - `rooms`: data flows one way through the core
//! - `messages`: what people read is written for people
//! - `docs`: papers name only files that exist

#[cfg(test)]
mod docs;
#[cfg(test)]
mod files;
#[cfg(test)]
mod house;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod rooms;
