//! Files and what follows them, on a folder in place of `/`. Only the service manager is a double.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use anyhow::{Result, bail};
use uuid::Uuid;

use super::diff::{self, Mask};
use render::Then;

use super::journal::Applied;
use super::plan::{self, Kind, Wanted};
use super::write::Writer;
use crate::fixtures;
use crate::places::Places;
use crate::services::Services;

/// Notes what it is asked. Units of one letter are Debian's; the others are there while their file is.
struct Told {
    words: Mutex<Vec<String>>,
    /// Of ours; Debian's all run.
    started: Mutex<BTreeSet<String>>,
    places: Places,
}

impl Told {
    fn note(&self, words: &str) -> Result<()> {
        self.words.lock().unwrap().push(words.into());
        Ok(())
    }

    fn tell(&self, word: &str, unit: &str) -> Result<()> {
        if !self.exists(unit) {
            bail!("systemctl {word} {unit}: Unit {unit} not found.");
        }
        self.note(&format!("{word} {unit}"))
    }
}

impl Services for Told {
    fn daemon_reload(&self) -> Result<()> {
        self.note("daemon-reload")
    }
    fn exists(&self, unit: &str) -> bool {
        unit.len() == 1 || self.places.at("/etc/systemd/system").join(unit).exists()
    }
    fn is_active(&self, unit: &str) -> bool {
        unit.len() == 1 || self.started.lock().unwrap().contains(unit)
    }
    fn is_enabled(&self, unit: &str) -> bool {
        self.exists(unit)
    }
    fn enable(&self, unit: &str) -> Result<()> {
        self.tell("enable", unit)
    }
    fn disable(&self, unit: &str) -> Result<()> {
        self.tell("disable", unit)
    }
    fn start(&self, unit: &str) -> Result<()> {
        self.started.lock().unwrap().insert(unit.into());
        self.tell("start", unit)
    }
    fn stop(&self, unit: &str) -> Result<()> {
        self.started.lock().unwrap().remove(unit);
        self.tell("stop", unit)
    }
    fn kill(&self, unit: &str) -> Result<()> {
        self.stop(unit)
    }
    fn restart(&self, unit: &str) -> Result<()> {
        self.tell("restart", unit)
    }
    fn reload(&self, unit: &str) -> Result<()> {
        self.tell("reload", unit)
    }
    fn last_words(&self, _: &str) -> String {
        String::new()
    }
}

fn wanted(target: &str, contents: &str, then: &[Then]) -> Wanted {
    let me = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
    Wanted {
        target: target.into(),
        group: me.clone(),
        user: me,
        mode: 0o640,
        contents: contents.into(),
        then: then.to_vec(),
    }
}

fn restart(unit: &str) -> Then {
    Then::Restart(unit.into())
}

/// The first version of a node's files, and the second: one changed, one new, one gone.
fn first() -> Vec<Wanted> {
    vec![
        wanted("/etc/a/a.conf", "a1\n", &[restart("a")]),
        wanted("/etc/b/b.conf", "b1\n", &[Then::Reload("b".into())]),
        wanted("/etc/systemd/system/c.d/c.conf", "c1\n", &[Then::DaemonReload, restart("c")]),
    ]
}

fn second() -> Vec<Wanted> {
    let mut files = first();
    files[0].contents = "a2\n".into();
    files.remove(2);
    files.push(wanted("/etc/d/d.conf", "d1\n", &[restart("d"), Then::Reload("d".into())]));
    files
}

