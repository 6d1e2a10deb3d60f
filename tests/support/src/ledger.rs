//! The account that target-app's servers keep of every request, which owes nothing to k6 or Prometheus.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use crate::{crd::http_get, stage::Stage};

/// Requests by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answered with a status below 400.
    pub ok: i64,
    /// Answered with 400 or more.
    pub failed: i64,
    /// The client went away before the answer.
    pub aborted: i64,
}

impl Tally {
    #[must_use]
    pub fn total(self) -> i64 {
        self.ok + self.failed + self.aborted
    }

    #[must_use]
    pub fn bad(self) -> i64 {
        self.failed + self.aborted
    }
}

impl Stage {
    /// What all chat pods together have counted under a request name from one Unix time in milliseconds to another.
    /// Both are widened to whole 100 ms.
    ///
    /// # Panics
    /// When a pod does not answer.
    pub async fn ledger(&self, name: &str, from: i64, to: i64) -> Tally {
        let mut tally = Tally::default();
        for pod in self.chat_pods().await {
            let path = self.proxy(&pod, &format!("debug/ledger?from={from}&to={to}"));
            let answer: Value = self
                .client
                .request(http_get(&path))
                .await
                .unwrap_or_else(|error| panic!("the ledger of {pod} cannot be read: {error}"));
            for line in answer["routes"].as_array().into_iter().flatten() {
                if line["name"] == name {
                    let count = |outcome: &str| line[outcome].as_i64().unwrap_or_default();
                    tally.ok += count("ok");
                    tally.failed += count("failed");
                    tally.aborted += count("aborted");
                }
            }
        }
        tally
    }

    /// Makes a share of the requests of a route fail in every chat pod; 0 ends it.
    ///
    /// # Panics
    /// When a pod does not answer.
    pub async fn fail_route(&self, route: &str, ratio: f64) {
        self.disturb(&json!({"route": route, "ratio": ratio})).await;
    }

    /// Makes every chat pod answer a route so much later; 0 ends it.
    ///
    /// # Panics
    /// When a pod does not answer.
    pub async fn delay_route(&self, route: &str, milliseconds: u64) {
        self.disturb(&json!({"route": route, "delay_ms": milliseconds})).await;
    }

    async fn disturb(&self, fault: &Value) {
        for pod in self.chat_pods().await {
            let body = fault.to_string().into_bytes();
            let request = http::Request::post(self.proxy(&pod, "debug/fail"))
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body)
                .unwrap_or_else(|error| panic!("{error}"));
            let answer = self.client.request_text(request).await;
            assert!(answer.is_ok(), "{pod} does not take the fault: {answer:?}");
        }
    }

    fn proxy(&self, pod: &str, path: &str) -> String {
        format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/{path}", self.targets)
    }

    async fn chat_pods(&self) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.targets);
        let chats = pods.list(&ListParams::default().labels("app=chat")).await;
        let chats: Vec<String> = chats
            .unwrap_or_else(|error| panic!("failed to list the chat pods: {error}"))
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        assert!(!chats.is_empty(), "there is no chat pod in {}", self.targets);
        chats
    }
}
