//! The API as users meet it, tried on a real API server: what it accepts, what it refuses and in which words,
//! and what the chart's roles allow. Needs a cluster: `make test` brings one up.
//!
//! `cases` holds one line per accepted or refused spec; `rules` runs them and sees that no rule is left out;
//! `bounds` derives a violation from every bound in the schema.

mod bounds;
mod cases;
mod changes;
mod chart;
mod examples;
mod rules;
mod schema;
mod server;
mod shown;
