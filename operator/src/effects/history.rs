//! Earlier runs of the series, as the API server has them.

use std::{collections::BTreeMap, sync::Arc};

use kube::{Api, api::ListParams};
use loadtest_core::{
    machine::fact::Fact,
    objects::keys,
    verdict::baseline::{Earlier, History},
};
use loadtest_crds::{LoadTest, LoadTestStatus};
use tokio::time::{Instant, timeout};

use super::{
    Shared,
    persist::{DISPENSABLE, No, persist},
};

/// LoadTests are large, some of them 200 kB, and only a few of them matter.
const PAGE: u32 = 10;

/// Looks up what the run is compared with.
pub async fn fetch(s: Arc<Shared>, status: LoadTestStatus) {
    let _turn = s.context.rooms.list().await;
    let history = match earlier(&s, status.fingerprint.as_deref()).await {
        Ok(mut history) => {
            if let Some(last) = history.runs.first_mut() {
                last.matched = matched(&s, last).await;
            }
            history
        }
        Err(why) => History { unread: Some(why), ..History::default() },
    };
    s.tell(Fact::History(history));
}

async fn earlier(s: &Shared, fingerprint: Option<&str>) -> Result<History, String> {
    let passing = s.plan.baseline.as_ref().map_or(0, |baseline| baseline.runs);
    let api: Api<LoadTest> = Api::namespaced(s.context.own.client.clone(), &s.plan.names.namespace);
    let history = persist("look up earlier runs", Instant::now(), || async {
        let mut history = History::default();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&params).await?;
            let mut all = history.runs;
            all.extend(page.items.iter().filter_map(|t| Earlier::of(t, &s.plan.series, &s.plan.names.uid)));
            // What matters of all of them matters of each part of them.
            history = History::of(all, fingerprint, passing);
            match page.metadata.continue_ {
                Some(next) if !next.is_empty() => params = params.continue_token(&next),
                _ => return Ok(history),
            }
        }
    });
    // All pages together: any number of them may be slow.
    match timeout(DISPENSABLE, history).await {
        Ok(Ok(history)) => Ok(history),
        Ok(Err(No::Gone)) => Err("the API server knows no LoadTests".to_owned()),
        Ok(Err(No::Refused(refused))) => Err(refused.why),
        Err(_) => Err(format!("the API server has not told them within {} s", DISPENSABLE.as_secs())),
    }
}

/// What the run matched: it stands beside its record. Without it there is nothing to compare.
async fn matched(s: &Shared, run: &Earlier) -> BTreeMap<String, i64> {
    let Some(report) = &run.report else { return BTreeMap::new() };
    let map = match s.config_maps().get_opt(report).await {
        Ok(map) => map.and_then(|map| map.data).and_then(|mut data| data.remove(keys::MATCHED_KEY)),
        Err(error) => {
            tracing::warn!(%error, report, "failed to read what the run before matched");
            None
        }
    };
    map.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
