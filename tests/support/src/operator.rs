//! An operator as a child process of a test.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::cluster::ROOT;

/// How to start an operator.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kubeconfig: PathBuf,
    pub config: PathBuf,
    /// For logs and other files.
    pub folder: PathBuf,
    pub failpoint: Option<&'static str>,
    /// One worker thread, as with a limit of one CPU.
    pub one_cpu: bool,
    /// Each operator dies at its failpoint, and not the first one alone.
    pub each: bool,
}

/// A running operator, or one that has run. Dropped, it is killed.
pub struct Operator {
    child: Child,
    killed: bool,
    log: PathBuf,
    /// Serves /livez, /readyz and /metrics.
    pub http: SocketAddr,
}

static BINARY: OnceLock<PathBuf> = OnceLock::new();
static STARTED: AtomicU32 = AtomicU32::new(0);

impl Operator {
    /// Starts it; it may take a moment until it works.
    ///
    /// # Panics
    /// When it cannot be built or started.
    #[must_use]
    pub fn start(launch: &Launch) -> Self {
        let binary = binary();
        let log = launch.folder.join(format!("operator-{}.log", STARTED.fetch_add(1, Ordering::Relaxed)));
        let output = File::create(&log).unwrap_or_else(|e| panic!("failed to write {}: {e}", log.display()));
        let http = free_address();
        let mut command = guarded(binary);
        command
            .arg("--config")
            .arg(&launch.config)
            .args(["--http-address", &http.to_string(), "--log-format", "text", "--pod-name", "e2e"])
            .env("KUBECONFIG", &launch.kubeconfig)
            .env("RUST_LOG", "info,loadtest_operator=debug")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        if launch.one_cpu {
            command.env("TOKIO_WORKER_THREADS", "1");
        }
        if let Some(failpoint) = launch.failpoint {
            command.env("LOADTEST_FAILPOINT", failpoint);
            if !launch.each {
                command.env("LOADTEST_FAILPOINT_ONCE", launch.folder.join("failpoint-was-hit"));
            }
        }
        let child = command.spawn().unwrap_or_else(|e| panic!("failed to start {}: {e}", binary.display()));
        Self { child, killed: false, log, http }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        self.killed |= self.is_running();
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it holds of memory, in MiB, without the pages of its program.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn memory(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("failed to read {path}: {e}"));
        let held = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        let kib: f64 = held
            .and_then(|kib| kib.parse().ok())
            .unwrap_or_else(|| panic!("{path} says nothing of memory: {text}"));
        kib / 1024.0
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// By the test, or by itself at a failpoint.
    #[must_use]
    pub fn was_killed(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        self.killed || matches!(self.child.try_wait(), Ok(Some(status)) if status.signal().is_some())
    }

    #[must_use]
    pub fn log(&self) -> String {
        let mut text = String::new();
        let read = File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text));
        if let Err(error) = read {
            text = format!("failed to read {}: {error}", self.log.display());
        }
        text
    }

    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The operator's program, built by whoever asks first.
///
/// # Panics
/// When it does not build.
pub fn binary() -> &'static Path {
    BINARY.get_or_init(build)
}

/// Asks an operator whether it lives, as a kubelet does with the chart's probe.
pub async fn is_alive(http: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(http).await?;
        stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await;
    matches!(answer, Ok(Ok(answer)) if answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
}

/// A command that dies with this process, also when that is killed.
#[must_use]
pub fn guarded(binary: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(binary);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
    command
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    listener.unwrap_or_else(|error| panic!("failed to find a free port: {error}"))
}

/// The operator with its failpoints, which no image has. A copy of its own: the next build of the operator without
/// them would take its place.
fn build() -> PathBuf {
    if let Some(given) = std::env::var_os("LOADTEST_OPERATOR_BINARY") {
        return PathBuf::from(given);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // With the features of the tests, so that no library is compiled anew.
        .args(["build", "--workspace", "--test", "program", "--bin", "loadtest-operator"])
        .args(["--features", "loadtest-operator/failpoints"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(ROOT)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("failed to run cargo: {error}"));
    assert!(output.status.success(), "the operator does not build");
    let built = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "loadtest-operator")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("cargo built no operator"));
    let own = folder().join("loadtest-operator");
    match std::fs::remove_file(&own) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            panic!("failed to replace {}: {error}", own.display())
        }
        _ => {}
    }
    std::fs::hard_link(&built, &own)
        .or_else(|_| std::fs::copy(&built, &own).map(drop))
        .unwrap_or_else(|error| panic!("failed to copy {}: {error}", built.display()));
    own
}

/// Where the suite keeps its files: beside what cargo built.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn folder() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(ROOT).join("target"), PathBuf::from);
    let folder = target.join("e2e");
    std::fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("failed to make {}: {error}", folder.display()));
    folder
}
