use std::time::{Duration, Instant};

use crate::arbiter::{Error, fence};

async fn run(words: &[&str], limit_ms: u64) -> Result<(), String> {
    let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    let address = [192, 168, 1, 102].into();
    let done = fence(&words, Duration::from_millis(limit_ms), "n2", address).await;
    done.map_err(|error| match error {
        Error::Unfenced { .. } => error.to_string(),
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn only_success_confirms() {
    run(&["/bin/true"], 5_000).await.unwrap();
    let failed = run(&["/bin/sh", "-c", "echo first >&2; echo no power to {node} >&2; exit 3"], 5_000).await;
    let failed = failed.unwrap_err();
    assert!(failed.contains("exit status: 3 no power to n2"), "{failed}");
    let killed = run(&["/bin/sh", "-c", "kill -9 $$"], 5_000).await.unwrap_err();
    assert!(killed.contains("signal: 9"), "{killed}");
    let absent = run(&["/nowhere/power-off", "{node}"], 5_000).await.unwrap_err();
    assert!(absent.contains("/nowhere/power-off") && absent.contains("No such file"), "{absent}");
    assert!(run(&[], 5_000).await.is_err());
}

#[tokio::test]
async fn words_reach_the_program_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("words").display().to_string();
    let script = format!("printf '%s\\n' \"$0\" \"$@\" >{file}");
    run(&["/bin/sh", "-c", &script, "{node}", "--ip={address}", "$(id); {node}{address}", ""], 5_000)
        .await
        .unwrap();
    let words = std::fs::read_to_string(&file).unwrap();
    assert_eq!(words, "n2\n--ip=192.168.1.102\n$(id); n2192.168.1.102\n\n");
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child").display().to_string();
    let began = Instant::now();
    let script = format!("sleep 60 & echo $! >{file}; wait");
    let hung = run(&["/bin/sh", "-c", &script], 300).await.unwrap_err();
    assert!(hung.contains("not done in 300 ms and was killed"), "{hung}");
    assert!(began.elapsed() < Duration::from_secs(5));
    let child = std::fs::read_to_string(&file).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    // A zombie is dead, and waits for its new parent.
    let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    assert!(testkit::wait_for(Duration::from_secs(5), gone), "the child lives");
}

#[tokio::test]
async fn a_flood_of_words_neither_stops_it_nor_is_kept() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; exit 1";
    let failed = run(&["/bin/sh", "-c", script], 20_000).await.unwrap_err();
    assert!(failed.len() < 1_000 && failed.contains("exit status: 1"), "{}", failed.len());
    // Something it leaves running holds its output open.
    let began = Instant::now();
    run(&["/bin/sh", "-c", "sleep 3 & exit 0"], 20_000).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
