//! The machine that is measured on: what it is, and how busy it is with other things.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

/// Other work on the machine up to this share hardly moves a figure.
const QUIET: f64 = 0.2;
/// How long the machine is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until the machine is quiet, or patience ends. The share of the CPUs that was in use at last.
pub async fn await_quiet(patience: Duration) -> f64 {
    let end = Instant::now() + patience;
    loop {
        let before = CpuTimes::now();
        sleep(LOOK).await;
        let busy = busy(before, CpuTimes::now());
        if busy.is_nan() || busy <= QUIET || Instant::now() >= end {
            return busy;
        }
    }
}

/// All time of the CPUs so far, and of it what was idle, in the kernel's ticks of 10 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuTimes {
    all: u64,
    idle: u64,
}

impl CpuTimes {
    pub fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        let times: Vec<u64> = fields.split_whitespace().map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest times are in user already.
        let idle = times.get(3)? + times.get(4)?;
        Some(Self { all: times.iter().take(8).sum(), idle })
    }
}

/// The share of the CPUs that was in use between two looks; NaN where they were too close for the kernel's ticks.
pub fn busy(before: Option<CpuTimes>, after: Option<CpuTimes>) -> f64 {
    let (Some(before), Some(after)) = (before, after) else { return f64::NAN };
    let (all, idle) = (after.all.saturating_sub(before.all), after.idle.saturating_sub(before.idle));
    if all == 0 { f64::NAN } else { (1.0 - idle as f64 / all as f64).max(0.0) }
}

/// The load average of the last minute, where the system tells it.
pub fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// What a process has in memory, in MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    pub now: f64,
    /// The most that it ever had.
    pub peak: f64,
}

/// The resident memory of a process: its own and what it has mapped of files.
pub fn memory(process: u32) -> anyhow::Result<Memory> {
    parse_memory(&read(process, "status")?).context("no memory is told")
}

/// The CPU time that a process has used so far.
pub fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    parse_cpu_seconds(&read(process, "stat")?).context("no CPU time is told")
}

fn read(process: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{process}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}: has the operator ended?"))
}

fn parse_memory(status: &str) -> Option<Memory> {
    let mebibytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kibibytes| kibibytes / 1024.0)
    };
    Some(Memory { now: mebibytes("VmRSS:")?, peak: mebibytes("VmHWM:")? })
}

fn parse_cpu_seconds(stat: &str) -> Option<f64> {
    // The name, in brackets, may have spaces. Linux gives user and system time in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Cores and model.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, m)| m);
    format!("{cores} cores, {}", model.unwrap_or("model unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_was_not_idle() {
        let before = CpuTimes::parse("cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3 4");
        let after = CpuTimes::parse("cpu  180 5 60 890 55 5 3 2 9 0\n");
        assert_eq!(before, Some(CpuTimes { all: 1000, idle: 850 }));
        assert!((busy(before, after) - 0.525).abs() < 1e-9);
        assert!(busy(before, before).is_nan() && busy(None, after).is_nan());
        assert_eq!(CpuTimes::parse("intr 5"), None);
    }

    #[test]
    fn a_process_tells_its_memory_and_time() {
        let status = "Name:\tx\nVmHWM:\t   30720 kB\nVmRSS:\t   20480 kB\n";
        assert_eq!(parse_memory(status), Some(Memory { now: 20.0, peak: 30.0 }));
        let stat = "12 (a b) S 1 12 12 0 -1 4194304 500 0 0 0 150 50 0 0 20 0 3 0 100 1 2";
        assert_eq!(parse_cpu_seconds(stat), Some(2.0));
        assert!(memory(std::process::id()).unwrap().now > 1.0);
    }
}
