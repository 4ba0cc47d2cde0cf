//! A private Redis server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::engine::{Engine, Error, Folder, find};
use crate::free_port;

const READY: Duration = Duration::from_secs(20);
const PORT_TRIES: u32 = 5;
const REPLY_MS: u64 = 2_000;
const PASSWORD: &str = "testkitRedisPassword";

/// A private Redis server on 127.0.0.1 with a password and an append-only file, so that what it acknowledged survives
/// its process.
pub struct Redis {
    engine: Option<Engine>,
    program: PathBuf,
    port: u16,
    folder: Folder,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// [`Error::Absent`] where Redis is not installed.
    pub fn start() -> Result<Self, Error> {
        let program = find("redis-server", &[]).ok_or(Error::Absent("redis-server"))?;
        let mut redis = Self { engine: None, program, port: free_port(), folder: Folder::new("redis")? };
        for _ in 1..PORT_TRIES {
            match redis.start_again() {
                Err(Error::Failed(_, log)) if log.contains("Address already in use") => {
                    redis.port = free_port()
                }
                done => return done.map(|()| redis),
            }
        }
        redis.start_again().map(|()| redis)
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the default user.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The running process, for signals such as SIGSTOP.
    pub fn engine(&mut self) -> Option<&mut Engine> {
        self.engine.as_mut()
    }

    /// Kills it with no warning.
    pub fn kill9(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            engine.stop(Signal::SIGKILL);
        }
    }

    /// Removes what a killed one had written: the next start is a new server's.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn lose_data(&self) -> Result<(), Error> {
        let data = self.folder.path().join("appendonlydir");
        std::fs::remove_dir_all(&data).map_err(|error| Error::Io(data.display().to_string(), error))
    }

    /// Stops it, if it runs, and starts it on the same data and port.
    ///
    /// # Errors
    /// [`Error::Failed`] with its log.
    pub fn restart(&mut self) -> Result<(), Error> {
        if let Some(mut engine) = self.engine.take() {
            engine.stop(Signal::SIGTERM);
        }
        self.start_again()
    }

    /// Makes it a replica of another, or a master with `None`. Waits until a replica is in step.
    pub fn follow(&self, master: Option<&Redis>) {
        let Some(master) = master else {
            self.command(&["REPLICAOF", "NO", "ONE"]);
            return;
        };
        self.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
        crate::wait_for(READY, || self.command(&["ROLE"]).contains("connected"));
    }

    /// Loses everything it holds.
    pub fn flushall(&self) {
        self.command(&["FLUSHALL"]);
    }

    /// Sends one command and returns the raw reply; empty when the server does not answer. Only for what tests need.
    pub fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_default()
    }

    fn try_command(&self, words: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_millis(REPLY_MS)))?;
        let mut request = Vec::new();
        for command in [&["AUTH", PASSWORD], words, &["QUIT"]] {
            write!(request, "*{}\r\n", command.len())?;
            for word in command {
                write!(request, "${}\r\n{word}\r\n", word.len())?;
            }
        }
        stream.write_all(&request)?;
        let mut reply = Vec::new();
        let mut piece = [0; 4096];
        // The first line is AUTH's +OK; what follows is the command's, and the server closes after it.
        while let n @ 1.. = stream.read(&mut piece)? {
            reply.extend_from_slice(&piece[..n]);
        }
        let text = String::from_utf8_lossy(&reply).into_owned();
        Ok(text.split_once("\r\n").map_or(String::new(), |(_, rest)| rest.to_owned()))
    }

    fn start_again(&mut self) -> Result<(), Error> {
        let dir = self.folder.path().display().to_string();
        let port = self.port.to_string();
        let args = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--dir",
            &dir,
            "--requirepass",
            PASSWORD,
            "--masterauth",
            PASSWORD,
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "no",
            "--rdbcompression",
            "no",
            "--daemonize",
            "no",
        ];
        let log = self.folder.path().join("log");
        let mut engine = Engine::start("Redis", &self.program, args, log, Signal::SIGKILL)?;
        engine.wait_until(READY, || self.command(&["PING"]).starts_with("+PONG"))?;
        self.engine = Some(engine);
        Ok(())
    }
}
