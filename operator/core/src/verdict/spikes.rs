//! What single cells of steady load say for the verdict: two that stand out within ten minutes make the run unstable,
//! whatever its figures are over the whole of it.

use std::time::Duration;

use loadtest_crds::{LoadTestStatus, Spike, Verdict};

use crate::{
    evaluate::objective::spikes::unstable,
    numbers::{duration::human, limit::count},
    verdict::ground::{Ground, Reason},
};

/// More are not written out.
const MOST_NAMED: usize = 5;

pub(super) fn of_spikes(status: &LoadTestStatus, grounds: &mut Vec<Ground>) {
    let spikes: Vec<(&str, &Spike)> =
        status.objectives.iter().flat_map(|o| o.spikes.iter().map(|s| (o.name.as_str(), s))).collect();
    if spikes.is_empty() {
        return;
    }
    let words = |(name, spike): &(&str, &Spike)| {
        let Spike { seconds, share, usual, samples, .. } = spike;
        let at = spike.at.as_ref().map(|t| t.0.strftime("%H:%M:%S").to_string()).unwrap_or_default();
        let after = after_start(status, spike).map(|after| format!(" ({after} after the start)"));
        let samples = count(*samples);
        format!(
            "{name} at {at}{}: {share} of {samples} requests bad in {seconds}s, usually {usual}",
            after.unwrap_or_default()
        )
    };
    let mut named: Vec<String> = spikes.iter().take(MOST_NAMED).map(words).collect();
    if spikes.len() > MOST_NAMED {
        named.push(format!("and {} more", spikes.len() - MOST_NAMED));
    }
    let named = named.join("; ");
    grounds.push(if unstable(spikes.iter().map(|(_, spike)| *spike)) {
        let text = format!("unstable: steady load had spikes: {named}");
        Ground::new(Verdict::Warn, Reason::Unstable, text)
    } else {
        Ground::told(format!("a spike in steady load, too few of them to be unstable: {named}"))
    });
}

fn after_start(status: &LoadTestStatus, spike: &Spike) -> Option<String> {
    let started = status.load_started()?;
    let after = spike.at.as_ref()?.0.duration_since(started);
    Some(human(Duration::from_secs(Duration::try_from(after).ok()?.as_secs())))
}