struct Bench {
    _dir: tempfile::TempDir,
    places: Places,
    told: Told,
    runs: u32,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let told = Told { words: Mutex::default(), started: Mutex::default(), places: places.clone() };
        Self { _dir: dir, places, told, runs: 0 }
    }

    fn applied(&self) -> Applied {
        Applied::load(&self.places, Uuid::nil(), "n1").unwrap()
    }

    /// One run that is killed after `steps` steps; how many it took, if it came to its end.
    fn run(&mut self, files: &[Wanted], steps: usize) -> Result<usize> {
        let mut applied = self.applied();
        let changes = plan::plan(&self.places, files, &applied)?;
        let mut taken = 0;
        self.runs += 1;
        let stamp = format!("run{:03}", self.runs);
        let mut between = || {
            taken += 1;
            if taken > steps { bail!("killed") } else { Ok(()) }
        };
        let mut writer =
            Writer { places: &self.places, services: &self.told, stamp: &stamp, between: &mut between };
        writer.write(&mut applied, files, &changes)?;
        applied.complete = true;
        applied.save(&self.places)?;
        Ok(taken)
    }

    fn told(&self) -> BTreeSet<String> {
        self.told.words.lock().unwrap().drain(..).collect()
    }

    fn assert_is(&self, files: &[Wanted]) {
        let applied = self.applied();
        assert!(plan::plan(&self.places, files, &applied).unwrap().is_empty());
        assert!(applied.pending.is_empty());
        assert_eq!(applied.files.len(), files.len());
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let mut bench = Bench::new();
    bench.run(&first(), usize::MAX).unwrap();
    assert_eq!(
        bench.told(),
        ["daemon-reload", "reload b", "restart a", "restart c"].map(str::to_owned).into()
    );
    bench.assert_is(&first());
    bench.run(&first(), usize::MAX).unwrap();
    assert!(bench.told().is_empty());
}

#[test]
fn only_what_changed_is_restarted_and_what_is_gone_is_removed() {
    let mut bench = Bench::new();
    bench.run(&first(), usize::MAX).unwrap();
    bench.told();
    bench.run(&second(), usize::MAX).unwrap();
    let told = ["daemon-reload", "restart a", "restart c", "restart d"].map(str::to_owned);
    assert_eq!(bench.told(), told.into(), "a restarted unit is not reloaded too");
    assert!(!bench.places.at("/etc/systemd/system/c.d/c.conf").exists());
    assert_eq!(fs::read_to_string(bench.places.replaced().join("run002/etc/a/a.conf")).unwrap(), "a1\n");
    bench.assert_is(&second());
}

#[test]
fn killed_between_any_two_steps_the_next_run_does_the_rest() {
    let steps = {
        let mut whole = Bench::new();
        whole.run(&first(), usize::MAX).unwrap();
        whole.run(&second(), usize::MAX).unwrap()
    };
    assert!(steps > 10, "{steps} steps");
    for killed_at in 0..steps {
        let mut bench = Bench::new();
        bench.run(&first(), usize::MAX).unwrap();
        bench.told();
        let error = bench.run(&second(), killed_at).unwrap_err().to_string();
        assert_eq!(error, "killed", "at {killed_at}");
        bench.run(&second(), usize::MAX).unwrap();
        let told = ["daemon-reload", "restart a", "restart c", "restart d"].map(str::to_owned);
        assert_eq!(bench.told(), told.into(), "killed at step {killed_at}");
        bench.assert_is(&second());
    }
}

/// A node with a unit of ours, and the same without.
fn with_unit() -> Vec<Wanted> {
    let then = [Then::DaemonReload, Then::Enable("own.service".into()), restart("own.service")];
    let mut files = first();
    files.push(wanted("/etc/own/own.conf", "o1\n", &then[1..]));
    files.push(wanted("/etc/systemd/system/own.service", "[Service]\n", &then));
    files
}

#[test]
fn a_unit_that_has_just_started_is_not_restarted() {
    let mut bench = Bench::new();
    bench.run(&with_unit(), usize::MAX).unwrap();
    let told = bench.told();
    assert!(told.contains("start own.service") && !told.contains("restart own.service"), "{told:?}");
    let mut files = with_unit();
    let conf = files.iter_mut().find(|file| file.target == "/etc/own/own.conf").unwrap();
    conf.contents = "o2\n".into();
    bench.run(&files, usize::MAX).unwrap();
    let told = bench.told();
    assert!(told.contains("restart own.service"), "{told:?}");
}

#[test]
fn a_unit_that_goes_is_stopped_while_it_is_known_wherever_the_run_breaks() {
    let mut steps = 0;
    loop {
        let mut bench = Bench::new();
        bench.run(&with_unit(), usize::MAX).unwrap();
        bench.told();
        let whole = bench.run(&first(), steps).is_ok();
        bench.run(&first(), usize::MAX).unwrap();
        let told = ["daemon-reload", "disable own.service", "stop own.service"].map(str::to_owned);
        assert_eq!(bench.told(), told.into(), "killed at step {steps}");
        bench.assert_is(&first());
        if whole {
            break;
        }
        steps += 1;
    }
    assert!(steps > 5, "{steps} steps");
}

