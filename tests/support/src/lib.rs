//! What the suites share: the cluster, namespaces of their own, programs such as kubectl, and waiting.
//!
//! Nothing here skips: a suite without a cluster fails, and says how to get one.

pub mod audit;
pub mod cluster;
pub mod crd;
pub mod install;
pub mod ledger;
pub mod lone;
pub mod namespace;
pub mod operator;
pub mod program;
pub mod proxy;
pub mod runs;
pub mod stage;
pub mod wait;

pub use cluster::{client, client_as, config};
pub use crd::install_crd;
pub use namespace::{Namespace, in_namespace};
pub use program::{kubectl, program, run, run_with_input};
pub use wait::eventually;
