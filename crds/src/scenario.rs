//! Where the load comes from: scenarios, their scripts, and the pods that run them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    schema::{NAME, NAME_MESSAGE, OBJECT, resources},
    text::DurationText,
};

/// A group of k6 runner pods that run one script together. The loads of all scenarios add up.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.vus) == has(self.duration)").message("vus and duration go together: write both, or neither for a script that defines its own scenarios"),
    validation = Rule::new("!has(self.vus) || self.vus >= self.parallelism").message("more runner pods than virtual users: raise vus to at least parallelism, or lower parallelism"),
    validation = Rule::new("self.parallelism < 2 || (!self.arguments.exists(a, a.matches('^--rps(=.*)?$')) && !self.env.exists(e, e.name == 'K6_RPS'))").message("k6 does not share out rps, so each runner would make so many requests a second: ask for a rate by the executor constant-arrival-rate in the script, or set parallelism to 1")
)]
pub struct Scenario {
    /// Name of the scenario, unique in the run. Part of the pods' names and a tag of every k6 metric.
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new(NAME).message(NAME_MESSAGE))]
    pub name: String,

    /// The k6 script: exactly one of configMap, inline, persistentVolumeClaim, image.
    pub script: Script,

    /// How many runner pods share this scenario's load. Each runs one execution segment of the same
    /// script, so that the sum is the load asked for. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 500))]
    pub parallelism: i32,

    /// Virtual users, all runners together. Only for scripts that define no scenarios of their own, and
    /// only together with duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub vus: Option<i32>,

    /// How long the virtual users run, as in `90s` or `10m`. Only together with vus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self.matches('^[0.]+[a-z]+$')").message("a load of no length measures nothing: write how long it runs, as in 90s"))]
    pub duration: Option<DurationText>,

    /// Environment of the script (`__ENV`), plain or from a Secret or ConfigMap.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// Further arguments of `k6 run`, one per entry, as in `--http-debug` or `--tag=team=chat`. Those that
    /// the operator needs for itself (load, output, segment, pausing, address, logging, its own tags) are refused, and
    /// `--rps` where several runners share the load: each would make so many requests a second.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = Rule::new("self.all(a, !a.matches('^--(vus|duration|iterations|stage)(=.*)?$') && !a.matches('^-[wqv]*[udis]'))").message("the load is not set by arguments: use vus and duration, or the script's own scenarios"),
        validation = Rule::new("self.all(a, !a.matches('^--env(=.*)?$') && !a.matches('^-[wqv]*e'))").message("variables are not set by arguments: use env"),
        validation = Rule::new("self.all(a, !a.matches('^--(out|paused|linger|address|execution-segment|execution-segment-sequence|no-setup|no-teardown|system-tags|include-system-env-vars|config|profiling-enabled|log-output|log-format|type|help)(=.*)?$') && !a.matches('^-[wqv]*[plaocth]'))").message("the operator sets this k6 argument itself: output, segment, pausing, setup, address, logging and system tags cannot be changed"),
        validation = Rule::new("self.all(a, !a.matches('^(--tag=)?(testid|loadtest_[^=]*)='))").message("the tag testid and those that begin with loadtest_ are the operator's own: use another name")
    )]
    pub arguments: Vec<String>,
}

/// Where a k6 script is read from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.inline), has(self.persistentVolumeClaim), has(self.image)].filter(x, x).size() == 1").message("write exactly one of configMap, inline, persistentVolumeClaim or image"))]
pub struct Script {
    /// A ConfigMap in the run's namespace. All its keys are mounted side by side, so that scripts can
    /// import each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ScriptConfigMap>,

    /// The script itself, at most 200,000 characters, and 400,000 in all scenarios together. A larger one goes into a
    /// ConfigMap: as JSON a whole spec may take 512 KiB, so that the status fits beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200_000))]
    pub inline: Option<String>,

    /// A file on a PersistentVolumeClaim in the run's namespace, mounted read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ScriptVolume>,

    /// A file that the runner image already holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageScript>,
}

/// A script in a ConfigMap.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptConfigMap {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(OBJECT).message("write the name of a ConfigMap in the run's namespace, as in chat-script"))]
    pub name: String,
    /// Key of the script in the ConfigMap, as in `chat.js`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message("a key has letters, digits, '-', '_' and '.', as in chat.js"))]
    pub key: String,
}

/// A script on a volume.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptVolume {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// Path of the script on the volume, relative to its root, as in `tests/chat.js`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('/')").message("the path is relative to the root of the volume: remove the leading '/'"),
        validation = Rule::new("!self.split('/').exists(p, p == '..')").message("the path must stay on the volume: remove '..'")
    )]
    pub path: String,
}

/// A script in the runner image.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageScript {
    /// Absolute path of the script in the runner image, as in `/scripts/chat.js`.
    #[schemars(length(min = 2, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message("write the absolute path in the image, as in /scripts/chat.js"))]
    pub path: String,
}