#[test]
fn what_a_broken_run_left_for_a_unit_that_goes_is_not_done() {
    let mut steps = 0;
    while {
        let mut bench = Bench::new();
        let whole = bench.run(&with_unit(), steps).is_ok();
        bench.run(&first(), usize::MAX).unwrap_or_else(|e| panic!("killed at step {steps}: {e:#}"));
        bench.assert_is(&first());
        steps += 1;
        !whole
    } {}
    assert!(steps > 5, "{steps} steps");
}

#[test]
fn undo_stops_what_the_files_enabled() {
    let mut bench = Bench::new();
    bench.run(&with_unit(), usize::MAX).unwrap();
    bench.told();
    super::undo(&bench.places, &bench.told, true).unwrap();
    let told = ["daemon-reload", "disable own.service", "stop own.service"].map(str::to_owned);
    assert_eq!(bench.told(), told.into());
}

#[test]
fn what_stood_there_is_kept_and_comes_back_by_undo_however_often_a_run_broke() {
    for killed_at in [0, 1, 2, 3, 5, usize::MAX] {
        let mut bench = Bench::new();
        let path = bench.places.at("/etc/a/a.conf");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "debian's own\n").unwrap();
        let _ = bench.run(&first(), killed_at);
        bench.run(&first(), usize::MAX).unwrap();
        bench.run(&second(), usize::MAX).unwrap();
        let role = bench.places.at("/etc/redis/tandem.conf");
        fs::create_dir_all(role.parent().unwrap()).unwrap();
        fs::write(&role, "replicaof 1.2.3.4 1\n").unwrap();
        super::undo(&bench.places, &bench.told, true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "debian's own\n", "killed at {killed_at}");
        for gone in
            ["/etc/b/b.conf", "/etc/d/d.conf", "/etc/redis/tandem.conf", "/var/lib/tandem/applied.json"]
        {
            assert!(!bench.places.at(gone).exists(), "{gone}");
        }
    }
}

#[test]
fn a_changed_mode_is_seen_and_a_link_is_not_followed() {
    use std::os::unix::fs::PermissionsExt;
    let mut bench = Bench::new();
    bench.run(&first(), usize::MAX).unwrap();
    let path = bench.places.at("/etc/a/a.conf");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let changes = plan::plan(&bench.places, &first(), &bench.applied()).unwrap();
    assert_eq!(changes.iter().map(|c| c.kind).collect::<Vec<_>>(), [Kind::Permissions]);
    let elsewhere = bench.places.at("/elsewhere");
    fs::write(&elsewhere, "a1\n").unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    bench.run(&first(), usize::MAX).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "a1\n");
}

#[test]
fn a_journal_of_another_node_is_refused() {
    let mut bench = Bench::new();
    bench.run(&first(), usize::MAX).unwrap();
    let message = Applied::load(&bench.places, Uuid::nil(), "n2").unwrap_err().to_string();
    assert!(message.contains("is n1 of the cluster") && message.contains("--undo"), "{message}");
}

#[test]
fn the_diff_shows_no_secret_old_or_new() {
    let secrets = fixtures::config("n1").secrets;
    let bench = Bench::new();
    let path = bench.places.at("/etc/redis/redis.conf");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "port 1\nrequirepass oldpassword\n").unwrap();
    let files = [wanted("/etc/redis/redis.conf", &format!("port 2\nrequirepass {}\n", secrets.redis), &[])];
    let changes = plan::plan(&bench.places, &files, &bench.applied()).unwrap();
    let text = diff::text(&changes, &Mask::of(&secrets));
    assert!(text.contains("-port 1\n") && text.contains("+port 2\n"), "{text}");
    assert!(!text.contains(&secrets.redis) && !text.contains("oldpassword"), "{text}");
}

#[test]
fn a_file_of_its_owner_alone_is_not_shown() {
    let mut bench = Bench::new();
    let mut file = wanted("/etc/a/password", "the-first-derived-one\n", &[]);
    file.mode = 0o600;
    bench.run(std::slice::from_ref(&file), usize::MAX).unwrap();
    file.contents = "the-second-derived-one\n".into();
    for files in [&[file][..], &[]] {
        let changes = plan::plan(&bench.places, files, &bench.applied()).unwrap();
        let text = diff::text(&changes, &Mask::of(&fixtures::config("n1").secrets));
        assert!(text.contains("/etc/a/password") && !text.contains("derived"), "{text}");
    }
}
