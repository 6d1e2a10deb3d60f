//! The metrics that k6 has by itself. What is not among them is the script's own.

/// By so much the buckets of its histograms grow: 2^⅛.
pub const BUCKET: f64 = 1.090_507_732_665_257_7;

/// What a metric of k6 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Trend that measures time. It arrives in milliseconds, under a name that ends so; of a Trend of the script only
    /// its name in the store tells.
    Time,
    Counter,
    Gauge,
    /// k6 calls it a Rate.
    Share,
}

const BUILT_IN: [(&str, Kind); 35] = [
    ("http_req_duration", Kind::Time),
    ("http_req_blocked", Kind::Time),
    ("http_req_connecting", Kind::Time),
    ("http_req_tls_handshaking", Kind::Time),
    ("http_req_sending", Kind::Time),
    ("http_req_waiting", Kind::Time),
    ("http_req_receiving", Kind::Time),
    ("iteration_duration", Kind::Time),
    ("group_duration", Kind::Time),
    ("ws_connecting", Kind::Time),
    ("ws_session_duration", Kind::Time),
    ("ws_ping", Kind::Time),
    ("grpc_req_duration", Kind::Time),
    ("browser_http_req_duration", Kind::Time),
    ("browser_web_vital_fcp", Kind::Time),
    ("browser_web_vital_fid", Kind::Time),
    ("browser_web_vital_inp", Kind::Time),
    ("browser_web_vital_lcp", Kind::Time),
    ("browser_web_vital_ttfb", Kind::Time),
    ("browser_dom_content_loaded", Kind::Time),
    ("http_reqs", Kind::Counter),
    ("iterations", Kind::Counter),
    ("dropped_iterations", Kind::Counter),
    ("data_sent", Kind::Counter),
    ("data_received", Kind::Counter),
    ("ws_sessions", Kind::Counter),
    ("ws_msgs_sent", Kind::Counter),
    ("ws_msgs_received", Kind::Counter),
    ("grpc_streams", Kind::Counter),
    ("grpc_streams_msgs_sent", Kind::Counter),
    ("grpc_streams_msgs_received", Kind::Counter),
    ("vus", Kind::Gauge),
    ("vus_max", Kind::Gauge),
    ("http_req_failed", Kind::Share),
    ("checks", Kind::Share),
];

/// What k6 itself measures under this name; `None` for a metric of the script.
#[must_use]
pub fn built_in(metric: &str) -> Option<Kind> {
    BUILT_IN.iter().find(|(name, _)| *name == metric).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http_req_duration", Some(Kind::Time))]
    #[case("http_reqs", Some(Kind::Counter))]
    #[case("grpc_streams_msgs_received", Some(Kind::Counter))]
    #[case("vus", Some(Kind::Gauge))]
    #[case("checks", Some(Kind::Share))]
    #[case("orders", None)]
    #[case("http_req", None)]
    fn what_k6_measures_by_itself(#[case] metric: &str, #[case] kind: Option<Kind>) {
        assert_eq!(built_in(metric), kind);
    }

    #[test]
    fn no_metric_is_of_two_kinds() {
        let names: BTreeSet<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), BUILT_IN.len());
    }
}
