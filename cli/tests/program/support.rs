//! A server in place of a cluster's, and the program run against it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub const RUNS: &str = "/apis/loadtest.dev/v1alpha1/namespaces/loadtests/loadtests";

pub const MAPS: &str = "/api/v1/namespaces/loadtests/configmaps";
pub const PODS: &str = "/api/v1/namespaces/loadtests/pods";

pub struct Cluster {
    pub server: MockServer,
    pub kubeconfig: PathBuf,
}

impl Cluster {
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        let kubeconfig = kubeconfig(&server.uri(), server.address().port());
        Self { server, kubeconfig }
    }

    pub async fn answers(&self, verb: &str, at: &str, answer: ResponseTemplate) {
        Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(&self.server).await;
    }

    /// Lists, but not watches.
    pub async fn lists(&self, runs: Value) {
        let body = json!({"kind": "LoadTestList", "apiVersion": "loadtest.dev/v1alpha1", "metadata": {"resourceVersion": "1"}, "items": runs});
        Mock::given(method("GET"))
            .and(path(RUNS))
            .and(query_param_is_missing("watch"))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&self.server)
            .await;
    }

    pub async fn run(&self, line: &str) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-loadtest"));
        command.args(line.split(' ')).arg("--kubeconfig").arg(&self.kubeconfig);
        // The server answers while the program runs.
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        output.into()
    }
}

pub fn kubeconfig(url: &str, unique: u16) -> PathBuf {
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "loadtests"}}],
        "users": [{"name": "test", "user": {}}],
    });
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kubeconfig-{unique}.yaml"));
    std::fs::write(&path, text.to_string()).unwrap();
    path
}

pub struct Answer {
    code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Answer {
    #[track_caller]
    pub fn is(&self, code: i32, words: &[&str]) {
        let Self { out, err, .. } = self;
        assert_eq!(self.code, code, "\n{out}\n{err}");
        for word in words {
            assert!(out.contains(word) || err.contains(word), "{word:?} is missing in\n{out}\n{err}");
        }
    }
}

pub fn run_object(name: &str, phase: &str, verdict: Option<&str>) -> Value {
    json!({
        "apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest",
        "metadata": {"name": name, "namespace": "loadtests", "uid": "1", "resourceVersion": "1"},
        "spec": {"prometheus": "main", "scenarios": [{"name": "a", "script": {"inline": "x"}}]},
        "status": {"phase": phase, "verdict": verdict, "message": "as the operator says", "acceptedAt": "2026-08-01T10:00:00.000000Z"},
    })
}

/// The owner of what belongs to the run with this uid.
pub fn owner(uid: &str) -> Value {
    json!({"apiVersion": "loadtest.dev/v1alpha1", "kind": "LoadTest", "name": "chat", "uid": uid})
}

pub fn refusal(code: u16, reason: &str, message: &str, details: Value) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message, "details": details,
    }))
}

pub fn no_such_run(name: &str) -> ResponseTemplate {
    refusal(404, "NotFound", &format!("loadtests.loadtest.dev \"{name}\" not found"), json!({"name": name}))
}

pub fn manifest(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yaml"));
    let text = format!(
        "apiVersion: loadtest.dev/v1alpha1\nkind: LoadTest\nmetadata: {{name: {name}}}\nspec: {{prometheus: main}}\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
