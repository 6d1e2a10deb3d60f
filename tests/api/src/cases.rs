//! What is accepted and what is refused, one line per case.

mod judging;

use serde_json::Value;

use crate::server::{fault, merged, objective, runner, scenario, spec, target, yaml};

/// A spec, and a part of the message that refuses it.
pub struct Case {
    pub spec: Value,
    pub refused: Option<&'static str>,
}

fn accepts(spec: Value) -> Case {
    Case { spec, refused: None }
}

fn rejects(spec: Value, message: &'static str) -> Case {
    Case { spec, refused: Some(message) }
}

pub fn all() -> Vec<Case> {
    [
        whole(),
        scenarios(),
        scripts(),
        variables(),
        arguments(),
        runners(),
        faults(),
        targets(),
        figures(),
        limits(),
        guardrails(),
        judging::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn whole() -> Vec<Case> {
    let kill = fault("{}");
    let with = |fields: &str| merged(kill.clone(), yaml(fields));
    vec![
        accepts(spec("{}")),
        accepts(spec("stop: true")),
        accepts(kill.clone()),
        accepts(spec("{faults: [], objectives: [], verdict: {onNoData: Fail, maxMisses: 0}}")),
        accepts(spec("prometheus: staging-2")),
        rejects(spec("prometheus: http://prometheus:9090"), "write the name of an endpoint"),
        rejects(spec("scenarios: []"), "should have at least 1 items"),
        rejects(spec("scenarios: null"), "spec.scenarios: Required value"),
        rejects(with("serviceAccountName: null"), "set serviceAccountName to one that may delete"),
        rejects(with("serviceAccountName: ../pods/a"), "write the name of a service account"),
        rejects(
            with(
                "{objectives: [], faults: [{name: kill, at: 1s, podKill: {}, target: {selector: {matchLabels: {app: a}}}}]}",
            ),
            "needs at least one k6 objective",
        ),
        rejects(
            with("objectives: [{name: success, query: up, atMost: '5'}]"),
            "recovery.of names what is no k6 objective",
        ),
        rejects(
            with("objectives: [{name: other, k6: {metric: http_req_failed}, atMost: 1%}]"),
            "recovery.of names what is no k6 objective",
        ),
        accepts(spec("objectives: [{name: a, k6: {metric: http_req_failed, scenario: chat}, atMost: 1%}]")),
        rejects(
            spec("objectives: [{name: a, k6: {metric: http_req_failed, scenario: probe}, atMost: 1%}]"),
            "k6.scenario names a scenario that is not in",
        ),
        rejects(
            spec("objectives: [{name: a, query: up, atMost: '1', windows: [Fault]}]"),
            "but there are no faults",
        ),
        rejects(
            spec("objectives: [{name: a, query: up, atMost: '1', windows: [Run, Recovery]}]"),
            "but there are no faults",
        ),
        accepts(objective("{query: up, atMost: '1', windows: [Run, Steady, Fault, Recovery]}")),
        rejects(
            with(
                "{faults: [{name: kill, at: 1s, podKill: {}, target: {selector: {matchLabels: {app: a}}}}], objectives: [{name: success, k6: {metric: http_req_failed}, atMost: 1%, windows: [Recovery]}]}",
            ),
            "no fault has a recovery",
        ),
        rejects(
            spec("scenarios: [{name: a, script: {inline: x}}, {name: a, script: {inline: x}}]"),
            "Duplicate value",
        ),
        rejects(
            with("objectives: [{name: a, query: up, atMost: '1'}, {name: a, query: up, atMost: '1'}]"),
            "Duplicate value",
        ),
        rejects(spec("verdict: {onNoData: Pass}"), "supported values: \"Inconclusive\", \"Fail\""),
    ]
}

fn scenarios() -> Vec<Case> {
    vec![
        accepts(scenario("{vus: 500, duration: 10m, parallelism: 4}")),
        accepts(scenario("{vus: 4, duration: 1m30s, parallelism: 4}")),
        rejects(scenario("vus: 10"), "vus and duration go together"),
        rejects(scenario("duration: 10m"), "vus and duration go together"),
        rejects(scenario("{vus: 3, duration: 10m, parallelism: 4}"), "more runner pods than virtual users"),
        rejects(scenario("{parallelism: 2, arguments: [--rps=50]}"), "k6 does not share out rps"),
        rejects(scenario("{parallelism: 2, arguments: [--rps, '50']}"), "k6 does not share out rps"),
        rejects(
            scenario("{parallelism: 2, env: [{name: K6_RPS, value: '50'}]}"),
            "k6 does not share out rps",
        ),
        accepts(scenario("{parallelism: 2, arguments: [--http-debug], env: [{name: RPS, value: '50'}]}")),
        accepts(scenario("{env: [{name: K6_RPS, value: '50'}]}")),
        rejects(scenario("{vus: 3, duration: 0s}"), "a load of no length"),
        rejects(scenario("{vus: 3, duration: 0.0m}"), "a load of no length"),
        accepts(scenario("{vus: 3, duration: 168h}")),
        rejects(scenario("{vus: 3, duration: 169h}"), "at most 168h"),
        rejects(scenario("{vus: 3, duration: 999999999h}"), "at most 168h"),
        rejects(scenario("{vus: 3, duration: 999999999h1m}"), "at most 168h"),
        rejects(scenario("{vus: 3, duration: 10 minutes}"), "write a length of time with its units"),
        rejects(scenario("{vus: 3, duration: '90'}"), "write a length of time with its units"),
        rejects(scenario("{vus: 3, duration: 1d}"), "write a length of time with its units"),
        rejects(
            scenario("{vus: 3, duration: 90}"),
            "spec.scenarios[0].duration in body must be of type string",
        ),
        rejects(
            scenario("{vus: many, duration: 90s}"),
            "spec.scenarios[0].vus in body must be of type integer",
        ),
        accepts(scenario("name: a")),
        accepts(scenario("name: chat-2")),
        rejects(scenario("name: Chat"), "use lower-case letters, digits and '-'"),
        rejects(scenario("name: chat_2"), "use lower-case letters, digits and '-'"),
        rejects(scenario("name: chat-"), "use lower-case letters, digits and '-'"),
    ]
}

fn scripts() -> Vec<Case> {
    vec![
        accepts(script("inline: 'export default function () {}'")),
        accepts(script("persistentVolumeClaim: {claimName: scripts, path: a/..b/chat.js}")),
        accepts(script("image: {path: /scripts/chat.js}")),
        rejects(script("{}"), "write exactly one of configMap, inline, persistentVolumeClaim or image"),
        rejects(script("{inline: x, image: {path: /a.js}}"), "write exactly one of configMap, inline"),
        rejects(script("{inline: null}"), "write exactly one of configMap, inline"),
        accepts(script("configMap: {name: chat, key: _chat-1.test.js}")),
        rejects(script("configMap: {name: chat, key: a/chat.js}"), "a key has letters, digits"),
        rejects(script("configMap: {name: chat}"), "script.configMap.key: Required value"),
        rejects(script("configMap: {name: ../pods/a, key: a.js}"), "write the name of a ConfigMap"),
        rejects(
            script("persistentVolumeClaim: {claimName: scripts, path: /chat.js}"),
            "remove the leading '/'",
        ),
        rejects(script("persistentVolumeClaim: {claimName: scripts, path: a/../../chat.js}"), "remove '..'"),
        rejects(script("image: {path: chat.js}"), "write the absolute path in the image"),
        accepts(script(&format!("inline: {}", "x".repeat(200_000)))),
        accepts(inline_scripts(2)),
        rejects(inline_scripts(3), "inline scripts take at most 400,000 characters together"),
    ]
}

/// So many scenarios with the longest script beside one that is read from a ConfigMap.
fn inline_scripts(scripts: usize) -> Value {
    let text = "x".repeat(200_000);
    let inline = (0..scripts).map(|n| format!("{{name: s{n}, script: {{inline: {text}}}}}"));
    let other = "{name: other, script: {configMap: {name: chat, key: chat.js}}}".to_owned();
    let all: Vec<String> = [other].into_iter().chain(inline).collect();
    spec(&format!("scenarios: [{}]", all.join(", ")))
}

fn variables() -> Vec<Case> {
    let env = |fields: &str| scenario(&format!("env: [{fields}]"));
    vec![
        accepts(env("{name: BASE_URL, value: 'http://chat.msg-server:8080'}")),
        accepts(env("{name: EMPTY}")),
        accepts(env("{name: _P1, valueFrom: {secretKeyRef: {name: smoke, key: password}}}")),
        accepts(env("{name: URL, valueFrom: {configMapKeyRef: {name: smoke, key: url}}}")),
        accepts(env("{name: K6_VUS, value: '10'}")),
        accepts(env("{name: K6_PROMETHEUS_RW_USERNAME, value: k6}")),
        rejects(env("{name: BASE-URL, value: x}"), "the name of a variable has letters"),
        rejects(env("{name: 1ST, value: x}"), "the name of a variable has letters"),
        rejects(env("{name: A, value: 8080}"), "env[0].value in body must be of type string"),
        rejects(
            env("{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}"),
            "write value or valueFrom, not both",
        ),
        rejects(env("{name: A, valueFrom: {}}"), "write exactly one of secretKeyRef or configMapKeyRef"),
        rejects(
            env(
                "{name: A, valueFrom: {secretKeyRef: {name: s, key: k}, configMapKeyRef: {name: s, key: k}}}",
            ),
            "write exactly one of secretKeyRef or configMapKeyRef",
        ),
        rejects(
            env("{name: K6_VUS, valueFrom: {secretKeyRef: {name: s, key: k}}}"),
            "K6_VUS and K6_DURATION take a plain value",
        ),
        rejects(env("{name: K6_ITERATIONS, value: '10'}"), "the operator sets this k6 option itself"),
        rejects(env("{name: K6_LOG_OUTPUT, value: none}"), "the operator sets this k6 option itself"),
        rejects(env("{name: A}, {name: A}"), "Duplicate value"),
    ]
}

fn arguments() -> Vec<Case> {
    let arguments = |list: &str| scenario(&format!("arguments: [{list}]"));
    vec![
        accepts(arguments("--http-debug, --tag=team=chat, --tag, shift=night, -w, --dns, 'ttl=0'")),
        accepts(arguments("--insecure-skip-tls-verify, --user-agent=unified/1, --discard-response-bodies")),
        rejects(arguments("--vus=10"), "the load is not set by arguments"),
        rejects(arguments("--duration, 10m"), "the load is not set by arguments"),
        rejects(arguments("-u, '10'"), "the load is not set by arguments"),
        rejects(arguments("-qi10"), "the load is not set by arguments"),
        rejects(arguments("-e, A=b"), "variables are not set by arguments"),
        rejects(arguments("--env=A=b"), "variables are not set by arguments"),
        rejects(arguments("--out=json"), "the operator sets this k6 argument itself"),
        rejects(arguments("-o, json"), "the operator sets this k6 argument itself"),
        rejects(arguments("--execution-segment=0:1/2"), "the operator sets this k6 argument itself"),
        rejects(arguments("--system-tags, url"), "the operator sets this k6 argument itself"),
        rejects(arguments("--log-output=none"), "the operator sets this k6 argument itself"),
        rejects(arguments("--tag=testid=1"), "are the operator's own"),
        rejects(arguments("--tag, loadtest_runner=1"), "are the operator's own"),
        accepts(arguments("--tag, runner=1")),
        accepts(arguments("--rps=50")),
    ]
}

fn runners() -> Vec<Case> {
    vec![
        accepts(runner(
            "{image: 'registry.example/k6:1', imagePullPolicy: Always, imagePullSecrets: [registry]}",
        )),
        accepts(runner("{requests: {cpu: 500m, memory: 256Mi}, limits: {memory: 1Gi}}")),
        accepts(runner("{requests: {cpu: 2}}")),
        rejects(runner("{requests: {memory: 256MB}}"), "write a quantity, as in 500m"),
        rejects(runner("{limits: {cpu: half}}"), "write a quantity, as in 500m"),
        rejects(
            runner("imagePullPolicy: Sometimes"),
            "supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        rejects(runner("imagePullSecrets: [a, a]"), "Duplicate value"),
        accepts(runner("startTimeout: 90s")),
        rejects(runner("startTimeout: 0s"), "no runner is ready at once"),
        rejects(runner("runAsUser: 0"), "should be greater than or equal to 1"),
        accepts(runner(
            "{nodeSelector: {pool: load}, tolerations: [{key: load, operator: Equal, value: 'yes', effect: NoSchedule}, {operator: Exists}]}",
        )),
        rejects(runner("tolerations: [{operator: In}]"), "supported values: \"Equal\", \"Exists\""),
        rejects(
            runner("tolerations: [{operator: Exists, effect: Never}]"),
            "supported values: \"NoSchedule\"",
        ),
        rejects(runner("tolerations: [{value: a}]"), "a toleration without a key tolerates every taint"),
        rejects(runner("tolerations: [{key: a, operator: Exists, value: b}]"), "Exists takes no value"),
    ]
}

fn faults() -> Vec<Case> {
    vec![
        accepts(fault("{at: 0s, podKill: {gracePeriodSeconds: 30}}")),
        accepts(fault("recovery: null")),
        accepts(fault("recovery: {of: [success], within: 1m30s, hold: 0s}")),
        rejects(fault("podKill: null"), "say what the fault does"),
        rejects(null_in_fault("podKill"), "say what the fault does"),
        rejects(fault("podKill: {gracePeriodSeconds: -1}"), "should be greater than or equal to 0"),
        rejects(fault("at: null"), "spec.faults[0].at: Required value"),
        rejects(fault("at: 30 s"), "write a length of time with its units"),
        rejects(fault("name: Kill dbman"), "use lower-case letters, digits and '-'"),
        rejects(fault("recovery: {of: [], within: 5m}"), "should have at least 1 items"),
        rejects(fault("recovery: {of: [success, success]}"), "Duplicate value"),
        rejects(fault("recovery: {within: 0s}"), "nothing recovers in no time"),
    ]
}

fn targets() -> Vec<Case> {
    let pick = |fields: &str| target(&format!("pick: {fields}"));
    let expression = |fields: &str| target(&format!("selector: {{matchExpressions: [{fields}]}}"));
    vec![
        accepts(target("{namespace: msg-server, allowNoReady: true}")),
        rejects(target("namespace: Msg_Server"), "a namespace has lower-case letters"),
        rejects(target("selector: null"), "spec.faults[0].target.selector: Required value"),
        rejects(target("selector: {matchLabels: null}"), "an empty selector would match every pod"),
        // What people write first: labels without matchLabels. kubectl names the unknown field as well.
        rejects(target("selector: {matchLabels: null, app: dbman}"), "write matchLabels, as in {app: dbman}"),
        accepts(target("selector: {matchLabels: {app.kubernetes.io/name: db_man-1.2, tier: ''}}")),
        rejects(
            target("selector: {matchLabels: {app: 'a,role=b'}}"),
            "`a,role=b`: the value of a label has letters, digits",
        ),
        rejects(
            expression("{key: app, operator: In, values: [a, 'b),role in (c']}"),
            "the value of a label has letters, digits",
        ),
        rejects(expression("{key: '!app', operator: Exists}"), "write the key of a label"),
        rejects(expression("{key: 'app,role', operator: Exists}"), "write the key of a label"),
        accepts(expression("{key: app.kubernetes.io/name, operator: Exists}")),
        accepts(expression("{key: app, operator: In, values: [a, b]}")),
        accepts(expression("{key: app, operator: Exists}")),
        rejects(expression("{key: app, operator: NotIn}"), "In and NotIn need values"),
        rejects(
            expression("{key: app, operator: Exists, values: [a]}"),
            "Exists and DoesNotExist take no values",
        ),
        rejects(
            expression("{key: app, operator: Equals, values: [a]}"),
            "supported values: \"In\", \"NotIn\"",
        ),
        accepts(pick("{count: 2}")),
        accepts(pick("{percent: 50}")),
        accepts(pick("{all: true}")),
        rejects(pick("{}"), "write exactly one of count, percent or all"),
        rejects(pick("{count: 1, percent: 50}"), "write exactly one of count, percent or all"),
        rejects(pick("{all: false}"), "all takes true"),
        rejects(pick("{percent: 50%}"), "pick.percent in body must be of type integer"),
        rejects(pick("{percent: 101}"), "should be less than or equal to 100"),
    ]
}

fn figures() -> Vec<Case> {
    vec![
        accepts(objective(
            "{k6: {metric: http_req_failed, tags: {name: SendMessage}}, atMost: 0.1%, key: true, onNoData: Fail}",
        )),
        accepts(objective(
            "{k6: {metric: http_req_duration, percentile: 95}, atMost: 300ms, warnAbove: 250ms}",
        )),
        accepts(objective("{k6: {metric: my_trend, percentile: 99.9}, atMost: 1.5s}")),
        accepts(objective("{ratio: {good: 'a{status=\"ok\"}', total: a}, atLeast: 99.9%}")),
        accepts(objective("{query: 'max(up)', atLeast: 10k}")),
        rejects(objective("{atMost: 1%}"), "write exactly one of k6, ratio, query or slope"),
        rejects(
            objective("{query: up, k6: {metric: http_req_failed}, atMost: 1%}"),
            "write exactly one of k6, ratio, query or slope",
        ),
        rejects(
            objective("{k6: {metric: http_req_duration}, atMost: 300ms}"),
            "say which figure of the metric",
        ),
        accepts(objective("{k6: {metric: checks}, atLeast: 99%}")),
        accepts(objective("{k6: {metric: http_req_duration, stat: Avg}, atMost: 200ms}")),
        rejects(
            objective("{k6: {metric: http_req_duration, stat: Avg, percentile: 95}, atMost: 200ms}"),
            "write one of",
        ),
        rejects(objective("{k6: {metric: http_reqs}, atLeast: 99%}"), "say which figure of the metric"),
        rejects(
            objective("{k6: {metric: http_reqs, percentile: 95}, atMost: 300ms}"),
            "is no Trend and has no percentiles",
        ),
        rejects(
            objective("{k6: {metric: 'http_req_duration{name:Send}', percentile: 95}, atMost: 300ms}"),
            "tags go into tags",
        ),
        rejects(
            objective("{k6: {metric: p(95), percentile: 95}, atMost: 300ms}"),
            "the name of a k6 metric has letters",
        ),
        rejects(
            objective("{k6: {metric: http_req_duration, percentile: 100}, atMost: 300ms}"),
            "a percentile lies between 1 and 99.99",
        ),
        rejects(
            objective("{k6: {metric: http_req_duration, percentile: 0.95}, atMost: 300ms}"),
            "a percentile lies between 1 and 99.99",
        ),
        accepts(objective("{k6: {metric: http_req_duration, percentile: 99.99}, atMost: 300ms}")),
        rejects(
            objective("{k6: {metric: http_req_duration, percentile: p95}, atMost: 300ms}"),
            "percentile in body must be of type number",
        ),
        rejects(
            objective("{k6: {metric: http_req_failed, tags: {testid: a}}, atMost: 1%}"),
            "the operator picks the run itself",
        ),
        rejects(
            objective("{k6: {metric: http_req_failed, tags: {loadtest_run: a}}, atMost: 1%}"),
            "leave the tags testid and loadtest_run out",
        ),
        rejects(
            objective("{k6: {metric: http_req_failed, tags: {loadtest_scenario: a}}, atMost: 1%}"),
            "the operator picks the run itself",
        ),
        rejects(objective("{ratio: {good: a}, atLeast: 99%}"), "ratio.total: Required value"),
        rejects(objective("{query: up, atMost: '1', windows: []}"), "should have at least 1 items"),
        rejects(objective("{query: up, atMost: '1', windows: [Run, Run]}"), "Duplicate value"),
        rejects(
            objective("{query: up, atMost: '1', windows: [Ramp]}"),
            "supported values: \"Run\", \"Steady\", \"Fault\", \"Recovery\", \"Between\"",
        ),
    ]
}

fn guardrails() -> Vec<Case> {
    let guarded = |fields: &str| spec(&format!("guardrails: [{{name: tried, {fields}}}]"));
    vec![
        accepts(guarded(
            "query: up, atMost: 50%, warnAbove: 20%, for: 30s, suspendDuring: [Fault, Recovery]",
        )),
        accepts(guarded("query: up, atLeast: '1', warnBelow: '2', onNoData: Stop")),
        accepts(guarded("query: up, dropAtMost: 50%, warnAbove: 30%")),
        accepts(guarded("set: Postgres, selector: 'namespace=\"chat\"', for: 1m")),
        rejects(guarded("atMost: 50%"), "exactly one of query and set"),
        rejects(guarded("query: up, set: Node, atMost: 50%"), "exactly one of query and set"),
        rejects(guarded("query: up"), "exactly one of atMost, atLeast or dropAtMost"),
        rejects(
            guarded("query: up, atMost: '1', dropAtMost: 50%"),
            "exactly one of atMost, atLeast or dropAtMost",
        ),
        rejects(guarded("query: up, dropAtMost: '5'"), "write a share from 0% to 100%"),
        rejects(guarded("query: up, atMost: '1', warnBelow: '2'"), "with atMost write warnAbove"),
        rejects(guarded("query: up, atLeast: '1', warnAbove: '2'"), "with atLeast write warnBelow"),
        rejects(guarded("set: Node, atMost: 50%"), "a set brings its limits with it"),
        rejects(guarded("query: up, atMost: '1', selector: a"), "selector goes with a set"),
        rejects(
            guarded("query: up, atMost: '1', suspendDuring: [Steady]"),
            "suspended during Fault or Recovery",
        ),
        rejects(guarded("set: Mysql"), "Unsupported value"),
    ]
}

fn limits() -> Vec<Case> {
    let query = |limit: &str| objective(&format!("{{query: up, {limit}}}"));
    let share = |limit: &str| objective(&format!("{{k6: {{metric: http_req_failed}}, {limit}}}"));
    let ratio = |limit: &str| objective(&format!("{{ratio: {{good: a, total: b}}, {limit}}}"));
    let trend =
        |limit: &str| objective(&format!("{{k6: {{metric: http_req_duration, percentile: 95}}, {limit}}}"));
    let mut cases: Vec<Case> =
        ["300ms", "'0.5'", "-5", "1.5Gi", "90%", "2m", "3h", "10k", "7M", "2G", "64Ki", "5Mi", "1Ti"]
            .iter()
            .map(|limit| accepts(query(&format!("atMost: '{}'", limit.trim_matches('\'')))))
            .collect();
    let no_limits = ["300 ms", "fast", "1,000", "1e3", "", "%", "5d", ".5", "<300ms", "p95"];
    cases.extend(
        no_limits
            .iter()
            .map(|l| rejects(query(&format!("atMost: '{l}'")), "write a number with one of the units")),
    );
    cases.extend([
        rejects(query("atMost: 5000"), "atMost in body must be of type string"),
        rejects(query("key: true"), "write exactly one of atMost or atLeast"),
        rejects(query("atMost: '5', atLeast: '1'"), "write exactly one of atMost or atLeast"),
        accepts(query("atLeast: '10', warnBelow: '20'")),
        rejects(query("atLeast: '10', warnAbove: '5'"), "with atLeast write warnBelow"),
        rejects(query("atMost: '10', warnBelow: '5'"), "with atMost write warnAbove"),
        accepts(query("atMost: 1s, warnAbove: 300ms")),
        accepts(query("atMost: 1Gi, warnAbove: 900Mi")),
        rejects(query("atMost: 1s, warnAbove: 50%"), "warnAbove takes the kind of unit that atMost has"),
        rejects(query("atMost: 90%, warnAbove: '80'"), "warnAbove takes the kind of unit that atMost has"),
        rejects(
            query("atLeast: 99%, warnBelow: '99.5'"),
            "warnBelow takes the kind of unit that atLeast has",
        ),
        rejects(trend("atMost: 5%"), "takes atMost with a time"),
        rejects(trend("atMost: '300'"), "takes atMost with a time"),
        rejects(trend("atMost: -300ms"), "takes atMost with a time"),
        rejects(trend("atLeast: 300ms"), "takes atMost with a time"),
        accepts(share("atMost: 0%")),
        accepts(share("atMost: 100.0%")),
        rejects(share("atMost: '0.01'"), "http_req_failed is a share and takes a limit"),
        rejects(share("atMost: 101%"), "http_req_failed is a share and takes a limit"),
        rejects(share("atMost: 300ms"), "http_req_failed is a share and takes a limit"),
        accepts(ratio("atMost: 1%")),
        rejects(ratio("atLeast: '0.999'"), "a ratio is a share and takes a limit"),
        rejects(ratio("atLeast: 999%"), "a ratio is a share and takes a limit"),
    ]);
    cases
}

/// A field with nothing behind its colon, which YAML reads as null.
fn null_in_fault(field: &str) -> Value {
    let mut spec = fault("{}");
    spec["faults"][0][field] = Value::Null;
    spec
}

/// A spec whose only scenario has this script.
fn script(fields: &str) -> Value {
    let mut spec = spec("{}");
    spec["scenarios"][0]["script"] = yaml(fields);
    spec
}
