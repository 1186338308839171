//! The usage journal over real processes and a real kernel: kills, a second process, disks that are full, fail or cannot be
//! written. The children are this very test binary, which runs [`child`] for them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outrider::base::clock::{SystemClock, WallClock};
use outrider::base::money::NanoUsd;
use outrider::base::rng::RootRng;
use outrider::config::{State, Sync};
use outrider::journal::{Charge, Dims, Estimate, Journal, Kept, StatusClass, usage};

/// What a settled exchange costs, and what is reserved for one: a sum of both tells how many there are of each.
const COST: u64 = 1;
const ESTIMATE: u64 = 10_000_000;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self::within(&std::env::temp_dir(), name)
    }

    fn within(root: &Path, name: &str) -> Self {
        let path = root.join(format!("outrider-{name}-{}", std::process::id()));
        let _leftover = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn settings(folder: &Path) -> State {
    State { dir: Some(folder.to_path_buf()), max_bytes: 16 << 20, ..State::default() }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

fn dims() -> Dims<'static> {
    Dims { team: "search", app: "ranker", model: "gpt", ..Dims::default() }
}

fn estimate() -> Estimate {
    Estimate { cost: NanoUsd(ESTIMATE), ..Estimate::default() }
}

fn charge() -> Charge {
    Charge { status: StatusClass::Success, output_tokens: 7, cost: NanoUsd(COST), ..Charge::default() }
}

/// Exchanges in the files: settled, settled at their estimate, open.
fn counted(folder: &Path) -> (u64, u64, u64) {
    let report = usage::read(folder, &[], UNIX_EPOCH).unwrap();
    let (requests, cost) = report.rows.first().map_or((0, 0), |row| (row.counters.requests, row.counters.cost.0));
    let (settled, lost) = (cost % ESTIMATE, cost / ESTIMATE);
    assert_eq!(settled + lost, requests);
    (settled, lost, report.open)
}

/// Sixty minutes in one second, so that minutes are closed while the test runs.
struct FastClock;

impl WallClock for FastClock {
    fn now(&self) -> SystemTime {
        let real = SystemClock.now().duration_since(UNIX_EPOCH).unwrap();
        UNIX_EPOCH + Duration::from_millis(1_790_000_000_000) + real.saturating_sub(Duration::from_secs(1_790_000_000)) * 3600
    }
}

fn command(mode: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    child_of(&mut command, mode, folder);
    command
}

fn child_of(command: &mut Command, mode: &str, folder: &Path) {
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env("OUTRIDER_TEST_MODE", mode).env("OUTRIDER_TEST_FOLDER", folder).stdout(Stdio::piped()).stderr(Stdio::null());
}

/// Not a test but what the children do.
#[test]
fn child() {
    #[expect(clippy::disallowed_methods, reason = "how the parent talks to it")]
    let var = |name: &str| std::env::var(name).ok();
    let (Some(mode), Some(folder)) = (var("OUTRIDER_TEST_MODE"), var("OUTRIDER_TEST_FOLDER")) else { return };
    let folder = PathBuf::from(folder);
    // The harness has begun a line.
    tell("");
    match mode.as_str() {
        "traffic" => traffic(&settings(&folder)),
        "traffic-always" => traffic(&State { sync: Sync::Always, ..settings(&folder) }),
        "hold" => {
            let journal = Journal::still(&settings(&folder), at(0), &RootRng::from_system());
            journal.settle(RootRng::from_system().fork().exchange_id(), at(0), &dims(), &charge());
            tell("holding");
            loop {
                std::thread::park();
            }
        }
        steps => rounds(&folder, steps.parse().unwrap()),
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

/// Exchanges on three threads, each told when it is acknowledged, until someone kills this process.
fn traffic(settings: &State) {
    let chance = Arc::new(RootRng::from_system());
    let journal = Journal::open(settings, Arc::new(FastClock), &chance);
    tell("open");
    let worker = || {
        let mut rng = chance.fork();
        loop {
            let (id, now) = (rng.exchange_id(), FastClock.now());
            assert_eq!(journal.intent(id, now, &dims(), &estimate()), Kept::Written);
            tell("i");
            assert_eq!(journal.settle(id, now, &dims(), &charge()), Kept::Written);
            tell("s");
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(worker))));
}

/// So many rounds of one exchange and one look after the files; each is told with where its records are.
fn rounds(folder: &Path, rounds: u64) {
    let chance = RootRng::from_system();
    let journal = Journal::still(&settings(folder), at(0), &chance);
    if let Some(recovered) = journal.recovered() {
        let requests: u64 = recovered.since(UNIX_EPOCH).map(|spent| spent.counters.requests).sum();
        tell(&format!("recovered {requests}"));
    }
    let mut rng = chance.fork();
    for round in 0..rounds {
        let id = rng.exchange_id();
        journal.intent(id, at(round), &dims(), &estimate());
        let kept = journal.settle(id, at(round), &dims(), &charge());
        journal.tick(at(round * 10));
        let health = journal.health();
        tell(&format!("{round} {kept:?} errors={} trouble={}", health.write_errors, health.trouble.unwrap_or_default()));
    }
}

/// The lines of a child that ends by itself.
fn lines(mut command: Command) -> (Vec<String>, ExitStatus) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text.lines().map(str::to_owned).collect(), output.status)
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_a_hundred_times_it_has_what_was_acknowledged_and_nothing_twice() {
    const THREADS: u64 = 3;
    const KILLS: u64 = 100;
    let folder = Folder::new("killed");
    let mut rng = RootRng::from_system().fork();
    let (mut begun, mut settled) = (0u64, 0u64);
    for round in 0..KILLS {
        // One in four forces each record to the disk, which takes milliseconds.
        let (mode, most_lines) = if round % 4 == 3 { ("traffic-always", 60) } else { ("traffic", 3000) };
        let mut running = command(mode, &folder.0).spawn().unwrap();
        // At random instants: some while it still opens, some after thousands of exchanges.
        let wanted = match rng.below(4) {
            0 => 0,
            1 => rng.below(20),
            _ => rng.below(most_lines),
        };
        let mut told = BufReader::new(running.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in told.by_ref() {
            match line.unwrap().as_str() {
                "i" => begun += 1,
                "s" => settled += 1,
                _ => {}
            }
            seen += 1;
            if seen > wanted {
                break;
            }
        }
        kill(&mut running);
        // What it had told before.
        for line in told.map_while(Result::ok) {
            begun += u64::from(line == "i");
            settled += u64::from(line == "s");
        }
        let (in_files, lost, open) = counted(&folder.0);
        let most = (round + 1) * THREADS;
        assert!(in_files >= settled, "round {round}: {settled} were acknowledged, {in_files} are there");
        assert!(in_files <= settled + most, "round {round}: {settled} were acknowledged, {in_files} are there");
        assert!((begun..=begun + most).contains(&(in_files + lost + open)), "round {round}: {begun} begun: {in_files} + {lost} + {open}");
        assert!(open + lost <= most, "round {round}");
    }
    let journal = Journal::still(&settings(&folder.0), at(0), &RootRng::from_system());
    assert!(journal.health().corrupt_files == 0);
    journal.close(at(0));
    let (in_files, lost, open) = counted(&folder.0);
    eprintln!("{KILLS} kills: {settled} settles acknowledged, {in_files} counted; {lost} exchanges settled at their estimate");
    assert_eq!(open, 0);
}

#[test]
fn one_process_writes_and_the_next_takes_over() {
    let folder = Folder::new("two");
    let mut holder = command("hold", &folder.0).spawn().unwrap();
    let mut told = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(told.by_ref().any(|line| line.unwrap() == "holding"));
    let second = Journal::still(&settings(&folder.0), at(0), &RootRng::seeded(1));
    assert_eq!(second.settle(RootRng::seeded(2).fork().exchange_id(), at(0), &dims(), &charge()), Kept::Memory);
    let trouble = second.health().trouble.unwrap();
    assert!(trouble.contains("another process writes the journal there"), "{trouble}");
    assert_eq!(counted(&folder.0), (1, 0, 0));
    kill(&mut holder);
    second.tick(at(10));
    assert_eq!(second.health().trouble, None);
    assert_eq!(second.recovered().unwrap().since(UNIX_EPOCH).count(), 1);
    assert_eq!(counted(&folder.0), (2, 0, 0));
}

#[test]
fn a_full_disk_costs_no_sum() {
    let mount = Folder::new("full");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&mount.0).stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no tmpfs can be mounted here; a bound of the file size stands in for it in another test");
        return;
    }
    struct Unmount<'p>(&'p Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _gone = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let unmount = Unmount(&mount.0);
    let folder = mount.0.join("state");
    let journal = Journal::still(&settings(&folder), at(0), &RootRng::seeded(1));
    let ballast = mount.0.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let mut rng = RootRng::seeded(3).fork();
    let (mut written, mut memory) = (0, 0);
    for round in 0..40_000u64 {
        let id = rng.exchange_id();
        journal.intent(id, at(round / 100), &dims(), &estimate());
        match journal.settle(id, at(round / 100), &dims(), &charge()) {
            Kept::Written => written += 1,
            Kept::Memory => memory += 1,
        }
        if round % 1000 == 0 {
            journal.tick(at(round / 100));
        }
    }
    assert!(written > 1000 && memory > 1000, "{written} written, {memory} in memory");
    assert!(journal.health().trouble.is_some());
    let (in_files, ..) = counted(&folder);
    assert!(in_files >= written, "{in_files} of {written}");
    fs::remove_file(&ballast).unwrap();
    // The folder itself has room for what is left: sums.
    journal.tick(at(1000));
    journal.tick(at(1010));
    assert_eq!(journal.health().trouble, None);
    drop(journal);
    let after = Journal::still(&settings(&folder), at(2000), &RootRng::seeded(4));
    let recovered = after.recovered().unwrap();
    assert_eq!(recovered.since(UNIX_EPOCH).map(|spent| spent.counters.requests).sum::<u64>(), 40_000);
    assert_eq!(recovered.settled_by_estimate().0, 0);
    assert_eq!(counted(&folder), (40_000, 0, 0));
    drop((after, unmount));
}

