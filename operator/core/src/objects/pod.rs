//! The pods of a run: one that inspects each script, and the runners that hold the load.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapKeySelector, Container, ContainerPort, EnvVar, EnvVarSource,
        LocalObjectReference, Pod, PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile,
        SecretKeySelector, SecurityContext, Toleration, VolumeMount,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    k6::queries,
    numbers::duration,
    objects::{owner::owner, script},
    plan::{
        Plan, ScenarioPlan,
        names::{Role, RunnerId},
    },
};

/// The port of k6's REST API in the runner pods.
pub const K6_API_PORT: u16 = 6565;

/// Where the runners send their metrics, by OTLP over HTTP, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Host and port.
    endpoint: String,
    path: String,
    insecure: bool,
    every: Duration,
}

impl Push {
    /// `None` for a URL that is not one of HTTP.
    #[must_use]
    pub fn to(url: &str, every: Duration) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let insecure = match scheme {
            "http" => true,
            "https" => false,
            _ => return None,
        };
        let (endpoint, path) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoint = endpoint.to_owned();
        (!endpoint.is_empty()).then(|| Self { endpoint, path: format!("/{path}"), insecure, every })
    }
}

/// k6's system tags without `url` and `error`: their texts hold ports and ids, so that an outage would mint
/// series without end. `error_code` stays.
const SYSTEM_TAGS: &str =
    "proto,subproto,status,method,name,group,check,scenario,service,error_code,expected_response";

/// A paused k6 never ends by itself, so every pod of a run has an end from the start. Lowered when the
/// length of the load is known.
const CEILING_SECONDS: i64 = 8 * 24 * 3600;

/// More series of one metric than this are folded into one by the sender, with its totals exact.
const MOST_SERIES: &str = "10000";

/// k6 tries once more to send what it holds, then ends.
const TERMINATION_GRACE_SECONDS: i64 = 20;

/// An inspection takes well under a second; one that hangs must not outlive the start.
const INSPECTION_DEADLINE_SECONDS: i64 = 300;

pub fn build_runner(plan: &Plan, scenario: &ScenarioPlan, index: u32, push: &Push) -> Pod {
    let id = RunnerId { scenario: scenario.spec.name.clone(), index };
    let script = script::mount(&plan.names, scenario);
    let mut args = strings(["run", "--paused", "--linger", "--no-setup", "--no-teardown", "--no-thresholds"]);
    args.push(format!("--address=0.0.0.0:{K6_API_PORT}"));
    args.extend(strings(["--quiet", "--no-color", "--out=opentelemetry"]));
    args.push(format!("--system-tags={SYSTEM_TAGS}"));
    args.extend(segment_args(index, scenario.parallelism()));
    args.extend(load_args(scenario));
    args.extend(scenario.spec.arguments.iter().cloned());
    args.push(script.script_path.clone());

    let mut env = script_env(scenario);
    env.extend(push_env(plan, &id, push));
    env.push(plain("K6_NO_USAGE_REPORT", "true"));
    env.push(plain("K6_AUTO_EXTENSION_RESOLUTION", "false"));

    let mut pod = build_pod(plan, script, plan.names.runner_pod(&id), args, env);
    pod.metadata.labels = Some(plan.names.pod_labels(Role::Runner, &scenario.spec.name, Some(index)));
    if let Some(spec) = &mut pod.spec {
        spec.active_deadline_seconds = Some(CEILING_SECONDS);
        spec.containers[0].ports = Some(vec![ContainerPort {
            name: Some("k6-api".to_owned()),
            container_port: i32::from(K6_API_PORT),
            ..ContainerPort::default()
        }]);
    }
    pod
}

/// How k6's output is told where to and how to send. What tells runs and runners apart are attributes of the resource and
/// no tags: those would take the place of the tags that the script gives to all of its samples.
fn push_env(plan: &Plan, id: &RunnerId, push: &Push) -> Vec<EnvVar> {
    let own = [
        (queries::TEST_ID, plan.names.uid.as_str()),
        (queries::RUN, &plan.names.uid),
        // Without it the series of runners overwrite each other.
        (queries::RUNNER, &id.to_string()),
        (queries::SCENARIO, &id.scenario),
    ];
    let own = own.map(|(name, value)| format!("{name}={value}")).join(",");
    let env = [
        ("K6_OTEL_EXPORTER_PROTOCOL", "http/protobuf"),
        ("K6_OTEL_HTTP_EXPORTER_ENDPOINT", &push.endpoint),
        ("K6_OTEL_HTTP_EXPORTER_URL_PATH", &push.path),
        ("K6_OTEL_HTTP_EXPORTER_INSECURE", if push.insecure { "true" } else { "false" }),
        ("K6_OTEL_METRIC_PREFIX", queries::PREFIX),
        ("K6_OTEL_SINGLE_COUNTER_FOR_RATE", "true"),
        // k6 hands its samples to the sender first. Both together let none be older than the interval.
        ("K6_OTEL_FLUSH_INTERVAL", &milliseconds(push.every / 10)),
        ("K6_OTEL_EXPORT_INTERVAL", &milliseconds(push.every * 9 / 10)),
        ("OTEL_RESOURCE_ATTRIBUTES", &own),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
        ("OTEL_GO_X_CARDINALITY_LIMIT", MOST_SERIES),
    ];
    env.map(|(name, value)| plain(name, value)).to_vec()
}

