//! A real Apache Kafka broker for tests: one JVM on loopback, with its own ports and data, gone with
//! the process that started it however that ends.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a broker may take to come up; it takes two seconds on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No JDK, no Maven or no way to their registry.
    #[error("{0}")]
    Unavailable(String),
    /// The broker could not be run.
    #[error("cannot run the broker: {0}")]
    Io(#[from] io::Error),
    /// The broker stopped or did not come up; this is what it said.
    #[error("the broker did not start: {0}")]
    Failed(String),
}

/// A running broker.
#[derive(Debug)]
pub struct KafkaServer {
    port: u16,
    controller_port: u16,
    properties: Vec<String>,
    data: TempDir,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    words: ChildStdin,
}

impl KafkaServer {
    /// Starts a broker on free ports with further broker properties (`key=value`; `{port}` and
    /// `{controller_port}` stand for the ports). Blocks until it accepts connections.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(properties: &[&str]) -> Result<Self, StartError> {
        let fetched = Command::new(script("fetch.sh")).stdin(Stdio::null()).output()?;
        if !fetched.status.success() {
            let said = String::from_utf8_lossy(&fetched.stderr);
            return Err(StartError::Unavailable(said.trim().to_owned()));
        }
        let [port, controller_port] = free_ports()?;
        let fill = |property: &&str| {
            property
                .replace("{port}", &port.to_string())
                .replace("{controller_port}", &controller_port.to_string())
        };
        let server = Self {
            port,
            controller_port,
            properties: properties.iter().map(fill).collect(),
            data: tempfile::Builder::new().prefix("zhili-kafka-").tempdir()?,
            process: Mutex::new(None),
        };
        server.up()?;
        Ok(server)
    }

    /// The one broker that all tests of a binary share. `None` where there cannot be one, after
    /// one line on standard error that says why.
    ///
    /// # Panics
    /// With `CI=true` where there cannot be one, and where a broker should start but does not.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<KafkaServer>> = OnceLock::new();
        SHARED
            .get_or_init(|| match Self::start(&[]) {
                Ok(server) => Some(server),
                Err(error) => {
                    skip_or_fail(&error);
                    None
                }
            })
            .as_ref()
    }

    /// `host:port` to connect to.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything that it has said.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.data.path().join("broker.log")
    }

    /// Starts it again, on the same port and data, after it was stopped or killed.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn up(&self) -> Result<(), StartError> {
        let log = self.log_file();
        let output = File::options().create(true).append(true).open(&log)?;
        let mut child = Command::new(script("run.sh"))
            .arg("--tied")
            .arg(self.data.path())
            .arg(self.port.to_string())
            .arg(self.controller_port.to_string())
            .args(&self.properties)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let words = child.stdin.take().ok_or_else(|| io::Error::other("no pipe to the broker"))?;
        let deadline = Instant::now() + START_TIMEOUT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                drop(words);
                child.wait()?;
                return Err(StartError::Failed(std::fs::read_to_string(&log)?));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.process() = Some(Process { child, words });
        Ok(())
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&self) -> io::Result<()> {
        self.end("kill")
    }

    /// Stops it in order and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be told or waited for.
    pub fn stop(&self) -> io::Result<()> {
        self.end("stop")
    }

    /// Freezes it and waits until it stands still: connections stay, nothing is answered.
    ///
    /// # Errors
    /// When it cannot be told or does not stand still.
    pub fn pause(&self) -> io::Result<()> {
        self.say("pause")?;
        let shell = self.process().as_ref().map(|process| process.child.id());
        let deadline = Instant::now() + START_TIMEOUT;
        while !shell.is_some_and(has_frozen_child) {
            if Instant::now() > deadline {
                return Err(io::Error::other("the broker does not stand still"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Thaws it.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn resume(&self) -> io::Result<()> {
        self.say("resume")
    }

    fn end(&self, word: &str) -> io::Result<()> {
        let Some(mut process) = self.process().take() else {
            return Ok(());
        };
        writeln!(process.words, "{word}")?;
        process.child.wait()?;
        Ok(())
    }

    fn say(&self, word: &str) -> io::Result<()> {
        match self.process().as_mut() {
            Some(process) => writeln!(process.words, "{word}"),
            None => Err(io::Error::other("the broker is not running")),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        // Closing the pipe kills it; its data can go when it is gone.
        if let Some(Process { mut child, words }) = self.process().take() {
            drop(words);
            child.wait().ok();
        }
    }
}

/// Says in one line that tests are skipped.
///
/// # Panics
/// With `CI=true`, and where the broker is there but does not start.
pub fn skip_or_fail(error: &StartError) {
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    match error {
        StartError::Unavailable(why) if !required => {
            // Not by the macro, whose output a test that passes does not show.
            writeln!(io::stderr(), "skipped: tests that need Kafka: {why}").ok();
        }
        _ => panic!("tests that need Kafka cannot run: {error}"),
    }
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kafka").join(name)
}

/// Whether a child of this process was stopped by a signal.
fn has_frozen_child(parent: u32) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok()).any(
        |stat| {
            // The name before it is in parentheses and may hold anything.
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
            fields.next() == Some("T") && fields.next().is_some_and(|of| of.parse() == Ok(parent))
        },
    )
}

fn free_ports() -> io::Result<[u16; 2]> {
    // Both are held until both are known: a port that was given back can be given out again.
    let listeners = [
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
    ];
    Ok([listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()])
}
