//! Whether the load store takes what k6 sends: tried with one histogram, before anything starts, and looked for where the
//! figures are read.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_core::{
    k6::queries,
    prometheus::ask::{Answer, short},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Metric, ResourceMetrics,
        ScopeMetrics, exponential_histogram_data_point::Buckets, metric::Data,
    },
    resource::v1::Resource,
};
use prost::Message;
use reqwest::header::CONTENT_TYPE;
use tokio::time::{Instant, sleep};

use crate::{error::chain, prometheus::Prometheus};

/// A series of it is in the store for each run that was checked.
const NAME: &str = "k6_load_store_probe";
/// A store may take a moment until it shows what it was given.
const SHOWN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// Why the figures of a run would be lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{url} cannot be reached: {why}")]
    Unreachable { url: String, why: String },
    #[error("{url} answers {code} to what k6 would send ({said}): {advice}")]
    Refused { url: String, code: u16, said: String, advice: &'static str },
    #[error(
        "{url} took a histogram, and {} s later {query_url} had none: see whether loadStore.queryURL reads what \
         loadStore.writeURL writes, and whether the store keeps native histograms and the resource attribute {} as a label",
        SHOWN.as_secs(), queries::RUN
    )]
    NotShown { url: String, query_url: String },
    #[error("the load store {url} does not answer: {why}")]
    Silent { url: String, why: String },
}

impl StoreError {
    /// The reason in the status.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => "LoadStoreUnreachable",
            Self::Refused { .. } => "LoadStoreRefuses",
            Self::NotShown { .. } => "LoadStoreLoses",
        }
    }
}

/// Writes one sample for a run, and reads it.
pub async fn prove(url: &str, store: &Prometheus, run: &str) -> Result<(), StoreError> {
    store
        .check()
        .await
        .map_err(|error| StoreError::Silent { url: store.base().to_owned(), why: error.to_string() })?;
    let sent = store
        .http()
        .post(url)
        .header(CONTENT_TYPE, "application/x-protobuf")
        .timeout(SHOWN)
        .body(probe(run, Timestamp::now()).encode_to_vec())
        .send()
        .await;
    let answer = sent.map_err(|error| StoreError::Unreachable { url: url.to_owned(), why: chain(&error) })?;
    let code = answer.status();
    if !code.is_success() {
        let said = short(&answer.text().await.unwrap_or_default());
        return Err(StoreError::Refused {
            url: url.to_owned(),
            code: code.as_u16(),
            advice: advice(code.as_u16(), &said),
            said,
        });
    }
    let query = format!("histogram_count({NAME}{{{}=\"{run}\"}})", queries::RUN);
    let begun = Instant::now();
    loop {
        if let Ok(Answer::Vector(found)) = store.query(&query).await
            && !found.is_empty()
        {
            return Ok(());
        }
        if begun.elapsed() > SHOWN {
            return Err(StoreError::NotShown { url: url.to_owned(), query_url: store.base().to_owned() });
        }
        sleep(POLL).await;
    }
}

fn advice(code: u16, said: &str) -> &'static str {
    match code {
        401 | 403 => "let the runners write without credentials: they have none to give",
        _ if said.contains("histograms are disabled") => {
            "switch native histograms on, in Prometheus by --enable-feature=native-histograms"
        }
        404 | 405 => {
            "write the path at which the store takes OTLP metrics, in Prometheus /api/v1/otlp/v1/metrics with \
             --web.enable-otlp-receiver"
        }
        _ => "see the log of the store",
    }
}

/// One observation of one second, in a histogram as k6 sends them.
fn probe(run: &str, at: Timestamp) -> ExportMetricsServiceRequest {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let nanoseconds = u64::try_from(at.as_nanosecond()).unwrap_or_default();
    let point = ExponentialHistogramDataPoint {
        start_time_unix_nano: nanoseconds,
        time_unix_nano: nanoseconds,
        count: 1,
        sum: Some(1.0),
        positive: Some(Buckets { offset: -1, bucket_counts: vec![1] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let histogram = ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
    };
    let metric = Metric {
        name: NAME.to_owned(),
        data: Some(Data::ExponentialHistogram(histogram)),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("service.name", "loadtest-operator"), text(queries::RUN, run)],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
}