/// One environment variable of the script.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.value) && has(self.valueFrom))").message("write value or valueFrom, not both"),
    validation = Rule::new("!has(self.valueFrom) || !(self.name in ['K6_VUS', 'K6_DURATION'])").message("K6_VUS and K6_DURATION take a plain value: from a Secret or ConfigMap they would change the load of the script behind the operator's back")
)]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z_][A-Za-z0-9_]*$')").message("the name of a variable has letters, digits and '_', and does not begin with a digit, as in BASE_URL"),
        validation = Rule::new("!self.matches('^K6_(ITERATIONS|STAGES|EXECUTION_SEGMENT|EXECUTION_SEGMENT_SEQUENCE|PAUSED|LINGER|ADDRESS|OUT|NO_SETUP|NO_TEARDOWN|SYSTEM_TAGS|INCLUDE_SYSTEM_ENV_VARS|CONFIG|LOG_OUTPUT|LOG_FORMAT)$')").message("the operator sets this k6 option itself: for the load use vus and duration or the script's own scenarios; output, segment, pausing, address, logging and system tags cannot be changed")
    )]
    pub name: String,
    /// Its value. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Where the value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// A value that stands in another object of the run's namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("write exactly one of secretKeyRef or configMapKeyRef"))]
pub struct EnvSource {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// A key of a Secret or ConfigMap in the run's namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the object.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Settings of all runner pods. They always run with restricted pod security and without a service account token.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Runner {
    /// The k6 image. Default `grafana/k6:1.8.1`. Other 1.x versions and images with extensions work as
    /// long as k6 is the entrypoint.
    #[serde(default = "default_image")]
    #[schemars(length(min = 1, max = 512))]
    pub image: String,

    /// When the kubelet pulls the image: Always, IfNotPresent or Never. Default IfNotPresent.
    #[serde(default = "if_not_present")]
    #[schemars(extend("enum" = ["Always", "IfNotPresent", "Never"]))]
    pub image_pull_policy: String,

    /// Names of Secrets with registry credentials, in the run's namespace.
    #[serde(default)]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub image_pull_secrets: Vec<String>,

    /// Resources asked for each runner pod, and for each pod that inspects a script, as in
    /// `{cpu: 500m, memory: 256Mi}`.
    #[serde(default)]
    #[schemars(schema_with = "requests_schema")]
    pub requests: BTreeMap<String, Quantity>,

    /// Upper limits of each runner pod, and of each pod that inspects a script. A CPU limit can throttle k6 and spoil
    /// its timings: prefer none.
    #[serde(default)]
    #[schemars(schema_with = "limits_schema")]
    pub limits: BTreeMap<String, Quantity>,

    /// How long all runners may take from creation to ready before the run ends in Error. Default 2m.
    #[serde(default = "default_start_timeout")]
    #[x_kube(validation = Rule::new("!self.matches('^[0.]+[a-z]+$')").message("no runner is ready at once: write how long all of them may take, as in 2m"))]
    pub start_timeout: DurationText,

    /// The user id that k6 runs as. Default 12345, that of the k6 image.
    #[serde(default = "default_user")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: i64,

    /// Only nodes with these labels run the runners.
    #[serde(default)]
    #[schemars(schema_with = "node_selector_schema")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints that the runners tolerate.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Toleration>,
}

/// A taint that runner pods tolerate.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')").message("a toleration without a key tolerates every taint: say so with operator: Exists, or write key"),
    validation = Rule::new("!has(self.operator) || self.operator != 'Exists' || !has(self.value)").message("operator: Exists takes no value")
)]
pub struct Toleration {
    /// Key of the taint. Default: all taints, and then operator must be Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 316))]
    pub key: Option<String>,
    /// `Equal` or `Exists`. Default Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Equal", "Exists"]))]
    pub operator: Option<String>,
    /// Value of the taint, for Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["NoSchedule", "PreferNoSchedule", "NoExecute"]))]
    pub effect: Option<String>,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            image: default_image(),
            image_pull_policy: if_not_present(),
            image_pull_secrets: Vec::new(),
            requests: BTreeMap::new(),
            limits: BTreeMap::new(),
            start_timeout: default_start_timeout(),
            run_as_user: default_user(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
        }
    }
}

fn requests_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    resources(
        "Resources asked for each runner pod, and for each pod that inspects a script, as in `{cpu: 500m, memory: 256Mi}`.",
    )
}

fn limits_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    resources(
        "Upper limits of each runner pod, and of each pod that inspects a script, as in `{memory: 1Gi}`. A CPU limit can throttle k6 and spoil its timings: prefer none.",
    )
}

fn node_selector_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "Only nodes with these labels run the runners, as in `{pool: load}`.",
        "type": "object",
        "default": {},
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 63 }
    })
}

fn one() -> i32 {
    1
}

fn default_image() -> String {
    "grafana/k6:1.8.1".to_owned()
}

fn if_not_present() -> String {
    "IfNotPresent".to_owned()
}

fn default_start_timeout() -> DurationText {
    "2m".into()
}

fn default_user() -> i64 {
    12345
}
