//! Ready-made sets: indicators that are watched everywhere, over the metrics of the usual exporters.
//!
//! `SELECTOR` in a query stands where the guardrail's `selector` goes, in each of its selectors; a comma before it
//! goes with it where there is none. Every query gives one series, or none where the exporter has nothing to say.
//! The table in docs/guardrails.md is held against this one by a test.

use loadtest_crds::{Guardrail, GuardrailSet, text::LimitText};

/// One indicator of a set.
#[derive(Clone, Copy, Debug)]
pub struct Indicator {
    pub name: &'static str,
    /// What it says, in a few words.
    pub what: &'static str,
    pub query: &'static str,
    /// Beyond this it is a warning; some only have a critical limit.
    pub warn: Option<&'static str>,
    pub critical: &'static str,
    /// The critical limit is a drop from the usual value.
    pub is_drop: bool,
}

/// The indicators of a set.
#[must_use]
pub fn indicators(set: GuardrailSet) -> &'static [Indicator] {
    match set {
        GuardrailSet::Client => CLIENT,
        GuardrailSet::Node => NODE,
        GuardrailSet::Pod => POD,
        GuardrailSet::Postgres => POSTGRES,
        GuardrailSet::Redis => REDIS,
        GuardrailSet::Kafka => KAFKA,
        GuardrailSet::WebSocket => WEB_SOCKET,
    }
}

/// A set as guardrails: each indicator with the set's name in front, and the set's `for`, `suspendDuring` and
/// `onNoData`.
#[must_use]
pub fn members(set: GuardrailSet, guardrail: &Guardrail) -> Vec<Guardrail> {
    let selector = guardrail.selector.as_deref().unwrap_or_default().trim().trim_matches(',');
    indicators(set)
        .iter()
        .map(|indicator| {
            let limit: Option<LimitText> = Some(indicator.critical.into());
            let (at_most, drop_at_most) = if indicator.is_drop { (None, limit) } else { (limit, None) };
            Guardrail {
                name: format!("{}-{}", guardrail.name, indicator.name),
                query: Some(with_selector(indicator.query, selector)),
                at_most,
                drop_at_most,
                warn_above: indicator.warn.map(Into::into),
                for_: guardrail.for_.clone(),
                suspend_during: guardrail.suspend_during.clone(),
                on_no_data: guardrail.on_no_data,
                ..Guardrail::default()
            }
        })
        .collect()
}

fn with_selector(query: &str, selector: &str) -> String {
    if selector.is_empty() {
        query.replace(",SELECTOR", "").replace("{SELECTOR}", "")
    } else {
        query.replace("SELECTOR", selector)
    }
}

const fn indicator(
    name: &'static str,
    what: &'static str,
    query: &'static str,
    warn: &'static str,
    critical: &'static str,
) -> Indicator {
    Indicator { name, what, query, warn: Some(warn), critical, is_drop: false }
}

const CLIENT: &[Indicator] = &[
    indicator(
        "errors",
        "failed requests",
        r#"(sum(rate(k6_http_reqs_total{loadtest_run="{{run}}",expected_response="false",SELECTOR}[10s])) or vector(0)) / (sum(rate(k6_http_reqs_total{loadtest_run="{{run}}",SELECTOR}[10s])) > 0)"#,
        "1%",
        "5%",
    ),
    indicator(
        "p99",
        "99th percentile of the answered requests",
        r#"histogram_quantile(0.99, sum(rate(k6_http_req_duration_milliseconds{loadtest_run="{{run}}",expected_response="true",SELECTOR}[10s]))) / 1000"#,
        "200ms",
        "500ms",
    ),
    Indicator {
        name: "rate",
        what: "requests a second, against their median before",
        query: r#"sum(rate(k6_http_reqs_total{loadtest_run="{{run}}",SELECTOR}[10s]))"#,
        warn: None,
        critical: "50%",
        is_drop: true,
    },
];

