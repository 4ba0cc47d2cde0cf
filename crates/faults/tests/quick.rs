//! The subset of the fault matrix that every test run does: one lab, each promise asked of every case.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A lab that goes with the test, whatever the test's end.
struct Lab {
    name: String,
    folder: tempfile::TempDir,
    port: u16,
}

impl Lab {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(["lab", "--lab", &self.name]).args(words).current_dir(self.folder.path());
        command.env_remove("TANDEM_DIR").env("TANDEM_LAB_PORT", self.port.to_string());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("TANDEM_LAB_KEEP").is_some() {
            eprintln!("the lab {} is kept; remove it with: tandem lab down --lab {0}", self.name);
            return;
        }
        let _down = self.run(&["down"]);
    }
}

/// Our program: beside the tests' folder.
fn program() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("tandem")
}

/// Why it cannot run here.
fn impossible(packages: &Path) -> Option<String> {
    if let Err(why) = lab::possible() {
        return Some(why.to_string());
    }
    if !program().exists() {
        return Some("tandem is not built; cargo build --workspace --bins".into());
    }
    (!packages.is_dir()).then(|| "there are no packages in dist; type: make deb".into())
}

#[test]
fn no_fault_of_the_subset_loses_or_doubles_what_was_acknowledged() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    if let Some(why) = impossible(&packages) {
        eprintln!("SKIPPED: {why}");
        return;
    }
    let name = format!("tf{}", std::process::id() % 1_000_000);
    let lab = Lab { name, folder: tempfile::tempdir().unwrap(), port: testkit::free_port() };
    let up = lab.run(&["up", "--debs", packages.to_str().unwrap()]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));

    let ran = lab.run(&["faults", "--quick", "--report", "faults.md"]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    println!("{said}");
    assert!(ran.status.success(), "{said}");
    let table = std::fs::read_to_string(lab.folder.path().join("faults.md")).unwrap();
    assert!(table.contains("| active-dies") && table.contains("Floor of a take-over"), "{table}");
}
