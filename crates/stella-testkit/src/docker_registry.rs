//! Debian's `docker-registry` (distribution 2.8) as a component of tests: a registry of the world that knows no list of
//! referrers.
//!
//! Where it is not installed tests skip, unless `STELLA_FOREIGN=1` demands it.

use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program.
const PROGRAM: &str = "docker-registry";
/// It listens within this time.
const START: Duration = Duration::from_secs(20);

/// A running registry; it ends with this value.
#[derive(Debug)]
pub struct DockerRegistry {
    process: Child,
    folder: PathBuf,
    host: String,
}

impl DockerRegistry {
    /// Starts a registry that keeps its data in `folder`; none where it is not installed.
    ///
    /// # Errors
    /// What the system says; `NotFound` when `STELLA_FOREIGN=1` demands what is not installed.
    pub fn start(folder: &Path) -> io::Result<Option<Self>> {
        Self::start_with(folder, "")
    }

    /// Starts a registry that removes nothing when it is asked, which is how it comes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_keeping(folder: &Path) -> io::Result<Option<Self>> {
        Self::start_in(folder, "", false)
    }

    /// Starts a registry with more configuration: lines of YAML that go on with the section `http`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(folder: &Path, more: &str) -> io::Result<Option<Self>> {
        Self::start_in(folder, more, true)
    }

    fn start_in(folder: &Path, more: &str, removes: bool) -> io::Result<Option<Self>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = format!("127.0.0.1:{port}");
        write_configuration(folder, &host, more, removes)?;
        let spawned = Command::new(PROGRAM)
            .arg("serve")
            .arg(folder.join("config.yml"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn();
        let process = match spawned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let demanded = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
                return if demanded { Err(error) } else { Ok(None) };
            }
            other => other?,
        };
        let mut registry = Self {
            process,
            folder: folder.to_owned(),
            host,
        };
        registry.wait_until_ready()?;
        Ok(Some(registry))
    }

    /// Returns `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Stops the registry and collects its garbage as an operator would, manifests without a tag too.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop_and_collect_garbage(mut self) -> io::Result<PathBuf> {
        self.end();
        let status = Command::new(PROGRAM)
            .args(["garbage-collect", "--delete-untagged"])
            .arg(self.folder.join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(io::Error::other("garbage-collect failed"));
        }
        Ok(self.folder.clone())
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while TcpStream::connect(&self.host).is_err() {
            if start.elapsed() > START {
                return Err(io::Error::new(io::ErrorKind::TimedOut, PROGRAM));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Somebody else may have taken the port in between, and answers in our place.
        match self.process.try_wait()? {
            None => Ok(()),
            Some(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, PROGRAM)),
        }
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.end();
    }
}

fn write_configuration(folder: &Path, host: &str, more: &str, removes: bool) -> io::Result<()> {
    let data = folder.join("data");
    fs::create_dir_all(&data)?;
    let mut file = fs::File::create(folder.join("config.yml"))?;
    write!(
        file,
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: {removes}\nhttp:\n  addr: {host}\n{more}",
        data.display()
    )
}