const NODE: &[Indicator] = &[
    indicator(
        "cpu",
        "the busiest node",
        r#"max(1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle",SELECTOR}[1m])))"#,
        "70%",
        "90%",
    ),
    indicator(
        "memory",
        "the fullest node",
        "max(1 - node_memory_MemAvailable_bytes{SELECTOR} / node_memory_MemTotal_bytes{SELECTOR})",
        "70%",
        "85%",
    ),
    indicator(
        "disk-io",
        "time that the busiest disk works",
        "max(rate(node_disk_io_time_seconds_total{SELECTOR}[1m]))",
        "70%",
        "90%",
    ),
];

const POD: &[Indicator] = &[
    indicator(
        "cpu",
        "the container closest to its CPU limit",
        r#"max(sum by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{container!="",SELECTOR}[1m])) / (max by (namespace, pod, container) (kube_pod_container_resource_limits{resource="cpu",SELECTOR}) or max by (namespace, pod, container) ((container_spec_cpu_quota{container!="",SELECTOR} > 0) / container_spec_cpu_period{container!="",SELECTOR})))"#,
        "70%",
        "90%",
    ),
    indicator(
        "memory",
        "the container closest to its memory limit",
        r#"max(max by (namespace, pod, container) (container_memory_working_set_bytes{container!="",SELECTOR}) / (max by (namespace, pod, container) (kube_pod_container_resource_limits{resource="memory",SELECTOR}) or max by (namespace, pod, container) (container_spec_memory_limit_bytes{container!="",SELECTOR} > 0)))"#,
        "70%",
        "85%",
    ),
];

const POSTGRES: &[Indicator] = &[
    indicator(
        "connections",
        "connections in use",
        "max(sum by (instance, server) (pg_stat_activity_count{SELECTOR}) / max by (instance, server) (pg_settings_max_connections{SELECTOR}))",
        "80%",
        "95%",
    ),
    indicator(
        "query-time",
        "mean time of a statement",
        "(sum(rate(pg_stat_statements_seconds_total{SELECTOR}[1m])) or sum(rate(pg_stat_statements_total_time_seconds{SELECTOR}[1m]))) / ((sum(rate(pg_stat_statements_calls_total{SELECTOR}[1m])) or sum(rate(pg_stat_statements_calls{SELECTOR}[1m]))) > 0)",
        "100ms",
        "500ms",
    ),
    indicator(
        "replication-lag",
        "the replica furthest behind",
        r#"max({__name__=~"pg_replication_lag(_seconds)?",SELECTOR})"#,
        "1s",
        "5s",
    ),
];

const REDIS: &[Indicator] = &[
    indicator(
        "cpu",
        "CPU of the busiest instance, of one core",
        "max(rate(redis_cpu_user_seconds_total{SELECTOR}[1m]) + rate(redis_cpu_sys_seconds_total{SELECTOR}[1m]))",
        "70%",
        "90%",
    ),
    indicator(
        "memory",
        "the fullest instance, of maxmemory or of the machine",
        "max(redis_memory_used_bytes{SELECTOR} / ((redis_memory_max_bytes{SELECTOR} > 0) or redis_total_system_memory_bytes{SELECTOR}))",
        "70%",
        "85%",
    ),
    indicator(
        "connections",
        "clients, of maxclients",
        "max(redis_connected_clients{SELECTOR} / (redis_config_maxclients{SELECTOR} or redis_max_clients{SELECTOR}))",
        "80%",
        "95%",
    ),
];

const KAFKA: &[Indicator] = &[indicator(
    "lag",
    "messages that the slowest consumer group is behind on a topic",
    "max(sum by (consumergroup, topic) (kafka_consumergroup_lag{SELECTOR}))",
    "1000",
    "5000",
)];

const WEB_SOCKET: &[Indicator] = &[
    indicator(
        "connections",
        "connections, of the most that an instance takes",
        "max(gateway_connections_active{SELECTOR} / gateway_connections_max{SELECTOR})",
        "80%",
        "95%",
    ),
    indicator(
        "queue",
        "messages that wait to be sent",
        "sum(gateway_message_queue_depth{SELECTOR})",
        "1000",
        "5000",
    ),
    indicator(
        "heartbeats",
        "heartbeats that failed",
        "sum(rate(gateway_heartbeat_failures_total{SELECTOR}[1m])) / (sum(rate(gateway_heartbeats_total{SELECTOR}[1m])) > 0)",
        "1%",
        "5%",
    ),
];
