//! Doing what a case says, and mending it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{NODES, Net, fault};

use crate::agent_death::AgentDeath;
use crate::interrupt::pause;
use crate::pair::Pair;

/// Its own bound is shorter.
const SWITCHOVER_S: &str = "100";
/// A pair is ready for the next switchover within so long, and asked so often.
const ACCEPTED: Duration = Duration::from_secs(30);
const TYPED_AGAIN: Duration = Duration::from_millis(300);
const COMMOTION: Duration = Duration::from_secs(10);
/// etcd's third member is there.
const WITNESS: &str = "w";

/// Who: as they were when the case began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Active,
    Standby,
    /// etcd's third member: power only.
    Witness,
}

/// Networks of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nets {
    Service,
    Peer,
    Both,
}

/// One thing that is done.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// The node's power goes.
    PowerOff(Who),
    /// And comes back; without this it comes back when all is mended.
    PowerOn(Who),
    /// kill -9 of every process of a service.
    Kill(Who, &'static str),
    /// kill -9 of a service's main process alone.
    KillMain(Who, &'static str),
    /// SIGSTOP of every process of a service.
    Freeze(Who, &'static str),
    Thaw(Who, &'static str),
    /// Does these steps; the agent of that node is killed (SIGKILL) the moment it says that it takes this row of the table.
    /// What fails because of that is no failure.
    AgentDiesAt(Who, &'static str, &'static [Step]),
    /// Stopped by hand, as an operator does; started again when all is mended.
    Stop(Who, &'static [&'static str]),
    /// Frames between both nodes.
    Cut(Nets),
    /// From one of them to the other only.
    CutFrom(Who, Nets),
    /// Between a node and the gateway.
    CutGateway(Who),
    /// The network is whole again.
    Join,
    Loss(u8),
    Slow(u32),
    /// The disk of a folder.
    Fill(Who, &'static str),
    /// One write every so many milliseconds to a node's /var.
    SlowDisk(Who, u32),
    /// A service believes another time.
    Clock(Who, &'static str, &'static str),
    /// `tandem switchover` on that node.
    Switchover(Who),
    /// So many, from whichever node is active, each typed until it is accepted; nobody else may take over.
    Switchovers(u64),
    /// SQL as the superuser.
    Sql(Who, &'static str),
    WaitMs(u64),
    /// As `WaitMs`, growing by as much with each repeat: to meet another moment.
    WaitMsByRepeat(u64),
    /// Power off and on, links down and up: so many milliseconds each, for so many seconds.
    FlapLinks {
        every_ms: u64,
        seconds: u64,
    },
}

/// Does steps, and knows what it has to mend.
pub struct Act<'a> {
    pair: &'a Pair,
    active: usize,
    repeat: u64,
    stopped: Vec<(usize, String)>,
    clocks: Vec<(usize, &'static str)>,
}

impl<'a> Act<'a> {
    pub fn new(pair: &'a Pair, active: usize, repeat: u64) -> Self {
        Self { pair, active, repeat, stopped: Vec::new(), clocks: Vec::new() }
    }

    fn node(&self, who: Who) -> usize {
        match who {
            Who::Active => self.active,
            // The witness is no node: it has a name only.
            Who::Standby | Who::Witness => 1 - self.active,
        }
    }

    fn name(&self, who: Who) -> &'static str {
        if who == Who::Witness { WITNESS } else { NODES[self.node(who)] }
    }

    /// `media` is whichever there is.
    fn service(&self, service: &'static str) -> &'static str {
        match service {
            "media" if self.pair.env.media == "double" => "media-double",
            "media" => "freeswitch",
            service => service,
        }
    }

    /// One step; what was done, in words.
    pub fn step(&mut self, step: Step) -> Result<String> {
        let lab = &self.pair.lab;
        match step {
            Step::PowerOff(who) => fault::kill(lab, self.name(who)),
            Step::PowerOn(who) => fault::start(lab, self.name(who)),
            Step::Kill(who, service) => fault::signal(lab, self.name(who), self.service(service), "SIGKILL"),
            Step::KillMain(who, service) => {
                let unit = fault::pattern(service);
                let script = format!(
                    "for u in $(systemctl list-units --plain --no-legend '{unit}' | cut -d' ' -f1); do \
                     systemctl kill --kill-whom=main --signal=SIGKILL $u; done"
                );
                self.pair.shell(self.node(who), &script)?;
                Ok(format!("{}: SIGKILL to the main process of {unit}", self.name(who)))
            }
            Step::Freeze(who, service) => {
                fault::signal(lab, self.name(who), self.service(service), "SIGSTOP")
            }
            Step::Thaw(who, service) => {
                // One that the agent has stopped meanwhile is frozen no more; any other failure is one.
                let unit = fault::pattern(self.service(service));
                let script = format!(
                    "systemctl kill --kill-whom=all --signal=SIGCONT '{unit}' || ! systemctl is-active --quiet '{unit}'"
                );
                self.pair.shell(self.node(who), &script)?;
                Ok(format!("{}: SIGCONT to every process of {unit}", self.name(who)))
            }
            Step::AgentDiesAt(who, row, by) => self.agent_dies(who, row, by),
            Step::Stop(who, services) => self.stop(who, services),
            Step::Cut(nets) => fault::cut(lab, NODES[0], NODES[1], nets.list(), false),
            Step::CutFrom(who, nets) => {
                fault::cut(lab, self.name(who), NODES[1 - self.node(who)], nets.list(), true)
            }
            Step::CutGateway(who) => fault::cut(lab, self.name(who), "gw", &[Net::Service], false),
            Step::Join => fault::heal(lab),
            Step::Loss(percent) => fault::loss(lab, percent),
            Step::Slow(ms) => fault::slow(lab, ms),
            Step::Fill(who, folder) => fault::fill(lab, self.name(who), folder),
            Step::SlowDisk(who, ms) => fault::slow_disk(lab, self.name(who), ms),
            Step::Clock(who, service, offset) => {
                self.clocks.push((self.node(who), service));
                fault::clock(lab, self.name(who), service, offset)
            }
            Step::Switchover(who) => {
                let said = self.pair.shell_for(self.node(who), SWITCHOVER_S, "tandem switchover 2>&1");
                said.map(|said| said.trim().to_owned())
            }
            Step::Switchovers(number) => self.switchovers(number),
            Step::Sql(who, sql) => self.pair.sql(self.node(who), sql).map(|_| "SQL".into()),
            Step::WaitMs(ms) => pause(Duration::from_millis(ms)).map(|()| format!("{ms} ms pass")),
            Step::WaitMsByRepeat(ms) => {
                let ms = ms * (self.repeat % 10 + 1);
                pause(Duration::from_millis(ms)).map(|()| format!("{ms} ms pass"))
            }
            Step::FlapLinks { every_ms, seconds } => self.flap(every_ms, seconds),
        }
    }

    fn switchovers(&self, number: u64) -> Result<String> {
        let before = self.pair.wait_whole(ACCEPTED)?.epoch;
        for switched in 0..number {
            let active = if switched % 2 == 0 { self.active } else { 1 - self.active };
            let until = Instant::now() + ACCEPTED;
            while let Err(error) = self.pair.shell_for(active, SWITCHOVER_S, "tandem switchover 2>&1") {
                ensure!(Instant::now() < until, "switchover {}: {error:#}", switched + 1);
                pause(TYPED_AGAIN)?;
            }
        }
        // Whoever takes over because of the commotion has done it by now.
        pause(COMMOTION)?;
        let epochs = self.pair.wait_whole(ACCEPTED)?.epoch - before;
        ensure!(epochs == number, "{number} switchovers, and {epochs} epochs");
        Ok(format!("{number} switchovers, as many epochs"))
    }

    fn agent_dies(&mut self, who: Who, row: &'static str, by: &[Step]) -> Result<String> {
        let death = AgentDeath::at(&self.pair.lab, self.name(who), row)?;
        let mut said = Vec::new();
        for step in by {
            match self.step(*step) {
                Ok(words) => said.push(words),
                // A command that waited for this agent.
                Err(error) if death.happened() => said.push(format!("{error:#}")),
                Err(error) => return Err(error),
            }
        }
        let after = death.wait()?;
        said.push(format!("{}: the agent was killed at '{row}'", self.name(who)));
        if !after.is_empty() {
            said.push(format!("it had gone on to '{}'", after.join("', '")));
        }
        Ok(said.join("\n"))
    }

    fn stop(&mut self, who: Who, services: &[&str]) -> Result<String> {
        let units: Vec<String> = services.iter().map(|service| fault::pattern(service)).collect();
        let units = units.join(" ");
        self.stopped.push((self.node(who), units.clone()));
        // A pattern of systemctl's matches what runs; the node's media server is one of two, and the one that is not there is
        // systemctl's only complaint that is no fault: what must have stopped is judged by what the probes see.
        self.pair.shell(self.node(who), &format!("set -f; systemctl stop {units} 2>&1 || true"))?;
        Ok(format!("{}: stopped {units}", self.name(who)))
    }

    fn flap(&self, every_ms: u64, seconds: u64) -> Result<String> {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut times = 0;
        while Instant::now() < until {
            fault::cut(&self.pair.lab, NODES[0], NODES[1], &Net::ALL, false)?;
            pause(Duration::from_millis(every_ms))?;
            fault::heal(&self.pair.lab)?;
            pause(Duration::from_millis(every_ms))?;
            times += 1;
        }
        Ok(format!("both networks between the nodes were cut and healed {times} times"))
    }

    /// Undoes all of it; power comes last, into a whole network.
    pub fn mend(&mut self) -> Result<()> {
        fault::heal(&self.pair.lab)?;
        for (node, name) in NODES.into_iter().enumerate() {
            if self.pair.is_on(node) {
                // First, or what follows is slow too. Where a disk cannot be slowed none is slow.
                let _fast = fault::slow_disk(&self.pair.lab, name, 0);
                self.pair.shell(node, MEND).context("mending")?;
            }
        }
        for (node, service) in std::mem::take(&mut self.clocks) {
            if self.pair.is_on(node) {
                fault::clock(&self.pair.lab, NODES[node], service, "off")?;
            }
        }
        for (node, units) in std::mem::take(&mut self.stopped) {
            if self.pair.is_on(node) {
                let script = format!(
                    "set -f; for u in {units}; do for f in $(systemctl list-units --all --plain --no-legend \
                     \"$u\" | cut -d' ' -f1); do case $f in postgresql*) ;; *) systemctl start --no-block $f;; esac; done; done"
                );
                self.pair.shell(node, &script)?;
            }
        }
        if self.pair.settings.arbiter == "etcd" {
            // An error is that it is on already.
            let _on = fault::start(&self.pair.lab, WITNESS);
        }
        for (node, name) in NODES.into_iter().enumerate() {
            if !self.pair.is_on(node) {
                fault::start(&self.pair.lab, name)?;
            }
        }
        Ok(())
    }
}

/// Whatever was frozen goes on, whatever was filled has room. The agent starts PostgreSQL and Redis by itself.
const MEND: &str = "for u in tandem-agent keepalived 'postgresql@*-main' redis-server voip-admin kamailio \
    tandem-media-double freeswitch; do systemctl kill --kill-whom=all --signal=SIGCONT \"$u.service\" 2>/dev/null; done; \
    find /var -xdev -name .tandem-lab-fill -delete; true";

impl Nets {
    fn list(self) -> &'static [Net] {
        match self {
            Self::Service => &[Net::Service],
            Self::Peer => &[Net::Peer],
            Self::Both => &Net::ALL,
        }
    }
}
