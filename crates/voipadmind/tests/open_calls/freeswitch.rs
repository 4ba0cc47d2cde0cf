//! A FreeSWITCH with no more than these tests need: loopback channels, the event socket, CDRs to voipadmind.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{FS_PASSWORD, FS_USER};

pub const PASSWORD: &str = "esl0password0of0the0test";
/// Nobody: what the test drops to when it runs as root.
const UNPRIVILEGED_ID: u32 = 65534;
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where `tandem` looks: `TANDEM_FREESWITCH` (the program, its prefix, or `none`), PATH, /opt/freeswitch. The prefix.
pub fn installed() -> Option<PathBuf> {
    let asked = std::env::var_os("TANDEM_FREESWITCH").filter(|v| !v.is_empty()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs: Vec<PathBuf> = match asked {
        Some(folder) if folder.is_dir() => vec![folder.join("bin/freeswitch")],
        Some(program) => vec![program],
        None => std::env::split_paths(&path)
            .map(|folder| folder.join("freeswitch"))
            .chain([PathBuf::from("/opt/freeswitch/bin/freeswitch")])
            .collect(),
    };
    let prefix =
        |program: PathBuf| program.is_file().then(|| program.parent()?.parent().map(Path::to_owned))?;
    let found = programs.into_iter().find_map(prefix);
    if found.is_none() {
        testkit::skip(&"FreeSWITCH is not installed (looked in TANDEM_FREESWITCH, PATH and /opt/freeswitch)");
    }
    found
}

pub struct Freeswitch {
    folder: tempfile::TempDir,
    esl: u16,
    process: Child,
}

impl Freeswitch {
    /// It records into `recordings`, as node n1, always on one day.
    pub fn start(prefix: &Path, esl: u16, api: u16, recordings: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("tandem-esl-").tempdir().unwrap();
        let day = recordings.join("n1/2026/11/22");
        std::fs::create_dir_all(&day).unwrap();
        std::fs::write(folder.path().join("freeswitch.xml"), configuration(esl, api, &day)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(prefix.join("bin/freeswitch"));
        command
            .args(["-nf", "-nc", "-nonat", "-np", "-nocal", "-mod"])
            .arg(prefix.join("lib/freeswitch/mod"));
        for flag in [
            "conf",
            "log",
            "run",
            "db",
            "temp",
            "cache",
            "storage",
            "recordings",
            "sounds",
            "scripts",
            "grammar",
            "htdocs",
            "certs",
        ] {
            command.arg(format!("-{flag}")).arg(folder.path());
        }
        let output = std::fs::File::create(folder.path().join("output")).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        command.env("TZ", "UTC").current_dir(folder.path());
        if nix::unistd::geteuid().is_root() {
            let owned = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let recorded = day.ancestors().take_while(|it| it.starts_with(recordings)).map(Path::to_owned);
            for path in owned.chain([folder.path().to_owned()]).chain(recorded) {
                chown(path, Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID)).unwrap();
            }
            command.uid(UNPRIVILEGED_ID).gid(UNPRIVILEGED_ID);
        }
        let freeswitch = Self { esl, process: command.spawn().unwrap(), folder };
        let up = testkit::wait_for(START_TIMEOUT, || {
            freeswitch.try_api("module_exists mod_json_cdr").is_some_and(|it| it.contains("true"))
        });
        assert!(up, "FreeSWITCH did not come up\n{}", freeswitch.log());
        freeswitch
    }

    pub fn api(&self, command: &str) -> String {
        let answer =
            self.try_api(command).unwrap_or_else(|| panic!("no answer to {command}\n{}", self.log()));
        assert!(!answer.contains("-ERR"), "{command}: {answer}\n{}", self.log());
        answer
    }

    fn try_api(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.esl)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(stream, "auth {PASSWORD}\n\napi {command}\n\nexit\n\n").ok()?;
        let mut answer = String::new();
        // It ends the connection after "exit".
        let _ = stream.read_to_string(&mut answer);
        answer.split_once("api/response").map(|(_, rest)| rest.to_owned())
    }

    /// What it could not post.
    #[allow(dead_code, reason = "one of the test programs that use this file reads it")]
    pub fn spooled(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("json_cdr")).into_iter().flatten();
        files.map(|file| file.unwrap().path()).collect()
    }

    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("output") + &read("freeswitch.log")
    }
}

impl Drop for Freeswitch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(esl: u16, api: u16, day: &Path) -> String {
    let modules = [
        "mod_commands",
        "mod_loopback",
        "mod_dptools",
        "mod_dialplan_xml",
        "mod_logfile",
        "mod_event_socket",
        "mod_json_cdr",
        "mod_sndfile",
        "mod_tone_stream",
    ];
    let modules: String = modules.iter().map(|name| format!("<load module=\"{name}\"/>\n")).collect();
    format!(
        r#"<document type="freeswitch/xml">
<section name="configuration">
<configuration name="switch.conf"><settings><param name="loglevel" value="notice"/>
<param name="event-heartbeat-interval" value="1"/></settings></configuration>
<configuration name="modules.conf"><modules>
{modules}</modules></configuration>
<configuration name="logfile.conf"><settings/><profiles><profile name="default">
<mappings><map name="all" value="notice,warning,err,crit,alert"/></mappings></profile></profiles></configuration>
<configuration name="event_socket.conf"><settings>
<param name="listen-ip" value="127.0.0.1"/><param name="listen-port" value="{esl}"/>
<param name="password" value="{PASSWORD}"/><param name="apply-inbound-acl" value="loopback.auto"/>
</settings></configuration>
<configuration name="json_cdr.conf"><settings>
<param name="url" value="http://127.0.0.1:{api}/fs/cdr"/><param name="cred" value="{FS_USER}:{FS_PASSWORD}"/>
<param name="auth-scheme" value="basic"/><param name="encode" value="false"/><param name="encode-values" value="false"/>
<param name="disable-100-continue" value="true"/><param name="log-b-leg" value="true"/>
<param name="prefix-a-leg" value="false"/><param name="retries" value="0"/>
</settings></configuration>
</section>
<section name="dialplan"><context name="default"><extension name="answer">
<condition field="destination_number" expression="^answer$">
<action application="answer"/><action application="park"/>
</condition></extension><extension name="record">
<condition field="destination_number" expression="^record$">
<action application="set" data="vp_recording={day}/${{uuid}}.wav"/>
<action application="record_session" data="${{vp_recording}}"/><action application="playback" data="tone_stream://%(1000,0,440);loops=-1"/>
</condition></extension></context></section>
</document>
"#,
        day = day.display()
    )
}