#[test]
fn a_file_that_may_not_grow_is_left_for_the_next() {
    let folder = Folder::new("fsize");
    let mut shell = Command::new("sh");
    // In blocks of 512 bytes; without the trap the signal would end the process.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    child_of(&mut shell, "200", &folder.0);
    let (told, status) = lines(shell);
    assert!(status.success(), "{told:?}");
    let written = told.iter().filter(|line| line.contains(" Written ")).count();
    assert_eq!(written, 200, "{told:?}");
    assert!(told.iter().any(|line| !line.contains("errors=0 ") && line.contains("errors=")), "the bound was not met: {told:?}");
    assert_eq!(counted(&folder.0), (200, 0, 0));
    let journal = Journal::still(&settings(&folder.0), at(9000), &RootRng::seeded(1));
    assert_eq!(journal.health().corrupt_files, 0, "a record that was cut short by an error is no damage");
    drop(journal);
    assert_eq!(counted(&folder.0), (200, 0, 0));
}

/// The rounds of a child under strace, which makes calls fail.
fn with_errors(inject: &str, folder: &Path, rounds: u64) -> Option<Vec<String>> {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]).arg(std::env::current_exe().unwrap());
    child_of(&mut traced, &rounds.to_string(), folder);
    match traced.output() {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
        other => {
            eprintln!("SKIPPED: strace does not work here: {other:?}");
            None
        }
    }
}

