//! The binary, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::RwLock;

use super::client::Client;

/// Tests that compare times have the machine to themselves; the others share it.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// A running sidecar; it dies with this.
pub struct House {
    child: Child,
    pub app: SocketAddr,
    pub admin: SocketAddr,
    log: PathBuf,
    /// Given back when it dies.
    _place: Box<dyn Send>,
}

/// How the binary is run.
pub struct How {
    /// The binary itself.
    pub binary: String,
    /// What it is run under: a program and its arguments.
    pub under: Vec<String>,
    /// As another user.
    pub user: Option<u32>,
}

impl Default for How {
    fn default() -> Self {
        Self { binary: env!("CARGO_BIN_EXE_outrider").to_owned(), under: Vec::new(), user: None }
    }
}

const LISTEN: &str = "[listen]\napp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 2\n";

impl House {
    /// Starts it with this policy, and waits until it listens.
    pub async fn open(policy: &str) -> Self {
        Self::launch(policy, &How::default()).await
    }

    /// The same under other circumstances.
    pub async fn launch(policy: &str, how: &How) -> Self {
        Self::start(policy, how, Box::new(MACHINE.read().await))
    }

    /// The same, while no other test runs here.
    pub async fn alone(policy: &str) -> Self {
        Self::start(policy, &How::default(), Box::new(MACHINE.write().await))
    }

    fn start(policy: &str, how: &How, place: Box<dyn Send>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("house-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let (config, log) = (path.with_extension("toml"), path.with_extension("log"));
        std::fs::write(&config, format!("{LISTEN}{policy}")).unwrap();
        let mut words = how.under.iter().chain([&how.binary]);
        let mut command = Command::new(words.next().unwrap());
        if let Some(user) = how.user {
            command.uid(user).gid(user);
        }
        let mut child = command
            .args(words)
            .args(["run", "--log-format", "json", "--log-level", "warn", "-c"])
            .arg(&config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listening = |what: &str| -> SocketAddr {
            let line = lines.next().unwrap_or_else(|| panic!("{}", std::fs::read_to_string(&log).unwrap_or_default())).unwrap();
            let address = line.strip_prefix(&format!("listening {what} http://")).unwrap_or_else(|| panic!("{line}"));
            address.parse().unwrap()
        };
        let (app, admin) = (listening("app"), listening("admin"));
        std::fs::remove_file(&config).unwrap();
        Self { child, app, admin, log, _place: place }
    }

    /// What it said on its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Has it end in peace.
    pub fn end(mut self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}: {}", self.log());
    }

    pub fn client(&self) -> Client {
        Client::new(self.app)
    }

    /// The sum of a metric's samples.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = Client::new(self.admin).get("/metrics").await.unwrap().body;
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Asserts that it holds nothing of what is over, and that nothing went wrong inside it.
    pub async fn assert_calm(&self) {
        // A stream's last byte may be here before its account is closed there.
        for left in (0..200).rev() {
            let (streams, held) = (self.metric("outrider_streams_open").await, self.metric("outrider_memory_held_bytes").await);
            if streams == 0.0 && held == 0.0 {
                break;
            }
            assert!(left > 0, "{streams} streams open, {held} bytes held");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let log = std::fs::read_to_string(&self.log).unwrap();
        let bad: Vec<&str> = log.lines().filter(|line| line.contains("panic") || line.contains("\"internal\"")).take(3).collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        if !std::thread::panicking() {
            let _removed = std::fs::remove_file(&self.log);
        }
    }
}
