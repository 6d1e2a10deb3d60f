//! The language of Prometheus, and its answers.

pub mod ask;
pub mod expression;
pub mod histogram;
pub mod promql;
pub mod room;
pub mod series;
pub mod template;
pub mod wire;
