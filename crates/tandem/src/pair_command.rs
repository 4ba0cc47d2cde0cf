//! What a person tells the pair: `switchover`, `solo`, `rejoin`, `maintenance`. Each is answered by this node's agent.

use std::io::{IsTerminal, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use host::say;
use node::agent::control::{Reply, ask};
use node::agent::orders::Order;
use node::places::Places;

/// A switchover takes a clean stop and a promotion.
const SWITCHOVER: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(250);

#[derive(Args)]
pub struct SoloArgs {
    /// The other node is off: switched off, unplugged, seen by you.
    #[arg(long, required = true)]
    peer_is_dead: bool,
    /// And it did not take over before it died: asked for where it is left out.
    #[arg(long)]
    it_did_not_take_over: bool,
    /// Even though the other node answers, or its address does.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

fn order(order: Order) -> Result<Reply> {
    ask(&Places::default().control(), order)
}

fn obeyed(reply: Reply) -> Result<Reply> {
    if !reply.answer.done {
        bail!("{}", reply.answer.words);
    }
    Ok(reply)
}

pub fn switchover(abort: bool) -> Result<()> {
    if abort {
        let reply = obeyed(order(Order::AbortSwitchover)?)?;
        say!("{}", reply.answer.words);
        return Ok(());
    }
    let before = order(Order::Look)?.role;
    let reply = obeyed(order(Order::Switchover)?)?;
    say!("{}", reply.answer.words);
    let began = Instant::now();
    loop {
        let now = order(Order::Look)?;
        let (role, was) = (now.role.as_deref(), before.as_deref());
        if role == Some("standby") && was == Some("primary") || role == Some("primary") && was != role {
            say!(
                "done in {:.1} s: this node is {} now",
                began.elapsed().as_secs_f32(),
                role.unwrap_or_default()
            );
            return Ok(());
        }
        if role == Some("primary") && now.doing.row.starts_with("primary") && began.elapsed() > POLL * 4 {
            bail!("the switchover was called off: the other node did not take over; see 'tandem status'");
        }
        if began.elapsed() > SWITCHOVER {
            bail!("not done after {} s: {}; see 'tandem status'", SWITCHOVER.as_secs(), now.doing.reason);
        }
        sleep(POLL);
    }
}

pub fn solo(args: &SoloArgs) -> Result<()> {
    let now = order(Order::Look)?;
    if now.doing.peer_hears && !args.force {
        bail!(
            "the other node lives and hears this one: 'solo' is for one that is dead; a planned change is 'tandem switchover'. \
             --force overrules this, for two nodes that both hold. It costs: this node goes on alone, with one copy; what the \
             other acknowledged since they parted is not here; and the other keeps its data and does not come back by itself"
        );
    }
    let is_standby = now.role.as_deref() == Some("standby");
    let sure = args.it_did_not_take_over || asked(is_standby)?;
    let solo =
        Order::Solo { peer_is_off: args.peer_is_dead, peer_did_not_take_over: sure, force: args.force };
    let reply = obeyed(order(solo)?)?;
    say!("{}", reply.answer.words);
    say!(
        "there is one copy of the data now; the other node is kept from overwriting its own when it comes back"
    );
    Ok(())
}

/// The second assertion, without which the first is dangerous (failover rule 9).
fn asked(is_standby: bool) -> Result<bool> {
    let what = if is_standby { "go on alone, without this standby," } else { "take over" };
    if !std::io::stdin().is_terminal() {
        bail!(
            "two things must be true: the other node is off, and it did not {what} before it died (its last changes: \
             /var/lib/tandem/transitions.jsonl there). If you know both, add --it-did-not-take-over"
        );
    }
    print!(
        "Did the other node {what} before it died? If it did, what it acknowledged since is on it alone, and would be \
         lost.\nType 'it did not' if you know that it did not: "
    );
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() != "it did not" {
        bail!("nothing was done; start the other node instead, or look at it: 'tandem status' there");
    }
    Ok(true)
}

pub fn rejoin() -> Result<()> {
    let reply = obeyed(order(Order::Rejoin)?)?;
    say!("{}; 'tandem status' shows how far it is", reply.answer.words);
    Ok(())
}

pub fn maintenance(switch: Switch) -> Result<()> {
    let reply = obeyed(order(Order::Maintenance { on: switch == Switch::On })?)?;
    say!("{}", reply.answer.words);
    Ok(())
}