pub fn build_inspection(plan: &Plan, scenario: &ScenarioPlan) -> Pod {
    let script = script::mount(&plan.names, scenario);
    let mut args =
        strings(["inspect", "--execution-requirements", "--include-system-env-vars", "--no-color"]);
    args.extend(env_args(scenario));
    args.push(script.script_path.clone());
    let mut pod =
        build_pod(plan, script, plan.names.inspect_pod(&scenario.spec.name), args, script_env(scenario));
    pod.metadata.labels = Some(plan.names.pod_labels(Role::Inspect, &scenario.spec.name, None));
    if let Some(spec) = &mut pod.spec {
        spec.active_deadline_seconds = Some(INSPECTION_DEADLINE_SECONDS);
    }
    pod
}

/// What both kinds of pod share: bare, owned, restricted, without a token.
fn build_pod(plan: &Plan, script: script::Mounted, name: String, args: Vec<String>, env: Vec<EnvVar>) -> Pod {
    let runner = &plan.runner;
    let mounts = script.volume.is_some().then(|| {
        vec![VolumeMount {
            name: "script".to_owned(),
            mount_path: script.mount_path.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]
    });
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(plan.names.namespace.clone()),
            annotations: Some(BTreeMap::from([
                ("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), "false".to_owned()),
                ("karpenter.sh/do-not-disrupt".to_owned(), "true".to_owned()),
            ])),
            owner_references: Some(vec![owner(&plan.names)]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
            node_selector: none_if_empty(&runner.node_selector),
            tolerations: (!runner.tolerations.is_empty())
                .then(|| runner.tolerations.iter().map(toleration).collect()),
            image_pull_secrets: (!runner.image_pull_secrets.is_empty()).then(|| {
                runner.image_pull_secrets.iter().map(|n| LocalObjectReference { name: n.clone() }).collect()
            }),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(runner.run_as_user),
                run_as_group: Some(runner.run_as_user),
                fs_group: script.volume.as_ref().and(Some(runner.run_as_user)),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![Container {
                name: "k6".to_owned(),
                image: Some(runner.image.clone()),
                image_pull_policy: Some(runner.image_pull_policy.clone()),
                args: Some(args),
                env: Some(env),
                volume_mounts: mounts,
                // For inspections too: a namespace with a quota refuses pods that ask for nothing.
                resources: Some(ResourceRequirements {
                    requests: none_if_empty(&runner.requests),
                    limits: none_if_empty(&runner.limits),
                    ..ResourceRequirements::default()
                }),
                security_context: Some(SecurityContext {
                    allow_privilege_escalation: Some(false),
                    read_only_root_filesystem: Some(true),
                    capabilities: Some(Capabilities {
                        drop: Some(vec!["ALL".to_owned()]),
                        ..Capabilities::default()
                    }),
                    ..SecurityContext::default()
                }),
                ..Container::default()
            }],
            volumes: script.volume.map(|v| vec![v]),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// The runner's share of the load. All runners are told the same sequence, so that their parts add up to
/// the whole exactly.
fn segment_args(index: u32, runners: u32) -> Vec<String> {
    if runners == 1 {
        return Vec::new();
    }
    let cut = |i: u32| match i {
        0 => "0".to_owned(),
        i if i == runners => "1".to_owned(),
        i => format!("{i}/{runners}"),
    };
    let sequence = (0..=runners).map(cut).collect::<Vec<_>>().join(",");
    vec![
        format!("--execution-segment={}:{}", cut(index), cut(index + 1)),
        format!("--execution-segment-sequence={sequence}"),
    ]
}

fn load_args(scenario: &ScenarioPlan) -> Vec<String> {
    let mut args = env_args(scenario);
    if let Some((vus, length)) = scenario.load {
        args.push(format!("--vus={vus}"));
        args.push(format!("--duration={}", duration::human(length)));
    }
    args
}

/// As process environment these two would delete the script's own scenarios.
fn is_k6_load(name: &str) -> bool {
    matches!(name, "K6_VUS" | "K6_DURATION")
}

fn env_args(scenario: &ScenarioPlan) -> Vec<String> {
    let load = scenario.spec.env.iter().filter(|v| is_k6_load(&v.name));
    load.map(|v| format!("--env={}={}", v.name, v.value.as_deref().unwrap_or_default())).collect()
}

fn script_env(scenario: &ScenarioPlan) -> Vec<EnvVar> {
    scenario.spec.env.iter().filter(|v| !is_k6_load(&v.name)).map(env_var).collect()
}

fn env_var(var: &loadtest_crds::EnvVar) -> EnvVar {
    let value_from = var.value_from.as_ref().map(|source| EnvVarSource {
        secret_key_ref: source.secret_key_ref.as_ref().map(|r| SecretKeySelector {
            name: r.name.clone(),
            key: r.key.clone(),
            optional: None,
        }),
        config_map_key_ref: source.config_map_key_ref.as_ref().map(|r| ConfigMapKeySelector {
            name: r.name.clone(),
            key: r.key.clone(),
            optional: None,
        }),
        ..EnvVarSource::default()
    });
    // `$(NAME)` would be expanded by the kubelet; a script's value is taken as it is written.
    let value = var.value.as_ref().map(|v| v.replace("$(", "$$("));
    EnvVar { name: var.name.clone(), value, value_from }
}

fn toleration(t: &loadtest_crds::Toleration) -> Toleration {
    Toleration {
        key: t.key.clone(),
        operator: t.operator.clone(),
        value: t.value.clone(),
        effect: t.effect.clone(),
        ..Toleration::default()
    }
}

fn milliseconds(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}

fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn strings<const N: usize>(items: [&str; N]) -> Vec<String> {
    items.map(str::to_owned).to_vec()
}

fn none_if_empty<V: Clone>(map: &BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then(|| map.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_the_whole_load() {
        assert_eq!(
            segment_args(1, 3),
            ["--execution-segment=1/3:2/3", "--execution-segment-sequence=0,1/3,2/3,1"]
        );
        assert!(segment_args(0, 1).is_empty());
    }
}
