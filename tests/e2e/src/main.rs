//! Whole runs on a real cluster. Needs a cluster with images and CRD: `make test-e2e`.
//!
//! Each test has namespaces and an operator of its own (see `test_support::stage`), so they run side by side.
//!
//! - `refused`: what is found out before the load, and ends in Error
//! - `judged`: loads that ran and are no pass
//! - `ended`: stop and deletion in any phase
//! - `together`: several runs, users who edit, several operators
//! - `restarted`: an operator that dies at the worst moments; each fault happens once
//! - `trust`: the same healthy test again and again, and a Prometheus that is away
//! - `guardrails`: what ends a load, and what it lacked; thresholds of scripts
//! - `sets`: the ready-made sets of guardrails, asked of real exporters
//! - `large`: as much as a LoadTest may hold, and more
//! - `power`: rights that are not there
//! - `figures`: counts against the servers' own ledger
//! - `replayed`: judged again from the record, and against earlier runs; metrics that are gone
//! - `outage`: what a fault did, against the clock and the ledger
//! - `watched`: what happens to the system under test in mid-run
//! - `heavy`: runs that are heavy to evaluate, and innocent ones beside them
//! - `unaggregated`: objectives whose queries give thousands of series, and an operator that dies of judging
//! - `lost`: pods that several faults want, and pods that do not come again
//! - `failover`: the example, shortened

#[cfg(test)]
mod ended;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod guardrails;
#[cfg(test)]
mod heavy;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod large;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod power;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod replayed;
#[cfg(test)]
mod restarted;
#[cfg(test)]
mod sets;
#[cfg(test)]
mod spec;
#[cfg(test)]
mod together;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod unaggregated;
#[cfg(test)]
mod watched;