#[test]
fn a_file_that_cannot_be_forced_is_not_believed_again() {
    let folder = Folder::new("sync-once");
    let Some(told) = with_errors("inject=fdatasync:error=EIO:when=3", &folder.0, 12) else { return };
    assert_eq!(told.iter().filter(|line| line.contains(" Written ")).count(), 12, "{told:?}");
    assert!(told.iter().any(|line| line == "11 Written errors=1 trouble="), "{told:?}");
    let logs =
        fs::read_dir(&folder.0).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".seg")).count();
    assert_eq!(logs, 2, "a new file was begun");
    assert_eq!(counted(&folder.0), (12, 0, 0));
}

#[test]
fn a_disk_that_cannot_be_forced_leaves_memory_and_then_everything_is_written() {
    let folder = Folder::new("sync-while");
    let Some(told) = with_errors("inject=fdatasync:error=EIO:when=3..6", &folder.0, 30) else { return };
    assert!(told.iter().any(|line| line.contains(" Memory ") && line.contains("forced to the disk")), "{told:?}");
    assert!(told.last().is_some_and(|_| told.iter().any(|line| line.starts_with("29 Written ") && line.ends_with("trouble="))), "{told:?}");
    assert_eq!(counted(&folder.0), (30, 0, 0));
    // And for good: served, and counted in memory.
    let folder = Folder::new("sync-never");
    let Some(told) = with_errors("inject=fdatasync:error=EIO:when=3+", &folder.0, 30) else { return };
    let written = told.iter().filter(|line| line.contains(" Written ")).count() as u64;
    assert!(told.iter().any(|line| line.starts_with("29 Memory ")) && written >= 3, "{told:?}");
    let (settled, lost, _) = counted(&folder.0);
    assert!(settled >= written && lost == 0, "{settled} of {written}");
}

#[test]
fn a_folder_that_may_not_be_written_is_read_and_told() {
    let folder = Folder::within(Path::new("/dev/shm"), "read-only");
    let first = Journal::still(&settings(&folder.0), at(0), &RootRng::seeded(1));
    for round in 0..5 {
        assert_eq!(first.settle(RootRng::seeded(round).fork().exchange_id(), at(0), &dims(), &charge()), Kept::Written);
    }
    drop(first);
    for entry in fs::read_dir(&folder.0).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o555)).unwrap();
    let mut nobody = command("20", &folder.0);
    nobody.uid(65_534).gid(65_534);
    let output = nobody.output();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    let told = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        other => {
            eprintln!("SKIPPED: no child of another user can be run here: {other:?}");
            return;
        }
    };
    assert!(told.contains("recovered 5"), "limits know what was spent: {told}");
    assert!(told.contains("19 Memory") && told.contains("Permission denied"), "{told}");
    assert_eq!(counted(&folder.0), (5, 0, 0));
}
