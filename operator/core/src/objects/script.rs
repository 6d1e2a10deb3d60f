//! Where a script comes from, as a volume of the pod.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ConfigMap, ConfigMapVolumeSource, PersistentVolumeClaimVolumeSource, Volume},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    objects::owner::owner,
    plan::{ScenarioPlan, names::RunNames},
};

const MOUNT: &str = "/loadtest";
const INLINE_KEY: &str = "script.js";

/// A script, mounted: the volume, where one is needed, and the path that k6 is given.
pub struct Mounted {
    pub volume: Option<Volume>,
    pub mount_path: &'static str,
    pub script_path: String,
}

pub fn mount(names: &RunNames, scenario: &ScenarioPlan) -> Mounted {
    let script = &scenario.spec.script;
    let (source, path) = if let Some(map) = &script.config_map {
        (Some(config_map_volume(map.name.clone())), format!("{MOUNT}/{}", map.key))
    } else if let Some(volume) = &script.persistent_volume_claim {
        let claim = PersistentVolumeClaimVolumeSource {
            claim_name: volume.claim_name.clone(),
            read_only: Some(true),
        };
        let volume_source = Volume { persistent_volume_claim: Some(claim), ..named() };
        (Some(volume_source), format!("{MOUNT}/{}", volume.path))
    } else if let Some(image) = &script.image {
        (None, image.path.clone())
    } else {
        (
            Some(config_map_volume(names.script_config_map(&scenario.spec.name))),
            format!("{MOUNT}/{INLINE_KEY}"),
        )
    };
    Mounted { volume: source, mount_path: MOUNT, script_path: path }
}

pub fn build_config_map(names: &RunNames, scenario: &ScenarioPlan) -> Option<ConfigMap> {
    let inline = scenario.spec.script.inline.as_ref()?;
    Some(ConfigMap {
        metadata: ObjectMeta {
            name: Some(names.script_config_map(&scenario.spec.name)),
            namespace: Some(names.namespace.clone()),
            labels: Some(names.labels()),
            owner_references: Some(vec![owner(names)]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(INLINE_KEY.to_owned(), inline.clone())])),
        immutable: Some(true),
        ..ConfigMap::default()
    })
}

fn named() -> Volume {
    Volume { name: "script".to_owned(), ..Volume::default() }
}

fn config_map_volume(name: String) -> Volume {
    Volume { config_map: Some(ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() }), ..named() }
}
