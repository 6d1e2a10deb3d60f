//! The API as users meet it, tried on a real API server: what it accepts, what it refuses and in which words,
//! and what the chart's roles allow. Needs a cluster: `make test` brings one up.
//!
//! `cases` holds one line per accepted or refused spec; `rules` runs them and sees that no rule is left out;
//! `bounds` derives a violation from every bound in the schema.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod server;
#[cfg(test)]
mod shown;
